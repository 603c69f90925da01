"""Two replicas and one Lease, on a real API server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import pytest
from navarch.core.model.refs import Ref
from navarch.engine.result import NotLeading
from navarch.kube.client import Client
from navarch.kube.credentials import load_credentials
from navarch.kube.errors import NotFound
from navarch.kube.lease import LONGEST, Elector

from lab.cluster import Cluster
from tests.cluster.conftest import Counted
from tests.polling import eventually
from tests.support.api import Api
from tests.support.faults import Answer, Proxy

NAME = "tested"
"""Not the operator's: an operator that starts meanwhile would take these for other installations."""
DURATION, RENEW, RETRY = 4.0, 3.0, 0.1
"""Of a Lease that is to expire; each test that waits for that waits so long."""


@dataclass
class Replica:
    """An elector that runs, and whether it was told that it lost."""

    elector: Elector
    task: asyncio.Task[None]
    lost: asyncio.Event


@asynccontextmanager
async def replica(
    client: Client,
    namespace: str,
    identity: str,
    *,
    lasting: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Replica]:
    """A replica whose Lease is not lost because the machine is busy, unless it is to be lost by time."""
    lost = asyncio.Event()
    elector = Elector(
        client,
        namespace=namespace,
        name=NAME,
        identity=identity,
        on_lost=lost.set,
        duration=60.0 if lasting else DURATION,
        renew=50.0 if lasting else RENEW,
        retry=RETRY,
        clock=clock,
    )
    task = asyncio.create_task(elector.run())
    try:
        yield Replica(elector, task, lost)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def lease(namespace: str) -> Ref:
    return Ref("coordination.k8s.io/v1", "Lease", namespace, NAME)


async def holder(client: Client, namespace: str) -> str:
    try:
        return str((await client.get(lease(namespace)))["spec"].get("holderIdentity"))
    except NotFound:
        return ""


async def test_one_of_two_replicas_leads(client: Client, namespace: str) -> None:
    async with replica(client, namespace, "a") as a, replica(client, namespace, "b") as b:
        await eventually(lambda: a.elector.leading.is_set() or b.elector.leading.is_set())
        renewals: set[str] = set()

        async def are_some_rounds_over() -> bool:
            renewals.add(str((await client.get(lease(namespace)))["spec"]["renewTime"]))
            return len(renewals) > 3

        await eventually(are_some_rounds_over, what="the leader has renewed, and the other tried, some times")
        leading = [r.elector.leading.is_set() for r in (a, b)]
        assert sorted(leading) == [False, True]
        leader, other = (a, b) if leading[0] else (b, a)
        leader.elector.check()
        with pytest.raises(NotLeading):
            other.elector.check()


async def test_a_silent_leader_stops_itself_before_the_next_one_leads(
    client: Client, api: Api, namespace: str
) -> None:
    async with replica(client, namespace, "a", lasting=False) as a:
        await eventually(a.elector.leading.is_set)
        first = await client.get(lease(namespace))
        async with replica(client, namespace, "b", lasting=False) as b:
            a.task.cancel()  # as if the process hung: nothing renews, nothing is released
            stopped = False

            def a_stopped_and_b_leads() -> bool:
                nonlocal stopped
                stopped = stopped or not may_write(a.elector)
                assert stopped or not b.elector.leading.is_set(), "two leaders at once"
                return b.elector.leading.is_set()

            await eventually(a_stopped_and_b_leads, seconds=10, every=0.005)
            since = first["metadata"]["resourceVersion"]
            states = [s["spec"] for s in (first, *api.replay("lease", namespace, NAME, since=since))]
            last = [state for state in states if state["holderIdentity"] == "a"][-1]
            next_one = next(state for state in states if state["holderIdentity"] == "b")
            assert next_one["leaseTransitions"] == 1
            idle = read_time(next_one["acquireTime"]) - read_time(last["renewTime"])
            assert idle.total_seconds() >= DURATION, "it had expired"


async def test_a_released_lease_is_taken_at_once(client: Client, counted: Counted, namespace: str) -> None:
    async with replica(client, namespace, "a") as a:
        await eventually(a.elector.leading.is_set)
        async with replica(counted.client, namespace, "b") as b:
            await eventually(lambda: counted.requests.sent, what="b has looked at the Lease")
            a.task.cancel()
            await a.elector.release()
            counted.requests.sent.clear()
            assert not may_write(a.elector)
            await eventually(b.elector.leading.is_set)
            looks = [r for r in counted.requests.sent if r[0] == "GET"]
            assert len(looks) <= 2, "one, and one that was on its way; one that expires, 600 times"


async def test_a_release_is_not_undone_by_a_renewal(client: Client, namespace: str) -> None:
    async with replica(client, namespace, "a") as a:
        await eventually(a.elector.leading.is_set)
        # At any moment of the renewals, also amid one.
        renewals = a.elector._try
        amid = asyncio.Event()

        async def renew() -> bool:
            amid.set()
            return await renewals()

        a.elector._try = renew  # type: ignore[method-assign]
        await amid.wait()
        await a.elector.release()
        version = (await client.get(lease(namespace)))["metadata"]["resourceVersion"]
        await asyncio.wait_for(a.task, 60)
        assert (await client.get(lease(namespace)))["metadata"]["resourceVersion"] == version
        assert await holder(client, namespace) == ""
        assert (a.elector.led, a.lost.is_set()) == (0.0, False)


async def test_a_replica_that_competes_takes_nothing_after_its_release(
    client: Client, namespace: str
) -> None:
    async with replica(client, namespace, "a") as a:
        await eventually(a.elector.leading.is_set)
        async with replica(client, namespace, "b") as b:
            await b.elector.release()
            await a.elector.release()
            await asyncio.wait_for(asyncio.gather(a.task, b.task), 60)
            assert await holder(client, namespace) == ""
            assert not b.elector.leading.is_set()


async def test_a_leader_whose_lease_is_taken_away_is_told_and_may_not_write(
    client: Client, namespace: str
) -> None:
    async with replica(client, namespace, "a") as a:
        await eventually(a.elector.leading.is_set)
        await client.patch(
            lease(namespace), [{"op": "replace", "path": "/spec/holderIdentity", "value": "thief"}]
        )
        await asyncio.wait_for(a.lost.wait(), 60)
        assert a.task.done() or not a.elector.leading.is_set()
        with pytest.raises(NotLeading):
            a.elector.check()
        await a.elector.release()
        assert await holder(client, namespace) == "thief", "a release never touches another holder's Lease"


async def test_a_deleted_lease_is_made_again(client: Client, namespace: str) -> None:
    async with replica(client, namespace, "a") as a:
        await eventually(a.elector.leading.is_set)
        await client.delete(lease(namespace))
        await eventually(lambda: holder(client, namespace))
        assert a.elector.leading.is_set()
        assert not a.lost.is_set()


async def test_the_guard_stops_a_write_before_it_is_sent(
    client: Client, counted: Counted, namespace: str
) -> None:
    async with replica(client, namespace, "a", lasting=False) as a:
        await eventually(a.elector.leading.is_set)
        guarded = counted.client.guarded(a.elector.check)
        ref = Ref("v1", "ConfigMap", namespace, "guarded")
        manifest = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "guarded", "namespace": namespace},
        }
        await guarded.apply(manifest, manager="navarch")
        a.task.cancel()
        await eventually(lambda: not may_write(a.elector), seconds=2 * DURATION)
        before = await client.get(ref)
        for write in (
            guarded.apply({**manifest, "data": {"late": "x"}}, manager="navarch"),
            guarded.create({**manifest, "metadata": {"name": "other", "namespace": namespace}}),
            guarded.replace({**before, "data": {"late": "x"}}),
            guarded.patch(ref, [{"op": "add", "path": "/metadata/labels", "value": {"late": "x"}}]),
            guarded.delete(ref),
        ):
            with pytest.raises(NotLeading):
                await write
        assert await guarded.get(ref) == before, "reading goes on"
        assert [code for method, _, code in counted.requests.sent if method != "GET" and code] == [201]


def read_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def may_write(elector: Elector) -> bool:
    try:
        elector.check()
    except NotLeading:
        return False
    return True


def test_timings_that_would_allow_two_leaders_are_refused() -> None:
    for duration, renew, retry in ((10, 10, 2), (15, 2, 2), (15, 20, 2)):
        with pytest.raises(ValueError, match="does not hold"):
            Elector(
                None,  # type: ignore[arg-type]
                namespace="n",
                name="l",
                identity="a",
                on_lost=lambda: None,
                duration=duration,
                renew=renew,
                retry=retry,
            )


@pytest.mark.parametrize("taken", [False, True])
async def test_a_leader_out_of_reach_stops_and_leads_again_unless_another_took_over(
    light: Cluster, client: Client, namespace: str, taken: bool
) -> None:
    with Proxy(light, light.kubeconfig, name="lease") as proxy:
        async with (
            Client(await load_credentials(proxy.kubeconfig)) as cut_off,
            replica(cut_off, namespace, "a", lasting=False) as a,
        ):
            await eventually(a.elector.leading.is_set)
            before = (await client.get(lease(namespace)))["spec"]
            with proxy.inflict(Answer(503)):
                await eventually(lambda: not may_write(a.elector), seconds=2 * DURATION)
                await eventually(lambda: not a.elector.leading.is_set())
                assert a.elector.led == 0.0
                if taken:
                    async with replica(client, namespace, "b", lasting=False) as b:
                        await eventually(b.elector.leading.is_set, seconds=2 * DURATION)
                        await b.elector.release()
                assert not a.task.done()
            if taken:
                await asyncio.wait_for(a.lost.wait(), 60)
                assert not may_write(a.elector)
                assert await holder(client, namespace) == "", "what b has given back is not taken"
                return
            await eventually(a.elector.leading.is_set)
            assert may_write(a.elector)
            assert not a.lost.is_set()
            after = (await client.get(lease(namespace)))["spec"]
            assert after["leaseTransitions"] == before["leaseTransitions"]
            assert after["acquireTime"] == before["acquireTime"]


async def test_a_dead_holder_with_odd_numbers_keeps_nobody_from_leading_for_long(
    counted: Counted, api: Api, namespace: str
) -> None:
    """A restored Lease, or one that was written by hand, says what it likes."""
    most = 2**31 - 1
    spec = {
        "holderIdentity": "dead",
        "leaseDurationSeconds": most,
        "leaseTransitions": most,
        "renewTime": "2020-01-01T00:00:00.000000Z",
    }
    metadata = {"namespace": namespace, "name": NAME}
    api.create({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})
    ahead = 0.0
    async with replica(counted.client, namespace, "a", clock=lambda: time.monotonic() + ahead) as a:
        await eventually(lambda: counted.requests.sent, what="it has looked at the Lease")
        ahead = LONGEST / 2
        looks = len(counted.requests.sent)
        await eventually(lambda: len(counted.requests.sent) > looks + 2, what="it has looked again")
        assert not a.elector.leading.is_set()
        ahead = LONGEST + 1
        await eventually(a.elector.leading.is_set, what="it leads")
    taken = (await counted.client.get(lease(namespace)))["spec"]
    assert (taken["holderIdentity"], taken["leaseTransitions"]) == ("a", 0)
