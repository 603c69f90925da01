"""Edits of a mesh that serves: what is taken live, what rolls istiod, and a mistake that stays harmless."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest

from lab.cluster import Cluster
from tests.node.conftest import Mesh
from tests.polling import eventually
from tests.support.api import Api
from tests.support.audit import Audit
from tests.support.meshes import is_current, read_condition
from tests.support.workloads import ask, is_ready, is_rolled_out, traffic

NONSENSE = "no-such-tag"


def read_uids(mesh: Mesh, api: Api) -> set[str]:
    """The identities of istiod's pods and of the applications'."""
    pods = [*mesh.list_istiods(), *api.list("pod", mesh.apps)]
    return {pod["metadata"]["uid"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def read_access_log(cluster: Cluster, mesh: Mesh) -> str:
    return cluster.run("logs", "-n", mesh.apps, "deploy/server", "-c", "istio-proxy", "--tail=20")


@pytest.fixture
async def restored(mesh: Mesh) -> AsyncIterator[Mesh]:
    """The mesh, put back afterwards."""
    yield mesh
    mesh.edit(meshConfig=None, controlPlane=None, images=None)
    await mesh.wait_for()


async def watch_roll(mesh: Mesh, api: Api) -> tuple[set[str], list[str]]:
    """Follows the mesh until it is ready again: the names of the pods that istiod had, and everything that
    was said against its availability meanwhile.
    """
    pods: set[str] = set()
    faults: list[str] = []

    def is_over() -> bool:
        found = api.get("mesh", mesh.namespace, mesh.name) or {}
        deployment = api.get("deployment", mesh.namespace, mesh.istiod) or {}
        pods.update(pod["metadata"]["name"] for pod in mesh.list_istiods())
        available = read_condition(found, "Available")
        if available["status"] != "True":
            faults.append(f"{available['reason']}: {available['message']}")
        if not deployment["status"].get("availableReplicas"):
            faults.append("no istiod is available")
        if is_current(found) and read_condition(found, "Ready")["status"] == "True":
            if not is_rolled_out(deployment):
                faults.append("ready before the rollout had ended")
            return True
        return False

    await eventually(is_over, seconds=90, every=0.1, what="the mesh ready again")
    return pods, faults


async def test_running_proxies_take_mesh_config_without_a_restart(restored: Mesh, api: Api) -> None:
    before, marks = read_uids(restored, api), [secrets.token_hex(4) for _ in range(2)]

    def is_logged(mark: str) -> bool:
        assert ask(restored.cluster, restored.apps, restored.url + mark).ok
        return f'"GET /{mark} HTTP/1.1" 200' in read_access_log(restored.cluster, restored)

    assert not is_logged(marks[0])
    restored.edit(meshConfig={"accessLogFile": "/dev/stdout"})
    await restored.wait_for()
    await eventually(
        lambda: is_logged(marks[1]), seconds=30, every=0.5, what="a line in the server's access log"
    )
    assert read_uids(restored, api) == before


async def test_an_edit_of_istiod_rolls_it_while_it_stays_available_and_traffic_flows(
    restored: Mesh, api: Api
) -> None:
    before = {pod["metadata"]["name"] for pod in restored.list_istiods()}
    with traffic(restored.cluster, restored.apps, restored.url, count=60):
        restored.edit(
            controlPlane={
                "resources": {"requests": {"memory": "160Mi"}},
                "environment": [{"name": "PILOT_TRACE_SAMPLING", "value": "2"}],
            }
        )
        pods, faults = await watch_roll(restored, api)
    assert faults == []
    assert len(pods - before) == 1
    (new,) = [pod for pod in restored.list_istiods() if is_ready(pod)]
    assert new["metadata"]["name"] in pods - before
    (container,) = new["spec"]["containers"]
    assert container["resources"]["requests"]["memory"] == "160Mi"
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert environment["PILOT_TRACE_SAMPLING"] == "2"
    assert environment["PILOT_ENABLE_ALPN_FILTER"] == "false"


async def test_an_image_that_does_not_exist_is_told_in_the_kubelets_words_and_leaves_the_mesh_available(
    restored: Mesh, api: Api, audit: Audit
) -> None:
    restored.edit(images={"tag": NONSENSE})

    def is_told() -> bool:
        found = api.get("mesh", restored.namespace, restored.name)
        ready = read_condition(found, "Ready")
        told = ready.get("message", "")
        return ready["reason"] == "RolloutStuck" and "ErrImagePull: " in told and NONSENSE in told

    await eventually(is_told, seconds=60, every=0.2, what="the kubelet's words in Ready")
    found = await restored.wait_for("Progressing", reason="RolloutStuck")
    assert is_current(found)
    assert read_condition(found, "Available")["status"] == "True"
    assert ask(restored.cluster, restored.apps, restored.url).ok
    await see_two_more_attempts(restored, api, audit)
    restored.edit(images=None)
    await restored.wait_for()
    assert [
        is_ready(pod) for pod in restored.list_istiods() if "deletionTimestamp" not in pod["metadata"]
    ] == [True]


async def see_two_more_attempts(mesh: Mesh, api: Api, audit: Audit) -> None:
    """While the kubelet tries again and its pod's state alternates, nothing new is said about the mesh."""
    mark = audit.mark()
    reasons: list[str] = []

    def have_alternated() -> bool:
        failing = (pod for pod in mesh.list_istiods() if NONSENSE in pod["spec"]["containers"][0]["image"])
        for container in (c for pod in failing for c in pod["status"].get("containerStatuses") or ()):
            reason = (container["state"].get("waiting") or {}).get("reason")
            if reason and reasons[-1:] != [reason]:
                reasons.append(reason)
        return len(reasons) >= 4

    await eventually(have_alternated, seconds=60, every=0.1, what="ErrImagePull and ImagePullBackOff twice")
    assert set(reasons) == {"ErrImagePull", "ImagePullBackOff"}
    said = [str(w) for w in audit.writes(mark) if w.subresource == "status" and w.namespace == mesh.namespace]
    assert said == []
