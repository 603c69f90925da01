"""Liveness, readiness and the metrics that are computed when they are asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
import pytest
from navarch.controllers.watching import find_dead
from navarch.engine.key import Key
from navarch.engine.queue import EDIT, Queue, Timer
from navarch.kube.client import Client
from navarch.kube.reflector import Reflector
from navarch.kube.resources import resource_of
from navarch.settings import Settings
from navarch.telemetry import metrics
from navarch.telemetry.health import HealthServer
from navarch.telemetry.observer import MetricsObserver

KEY = Key("MeshControlPlane", "ns", "demo")
LATE = "a key has been waiting for a worker for 601 s"
SILENCE, STUCK = Settings().silence_seconds, Settings().stuck_seconds


class Clock:
    """Time that passes only by hand, for those who call it and for the queue."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Timer:
        raise AssertionError("nothing here is delayed")


def build_reflector(clock: Clock) -> Reflector:
    reflector = Reflector(cast(Client, None), resource_of("v1", "Pod"), clock=clock)
    reflector.store.served = True
    return reflector


def list_dead(reflectors: dict[str, Reflector], queue: Queue | None = None, *, led: float = 0.0) -> list[str]:
    """With the bounds that users get."""
    return list(find_dead(reflectors, queue or Queue(), led=led, silence=SILENCE, stuck=STUCK))


def pass_time(clock: Clock, seconds: int, *heard: Reflector) -> None:
    """Let time pass while the API server is heard of by some watches, about each minute."""
    for _ in range(seconds // 60):
        clock.now += 60
        for reflector in heard:
            reflector._hear()
    clock.now += seconds % 60


async def test_a_watch_that_is_silent_while_others_are_heard_from_is_a_dead_process() -> None:
    clock = Clock()
    silent, heard = build_reflector(clock), build_reflector(clock)
    reflectors = {"meshes": silent, "revisions": heard}
    pass_time(clock, int(SILENCE), heard)
    assert list_dead(reflectors) == []
    pass_time(clock, 1)
    assert list_dead(reflectors) == ["watch meshes has been silent for 181 s"]


async def test_an_answer_that_kinds_are_not_served_need_not_come_from_the_api_server() -> None:
    clock = Clock()
    refused, unserved = build_reflector(clock), build_reflector(clock)
    unserved.store.served = False
    pass_time(clock, 600, unserved)
    assert list_dead({"deployments": refused, "policies": unserved}) == []


async def test_an_outage_of_the_api_server_fails_no_probe_neither_while_it_lasts_nor_when_it_ends() -> None:
    clock = Clock()
    reflectors = {name: build_reflector(clock) for name in ("meshes", "revisions", "crds")}
    late, *others = reflectors.values()
    pass_time(clock, 600, late, *others)
    pass_time(clock, 59, *others)
    for _ in range(100):
        pass_time(clock, 10)
        assert list_dead(reflectors) == []
    for reflector in others:  # it is back; one watch still waits for its next try
        reflector._hear()
    for _ in range(17):
        pass_time(clock, 10)
        for reflector in others:
            reflector._hear()
        assert list_dead(reflectors) == []
    pass_time(clock, 10)
    assert len(list_dead(reflectors)) == 1, "but it must not wait for ever"


async def test_a_queue_that_stands_still_is_a_dead_leader_and_a_live_standby() -> None:
    clock = Clock()
    heard = build_reflector(clock)
    queue = Queue(clock=clock)
    queue.add(KEY, priority=EDIT)
    pass_time(clock, int(STUCK), heard)
    assert list_dead({"meshes": heard}, queue, led=STUCK) == []
    pass_time(clock, 1)
    assert list_dead({"meshes": heard}, queue, led=STUCK + 1) == [
        "a key has been waiting for a worker for 601 s"
    ]
    assert list_dead({"meshes": heard}, queue, led=0.0) == []


async def test_a_standbys_old_queue_counts_only_from_when_it_leads() -> None:
    clock = Clock()
    heard = build_reflector(clock)
    queue = Queue(clock=clock)
    queue.add(KEY, priority=EDIT)
    pass_time(clock, 10 * int(STUCK), heard)
    assert list_dead({"meshes": heard}, queue, led=STUCK) == []
    assert list_dead({"meshes": heard}, queue, led=STUCK + 1) == [
        "a key has been waiting for a worker for 601 s"
    ]


async def test_a_queue_that_waits_for_the_api_server_fails_no_probe() -> None:
    clock = Clock()
    heard = build_reflector(clock)
    queue = Queue(clock=clock)
    pass_time(clock, 60, heard)
    queue.add(KEY, priority=EDIT)
    for _ in range(100):  # all workers wait for answers that do not come
        pass_time(clock, 59)
        assert list_dead({"meshes": heard}, queue, led=clock.now) == []
    pass_time(clock, int(STUCK), heard)
    assert list_dead({"meshes": heard}, queue, led=clock.now) == [], "it has just come back"
    pass_time(clock, 120, heard)
    assert len(list_dead({"meshes": heard}, queue, led=clock.now)) == 1


@asynccontextmanager
async def serving(live: list[str], ready: list[str]) -> AsyncIterator[Any]:
    server = HealthServer(live=lambda: live, ready=lambda: ready)
    await server.start("127.0.0.1", 0)

    async def fetch(path: str) -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{server.port}{path}") as got,
        ):
            return got.status, await got.text()

    try:
        yield fetch
    finally:
        await server.stop()


async def test_probes_say_what_is_wrong() -> None:
    live: list[str] = []
    ready = ["watch meshes is not synced yet"]
    async with serving(live, ready) as fetch:
        assert await fetch("/livez") == (200, "ok")
        assert await fetch("/readyz") == (503, "watch meshes is not synced yet")
        live += ["one", "two"]
        ready.clear()
        assert await fetch("/livez") == (503, "one\ntwo")
        assert await fetch("/readyz") == (200, "ok")


@pytest.fixture
def clock() -> Iterator[Clock]:
    yield Clock()
    MetricsObserver()  # takes the gauges back


def read(name: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(f"navarch_workqueue_{name}_seconds")


def test_work_in_hand_shows_while_it_lasts(clock: Clock) -> None:
    observer = MetricsObserver(clock)
    assert (read("unfinished_work"), read("longest_running_processor")) == (0, 0)
    observer.reconcile_started(KEY, waited=0)
    clock.now += 10
    observer.reconcile_started(Key("MeshRevision", "ns", "r"), waited=0)
    clock.now += 5
    assert (read("unfinished_work"), read("longest_running_processor")) == (20, 15)
    observer.reconcile_finished(KEY, result="success", seconds=15)
    assert (read("unfinished_work"), read("longest_running_processor")) == (5, 5)


def test_of_each_condition_one_status_is_told_until_the_object_is_gone() -> None:
    def read() -> dict[tuple[str, ...], float]:
        families = metrics.conditions.collect()
        return {
            tuple(sample.labels[name] for name in ("kind", "name", "type", "status")): sample.value
            for family in families
            for sample in family.samples
            if sample.labels["namespace"] == "told"
        }

    for status in ("False", "True"):
        said = [{"type": "Available", "status": "True"}, {"type": "Reconciled", "status": status}]
        metrics.set_conditions("MeshRevision", "told", "demo", {"conditions": said})
    told = read()
    assert len(told) == 6
    assert {key for key, value in told.items() if value} == {
        ("MeshRevision", "demo", "Available", "True"),
        ("MeshRevision", "demo", "Reconciled", "True"),
    }
    metrics.forget("MeshRevision", "told", "demo")
    assert read() == {}
