"""Workers: what runs when, and what a result leads to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf

import pytest
import structlog
from navarch.engine.backoff import Backoff
from navarch.engine.key import Key
from navarch.engine.observer import Observer
from navarch.engine.queue import EDIT, RETRY, Queue
from navarch.engine.result import (
    LONGEST_PASSING,
    PASSING,
    After,
    Cause,
    Done,
    Fault,
    Result,
    Retry,
    Terminal,
    classify,
)
from navarch.engine.worker import Workers
from structlog.contextvars import get_contextvars, merge_contextvars
from structlog.testing import LogCapture

from tests.polling import eventually

A, B = Key("MeshControlPlane", "one", "a"), Key("MeshControlPlane", "two", "b")


class Recording(Observer):
    def __init__(self) -> None:
        self.finished: list[tuple[Key, str]] = []
        self.retried: list[Key] = []
        self.crashed: list[Key] = []
        self.active = 0

    def key_retried(self, key: Key) -> None:
        self.retried.append(key)

    def reconcile_started(self, key: Key, *, waited: float) -> None:
        self.active += 1

    def reconcile_finished(self, key: Key, *, result: str, seconds: float) -> None:
        self.active -= 1
        self.finished.append((key, result))

    def reconcile_crashed(self, key: Key) -> None:
        self.crashed.append(key)


class Bench:
    """Workers over a queue, with a reconcile function that a test writes."""

    def __init__(self, queue: Queue, workers: Workers, gate: asyncio.Event, observer: Recording) -> None:
        self.queue, self.workers, self.gate, self.observer = queue, workers, gate, observer


@asynccontextmanager
async def bench(
    reconcile: Callable[[Key], Result | BaseException],
    *,
    gate_open: bool = True,
    count: int = 2,
    base: float = 0.005,
) -> AsyncIterator[Bench]:
    async def run(key: Key) -> Result:
        await asyncio.sleep(0)
        ending = reconcile(key)
        if isinstance(ending, BaseException):
            raise ending
        return ending

    observer, gate, queue = Recording(), asyncio.Event(), Queue()
    if gate_open:
        gate.set()
    ids = iter(range(10_000))
    workers = Workers(
        queue,
        run,
        count=count,
        gate=gate,
        backoff=Backoff(random=lambda: 0.5, base=base),
        ids=lambda: f"id-{next(ids)}",
        observer=observer,
    )
    task = asyncio.create_task(workers.run())
    await asyncio.sleep(0)
    try:
        yield Bench(queue, workers, gate, observer)
    finally:
        await workers.stop(grace=1)
        await asyncio.wait_for(task, 60)


async def test_nothing_runs_until_the_gate_opens() -> None:
    async with bench(lambda key: Done(), gate_open=False) as b:
        b.queue.add(A)
        for _ in range(10):
            await asyncio.sleep(0)
        assert b.observer.finished == []
        b.gate.set()
        await eventually(lambda: b.observer.finished == [(A, "success")])


async def test_nothing_new_runs_once_the_gate_has_closed_again() -> None:
    async with bench(lambda key: Done()) as b:
        b.queue.add(A)
        await eventually(lambda: b.observer.finished)
        b.gate.clear()
        b.queue.add(B)
        await eventually(lambda: b.queue.depth == 1)
        assert b.observer.finished == [(A, "success")]
        b.gate.set()
        await eventually(lambda: (B, "success") in b.observer.finished)


async def test_an_after_runs_again_when_its_time_has_come() -> None:
    results = iter([After(0.01), Done()])
    async with bench(lambda key: next(results)) as b:
        b.queue.add(A)
        await eventually(lambda: b.observer.finished == [(A, "requeue_after"), (A, "success")])


async def test_a_failing_key_is_retried_with_backoff_and_harms_no_other_key() -> None:
    failures = iter(range(3))

    def reconcile(key: Key) -> Result | BaseException:
        return RuntimeError("broken") if key == A and next(failures, None) is not None else Done()

    async with bench(reconcile) as b:
        b.queue.add(A)
        b.queue.add(B)
        await eventually(lambda: (A, "success") in b.observer.finished)
        assert (B, "success") in b.observer.finished
        assert b.observer.retried == [A, A, A]
        assert b.observer.active == 0


async def test_a_terminal_result_is_not_retried() -> None:
    async with bench(lambda key: Terminal("spec.version: unknown")) as b:
        b.queue.add(A)
        await eventually(lambda: b.observer.finished == [(A, "terminal")])
        assert b.queue.depth == b.queue.delayed == 0


async def test_what_failed_is_tried_again_behind_what_was_edited() -> None:
    results = {A: iter([Retry(OSError("x"), after=0.0), Done()]), B: iter([Done()])}
    async with bench(lambda key: next(results[key]), count=1, gate_open=False) as b:
        b.queue.add(A, priority=EDIT)
        b.queue.add(B, priority=EDIT)
        b.gate.set()
        await eventually(lambda: b.observer.finished == [(A, "error"), (B, "success"), (A, "success")])


@pytest.mark.parametrize(
    ("ending", "well"),
    [
        (Done(), True),
        (After(1000), True),
        (After(1000, well=False), False),
        (Terminal("spec.version: unknown"), False),
        (Retry(OSError("x"), after=1000), False),
        (RuntimeError("bug"), False),
    ],
)
async def test_only_what_ended_well_goes_before_others(ending: Result | BaseException, well: bool) -> None:
    """The other is known to be well and came later: it passes A unless A is well too. Both are in one
    namespace, so that how long each ran does not count."""
    other = Key(A.kind, A.namespace, "b")
    async with bench(lambda key: ending if key == A else Done(), count=1, base=1000) as b:
        for key in (other, A):
            b.queue.add(key)
            await eventually(lambda key=key: key in {k for k, _ in b.observer.finished})  # type: ignore[misc]
        b.observer.finished.clear()
        b.queue.add(A)
        b.queue.add(other)
        await eventually(lambda: len(b.observer.finished) == 2)
        assert [key for key, _ in b.observer.finished] == ([A, other] if well else [other, A])


async def test_a_key_handed_back_because_the_gate_closed_keeps_its_standing() -> None:
    async with bench(lambda key: Done(), count=1) as b:
        for number, key in enumerate((A, B, B, B)):  # so that B's lane is not the more rested one
            b.queue.add(key)
            await eventually(lambda number=number: len(b.observer.finished) > number)  # type: ignore[misc]
        b.observer.finished.clear()
        b.gate.clear()  # the worker waits for a key by now, and hands back the next one
        b.queue.add(A, priority=RETRY)
        for _ in range(10):
            await asyncio.sleep(0)
        b.queue.add(A)
        b.queue.add(B)
        b.gate.set()
        await eventually(lambda: len(b.observer.finished) == 2)
        assert b.observer.finished == [(A, "success"), (B, "success")]


async def test_a_bound_of_the_backoff_holds_however_often_a_key_failed() -> None:
    endings = iter([*[Retry(OSError("x"), longest=0.001)] * 12, Done()])
    async with bench(lambda key: next(endings), count=1, base=0.2) as b:
        b.queue.add(A)
        await eventually(lambda: (A, "success") in b.observer.finished, seconds=2)


async def test_a_crash_is_logged_with_its_traceback_once_until_the_key_succeeds() -> None:
    outcomes: list[Result | BaseException] = [RuntimeError("bug")] * 3 + [Done()]
    outcomes += [RuntimeError("bug"), Done()]
    endings = iter(outcomes)
    capture = LogCapture()
    structlog.configure(processors=[merge_contextvars, capture])
    try:
        async with bench(lambda key: next(endings), count=1, base=0.001) as b:
            b.queue.add(A)
            await eventually(lambda: (A, "success") in b.observer.finished)
            b.queue.add(A)
            await eventually(lambda: b.observer.finished.count((A, "success")) == 2)
    finally:
        structlog.reset_defaults()
    crashes = [entry for entry in capture.entries if entry["event"] == "crashed"]
    assert [entry.get("exc_info") is not None for entry in crashes] == [True, False, False, True]
    assert all(entry["name"] == "a" and entry["reconcile_id"].startswith("id-") for entry in crashes)
    assert len(b.observer.crashed) == 4


async def test_each_run_has_an_id_of_its_own_for_the_log() -> None:
    seen: list[str] = []

    def reconcile(key: Key) -> Result:
        seen.append(get_contextvars()["reconcile_id"])
        return Done()

    async with bench(reconcile) as b:
        b.queue.add(A)
        b.queue.add(B)
        await eventually(lambda: len(b.observer.finished) == 2)
    assert sorted(seen) == ["id-0", "id-1"]


async def test_stopping_waits_for_what_runs_and_starts_nothing_more() -> None:
    started, finish = asyncio.Event(), asyncio.Event()
    ended: list[Key] = []

    async def slow(key: Key) -> Result:
        started.set()
        await finish.wait()
        ended.append(key)
        return Done()

    gate, queue = asyncio.Event(), Queue()
    gate.set()
    workers = Workers(queue, slow, count=1, gate=gate, backoff=Backoff(random=lambda: 0.5), ids=lambda: "id")
    task = asyncio.create_task(workers.run())
    queue.add(A)
    queue.add(B)
    await started.wait()
    stopping = asyncio.create_task(workers.stop(grace=5))
    await asyncio.sleep(0)
    finish.set()
    await stopping
    await asyncio.wait_for(task, 60)
    assert ended == [A]


async def test_stopping_cancels_what_outlasts_its_grace() -> None:
    cancelled = asyncio.Event()
    started = asyncio.Event()

    async def stuck(key: Key) -> Result:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Done()

    gate, queue = asyncio.Event(), Queue()
    gate.set()
    workers = Workers(queue, stuck, count=1, gate=gate, backoff=Backoff(random=lambda: 0.5), ids=lambda: "id")
    task = asyncio.create_task(workers.run())
    queue.add(A)
    await started.wait()
    await workers.stop(grace=0.01)
    await asyncio.wait_for(task, 60)
    assert cancelled.is_set()


@pytest.mark.parametrize("cause", Cause)
def test_only_causes_that_say_nothing_new_at_each_try_have_a_delay_that_does_not_grow(cause: Cause) -> None:
    fault = Fault("x")
    fault.cause = cause
    fixed = {Cause.NOT_PERMITTED: 60.0, Cause.NAMESPACE_TERMINATING: 5.0, Cause.NOT_LEADING: 1.0}
    longest = LONGEST_PASSING if cause in PASSING else inf
    assert classify(fault) == Retry(fault, after=fixed.get(cause), longest=longest)


async def test_an_object_that_is_in_conflict_without_end_is_tried_ever_less_often() -> None:
    delays: list[float] = []

    class Immediate(Queue):
        def add(self, key: Key, *, priority: int = 0, after: float = 0.0) -> None:
            if after:
                delays.append(after)
            super().add(key, priority=priority)

    async def conflict(key: Key) -> Result:
        if len(delays) == 8:
            return Done()
        fault = Fault("x")
        fault.cause = Cause.CONFLICT
        raise fault

    gate, queue = asyncio.Event(), Immediate()
    gate.set()
    workers = Workers(
        queue, conflict, count=1, gate=gate, backoff=Backoff(random=lambda: 0.5), ids=lambda: "id"
    )
    task = asyncio.create_task(workers.run())
    queue.add(A)
    await eventually(lambda: len(delays) == 8)
    await workers.stop(grace=1)
    await asyncio.wait_for(task, 60)
    assert delays == [1, 2, 4, 8, 16, LONGEST_PASSING, LONGEST_PASSING, LONGEST_PASSING]


def test_what_the_server_asks_for_overrides_the_table() -> None:
    fault = Fault("x")
    fault.cause, fault.retry_after = Cause.THROTTLED, 7.0
    assert classify(fault) == Retry(fault, after=7.0, longest=LONGEST_PASSING)


def test_an_unknown_exception_is_a_crash() -> None:
    error = KeyError("metadata")
    assert classify(error) == Retry(error, crashed=True)
