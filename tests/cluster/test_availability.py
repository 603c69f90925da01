"""Two replicas, one of which is killed, ended or stopped: the other acts in time, and never both.

The session's operator makes way for them. The audit log tells replicas apart by their tokens, and its times
and the Lease's come from one clock, that of this machine.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime

import pytest
from navarch.core.model.reasons import Reason

from lab.cluster import Cluster
from tests.cluster.conftest import assert_quiet, remove_namespace
from tests.polling import eventually
from tests.support.activity import wait_for_removals
from tests.support.api import Api
from tests.support.audit import Audit, Request
from tests.support.meshes import build_mesh, edit, list_owned, wait_for
from tests.support.operator import Operator
from tests.support.replicas import Replica, find_takeover, read_holder

SHORT_LEASE = {"lease_seconds": "4", "lease_renew_seconds": "3", "lease_retry_seconds": "0.5"}
MESHES = 6
STOPS = 3
STOPS_IN_FULL = 50
LOOKS_AFTER_RELEASE = 2
"""How often the standby may look at a released Lease: at once, and once beside the release."""
LOOKS_AFTER_KILL = 10
"""The same after the leader's last renewal, at 15 seconds of Lease and one look in 2: one sees that renewal,
eight go by until it has expired, and one may come beside it. Fewer on a busy machine, and never more."""


@pytest.fixture(scope="module")
async def vacant(api: Api, operator: Operator, installed: Cluster) -> AsyncIterator[Cluster]:
    """The cluster without the session's operator."""
    await wait_for_removals(api)
    operator.stop()
    yield installed
    operator.start()
    await eventually(operator.is_ready, seconds=60, what="the session's operator is back")


@asynccontextmanager
async def two_replicas(cluster: Cluster, **settings: str) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two replicas that are ready, the leader first: the one that was started first, unless the machine is so
    busy that it lost a short Lease since."""
    pair = (Replica(cluster, "replica-a", settings), Replica(cluster, "replica-b", settings))
    try:
        await pair[0].start()
        await eventually(pair[0].is_leading, seconds=30, every=0.1, what="the first replica leads")
        await pair[1].start()
        yield await find_roles(pair)
    except BaseException:
        for replica in pair:
            print(replica.describe())
        raise
    finally:
        for replica in pair:
            if replica.process.is_running():
                replica.send(signal.SIGCONT)
            replica.process.stop()


# --- killed and ended, with the settings that users get


@pytest.mark.parametrize(
    ("end", "looks"), [(signal.SIGKILL, LOOKS_AFTER_KILL), (signal.SIGTERM, LOOKS_AFTER_RELEASE)]
)
async def test_the_other_replica_acts_in_time_when_the_leader_ends(
    vacant: Cluster, api: Api, audit: Audit, fresh: str, end: signal.Signals, looks: int
) -> None:
    api.create(build_mesh(fresh))
    mark = audit.mark()
    async with two_replicas(vacant) as (leader, other):
        await wait_for(api, fresh)
        values = f"values-{fresh}-demo-inplace"
        ended = leader.send(end)
        api.delete("configmap", fresh, values)
        edit(api, fresh, meshConfig={"accessLogFormat": "edited"})

        def has_acted() -> bool:
            repaired = api.get("configmap", fresh, values) is not None
            return repaired and "edited" in read_mesh_config(api, fresh)

        await eventually(has_acted, seconds=30, every=0.05, what="the other replica repairs and edits")
        print(f"{end.name}: the other replica had acted after {time.monotonic() - ended:.1f} s")
        assert other.is_leading()
        assert await leader.see_end() == (0 if end is signal.SIGTERM else -end)
        await wait_for(api, fresh)
        takeover = find_takeover(audit.since(mark), leader=leader.credential, standby=other.credential)
        assert takeover.looks <= looks
        assert takeover.early == []


def read_mesh_config(api: Api, namespace: str) -> str:
    found = api.get("configmap", namespace, f"istio-{namespace}-demo-inplace") or {}
    return str((found.get("data") or {}).get("mesh", ""))


# --- stopped for longer than the Lease lasts


@dataclass(frozen=True, slots=True)
class Stop:
    """One leader that was stopped: its token, and when the next one took the Lease."""

    credential: str
    acquired: datetime


class Edits:
    """Meshes that are edited without pause: each again as soon as istiod could read the edit before."""

    def __init__(self, api: Api, namespaces: list[str], rng: random.Random) -> None:
        self._api, self._namespaces, self._rng = api, namespaces, rng
        self.last = dict.fromkeys(namespaces, 0)
        self._over = False

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            for namespace in self._namespaces:
                group.create_task(self._keep_editing(namespace))
            try:
                yield
            finally:
                self._over = True

    async def _keep_editing(self, namespace: str) -> None:
        while not self._over:
            self.last[namespace] += 1
            change = {"accessLogFormat": self.expected(namespace)}
            await asyncio.to_thread(edit, self._api, namespace, meshConfig=change)
            if self._rng.random() < 0.2:
                values = f"values-{namespace}-demo-inplace"
                await asyncio.to_thread(self._api.delete, "configmap", namespace, values)
            await eventually(self._arrived(namespace), seconds=60, every=0.05, what=f"an edit in {namespace}")

    def expected(self, namespace: str) -> str:
        """What the last edit of a mesh asked for."""
        return f"edit-{self.last[namespace]}-of-{namespace}."

    def _arrived(self, namespace: str) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            return self.expected(namespace) in await asyncio.to_thread(read_mesh_config, self._api, namespace)

        return look


@pytest.fixture
def meshes(api: Api) -> Iterator[list[str]]:
    """Namespaces with a mesh each; the test that runs the operator makes them ready."""
    namespaces = [f"stopped-{number}" for number in range(MESHES)]
    for namespace in namespaces:
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        api.create(build_mesh(namespace))
    yield namespaces
    for namespace in namespaces:
        remove_namespace(api, namespace)


@contextmanager
def passing_meshes(api: Api) -> Iterator[Callable[[], list[str]]]:
    """Each call makes one more mesh and takes the one before away, and tells all that there ever were."""
    namespaces: list[str] = []

    def move_on() -> list[str]:
        if namespaces:
            remove_namespace(api, namespaces[-1])
        namespaces.append(f"passing-{len(namespaces)}")
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespaces[-1]}})
        api.create(build_mesh(namespaces[-1]))
        return namespaces

    yield move_on
    if namespaces:
        remove_namespace(api, namespaces[-1])


async def find_roles(pair: tuple[Replica, Replica]) -> tuple[Replica, Replica]:
    """The leader and the other one. Who has ended is started again, as the kubelet does it."""
    for replica in pair:
        if not replica.process.is_running():
            await replica.start()
    leading = await eventually(
        lambda: [r for r in pair if r.is_leading()], seconds=60, every=0.05, what="one of them leads"
    )
    return (pair[0], pair[1]) if leading[0] is pair[0] else (pair[1], pair[0])


async def stop_for_longer_than_the_lease(
    api: Api, audit: Audit, leader: Replica, other: Replica, rng: random.Random
) -> Stop | None:
    """Stop the leader amid its writes; the other takes over and writes; the old one goes on, and must end.

    None when it ended before: on a machine that is busy enough a leader may lose its short Lease by itself.
    """
    mark, writes = audit.mark(), rng.randint(1, 40)

    def has_written() -> bool:
        written = sum(r.credential == leader.credential for r in audit.writes(mark))
        return written >= writes or not leader.process.is_running()

    await eventually(has_written, seconds=60, every=0.01, what="the leader writes")
    if not leader.process.is_running():
        return None
    stopped = leader.send(signal.SIGSTOP)
    await eventually(
        lambda: read_holder(api)[0] == other.name, seconds=30, every=0.05, what="the other holds the Lease"
    )
    _, acquired = read_holder(api)
    shortest = float(SHORT_LEASE["lease_seconds"])
    await eventually(
        lambda: (
            any(r.credential == other.credential for r in audit.writes(mark))
            and time.monotonic() > stopped + shortest
        ),
        seconds=30,
        every=0.05,
        what="the other writes",
    )
    leader.send(signal.SIGCONT)
    assert await leader.see_end() == 1
    return Stop(leader.credential, acquired)


def find_late(requests: list[Request], stop: Stop) -> list[str]:
    """What a stopped leader still asked for after the next one had taken the Lease."""
    asked = [r for r in requests if r.credential == stop.credential and r.is_mutating]
    assert asked
    return [
        f"{r} {(r.received - stop.acquired).total_seconds():+.3f} s"
        for r in asked
        if r.received > stop.acquired
    ]


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_a_leader_that_was_stopped_for_longer_than_its_lease_never_writes_beside_the_next(
    vacant: Cluster, api: Api, audit: Audit, meshes: list[str], full: bool
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    mark, started = audit.mark(), time.time()
    stops: list[Stop] = []
    passed: list[str] = []
    async with two_replicas(vacant, **SHORT_LEASE) as pair:
        for namespace in meshes:
            await wait_for(api, namespace)
        edits = Edits(api, meshes, rng)
        with passing_meshes(api) as move_on:
            async with edits.going_on():
                while len(stops) < (STOPS_IN_FULL if full else STOPS):
                    passed = move_on()
                    leader, other = await find_roles(pair)
                    stop = await stop_for_longer_than_the_lease(api, audit, leader, other, rng)
                    stops += [stop] if stop else []
        requests = audit.since(mark)
        late = [find_late(requests, stop) for stop in stops]
        print(f"{sum(edits.last.values())} edits, {len(stops)} stops, late requests: {late}")
        assert [requests for requests in late if len(requests) > 1] == []
        await see_the_right_end(api, edits, meshes, passed)
        assert (
            find_repeated_events(api, started, leaders=len(stops) + 2, edits=max(edits.last.values())) == []
        )
        for namespace in meshes:
            leader, _ = await find_roles(pair)
            await assert_quiet(api, audit, leader.process, namespace, "demo")


async def see_the_right_end(api: Api, edits: Edits, meshes: list[str], passed: list[str]) -> None:
    """Every mesh is as its last edit says, and of those that went nothing is left."""
    for namespace in meshes:
        await wait_for(api, namespace)
        assert edits.expected(namespace) in read_mesh_config(api, namespace)
        assert api.get("configmap", namespace, f"values-{namespace}-demo-inplace") is not None
    await wait_for_removals(api)
    left = [o for namespace in passed for o in list_owned(api, namespace)]
    assert [f"{o['kind']} {o['metadata'].get('namespace', '')}/{o['metadata']['name']}" for o in left] == []


def find_repeated_events(api: Api, started: float, *, leaders: int, edits: int) -> list[str]:
    """What was said about the same object in the same words more often than there were leaders; that a mesh
    has settled may be said after each edit as well."""
    said = Counter(
        (e["regarding"].get("uid"), e["reason"], e.get("note"))
        for e in api.list("event")
        if e.get("reportingController") == "mesh.navarch.io/operator"
        and datetime.fromisoformat(e["eventTime"]).timestamp() >= started
    )
    assert said
    most = {Reason.SETTLED: leaders + edits}
    return [
        f"{count} times {reason}: {note}"
        for (_, reason, note), count in said.items()
        if count > most.get(reason, leaders)
    ]
