"""Who may read the metrics: how often the API server is asked, and what holds while it cannot be."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from navarch.kube import access
from navarch.kube.access import HOLD_SECONDS, MOST_ALLOWED, MOST_OTHERS, OUTAGE_SECONDS, Access
from navarch.kube.errors import Unavailable
from navarch.telemetry.exposition import Verdict


class Server:
    """An API server that knows tokens by their first letter: r may read, u is a user without the right."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.now = 1000.0
        self.is_away = False
        self.answers = asyncio.Event()
        self.answers.set()

    def guarded(self, guard: object, *, requests: int) -> Server:
        assert guard is None
        return self

    async def create(self, review: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(review)
        await self.answers.wait()
        if self.is_away:
            raise Unavailable("away", method="POST", subject="reviews")
        spec = review["spec"]
        if review["kind"] == "TokenReview":
            user = {"username": spec["token"], "uid": "1", "groups": ["g"], "extra": {"k": ["v"]}}
            known = spec["token"][0] in "ru"
            return {"status": {"authenticated": True, "user": user} if known else {}}
        return {"status": {"allowed": spec["user"].startswith("r")}}

    def count(self, kind: str = "TokenReview") -> int:
        return sum(review["kind"] == kind for review in self.asked)

    def build(self) -> Access:
        return Access(self, path="/metrics", clock=lambda: self.now)  # type: ignore[arg-type]


async def test_a_token_is_answered_by_what_the_api_server_says_of_it_and_of_its_account() -> None:
    server = Server()
    judge = server.build().judge
    assert await judge("reader") is Verdict.ALLOWED
    assert await judge("user") is Verdict.FORBIDDEN
    assert await judge("nobody") is Verdict.UNKNOWN
    assert server.asked[1]["spec"] == {
        "user": "reader",
        "uid": "1",
        "groups": ["g"],
        "extra": {"k": ["v"]},
        "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
    }


@pytest.mark.parametrize("token", ["reader", "user", "nobody"])
async def test_of_one_token_there_is_one_review_a_minute_whatever_came_of_it(token: str) -> None:
    server = Server()
    judge = server.build().judge
    first = await judge(token)
    for _ in range(100):
        server.now += HOLD_SECONDS / 101
        assert await judge(token) is first
    assert server.count() == 1
    server.now += HOLD_SECONDS / 100
    assert await judge(token) is first
    assert server.count() == 2


async def test_a_hundred_requests_at_once_ask_once() -> None:
    server = Server()
    server.answers.clear()
    judge = server.build().judge
    asking = [asyncio.create_task(judge("reader")) for _ in range(100)]
    await asyncio.sleep(0)
    asking.pop().cancel()
    await asyncio.sleep(0)
    server.answers.set()
    assert set(await asyncio.gather(*asking)) == {Verdict.ALLOWED}
    assert (server.count(), server.count("SubjectAccessReview")) == (1, 1)


async def test_a_failed_review_is_not_repeated_within_its_minute() -> None:
    server = Server()
    server.is_away = True
    judge = server.build().judge
    assert [await judge("reader") for _ in range(10)] == [Verdict.UNDECIDED] * 10
    assert server.count() == 1
    server.is_away = False
    server.now += HOLD_SECONDS
    assert await judge("reader") is Verdict.ALLOWED


async def test_an_account_that_lost_its_right_is_refused_within_a_minute() -> None:
    server = Server()
    judge = server.build().judge
    assert await judge("reader") is Verdict.ALLOWED
    create = server.create

    async def refuse(review: dict[str, Any]) -> dict[str, Any]:
        return {**await create(review), **({"status": {}} if review["kind"] != "TokenReview" else {})}

    server.create = refuse  # type: ignore[method-assign]
    server.now += HOLD_SECONDS
    assert await judge("reader") is Verdict.FORBIDDEN
    server.is_away = True
    server.now += HOLD_SECONDS
    assert await judge("reader") is Verdict.UNDECIDED, "what it was once allowed is forgotten"


async def test_an_outage_takes_the_metrics_from_nobody_who_had_them_for_an_hour() -> None:
    server = Server()
    judge = server.build().judge
    assert await judge("reader") is Verdict.ALLOWED
    assert await judge("user") is Verdict.FORBIDDEN
    server.is_away = True
    for _ in range(int(OUTAGE_SECONDS / HOLD_SECONDS) - 1):
        server.now += HOLD_SECONDS
        assert await judge("reader") is Verdict.ALLOWED
    assert await judge("user") is Verdict.UNDECIDED
    server.now += HOLD_SECONDS
    assert await judge("reader") is Verdict.UNDECIDED


async def test_an_api_server_that_does_not_answer_keeps_no_request_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(access, "WAIT_SECONDS", 0.01)
    server = Server()
    judge = server.build().judge
    assert await judge("reader") is Verdict.ALLOWED
    server.answers.clear()
    server.now += HOLD_SECONDS
    assert await judge("reader") is Verdict.ALLOWED
    assert await judge("reader two") is Verdict.UNDECIDED
    server.answers.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await judge("reader two") is Verdict.ALLOWED, "by the answer that came late"
    assert server.count() == 3


async def test_made_up_tokens_take_bounded_memory_and_push_out_no_reader() -> None:
    server = Server()
    judged = server.build()
    assert await judged.judge("reader") is Verdict.ALLOWED
    for number in range(MOST_OTHERS + 10):
        assert await judged.judge(f"made up {number}") is Verdict.UNKNOWN
    assert (len(judged._allowed), len(judged._others)) == (1, MOST_OTHERS)
    before = server.count()
    assert await judged.judge("reader") is Verdict.ALLOWED
    assert server.count() == before
    for number in range(MOST_ALLOWED + 10):
        assert await judged.judge(f"reader {number}") is Verdict.ALLOWED
    assert len(judged._allowed) == MOST_ALLOWED


async def test_while_too_many_reviews_run_no_further_one_is_asked_for() -> None:
    server = Server()
    judged = server.build()
    server.answers.clear()
    asking = [asyncio.create_task(judged.judge(f"n{number}")) for number in range(access.MOST_RUNNING)]
    await asyncio.sleep(0)
    assert await judged.judge("reader") is Verdict.UNDECIDED
    assert server.count() <= access.MOST_RUNNING
    server.answers.set()
    await asyncio.gather(*asking)
    assert await judged.judge("reader") is Verdict.ALLOWED


async def test_a_token_that_no_header_could_carry_is_unknown_without_a_question() -> None:
    server = Server()
    assert await server.build().judge("r\udcff") is Verdict.UNKNOWN
    assert server.asked == []


async def test_no_token_is_kept() -> None:
    server = Server()
    judged = server.build()
    await judged.judge("reader")
    assert "reader" not in repr((judged._allowed, judged._others))
