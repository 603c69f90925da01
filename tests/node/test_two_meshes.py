"""Two meshes side by side, one of them an older Istio, which is then brought up to date where it stands."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lab.cluster import Cluster
from tests.golden.rendering import NEWEST
from tests.node.conftest import Mesh, make_mesh, remove_mesh
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.meshes import list_owned, read_condition
from tests.support.workloads import ask, find_proxy, restart, traffic, wait_for_deployments


@pytest.fixture(scope="module")
async def older(operator: Cluster, api: Api, mesh: Mesh) -> AsyncIterator[Mesh]:
    """A second mesh, of 1.31.0; the shared one is of the newest."""
    made = await make_mesh(operator, api, "older", version="1.31.0", mtls={"mode": "Strict"})
    try:
        yield made
    finally:
        remove_mesh(made)


def is_gone(mesh: Mesh) -> bool:
    return mesh.api.get("mesh", mesh.namespace, mesh.name) is None


def read_root(api: Api, namespace: str) -> str:
    found = api.get("configmap", namespace, "istio-ca-root-cert") or {}
    return str(found["data"]["root-cert.pem"])


def read_images(api: Api, mesh: Mesh) -> set[str]:
    """Tags of the proxies that run in the mesh."""
    pods = [pod for pod in api.list("pod", mesh.apps) if "deletionTimestamp" not in pod["metadata"]]
    return {find_proxy(pod)["image"].rpartition(":")[2] for pod in pods}


async def wait_for_census(mesh: Mesh, *, current: int, outdated: int) -> Object:
    """The mesh, once its census says so."""
    total = current + outdated
    wanted = {"total": total, "current": current, "outdated": outdated, "summary": f"{current}/{total}"}

    def is_counted() -> Object | None:
        found = mesh.api.get("mesh", mesh.namespace, mesh.name) or {}
        return found if wanted.items() <= found["status"]["proxies"].items() else None

    found = await eventually(is_counted, seconds=60, every=0.2, what=f"{mesh.tag}: {wanted}")
    assert found is not None
    return found


async def test_two_versions_run_at_once_and_each_counts_its_own_proxies(
    older: Mesh, mesh: Mesh, api: Api
) -> None:
    for one, version in ((older, "1.31.0"), (mesh, NEWEST)):
        found = await wait_for_census(one, current=2, outdated=0)
        assert found["status"]["version"]["active"] == version
        assert read_images(api, one) == {version}


def test_each_mesh_has_a_root_of_its_own(older: Mesh, mesh: Mesh, api: Api) -> None:
    assert read_root(api, older.namespace) == read_root(api, older.apps)
    assert read_root(api, mesh.namespace) == read_root(api, mesh.apps)
    assert read_root(api, older.namespace) != read_root(api, mesh.namespace)


@pytest.mark.parametrize("turned", [False, True])
def test_pods_talk_within_their_mesh_and_not_into_the_other(older: Mesh, mesh: Mesh, turned: bool) -> None:
    here, there = (mesh, older) if turned else (older, mesh)
    within = ask(here.cluster, here.apps, here.url)
    assert within.ok, within.text
    assert f"URI=spiffe://cluster.local/ns/{here.apps}/sa/client" in within.text
    assert not ask(here.cluster, here.apps, there.url).ok


async def test_an_upgrade_in_place_leaves_proxies_outdated_until_they_are_restarted(
    older: Mesh, api: Api
) -> None:
    with traffic(older.cluster, older.apps, older.url, count=60):
        older.edit(version=NEWEST)
        await older.wait_for()
        found = await wait_for_census(older, current=0, outdated=2)
        assert found["status"]["version"] == {"desired": NEWEST, "active": NEWEST}
        assert read_condition(found, "UpToDate")["reason"] == "ProxiesOutdated"
        assert read_images(api, older) == {"1.31.0"}
    restart(older.cluster, older.apps, "server", "client")
    await wait_for_deployments(api, older.apps, ("server", "client"))
    found = await wait_for_census(older, current=2, outdated=0)
    assert read_condition(found, "UpToDate")["status"] == "True"
    assert read_images(api, older) == {NEWEST}
    assert ask(older.cluster, older.apps, older.url).ok


async def test_the_removal_of_one_mesh_leaves_the_others_traffic_untouched(
    older: Mesh, mesh: Mesh, api: Api
) -> None:
    with traffic(mesh.cluster, mesh.apps, mesh.url, count=40):
        remove_mesh(older)
        await eventually(lambda: is_gone(older), seconds=60, every=0.2, what="the older mesh is gone")
        assert list_owned(api, older.namespace) == []
    found = await mesh.wait_for()
    assert found["status"]["proxies"]["total"] == 2
