"""Another root for a mesh whose proxies make a new handshake for each request: none of them fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from lab.cluster import Cluster
from tests.node.conftest import Mesh, kill_operators, make_mesh, remove_mesh
from tests.node.streams import streams
from tests.node.test_mesh import read_leaf, read_root, read_trusted
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.managed import build_managed
from tests.support.operator import SYSTEM

TTL = 60
"""Seconds for which a proxy's certificate lives: it is renewed after half of them."""
VOLUMES = 30
"""Seconds after which the lab's kubelet has brought a ConfigMap to every pod: it looks every 10 s."""
GENERATION = "mesh.navarch.io/root-generation"


@contextmanager
def quick_volumes(cluster: Cluster) -> Iterator[None]:
    """The operator, with what it has to know of this lab's kubelet."""

    def change(setting: str) -> None:
        deployment = ("-n", SYSTEM, "deployment/navarch")
        cluster.run("set", "env", *deployment, setting)
        cluster.run("rollout", "status", *deployment, "--timeout=180s", timeout=190)

    change(f"NAVARCH_VOLUME_SECONDS={VOLUMES}")
    try:
        yield
    finally:
        change("NAVARCH_VOLUME_SECONDS-")


@pytest.fixture(scope="module")
async def mesh(operator: Cluster, api: Api) -> AsyncIterator[Mesh]:
    """A managed mesh of its own, of whose requests each has a connection of its own."""
    with quick_volumes(operator):
        made = await make_mesh(
            operator,
            api,
            "turn",
            **build_managed(rotation={"keepOldRootSeconds": 0}),
            meshConfig={"defaultConfig": {"proxyMetadata": {"SECRET_TTL": f"{TTL}s"}}},
        )
        try:
            pool = {"connectionPool": {"http": {"maxRequestsPerConnection": 1}}}
            api.create(
                {
                    "apiVersion": "networking.istio.io/v1",
                    "kind": "DestinationRule",
                    "metadata": {"name": "fresh", "namespace": made.apps},
                    "spec": {"host": f"server.{made.apps}.svc.cluster.local", "trafficPolicy": pool},
                }
            )
            yield made
        finally:
            remove_mesh(made)


def ask_for(mesh: Mesh, generation: int, **rotation: Any) -> None:
    mesh.api.patch(
        "mesh", mesh.namespace, mesh.name, {"metadata": {"annotations": {GENERATION: str(generation)}}}
    )
    if rotation:
        mesh.edit(certificateAuthority={"managed": {"rotation": rotation}})


def read_authority(mesh: Mesh) -> Object:
    found = mesh.api.get("mesh", mesh.namespace, mesh.name) or {}
    return dict((found.get("status") or {}).get("certificateAuthority") or {})


async def follow(mesh: Mesh, generation: int, *, seconds: float = 900) -> list[str]:
    """The phases until one root is all there is."""
    phases: list[str] = []

    def is_over() -> bool:
        told = read_authority(mesh)
        rotation = told.get("rotation")
        if rotation and phases[-1:] != [rotation["phase"]]:
            phases.append(rotation["phase"])
            print(f"{rotation['phase']}: {rotation['waitingFor']}")
        return rotation is None and (told.get("root") or {}).get("generation") == generation

    await eventually(is_over, seconds=seconds, every=0.5, what=f"root {generation} is all there is")
    return phases


def list_roots(pem: bytes) -> list[str]:
    """The names of roots, by their numbers."""
    names = [each.subject.rfc4514_string() for each in x509.load_pem_x509_certificates(pem)]
    return sorted(name.split("CN=")[1].split(",")[0].rpartition(" ")[0] for name in names)


def trust_only(mesh: Mesh, generation: int) -> bool:
    """Whether the mesh's ConfigMap and both proxies have this root, and no other."""
    proxies = [root for app in ("server", "client") for root in read_trusted(mesh, app)]
    texts = [read_root(mesh), *(root.public_bytes(Encoding.PEM) for root in proxies)]
    return all(list_roots(text) == [f"root {generation}"] for text in texts)


WAYS = {
    "CrossSigned": ["CrossSigned", "TrustingNew"],
    "MultiRoot": ["TrustingBoth", "SigningNew"],
}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("strategy", WAYS)
async def test_another_root_comes_and_no_request_fails(
    request: pytest.FixtureRequest, mesh: Mesh, operator: Cluster, strategy: str
) -> None:
    way = WAYS[strategy]
    if strategy != "CrossSigned":
        request.getfixturevalue("in_full")
    before = int(read_authority(mesh)["root"]["generation"])
    after = before + 1
    assert list_roots(read_root(mesh)) == [f"root {before}"]
    with streams(mesh) as seen:
        ask_for(mesh, after, strategy=strategy)
        await eventually(lambda: read_authority(mesh).get("rotation"), seconds=60, every=0.2)
        kill_operators(operator)
        phases = await follow(mesh, after)
        await eventually(
            lambda: trust_only(mesh, after), seconds=300, every=1, what="no other root is trusted"
        )
    print(f"{seen.requests} requests, {len(seen.failures)} failed; phases {phases}")
    assert [phase for phase in phases if phase != "Preparing"] == way
    assert seen.failures == []
    assert seen.requests > 200
    assert seen.refusals == []
    (root,) = x509.load_pem_x509_certificates(read_root(mesh))
    for app in ("server", "client"):
        leaf, above, *_ = read_leaf(mesh, app)
        leaf.verify_directly_issued_by(above)
        above.verify_directly_issued_by(root)
