"""What the tests against a real API server share: clients, namespaces, and the operator's edge."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from navarch.api.export import build_crds
from navarch.core.model.actions import Outcome, Plan, Wave
from navarch.core.model.labels import COMPONENT, MANAGED_BY
from navarch.core.model.ownership import MANAGER
from navarch.core.model.parent import MESH, Parent
from navarch.core.model.refs import Manifest, Ref
from navarch.kube.apply import Applier
from navarch.kube.client import Client
from navarch.kube.credentials import load_credentials
from navarch.kube.errors import NotFound, Unserved
from navarch.kube.reflector import Reflector
from navarch.kube.resources import resource_of
from navarch.kube.store import Object, Store, version_of

from lab import cluster as clusters
from lab.cluster import Cluster, service_account_kubeconfig
from lab.light import cluster as light_cluster
from tests.polling import eventually
from tests.support import run
from tests.support.activity import wait_for_removals
from tests.support.admission import TENANT, bind, build_revision, may, refusal, submit
from tests.support.api import Api
from tests.support.audit import Audit, list_refused
from tests.support.meshes import build_mesh, wait_for
from tests.support.operator import SYSTEM, USER, Operator
from tests.support.outcome import has_passed
from tests.support.quiet import assert_quiet, is_settled

ROOT = Path(__file__).parents[2]
_numbers = count(1)
_OPERATORS = pytest.StashKey[dict[str, Operator]]()
"""The session's operators that were started, by cluster: one session may have tests of several."""

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
    """The operator's view of the cluster: reflectors of what it owns, and an applier that is counted."""

    applier: Applier
    stores: dict[tuple[str, str], Store]
    reflectors: dict[str, Reflector]
    requests: Requests

    def store(self, ref: Ref) -> Store:
        return self.stores[ref.group, ref.kind]

    async def apply(self, parent: Parent, *objects: Manifest, prune: tuple[Ref, ...] = ()) -> Outcome:
        """One wave of these objects, with the requests counted from zero."""
        self.requests.sent.clear()
        return await self.applier.apply(Plan(parent, waves=(Wave("test", objects),), prune=prune))

    async def catch_up(self, seen: Object) -> Object:
        """Waits until the store has an object at least as it was `seen`."""
        ref = Ref(
            seen["apiVersion"], seen["kind"], seen["metadata"].get("namespace", ""), seen["metadata"]["name"]
        )

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


@dataclass
class Counted:
    """A cluster-admin's client, and what it sent."""

    client: Client
    requests: Requests


@pytest.fixture
async def counted(light: Cluster) -> AsyncIterator[Counted]:
    """A client of the test's own."""
    requests = Requests()
    async with Client(await load_credentials(light.kubeconfig), observe=requests) as client:
        yield Counted(client, requests)


@pytest.fixture(scope="session")
async def stranger(light: Cluster) -> AsyncIterator[Client]:
    """Another client, with another field manager."""
    async with Client(await load_credentials(light.kubeconfig), user_agent="stranger/1") as client:
        yield client


@pytest.fixture(scope="session")
async def crds(client: Client) -> tuple[Manifest, ...]:
    """Istio's CRDs, served: those that are there, else as a mesh that is gone has left them."""
    from navarch.assets import load_assets

    crds = load_assets().crds["1.31"]
    for crd in crds:
        ref = Ref(crd["apiVersion"], crd["kind"], "", crd["metadata"]["name"])
        try:
            await client.get(ref, metadata_only=True)
        except NotFound:
            labels = {**crd["metadata"].get("labels", {}), MANAGED_BY: "navarch", COMPONENT: "crds"}
            ours = {**crd, "metadata": {**crd["metadata"], "labels": labels}}
            await client.apply(ours, manager=MANAGER)
    paths = [
        f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}?limit=1"
        for spec in (crd["spec"] for crd in crds)
        for version in spec["versions"]
        if version["served"]
    ]

    async def served() -> bool:
        try:
            for path in paths:
                await client.fetch(path)
        except Unserved:
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
    reflectors = {
        # Of CRDs, which are large, the operator keeps the metadata.
        kind.kind: Reflector(
            client, kind, label_selector=MANAGED, metadata_only=kind.kind == "CustomResourceDefinition"
        )
        for kind in kinds
    }
    tasks = [asyncio.create_task(reflector.run()) for reflector in reflectors.values()]
    stores = {(r.store.resource.group, r.store.resource.kind): r.store for r in reflectors.values()}
    for reflector in reflectors.values():
        await asyncio.wait_for(reflector.synced.wait(), 240)
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
        with suppress(NotFound):
            await client.delete(Ref("v1", "Namespace", "", name))


@pytest.fixture
async def namespace(client: Client) -> AsyncIterator[str]:
    """A fresh namespace."""
    async with a_namespace(client) as name:
        yield name


@pytest.fixture
def parent(namespace: str) -> Parent:
    """The mesh that the test's objects belong to, named after the test's namespace."""
    return Parent(MESH, namespace, "mesh", "11111111-1111-4111-8111-111111111111")


@pytest.fixture
def unique(namespace: str) -> Callable[[str], str]:
    """Names for cluster-scoped objects that no other test has."""
    return lambda name: f"{name}-{namespace}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that judge what the others did come last."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


# --- the operator as a process, and a namespace for each test


@pytest.fixture(scope="session")
def api(light: Cluster) -> Api:
    return Api(light.kubeconfig)


async def install(api: Api, root: Path = ROOT) -> None:
    """Apply a checkout's install manifests, but for the Deployment: here the operator is a process of the
    tests.
    """
    for file in sorted((root / "crds").glob("*.yaml")):
        api.apply_all(file.read_text())
    for manifest in yaml.load_all((root / "deploy" / "install.yaml").read_text(), yaml.CSafeLoader):
        if manifest["kind"] != "Deployment":
            api.apply(manifest)
    crds = [crd["metadata"]["name"] for crd in build_crds()]

    def established() -> bool:
        found = [api.get("crd", "", name) or {} for name in crds]
        return all(
            any(
                c["type"] == "Established" and c["status"] == "True"
                for c in (crd.get("status") or {}).get("conditions", ())
            )
            for crd in found
        )

    await eventually(established, what="Navarch's CRDs are established")


@pytest.fixture(scope="session")
async def installed(light: Cluster, api: Api) -> AsyncIterator[Cluster]:
    """The cluster with Navarch's manifests in it; what was refused there is noted for test_rbac.py."""
    await install(api)
    yield light
    if light.audit_log is not None:
        run.note("refused", list_refused(light.audit_log, USER))


@pytest.fixture(scope="module")
async def guarded(api: Api, unattended: Cluster) -> Cluster:
    """The cluster once its policies are in force, which takes the API server a moment.

    Without an operator, which would count the proxies anew.
    """
    installed = unattended
    revision, mesh = build_revision("default"), build_mesh("default")
    refused = mesh | {"spec": mesh["spec"] | {"values": {"revision": "x"}}}

    def is_guarded() -> bool:
        user = f"{TENANT}-cluster"
        return bool(
            may(installed, "create", "meshcontrolplanes", "default", user=user)
            and refusal(api, revision)
            and refusal(api, refused)
            and submit(installed, mesh, user=user)
        )

    installed.run(
        "apply", "-f", "-", stdin=json.dumps(bind("default", "navarch-mesh-admin", user=f"{TENANT}-cluster"))
    )
    await eventually(is_guarded, seconds=60, every=0.2, what="the policies are in force")
    return installed


@pytest.fixture
async def tenancy(api: Api, guarded: Cluster, fresh: str) -> str:
    """A namespace whose mesh administrator is TENANT, without the verb `host`."""
    api.create(bind(fresh, "navarch-mesh-admin"))
    await eventually(
        lambda: may(guarded, "patch", "meshcontrolplanes", fresh), what="the tenant's role is in force"
    )
    return fresh


@pytest.fixture(scope="session")
def audit(light: Cluster) -> Audit:
    if light.audit_log is None:
        pytest.skip("this cluster's audit log cannot be read")
    return Audit(light.audit_log, USER)


def build_operator(
    cluster: Cluster, name: str = "operator", *, program: tuple[str, ...] = ("-m", "navarch"), **settings: str
) -> Operator:
    """A replica that is not started yet; it speaks as the operator's own service account."""
    kubeconfig = service_account_kubeconfig(cluster, SYSTEM, "navarch")
    log = cluster.state / f"{name}.log"
    return Operator(
        kubeconfig, log, settings={"log_level": "info", "orphan_seconds": "3", **settings}, program=program
    )


@asynccontextmanager
async def a_running_operator(cluster: Cluster) -> AsyncIterator[Operator]:
    """One replica that is ready, with exactly the generated ClusterRole."""
    process = build_operator(cluster)
    process.start()
    try:
        await eventually(process.is_ready, seconds=180, what=f"the operator is ready, see {process.log}")
        yield process
    finally:
        process.stop()


@pytest.fixture(scope="session")
async def operator(request: pytest.FixtureRequest, installed: Cluster) -> AsyncIterator[Operator]:
    """The operator, running for the whole session."""
    async with a_running_operator(installed) as process:
        request.session.stash.setdefault(_OPERATORS, {})[installed.name] = process
        yield process


@pytest.fixture(scope="module")
async def unattended(request: pytest.FixtureRequest, api: Api, installed: Cluster) -> AsyncIterator[Cluster]:
    """The cluster without the session's operator, if that was started before."""
    operator = request.session.stash.get(_OPERATORS, {}).get(installed.name)
    if operator is None:
        yield installed
        return
    await wait_for_removals(api)
    operator.stop()
    yield installed
    operator.start()
    await eventually(operator.is_ready, seconds=30, what="the session's operator is back")


@contextmanager
def a_lab(name: str) -> Iterator[Cluster]:
    """A light lab of a module's own, for what would spoil the one that all share."""
    if clusters.is_current():
        pytest.skip("an existing cluster is not to be spoilt")
    name = f"test-{name}-{os.getpid()}"
    try:
        yield light_cluster.up(name)
    finally:
        light_cluster.down(name)


@contextmanager
def a_mesh_namespace(api: Api, name: str) -> Iterator[str]:
    """A namespace that may hold a mesh, removed with everything in it afterwards."""
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    remove_namespace(api, name)


@pytest.fixture
async def fresh(request: pytest.FixtureRequest, api: Api, installed: Cluster) -> AsyncIterator[str]:
    """A namespace of the test's own. A mesh that the test leaves there settled must be quiet at its end."""
    with a_mesh_namespace(api, f"t{next(_numbers)}") as name:
        yield name
        operator = request.session.stash.get(_OPERATORS, {}).get(installed.name)
        if operator and installed.audit_log and operator.is_ready() and has_passed(request.node):
            audit, every = Audit(installed.audit_log, USER), "settled" in request.fixturenames
            for mesh in api.list("mesh", name):
                if is_settled(mesh) or (every and "deletionTimestamp" not in mesh["metadata"]):
                    await assert_quiet(api, audit, operator, name, mesh["metadata"]["name"])


def remove_namespace(api: Api, name: str) -> None:
    """Remove a namespace and its mesh, also against what protects them."""
    for mesh in api.list("mesh", name):
        force = {
            "metadata": {"annotations": {"mesh.navarch.io/force-delete": "true"}},
            "spec": {"paused": None},
        }
        api.patch("mesh", name, mesh["metadata"]["name"], force)
        api.delete("mesh", name, mesh["metadata"]["name"])
    api.delete("namespace", "", name)


@pytest.fixture
def settled(audit: Audit, operator: Operator, fresh: str) -> str:
    """Like `fresh`; at the end of the test each of its meshes must be quiet, with any status."""
    return fresh


@pytest.fixture(scope="module")
async def running(api: Api, operator: Operator) -> AsyncIterator[str]:
    """A namespace with a mesh that runs, for all tests of a module that leave it well and as it was: a mesh
    of one's own costs two seconds of CPU."""
    with a_mesh_namespace(api, f"lent{next(_numbers)}") as name:
        api.create(build_mesh(name))
        await wait_for(api, name)
        yield name


@pytest.fixture
async def lent(
    request: pytest.FixtureRequest, api: Api, audit: Audit, operator: Operator, running: str
) -> AsyncIterator[str]:
    """The mesh that runs, for one test. As the test leaves it, without a proxy, it must be quiet; then its
    spec is taken back."""
    before = (api.get("mesh", running, "demo") or {})["spec"]
    yield running

    def has_none() -> bool:
        proxies = (api.get("mesh", running, "demo") or {})["status"]["proxies"]
        return not proxies["total"] and not proxies["misplaced"]

    try:
        if has_passed(request.node):
            await eventually(has_none, seconds=60, what="no proxy is counted any more")
            await assert_quiet(api, audit, operator, running, "demo")
    finally:
        if (api.get("mesh", running, "demo") or {})["spec"] != before:
            api.patch("mesh", running, "demo", [{"op": "replace", "path": "/spec", "value": before}])
    await wait_for(api, running)
