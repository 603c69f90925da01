"""Rolls and upgrades of real istiods under a stream of pods that ask for injection: none is refused.

A dry-run pod is on its way at every moment but for pauses of 10 ms, so that one is most probably under way
when an istiod ends. The control is the same roll with upstream's Deployment, which neither drains nor lets
the API server leave its connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from lab.builds import ISTIO_LINES
from lab.cluster import Cluster
from tests.node.conftest import Mesh, make_mesh, remove_mesh
from tests.node.kubelet import signal_kubelet
from tests.node.streams import Seen, pods
from tests.polling import eventually
from tests.support.api import Api
from tests.support.workloads import restart, wait_for_deployments

OLD, NEW = (line.versions[-1] for line in ISTIO_LINES[-2:])
REST = 0.01
"""Seconds between two pods."""
CONTROLS = 6
"""Rolls of upstream's Deployment."""
STOPPED_SECONDS = 12
"""How long a kubelet is stopped: shorter than the time after which its node counts as lost (40 s)."""


@pytest.fixture
async def rolled(operator: Cluster, api: Api) -> AsyncIterator[Mesh]:
    made = await make_mesh(operator, api, "rolls", version=NEW)
    try:
        yield made
    finally:
        remove_mesh(made)


@contextmanager
def stopped_kubelet(cluster: Cluster) -> Iterator[None]:
    """The node's kubelet does nothing meanwhile; its pods run on."""
    signal_kubelet(cluster, "STOP")
    try:
        yield
    finally:
        signal_kubelet(cluster, "CONT")


def is_one_leaving(mesh: Mesh) -> bool:
    return any("deletionTimestamp" in pod["metadata"] for pod in mesh.list_istiods())


async def see_change(mesh: Mesh, seen: Seen, *, wanted: int, stopped: bool) -> None:
    """Waits until an edit of istiod is done, its older pods are gone, and `wanted` pods were asked for."""
    before = seen.pods
    await eventually(lambda: is_one_leaving(mesh), seconds=60, every=0.05, what="an istiod leaves")
    if stopped:
        with stopped_kubelet(mesh.cluster):
            await asyncio.sleep(STOPPED_SECONDS)
    await mesh.wait_for(seconds=120)
    await eventually(lambda: not is_one_leaving(mesh), seconds=60, every=0.2, what="the older istiod is gone")
    await eventually(lambda: seen.pods - before >= wanted, seconds=60, every=0.2, what="pods were asked for")


def build_control_plane(number: int) -> dict[str, object]:
    """A control plane whose pods are others than those of the number before, two times one and two times
    two of them."""
    level = ("info", "warn")[number % 2]
    return {"replicas": 1 + number // 2 % 2, "logging": {"level": f"default:info,model:{level}"}}


@pytest.mark.long
@pytest.mark.timeout(2400)
async def test_no_pod_is_refused_while_istiod_is_rolled(rolled: Mesh, full: bool) -> None:
    """Also while the kubelet is stopped, so that the older istiod stays, and where two istiods leave one
    after the other."""
    rolls, wanted = (20, 200) if full else (2, 50)
    with pods(rolled, rest=REST) as seen:
        await eventually(lambda: seen.pods, seconds=60, what="the stream flows")
        for number in range(rolls):
            rolled.edit(controlPlane=build_control_plane(number + 1))
            await see_change(rolled, seen, wanted=wanted, stopped=number % 5 == 1)
    print(f"{rolls} rolls: {seen.pods} pods, refused {len(seen.refusals)}")
    assert seen.refusals == []
    assert seen.bare == 0
    assert seen.pods >= rolls * wanted
    if full:
        await see_refusals_of_upstream(rolled)


async def see_refusals_of_upstream(mesh: Mesh) -> None:
    """The control: without what is ours the same stream sees refusals. The mesh is paused, so that its istiod
    stays as it is made here."""
    mesh.edit(paused=True)
    await mesh.wait_for("Paused")
    path = mesh.api.path("deployment", mesh.namespace, mesh.istiod)
    removal = [{"op": "remove", "path": "/spec/template/spec/containers/0/lifecycle"}]
    mesh.api.request("PATCH", path, removal, media="application/json-patch+json")
    await wait_for_deployments(mesh.api, mesh.namespace, (mesh.istiod,))
    with pods(mesh, rest=REST) as seen:
        for _ in range(CONTROLS):
            restart(mesh.cluster, mesh.namespace, mesh.istiod)
            await wait_for_deployments(mesh.api, mesh.namespace, (mesh.istiod,))
            await eventually(lambda: not is_one_leaving(mesh), seconds=60, every=0.2, what="it is gone")
    print(f"{CONTROLS} rolls of upstream's Deployment: {seen.pods} pods, refused {len(seen.refusals)}")
    assert seen.refusals


@pytest.mark.long
@pytest.mark.timeout(2400)
async def test_no_pod_is_refused_while_a_minor_is_upgraded(operator: Cluster, api: Api, full: bool) -> None:
    upgrades, wanted = (5, 200) if full else (1, 50)
    for number in range(upgrades):
        made = await make_mesh(operator, api, f"upgrade-{number}", version=OLD)
        try:
            with pods(made, rest=REST) as seen:
                await eventually(lambda seen=seen: seen.proxies[OLD], seconds=60, what="the stream flows")
                made.edit(version=NEW)
                await see_change(made, seen, wanted=wanted, stopped=number % 2 == 0)
                await eventually(lambda seen=seen: seen.proxies[NEW], seconds=60, what="the new proxy")
        finally:
            remove_mesh(made)
        print(f"upgrade {number}: {seen.pods} pods: {dict(seen.proxies)}, refused {len(seen.refusals)}")
        assert seen.refusals == []
        assert seen.bare == 0
        assert set(seen.proxies) == {OLD, NEW}
