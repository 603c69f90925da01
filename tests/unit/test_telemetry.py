"""Liveness, readiness and the metrics that are computed when they are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
import pytest
from navarch.app import SILENCE, STUCK, find_dead
from navarch.engine.key import Key
from navarch.engine.queue import EDIT, Queue, Timer
from navarch.kube.client import Client
from navarch.kube.reflector import Reflector
from navarch.kube.resources import resource_of
from navarch.telemetry import metrics
from navarch.telemetry.health import HealthServer
from navarch.telemetry.observer import MetricsObserver
from prometheus_client import CollectorRegistry

KEY = Key("MeshControlPlane", "ns", "demo")


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
    return Reflector(cast(Client, None), resource_of("v1", "Pod"), clock=clock)


@pytest.fixture
def leading() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


async def test_a_watch_that_is_silent_for_too_long_is_a_dead_process(leading: asyncio.Event) -> None:
    clock = Clock()
    reflectors = {"meshes": build_reflector(clock)}
    clock.now += SILENCE
    assert list(find_dead(reflectors, Queue(), leading)) == []
    clock.now += 1
    assert list(find_dead(reflectors, Queue(), leading)) == ["watch meshes has been silent for 181 s"]


async def test_a_queue_that_stands_still_is_a_dead_leader_and_a_live_standby(leading: asyncio.Event) -> None:
    clock = Clock()
    queue = Queue(clock=clock)
    queue.add(KEY, priority=EDIT)
    clock.now += STUCK
    assert list(find_dead({}, queue, leading)) == []
    clock.now += 1
    assert list(find_dead({}, queue, leading)) == ["a key has been waiting for a worker for 601 s"]
    assert list(find_dead({}, queue, asyncio.Event())) == []


@asynccontextmanager
async def serving(live: list[str], ready: list[str]) -> AsyncIterator[Any]:
    server = HealthServer(CollectorRegistry(), live=lambda: live, ready=lambda: ready)
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
