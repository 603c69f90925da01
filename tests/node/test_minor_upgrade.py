"""From one minor of Istio to the next where it stands: real istiods, agents and Envoys of both, traffic, pods
that are created all the while, and an operator that is killed in the middle."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lab.builds import ISTIO_LINES
from lab.cluster import Cluster
from tests.node.conftest import Mesh, kill_operators, make_mesh, remove_mesh
from tests.node.streams import streams
from tests.node.teams import read_images, wait_for_census
from tests.polling import eventually
from tests.support.api import Api
from tests.support.meshes import read_condition
from tests.support.workloads import is_ready, restart, wait_for_deployments

OLD, NEW = (line.versions[-1] for line in ISTIO_LINES[-2:])
ENDED = ("connection reset", "broken pipe", "EOF")
"""In what words the one pod may be refused whose request is under way when an istiod ends: while no operator
leads, none lets the API server leave its connections (docs/explanation/when-things-fail.md)."""


@pytest.fixture
async def older(operator: Cluster, api: Api) -> AsyncIterator[Mesh]:
    made = await make_mesh(operator, api, "minor", version=OLD, mtls={"mode": "Strict"})
    try:
        yield made
    finally:
        remove_mesh(made)


def list_versions(mesh: Mesh) -> set[str]:
    """Of which versions there are istiods that are ready."""
    ready = [pod for pod in mesh.list_istiods() if is_ready(pod)]
    return {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in ready}


def has_both(mesh: Mesh) -> bool:
    """Whether there are istiods of both versions, in any state."""
    images = {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in mesh.list_istiods()}
    return images == {OLD, NEW}


@pytest.mark.timeout(600)
async def test_a_minor_is_upgraded_in_place_without_a_request_lost_or_a_pod_left_bare(
    older: Mesh, api: Api
) -> None:
    assert list_versions(older) == {OLD}
    await wait_for_census(older, current=2, outdated=0)
    with streams(older) as seen:
        await eventually(lambda: seen.requests and seen.proxies[OLD], seconds=60, what="both streams flow")
        older.edit(version=NEW)
        await eventually(lambda: has_both(older), seconds=90, every=0.05, what="both istiods are there")
        kill_operators(older.cluster)
        found = await older.wait_for(seconds=240)
        assert found["status"]["version"] == {"desired": NEW, "active": NEW}
        await eventually(lambda: list_versions(older) == {NEW}, seconds=60, what="the old istiod is gone")
        found = await wait_for_census(older, current=0, outdated=2)
        assert read_condition(found, "UpToDate")["reason"] == "ProxiesOutdated"
        assert read_images(api, older) == {OLD}
        before = seen.proxies[NEW]
        await eventually(lambda: seen.proxies[NEW] > before, seconds=60, what="pods get the new proxy")
        restart(older.cluster, older.apps, "server")
        await wait_for_deployments(api, older.apps, ("server",))
        served = seen.requests
        await eventually(lambda: seen.requests > served, seconds=60, what="requests reach the new server")
    print(f"{seen.requests} requests; {seen.pods} pods: {dict(seen.proxies)}, refused {len(seen.refusals)}")
    assert seen.failures == []
    assert seen.bare == 0
    assert set(seen.proxies) == {OLD, NEW}
    assert len(seen.refusals) <= 1, "one older istiod, and a stream that has one request under way"
    assert [text for text in seen.refusals if not any(word in text for word in ENDED)] == []
    restart(older.cluster, older.apps, "client")
    await wait_for_deployments(api, older.apps, ("client",))
    found = await wait_for_census(older, current=2, outdated=0)
    assert read_condition(found, "UpToDate")["status"] == "True"
    assert read_images(api, older) == {NEW}
