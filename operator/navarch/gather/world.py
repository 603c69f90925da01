"""World: the cluster as one mesh or one revision has to see it.

Owns the composition of the aspects into ObservedMesh and ObservedRevision. Must never decide, and never
write. Invariant: for a settled mesh, gathering costs one request: the mesh itself, read fresh.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from pydantic import ValidationError

from navarch.api import controlplane
from navarch.api.controlplane import MeshControlPlaneSpec
from navarch.api.meta import API_VERSION
from navarch.core.istio.assets import Assets
from navarch.core.membership.rule import take_census
from navarch.core.mesh.membership import find_effective_membership
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.labels import Owner, owner_of, revision_of
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.revision.observed import ObservedRevision
from navarch.core.world.cluster import Environment
from navarch.core.world.neighbours import MeshSummary
from navarch.core.world.proxies import Census
from navarch.core.world.workload import PodProblem, determine_rollout, find_deployment
from navarch.gather.catalog import ExtendedAssets
from navarch.gather.cluster import ClusterReader
from navarch.gather.crds import CRDInspector
from navarch.gather.neighbours import NeighbourReader, asks_for_default
from navarch.gather.orphans import KIND_REF, OrphanFinder
from navarch.gather.owned import OwnedReader
from navarch.gather.probe import Prober
from navarch.gather.workload import gather_problems, read_pod
from navarch.kube.client import Client
from navarch.kube.errors import NotFound, Unserved
from navarch.kube.inventory import Inventories
from navarch.kube.resources import resource_of
from navarch.kube.store import Store


class World:
    """The cluster as the stores know it. `now` gives the time as RFC 3339 with whole seconds."""

    def __init__(
        self,
        client: Client,
        stores: Mapping[str, Store],
        assets: Assets,
        *,
        environment: Environment,
        now: Callable[[], str],
        orphan_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._stores = stores
        self.now = now
        self._assets = ExtendedAssets(assets, stores["catalogs"])
        self.environment = environment
        self.cluster = ClusterReader(stores)
        self.neighbours = NeighbourReader(stores, assets)
        self.inventories = Inventories(
            client,
            stores["inventories"],
            crds=stores["crds"],
            kind=KIND_REF,
            namespace=environment.operator_namespace,
        )
        self.owned = OwnedReader(client, stores, self.inventories)
        self.orphans = OrphanFinder(client, stores, self.owned, seconds=orphan_seconds, clock=clock)
        self.prober = Prober(client)
        self._crds = CRDInspector(client, stores["crds"], assets)

    @property
    def assets(self) -> Assets:
        """The package's data, with the cluster's own additions to the catalog."""
        return self._assets.read()

    async def gather_mesh(self, namespace: str, name: str) -> ObservedMesh | None:
        """A mesh and everything its reconcile depends on; None when it is gone."""
        try:
            body = await self._client.get(Ref(API_VERSION, controlplane.KIND, namespace, name))
        except NotFound:
            self._forget(namespace, name)
            return None
        except Unserved:
            if self.owned.is_installed(resource_of(API_VERSION, controlplane.KIND)):
                raise
            self._forget(namespace, name)
            return None
        self._stores["meshes"].observe(body)
        self.orphans.remember(namespace, name)
        return await self.observe(body)

    async def observe(self, body: Manifest) -> ObservedMesh:
        """Everything that a reconcile of the mesh `body` would depend on, whether or not it is in the cluster
        yet."""
        namespace = body["metadata"]["namespace"]
        owner = Owner(namespace, body["metadata"]["name"], body["metadata"]["uid"])
        spec, error = _parse_spec(body)
        # The fresh body counts, whatever the store has of this mesh: it may be behind, or know of a deletion.
        bodies = {mesh["metadata"]["uid"]: mesh for mesh in self._stores["meshes"].list()} | {owner.uid: body}
        minors = self.neighbours.minors()
        revisions = self.owned.revisions(owner)
        names = {r["metadata"]["name"] for r in revisions}
        owned = tuple(self.owned.objects(owner))
        profiles, profile_errors = self.cluster.profiles()
        observed = ObservedMesh(
            environment=self.environment,
            assets=self.assets,
            owner=owner,
            body=body,
            spec=spec,
            spec_error=error,
            meshes=tuple(sorted(self._see_own(body, self.neighbours.summarise(bodies.values())))),
            namespaces={ns.name: ns for ns in self.cluster.namespaces()},
            profiles=profiles,
            profile_errors=profile_errors,
            owned=owned,
            inventory=self.owned.inventory(owner),
            gateway_defaults=self.owned.gateway_defaults(owner, owned),
            revisions=revisions,
            webhooks=tuple(self.cluster.webhooks()),
            crds=await self._crds.gather(tuple(sorted({*minors, self.neighbours.minor_of(body)} - {""}))),
            crd_minors=minors,
            census=Census(),
            root=self.cluster.root(namespace),
            probe=None,
            now=self.now(),
            kind_deleted=await self.orphans.find_kind_deletion(body),
            roles=self.cluster.roles(),
        )
        census = take_census(
            find_effective_membership(observed),
            observed.namespaces,
            self.cluster.proxies(),
            revisions=names,
        )
        return replace(observed, census=census, probe=await self.prober.probe(observed))

    def _see_own(self, body: Manifest, summaries: Iterable[MeshSummary]) -> Iterator[MeshSummary]:
        """A mesh counts for itself by what it asks for now, whatever it holds and was refused."""
        uid = body["metadata"]["uid"]
        for mesh in summaries:
            own = mesh.uid == uid
            yield replace(mesh, default_tag=asks_for_default(body), refused=False) if own else mesh

    def _forget(self, namespace: str, name: str) -> None:
        for mesh in self._stores["meshes"].list(namespace):
            if mesh["metadata"]["name"] == name:
                self._stores["meshes"].discard(ref_of(mesh), mesh["metadata"]["uid"])

    async def _read_revision(self, ref: Ref) -> Manifest | None:
        """A revision as the store has it; read fresh where it was too large to be kept whole."""
        store = self._stores["revisions"]
        if store.is_whole(ref):
            return store.get(ref)
        try:
            return await self._client.get(ref)
        except NotFound:
            return None

    async def gather_revision(self, namespace: str, name: str) -> ObservedRevision | None:
        """A revision and everything its reconcile depends on; None when it is gone or not ours."""
        body = await self._read_revision(Ref(API_VERSION, "MeshRevision", namespace, name))
        owner = owner_of(body) if body else None
        if body is None or owner is None:
            return None
        mesh = self._stores["meshes"].get(Ref(API_VERSION, controlplane.KIND, namespace, owner.name))
        owned = tuple(o for o in self.owned.objects(owner) if revision_of(o) == name)
        deployment = find_deployment(owned, name)
        pods = [p for p in self._stores["istiods"].list(namespace) if revision_of(p) == name]
        problems: tuple[PodProblem, ...] = ()
        if deployment is not None and not determine_rollout(deployment).complete:
            problems = await gather_problems(self._client, deployment, pods)
        return ObservedRevision(
            environment=self.environment,
            assets=self.assets,
            owner=owner,
            body=body,
            mesh=mesh,
            namespace=next((ns for ns in self.cluster.namespaces() if ns.name == namespace), None),
            owned=owned,
            problems=problems,
            pods=tuple(pod for p in pods if (pod := read_pod(p)) is not None),
            inventory=self.owned.inventory(owner),
            now=self.now(),
            roles=self.cluster.roles(),
        )


def _parse_spec(body: Manifest) -> tuple[MeshControlPlaneSpec | None, str]:
    try:
        return MeshControlPlaneSpec.model_validate(body.get("spec") or {}), ""
    except ValidationError as error:
        return None, "; ".join(
            f"spec.{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()
        )
