"""Nothing that a user writes in a namespace of their own harms another user's mesh."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.conftest import a_mesh_namespace
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.meshes import build_mesh, edit, list_owned, wait_for
from tests.support.operator import Operator


@pytest.fixture
def elsewhere(api: Api, fresh: str) -> Iterator[str]:
    """Another tenant's namespace."""
    with a_mesh_namespace(api, f"{fresh}-tenant") as name:
        yield name


def forge(mesh: str, namespace: str, revision: str) -> Object:
    """A ConfigMap that claims to be a mesh's, with a finalizer that no client removes."""
    labels = {
        "app.kubernetes.io/managed-by": "navarch",
        "mesh.navarch.io/mesh-namespace": mesh,
        "mesh.navarch.io/mesh-name": "demo",
        "mesh.navarch.io/component": "istiod",
        "mesh.navarch.io/revision": revision,
    }
    metadata = {
        "name": "forged",
        "namespace": namespace,
        "labels": labels,
        "finalizers": ["tenant.example/never"],
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": "value"}}


async def test_labels_written_in_another_namespace_neither_count_nor_hold_up_a_deletion(
    api: Api, operator: Operator, fresh: str, elsewhere: str
) -> None:
    api.create(build_mesh(fresh))
    await wait_for(api, fresh)
    forged = api.create(forge(fresh, elsewhere, f"{fresh}-demo-inplace"))
    edit(api, fresh, meshConfig={"accessLogFile": "/dev/stdout"})
    await wait_for(api, fresh)
    api.delete("mesh", fresh, "demo")
    await eventually(lambda: api.get("mesh", fresh, "demo") is None, seconds=30, what="the mesh is gone")
    left = api.get("configmap", elsewhere, "forged")
    assert left is not None
    assert left["metadata"]["resourceVersion"] == forged["metadata"]["resourceVersion"]
    api.patch("configmap", elsewhere, "forged", {"metadata": {"finalizers": None}})


async def test_a_pod_with_a_huge_annotation_stops_no_mesh(
    api: Api, operator: Operator, fresh: str, elsewhere: str
) -> None:
    api.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "monster",
                "namespace": elsewhere,
                "labels": {"service.istio.io/canonical-name": "monster"},
                "annotations": {"sidecar.istio.io/status": "[" * 200_000},
            },
            "spec": {"containers": [{"name": "app", "image": "app.invalid/app:1"}]},
        }
    )
    api.create(build_mesh(fresh))
    mesh = await wait_for(api, fresh)
    assert mesh["status"]["proxies"]["total"] == 0
    assert operator.fetch("/livez")[0] == 200


async def test_what_a_mesh_left_is_removed_although_its_finalizer_was_taken_off_by_hand(
    api: Api, operator: Operator, fresh: str
) -> None:
    api.create(build_mesh(fresh))
    await wait_for(api, fresh)
    edit(api, fresh, paused=True)
    await wait_for(api, fresh, condition="Paused")
    api.delete("mesh", fresh, "demo")
    assert list_owned(api, fresh)
    api.patch("mesh", fresh, "demo", {"metadata": {"finalizers": None}})
    await eventually(lambda: not list_owned(api, fresh), seconds=30, what="nothing is left of the mesh")
