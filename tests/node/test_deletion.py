"""The end of a mesh: nothing of ours is left, the authority is kept, its former namespaces work at once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lab.cluster import Cluster
from tests.node.conftest import Mesh, make_mesh, remove_mesh
from tests.polling import eventually
from tests.support.api import Api, Refused
from tests.support.meshes import list_owned
from tests.support.workloads import build_pod, is_injected, is_ready

DISTRIBUTED = ("istio-ca-root-cert", "istio-ca-crl")
FORCE = {"metadata": {"annotations": {"mesh.navarch.io/force-delete": "true"}}}


@pytest.fixture
async def leaving(operator: Cluster, api: Api) -> AsyncIterator[Mesh]:
    """A mesh with two applications that will be deleted."""
    made = await make_mesh(operator, api, "leaving", version="1.31")
    try:
        yield made
    finally:
        remove_mesh(made)


def list_distributed(api: Api) -> set[str]:
    """Where istiods put their root, and what they revoked."""
    found = (api.list("configmap", fields=f"metadata.name={name}") for name in DISTRIBUTED)
    return {f"{o['metadata']['namespace']}/{o['metadata']['name']}" for some in found for o in some}


async def test_a_deleted_mesh_leaves_its_authority_and_namespaces_that_work(leaving: Mesh, api: Api) -> None:
    authority = api.get("secret", leaving.namespace, "istio-ca-secret") or {}
    owned, distributed = list_owned(api, leaving.namespace), list_distributed(api)
    assert {"Deployment", "MutatingWebhookConfiguration", "ClusterRoleBinding"} <= {o["kind"] for o in owned}
    api.patch("mesh", leaving.namespace, leaving.name, FORCE)
    api.delete("mesh", leaving.namespace, leaving.name)

    refused: list[str] = []

    def is_gone() -> bool:
        gone = api.get("mesh", leaving.namespace, leaving.name) is None
        try:
            api.create(build_pod(leaving.apps, "meanwhile"), dry_run=True)
        except Refused as refusal:
            refused.append(str(refusal))
        return gone

    await eventually(is_gone, seconds=60, every=0.1, what="the mesh is gone")
    assert refused == []
    assert not is_injected(api.create(build_pod(leaving.apps, "at-once")))
    assert list_owned(api, leaving.namespace) == []
    await eventually(lambda: not leaving.list_istiods(), seconds=60, every=0.2, what="istiod's pods are gone")
    # An istiod that lives longer than its configuration would hand its root to the whole cluster.
    assert list_distributed(api) == distributed
    kept = api.get("secret", leaving.namespace, "istio-ca-secret") or {}
    assert kept["data"] == authority["data"]
    await eventually(
        lambda: is_ready(api.get("pod", leaving.apps, "at-once") or {}),
        seconds=60,
        every=0.2,
        what="it is ready",
    )
