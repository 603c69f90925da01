"""What the operator costs, and what its end and another's beginning cost: counted from the audit log.

These tests stop the session's operator and run replicas of their own, whose Lease expires sooner.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from lab.cluster import Cluster
from tests.cluster.conftest import a_mesh_namespace, build_operator, remove_namespace
from tests.polling import eventually
from tests.support.activity import (
    bring_up,
    count_reconciles,
    is_leading,
    read_metric,
    wait_for_removals,
    wait_for_rest,
)
from tests.support.api import Api, Object
from tests.support.audit import Audit, Request
from tests.support.logs import read_events
from tests.support.meshes import build_mesh, list_owned, wait_for
from tests.support.operator import SYSTEM, Operator

NS = "cost"
LEASE = {"lease_seconds": "4", "lease_renew_seconds": "3", "lease_retry_seconds": "0.5"}
GRACE_SECONDS = 30
"""What a pod gets between SIGTERM and SIGKILL (deploy/install.yaml)."""


LOOKS = 2
"""How often a standby may look at a Lease that was released; at one that was not it looks eight times."""


@pytest.fixture(scope="module")
async def replicas(api: Api, operator: Operator, installed: Cluster) -> AsyncIterator[list[Operator]]:
    """Two replicas that do not run yet, in place of the session's operator."""
    await wait_for_removals(api)
    operator.stop()
    both = [build_operator(installed, f"replica-{number}", **LEASE) for number in (1, 2)]
    yield both
    for replica in both:
        replica.stop()
    operator.start()
    await eventually(operator.is_ready, seconds=30, what="the session's operator is back")
    await eventually(lambda: is_leading(operator), seconds=30, every=0.2, what="and leads")


@pytest.fixture
async def leader(replicas: list[Operator]) -> Operator:
    """The first replica, alone, leading and at rest."""
    first, second = replicas
    second.stop()
    await bring_up(first)
    return first


@pytest.fixture(scope="module")
async def meshes(api: Api, replicas: list[Operator]) -> AsyncIterator[list[str]]:
    """Two namespaces with a mesh each, settled."""
    await bring_up(replicas[0])
    namespaces = [f"{NS}-1", f"{NS}-2"]
    for namespace, version in zip(namespaces, ("1.31", "1.30"), strict=True):
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        api.create(build_mesh(namespace, version=version, mtls={"mode": "Strict"}))
    for namespace in namespaces:
        await wait_for(api, namespace)
    await wait_for_rest(replicas[0])
    yield namespaces
    for namespace in namespaces:
        remove_namespace(api, namespace)


def touch(api: Api, namespace: str) -> None:
    api.patch("mesh", namespace, "demo", {"metadata": {"annotations": {"look": str(time.monotonic())}}})


def read_lease(api: Api) -> Object:
    lease = api.get("lease", SYSTEM, "navarch")
    assert lease is not None
    return dict(lease["spec"])


async def test_a_settled_mesh_costs_no_write_and_two_requests_at_most(
    api: Api, audit: Audit, leader: Operator, meshes: list[str]
) -> None:
    for _ in range(3):
        mark, before = audit.mark(), count_reconciles(leader)
        for namespace in meshes:
            touch(api, namespace)
        await eventually(lambda: count_reconciles(leader) >= before + 2, what="both meshes are looked at")  # noqa: B023
        await wait_for_rest(leader)
        reconciles = count_reconciles(leader) - before
        requests = [r for r in audit.since(mark) if r.verb != "watch" and r.resource != "leases"]
        assert [str(r) for r in requests if r.is_write] == []
        assert 0 < len(requests) <= 2 * reconciles, list(map(str, requests))
        assert {(r.verb, r.resource) for r in requests} == {("get", "meshcontrolplanes")}


async def test_an_install_asks_for_nothing_but_the_mesh_and_writes_each_object_once(
    api: Api, audit: Audit, leader: Operator, meshes: list[str]
) -> None:
    """Nothing is looked for that is to be made: an object that stands in the way refuses to be made. Asked is
    only, and once, whether every namespace belongs to another mesh."""
    namespace = f"{NS}-install"
    with a_mesh_namespace(api, namespace):
        await wait_for_rest(leader)
        mark, before = audit.mark(), count_looks(leader)
        api.create(build_mesh(namespace, mtls={"mode": "Strict"}))
        await wait_for(api, namespace)
        await wait_for_rest(leader)
        requests = [r for r in audit.since(mark) if r.verb != "watch" and r.resource != "leases"]
        objects, looks = len(list_owned(api, namespace)), count_looks(leader) - before
        assert [str(r) for r in requests if r.code >= 400] == []
        reads = [r for r in requests if not r.is_mutating and not r.dry_run]
        counted = Counter((r.verb, r.resource) for r in reads)
        assert counted.keys() == {("get", "meshcontrolplanes"), ("list", "meshrevisions")}
        assert counted["get", "meshcontrolplanes"] <= looks
        assert counted["list", "meshrevisions"] == 1
        names = [(r.resource, r.name) for r in requests if r.is_write and not r.subresource]
        once = Counter(name for name in names if not name[1].startswith("inventory."))
        assert {name: times for name, times in once.items() if times > 1} == {}
        assert len(once) == objects + 1, "each object, and the mesh's finalizer"


def count_looks(replica: Operator) -> float:
    """Looks at meshes that have ended."""
    return read_metric(replica, "reconcile_total", controller="MeshControlPlane")


def read_versions(api: Api, namespaces: list[str]) -> dict[str, str]:
    """The resourceVersion of each object of these meshes, by uid; an autoscaler's moves by itself."""
    owned = [o for ns in namespaces for o in list_owned(api, ns) if o["kind"] != "HorizontalPodAutoscaler"]
    return {o["metadata"]["uid"]: o["metadata"]["resourceVersion"] for o in owned}


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_a_restart_costs_no_write(
    api: Api, audit: Audit, leader: Operator, meshes: list[str], end: signal.Signals
) -> None:
    before = read_versions(api, meshes)
    mark = audit.mark()
    leader.stop(with_signal=end)
    await bring_up(leader)
    assert count_reconciles(leader) >= 2 * len(meshes), "meshes and revisions were looked at"
    assert [str(write) for write in audit.writes(mark)] == []
    assert read_versions(api, meshes) == before


async def test_sigterm_releases_the_lease_and_ends_in_time(api: Api, leader: Operator) -> None:
    assert read_lease(api)["holderIdentity"]
    assert leader.stop(with_signal=signal.SIGTERM, seconds=GRACE_SECONDS) == 0
    assert read_lease(api).get("holderIdentity", "") == ""


async def test_sigterm_is_heard_while_the_caches_warm_up(leader: Operator) -> None:
    leader.stop()
    leader.start()
    await eventually(lambda: leader.fetch("/livez")[0] == 200, seconds=30, every=0.01, what="it listens")
    assert leader.stop(with_signal=signal.SIGTERM, seconds=GRACE_SECONDS) == 0


def list_looks_at_the_released(requests: list[Request], states: list[Object]) -> list[Request]:
    """Who asked for the Lease between its release and its next holder; `states` are all that it had."""
    about = sorted(
        (r for r in requests if r.resource == "leases" and r.code < 300 and r.verb != "watch"),
        key=lambda r: r.received,
    )
    writes = [r for r in about if r.is_mutating]
    released = [not state["spec"].get("holderIdentity") for state in states].index(True)
    before, after = writes[released].received, writes[released + 1].received
    return [r for r in about if not r.is_mutating and before < r.received < after]


async def test_the_standby_takes_over_at_once_when_the_leader_ends(
    api: Api, audit: Audit, leader: Operator, replicas: list[Operator], meshes: list[str]
) -> None:
    standby = replicas[1]
    standby.start()
    await eventually(standby.is_ready, seconds=30, what="the standby is ready")
    assert not is_leading(standby)
    assert count_reconciles(standby) == 0
    mark, lease = audit.mark(), api.get("lease", SYSTEM, "navarch")
    assert lease is not None
    leader.stop()
    await eventually(lambda: is_leading(standby), every=0.05, what="the standby leads")
    states = api.replay("lease", SYSTEM, "navarch", since=lease["metadata"]["resourceVersion"])
    assert len(list_looks_at_the_released(audit.since(mark), states)) <= LOOKS
    await wait_for_rest(standby)
    assert count_reconciles(standby) >= 2 * len(meshes)
    assert [str(write) for write in audit.writes(mark)] == []
    api.delete("configmap", meshes[0], f"values-{meshes[0]}-demo-inplace")
    await eventually(
        lambda: api.get("configmap", meshes[0], f"values-{meshes[0]}-demo-inplace") is not None,
        what="the new leader repairs",
    )


async def test_the_standby_takes_over_when_the_leaders_lease_expires(
    leader: Operator, replicas: list[Operator], meshes: list[str]
) -> None:
    standby = replicas[1]
    standby.start()
    await eventually(standby.is_ready, seconds=30, what="the standby is ready")
    leader.kill()
    await eventually(lambda: is_leading(standby), seconds=12, every=0.1, what="the standby leads")
    await wait_for_rest(standby)
    assert count_reconciles(standby) >= 2 * len(meshes)


async def test_a_replica_that_lost_its_lease_ends(api: Api, leader: Operator) -> None:
    api.patch("lease", SYSTEM, "navarch", {"spec": {"holderIdentity": "somebody-else"}})
    await eventually(lambda: not leader.is_running(), seconds=15, every=0.1, what="the process has ended")
    assert leader.stop() == 1
    told = read_events(leader.log)
    assert any(line["level"] == "critical" and "lease ended" in line["exception"] for line in told)
    api.patch("lease", SYSTEM, "navarch", {"spec": {"holderIdentity": ""}})
