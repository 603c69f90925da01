"""A control plane that is lost and restored under running proxies: they neither restart nor lose a request,
and trust what comes after.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from lab.cluster import Cluster
from tests.node.conftest import Mesh, make_mesh, remove_mesh
from tests.polling import eventually
from tests.support.api import Api
from tests.support.backup import restore, save
from tests.support.workloads import ask, create_namespace, restart, traffic, wait_for_deployments

FORCE = {"mesh.navarch.io/force-delete": "true"}
CA_SECRET, ROOT = "istio-ca-secret", "istio-ca-root-cert"


_numbers = count(1)


@pytest.fixture
async def lost(operator: Cluster, api: Api) -> AsyncIterator[Mesh]:
    """A mesh with two applications that will be lost."""
    made = await make_mesh(operator, api, f"lost-{next(_numbers)}", version="1.31", mtls={"mode": "Strict"})
    try:
        yield made
    finally:
        remove_mesh(made)


def read_lives(api: Api, namespace: str) -> dict[str, int]:
    """The pods of a namespace, and how often their containers restarted."""
    return {pod["metadata"]["uid"]: count_restarts(pod["status"]) for pod in api.list("pod", namespace)}


def count_restarts(status: dict[str, Any]) -> int:
    containers = (*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ()))
    return sum(container["restartCount"] for container in containers)


async def test_a_mesh_that_is_lost_and_restored_restarts_nothing_and_loses_no_request(
    lost: Mesh, api: Api
) -> None:
    old = save(lost.cluster, "meshcontrolplane", lost.namespace, lost.name)
    authority = (api.get("secret", lost.namespace, CA_SECRET) or {})["data"]
    lives = read_lives(api, lost.namespace) | read_lives(api, lost.apps)
    with traffic(lost.cluster, lost.apps, lost.url, count=75):
        api.patch("mesh", lost.namespace, lost.name, {"spec": {"paused": True}})
        await lost.wait_for("Paused")
        api.patch("mesh", lost.namespace, lost.name, {"metadata": {"annotations": FORCE}})
        api.delete("mesh", lost.namespace, lost.name)
        api.patch("mesh", lost.namespace, lost.name, {"metadata": {"finalizers": None}})
        await eventually(lambda: api.get("mesh", lost.namespace, lost.name) is None, what="the mesh is lost")
        new = restore(api, old)
        await lost.wait_for()
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert read_lives(api, lost.namespace) | read_lives(api, lost.apps) == lives
    assert (api.get("secret", lost.namespace, CA_SECRET) or {})["data"] == authority


async def test_proxies_old_and_new_trust_each_other_when_the_root_was_restored_first(
    lost: Mesh, api: Api
) -> None:
    """The whole namespace of the control plane is lost, as with a cluster; the applications' proxies are
    left, and hold certificates of the old root.
    """
    mesh = save(lost.cluster, "meshcontrolplane", lost.namespace, lost.name)
    authority = save(lost.cluster, "secret", lost.namespace, CA_SECRET)
    root = (api.get("configmap", lost.apps, ROOT) or {})["data"]
    api.delete("namespace", "", lost.namespace)
    await eventually(
        lambda: api.get("namespace", "", lost.namespace) is None, seconds=120, every=0.5, what="it is gone"
    )
    await create_namespace(api, lost.namespace)
    restore(api, authority)
    restore(api, mesh)
    await lost.wait_for()
    assert (api.get("secret", lost.namespace, CA_SECRET) or {})["data"] == authority["data"]
    assert (api.get("configmap", lost.apps, ROOT) or {})["data"] == root
    restart(lost.cluster, lost.apps, "client")
    await wait_for_deployments(api, lost.apps, ("client",))
    assert ask(lost.cluster, lost.apps, lost.url, count=5).ok, "a new client, and a server of before"
    restart(lost.cluster, lost.apps, "server")
    await wait_for_deployments(api, lost.apps, ("server",))
    await eventually(
        lambda: ask(lost.cluster, lost.apps, lost.url).ok, seconds=30, every=0.5, what="both new"
    )
