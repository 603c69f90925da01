"""The path of the webhooks: it changes when istiods leave, and stands for connections that lead to others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from navarch.core.render.components.istiod import DRAIN_SECONDS
from navarch.core.revision.route import AWAY, IDLE, Route, determine_route
from navarch.core.world.workload import WorkloadPod
from navarch.gather.excerpts import shrink_istiod_pod
from navarch.gather.workload import read_pod

START = datetime(2026, 11, 1, tzinfo=UTC)


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


OLD = WorkloadPod("old", "a", at(40), leaving=at(10), ready=at(-100))
NEW = WorkloadPod("new", "b", ready=at(9))


@pytest.mark.parametrize(
    ("pods", "now", "expected"),
    [
        ((OLD, NEW), 12, (Route(), 1.0)),
        ((OLD, NEW), 13, (Route("/", at(13)), None)),
        ((replace(OLD, leaving="", deadline=""), NEW), 13, (Route(), None)),
        ((OLD, replace(NEW, ready="")), 13, (Route(), None)),
        ((OLD, replace(NEW, ready=at(15))), 16, (Route(), 2.0)),
        ((OLD, replace(NEW, ready=at(15))), 18, (Route("/", at(18)), None)),
        ((OLD,), 13, (Route(), None)),
        ((), 13, (Route(), None)),
    ],
    ids=[
        "the pod was told 2 s ago",
        "it was told 3 s ago",
        "none leaves",
        "no other is ready",
        "another is ready for 1 s",
        "another is ready for 3 s",
        "there is no other",
        "there is none",
    ],
)
def test_the_path_changes_once_new_connections_lead_to_an_istiod_that_stays(
    pods: tuple[WorkloadPod, ...], now: float, expected: tuple[Route, float | None]
) -> None:
    assert determine_route(Route(), pods, now=at(now)) == expected


def test_a_path_that_was_left_for_a_pod_stays_while_that_pod_leaves() -> None:
    route = Route("/", at(13))
    for now in (13, 20, 300):
        assert determine_route(route, (OLD, NEW), now=at(now)) == (route, None)


def test_a_second_change_within_95_seconds_takes_a_path_of_its_own_and_is_taken_back_after_them() -> None:
    third = WorkloadPod("third", "b", at(80), leaving=at(50), ready=at(9))
    route, wait = determine_route(Route("/", at(13)), (third, NEW), now=at(53))
    assert route == Route(f"/{int((START + timedelta(seconds=53)).timestamp())}", at(53))
    assert wait == IDLE.total_seconds()
    assert determine_route(route, (NEW,), now=at(147)) == (route, 1.0)
    assert determine_route(route, (NEW,), now=at(148)) == (Route("", at(53)), None)


AHEAD = "9999-12-31T23:59:59Z"


@pytest.mark.parametrize("ahead", [AHEAD, at(86_400)])
@pytest.mark.parametrize("suffix", ["", "/", "/999999999999999"])
def test_a_clock_that_was_ahead_holds_a_route_up_for_no_longer_than_another_change(
    suffix: str, ahead: str
) -> None:
    route, again = determine_route(Route(suffix, ahead), (), now=at(0))
    assert again is None or again <= IDLE.total_seconds()
    rested, _ = determine_route(route, (), now=at(100))
    assert rested.suffix in ("", "/"), "a path that is sent to istiod does not stay"
    leaves = replace(OLD, leaving=at(200), deadline=at(230))
    moved, _ = determine_route(rested, (leaves, replace(NEW, ready=at(150))), now=at(204))
    assert moved.suffix != rested.suffix, "the API server leaves an istiod that ends"
    assert determine_route(moved, (), now=at(205)) == (moved, None), "and no look after that writes"


def test_a_pod_whose_times_no_clock_could_tell_is_looked_at_without_an_error() -> None:
    pods = (replace(OLD, leaving=AHEAD), replace(NEW, ready=AHEAD))
    determine_route(Route("/", AHEAD), pods, now=at(0))


def test_a_pod_says_when_its_end_was_asked_for_and_since_when_it_is_ready() -> None:
    labels = {"mesh.navarch.io/mesh-name": "demo", "mesh.navarch.io/mesh-namespace": "mesh"}
    metadata = {"name": "istiod", "namespace": "mesh", "uid": "1", "resourceVersion": "1", "labels": labels}
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": at(5)}
    ends = {"deletionTimestamp": at(40), "deletionGracePeriodSeconds": 30}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, **ends}}
    found = read_pod(shrink_istiod_pod({**pod, "status": {"conditions": [ready]}}))
    assert found is not None
    assert (found.deadline, found.ready) == (at(40), at(5))
    assert datetime.fromisoformat(found.leaving) == START + timedelta(seconds=10)
    stays = read_pod(shrink_istiod_pod({**pod, "metadata": metadata, "status": {}}))
    assert stays is not None
    assert (stays.deadline, stays.leaving, stays.ready) == ("", "", "")


# --- against an API server that keeps connections


@dataclass
class ApiServer:
    """A client for each path, with the pods that its connections lead to; those of an unused one close after
    90 s. Each request may go over any connection that is open, or over a new one."""

    clients: dict[str, set[str]] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)

    def send(self, suffix: str, now: int, rotation: Iterable[str], ended: set[str]) -> set[str]:
        """Which pods a request may reach."""
        for path, last in self.used.items():
            if now - last > 90:
                self.clients[path] = set()
        open_ = self.clients.setdefault(suffix, set())
        open_ -= ended
        open_ |= set(rotation)
        self.used[suffix] = now
        return set(open_)


@given(
    st.lists(st.tuples(st.integers(1, 130), st.integers(0, 40)), min_size=1, max_size=8),
    st.integers(1, 3),
)
@example([(1, 0)] * 5, 1)
@example([(2, 0)] * 8, 1)
def test_no_request_is_under_way_to_an_istiod_when_it_ends(
    rolls: list[tuple[int, int]], replicas: int
) -> None:
    """Rolls at any distance, whose pods become ready at any distance from each other. kube-proxy lags by two
    seconds, an operator that looks again when it was told to, by one."""
    born: dict[str, int] = {f"0-{n}": -1000 for n in range(replicas)}
    left: dict[str, int] = {}
    clock = 0
    for number, (pause, spread) in enumerate(rolls, start=1):
        clock += pause
        for n in range(replicas):
            born[f"{number}-{n}"] = clock + n * spread
            left[f"{number - 1}-{n}"] = clock + n * spread + 1
        clock += (replicas - 1) * spread + 1
    server, route, changes = ApiServer(), Route(), []
    for now in range(clock + DRAIN_SECONDS + 1):
        there = {p for p in born if born[p] <= now < left.get(p, 10**9) + DRAIN_SECONDS}
        rotation = {p for p in there if now - born[p] >= 2 and now - left.get(p, 10**9) < 2}
        ended = born.keys() - there
        reached = server.send(route.suffix, now, rotation, ended)
        last = {p for p in there if now == left.get(p, 10**9) + DRAIN_SECONDS - 1}
        assert not reached & last, f"{now}: {route} leads to {last}"
        pods = [
            WorkloadPod(
                p,
                p.split("-")[0],
                at(left[p] + 30) if left.get(p, 10**9) <= now else "",
                leaving=at(left[p]) if left.get(p, 10**9) <= now else "",
                ready=at(born[p]),
            )
            for p in sorted(there)
        ]
        found, _ = determine_route(route, pods, now=at(now))
        changes += [now] if found != route else []
        route = found
    for _ in range(2):
        clock += DRAIN_SECONDS + int(IDLE.total_seconds())
        route, wait = determine_route(route, (), now=at(clock))
    assert wait is None
    assert route.suffix in ("", "/")
    assert len(changes) <= 2 * replicas * len(rolls), "each pod that leaves costs two changes at the most"


def test_the_drain_leaves_time_for_the_change_and_for_the_longest_request_to_be_sent() -> None:
    assert AWAY.total_seconds() + 5 <= DRAIN_SECONDS
