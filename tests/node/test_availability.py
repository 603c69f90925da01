"""The operator as it ships, two pods: one is drained, and both are replaced by another build, while a mesh
serves.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from lab.cluster import Cluster
from scripts.demo.installation import install
from tests.node.conftest import Mesh
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.builds import ROOT, NoBuild, build_previous, find_named
from tests.support.meshes import build_mesh
from tests.support.operator import SYSTEM
from tests.support.replicas import read_holder
from tests.support.workloads import MANIFESTS, ask, is_ready, traffic

PROFILE = MANIFESTS / "profile-lab.yaml"
OPERATORS = "app.kubernetes.io/name=navarch"


def list_operators(api: Api) -> list[Object]:
    """The operator's pods that are ready."""
    return [pod for pod in api.list("pod", SYSTEM, labels=OPERATORS) if is_ready(pod)]


def find_leader(api: Api) -> Object | None:
    """The pod that holds the Lease: its host name begins the holder's."""
    holder, _ = read_holder(api)
    return next((p for p in list_operators(api) if holder.startswith(f"{p['metadata']['name']}-")), None)


async def see_two_replicas(api: Api) -> Object:
    """Waits until two pods are ready and one of them leads; returns that one."""
    leader = await eventually(
        lambda: len(list_operators(api)) == 2 and find_leader(api),
        seconds=90,
        every=0.2,
        what="two replicas, one of which leads",
    )
    assert isinstance(leader, dict)
    return leader


def look_at_pods(pods: list[Object]) -> dict[str, tuple[str, list[int], str]]:
    """What would change if istiod or a proxy had been started again."""
    return {
        pod["metadata"]["name"]: (
            pod["metadata"]["uid"],
            [status["restartCount"] for status in pod["status"]["containerStatuses"]],
            (pod["metadata"].get("annotations") or {}).get("mesh.navarch.io/proxy", ""),
        )
        for pod in pods
    }


async def test_a_drained_leader_leaves_the_mesh_to_the_other_replica(
    mesh: Mesh, operator: Cluster, api: Api
) -> None:
    leader = await see_two_replicas(api)
    before = look_at_pods([*mesh.list_istiods(), *api.list("pod", mesh.apps)])
    name, values = leader["metadata"]["name"], f"values-{mesh.revision}"
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": SYSTEM},
    }
    api.request("POST", api.path("pod", SYSTEM, name, "eviction"), eviction)
    api.delete("configmap", mesh.namespace, values)
    evicted = time.monotonic()
    await eventually(
        lambda: api.get("configmap", mesh.namespace, values) and read_holder(api)[0] not in ("", name),
        seconds=20,
        every=0.05,
        what="the other replica repairs the mesh",
    )
    print(f"repaired {time.monotonic() - evicted:.1f} s after the eviction")
    assert (await see_two_replicas(api))["metadata"]["name"] != name
    await mesh.wait_for()
    assert look_at_pods([*mesh.list_istiods(), *api.list("pod", mesh.apps)]) == before
    assert ask(operator, mesh.apps, mesh.url).ok


async def wait_for_silence(audit: Audit) -> None:
    """Waits until the operator has not written for a moment."""
    marks: list[tuple[float, int]] = []

    def is_silent() -> bool:
        marks.append((time.monotonic(), len(audit.writes(start))))
        return any(now < marks[-1][0] - 3 and count == marks[-1][1] for now, count in marks)

    start = audit.mark()
    await eventually(is_silent, seconds=60, every=0.2, what="the operator writes nothing for 3 s")


async def test_another_build_of_the_operator_takes_over_without_a_request_lost_or_a_proxy_restarted(
    mesh: Mesh, operator: Cluster, api: Api, audit: Audit, tmp_path: Path
) -> None:
    try:
        previous = build_previous(tmp_path)
    except NoBuild as reason:
        pytest.skip(str(reason))
    await asyncio.to_thread(install, operator, previous.root)
    try:
        await see_two_replicas(api)
        await mesh.wait_for()
        await wait_for_silence(audit)
        spec = (api.get("mesh", mesh.namespace, mesh.name) or {})["spec"]
        istiods, proxies = look_at_pods(mesh.list_istiods()), look_at_pods(api.list("pod", mesh.apps))
        mark = audit.mark()
        with traffic(operator, mesh.apps, mesh.url, count=100):
            await asyncio.to_thread(install, operator, ROOT)
            await see_two_replicas(api)
            await mesh.wait_for()
            await wait_for_silence(audit)
    except BaseException:
        await asyncio.to_thread(install, operator, ROOT)
        raise
    manifest = {**build_mesh(mesh.namespace, mesh.name), "spec": spec}
    named = find_named(api, manifest, before=previous, profiles=[PROFILE])
    written = {(w.resource, w.namespace, w.name) for w in audit.writes(mark) if w.subresource != "status"}
    assert written - named == set()
    assert look_at_pods(api.list("pod", mesh.apps)) == proxies
    if not any(resource == "deployments" for resource, _, _ in named):
        assert look_at_pods(mesh.list_istiods()) == istiods
