"""What the tests against a real API server share: a client, a stranger, namespaces, and the operator's edge."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from lab.cluster import Cluster
from navarch.core.actions import Outcome, Plan, Wave
from navarch.core.labels import Owner
from navarch.core.refs import Manifest, Ref
from navarch.kube.apply import Applier
from navarch.kube.client import Client
from navarch.kube.credentials import load_credentials
from navarch.kube.errors import NotFound
from navarch.kube.reflector import Reflector
from navarch.kube.resources import resource_of
from navarch.kube.store import Object, Store, version_of
from tests.polling import eventually

WATCHED = (
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("v1", "Pod"),
    ("apps/v1", "Deployment"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("policy/v1", "PodDisruptionBudget"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("security.istio.io/v1", "PeerAuthentication"),
)
MANAGED = "app.kubernetes.io/managed-by=navarch"


@dataclass
class Requests:
    """Counts what a client sent."""

    sent: list[tuple[str, str, int]] = field(default_factory=list)

    def __call__(self, *, method: str, resource: str, code: int, seconds: float) -> None:
        if not resource.endswith(":watch"):
            self.sent.append((method, resource, code))

    @property
    def writes(self) -> list[tuple[str, str, int]]:
        return [request for request in self.sent if request[0] != "GET"]


@dataclass
class Edge:
    """The operator's view of the cluster: reflectors of what it owns, and an applier that counts its requests."""

    applier: Applier
    stores: dict[tuple[str, str], Store]
    reflectors: dict[str, Reflector]
    requests: Requests

    def store(self, ref: Ref) -> Store:
        return self.stores[ref.group, ref.kind]

    async def apply(self, owner: Owner, *objects: Manifest, prune: tuple[Ref, ...] = ()) -> Outcome:
        """One wave of these objects, with the requests counted from zero."""
        self.requests.sent.clear()
        return await self.applier.apply(Plan(owner, waves=(Wave("test", objects),), prune=prune))

    async def catch_up(self, seen: Object) -> Object:
        """Waits until the store has an object at least as it was `seen`."""
        ref = Ref(seen["apiVersion"], seen["kind"], seen["metadata"].get("namespace", ""), seen["metadata"]["name"])

        def caught_up() -> Object | None:
            held = self.store(ref).get(ref)
            return held if held is not None and version_of(held) >= version_of(seen) else None

        return await eventually(caught_up, what=f"{ref} in the store")  # type: ignore[return-value]

    async def see_gone(self, ref: Ref) -> None:
        """Waits until the store has lost an object."""
        await eventually(lambda: self.store(ref).get(ref) is None, what=f"{ref} gone from the store")


@pytest.fixture(scope="session")
async def client(light: Cluster) -> AsyncIterator[Client]:
    """A cluster-admin's client."""
    async with Client(await load_credentials(light.kubeconfig), user_agent="navarch-test") as client:
        yield client


@pytest.fixture(scope="session")
async def stranger(light: Cluster) -> AsyncIterator[Client]:
    """Somebody else: another field manager."""
    async with Client(await load_credentials(light.kubeconfig), user_agent="stranger/1") as client:
        yield client


@pytest.fixture(scope="session")
async def crds(client: Client) -> tuple[Manifest, ...]:
    """Istio's CRDs, applied by an administrator who is not the operator, and served."""
    from navarch.assets import load_assets

    crds = load_assets().crds["1.31"]
    for crd in crds:
        await client.apply(crd, manager="admin")
    path = resource_of("security.istio.io/v1", "PeerAuthentication").path()

    async def served() -> bool:
        try:
            await client.fetch(path)
        except NotFound:
            return False
        return True

    await eventually(served, seconds=30)
    return crds


@pytest.fixture(scope="session")
async def edge(light: Cluster, crds: object) -> AsyncIterator[Edge]:
    """Reflectors of all kinds that the tests apply, synchronised."""
    requests = Requests()
    client = Client(await load_credentials(light.kubeconfig), observe=requests, user_agent="navarch")
    kinds = [resource_of(*row) for row in WATCHED]
    reflectors = {kind.kind: Reflector(client, kind, label_selector=MANAGED) for kind in kinds}
    tasks = [asyncio.create_task(reflector.run()) for reflector in reflectors.values()]
    stores = {(r.store.resource.group, r.store.resource.kind): r.store for r in reflectors.values()}
    for reflector in reflectors.values():
        await asyncio.wait_for(reflector.synced.wait(), 30)
    try:
        yield Edge(Applier(client, stores), stores, reflectors, requests)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.close()


@asynccontextmanager
async def a_namespace(client: Client, labels: dict[str, str] | None = None) -> AsyncIterator[str]:
    """A namespace with a name of its own, deleted afterwards."""
    name = f"t-{secrets.token_hex(4)}"
    metadata: dict[str, Any] = {"name": name, "labels": labels or {}}
    await client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    try:
        yield name
    finally:
        try:
            await client.delete(Ref("v1", "Namespace", "", name))
        except NotFound:
            pass


@pytest.fixture
async def namespace(client: Client) -> AsyncIterator[str]:
    """A fresh namespace."""
    async with a_namespace(client) as name:
        yield name


@pytest.fixture
def owner(namespace: str) -> Owner:
    """The mesh that the test's objects belong to, named after the test's namespace."""
    return Owner(namespace, "mesh", "11111111-1111-4111-8111-111111111111")


@pytest.fixture
def unique(namespace: str) -> Iterator[Callable[[str], str]]:
    """Names for cluster-scoped objects that no other test has."""
    yield lambda name: f"{name}-{namespace}"
