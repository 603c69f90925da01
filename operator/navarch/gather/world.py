"""World: the cluster as one mesh or one revision has to see it.

Owns the composition of the aspects into ObservedMesh and ObservedRevision. Must never decide, and never
write. Invariants: for a settled mesh, gathering costs one request: the mesh itself, read fresh; of other
meshes it looks at those alone that its own decisions depend on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from pydantic import ValidationError

from navarch.api import controlplane
from navarch.api.controlplane import MeshControlPlaneSpec
from navarch.api.meta import API_VERSION
from navarch.core.istio.assets import Assets
from navarch.core.membership.rule import build_membership, is_member, take_census
from navarch.core.mesh.membership import find_effective_membership
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.labels import Owner, owner_of, revision_of
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.revision.observed import ObservedRevision
from navarch.core.world.cluster import Environment
from navarch.core.world.proxies import Census
from navarch.core.world.workload import PodProblem, determine_rollout, find_deployment
from navarch.gather.catalog import ExtendedAssets
from navarch.gather.cluster import ClusterReader
from navarch.gather.crds import CRDInspector
from navarch.gather.kinds import KindReader
from navarch.gather.neighbours import NeighbourReader
from navarch.gather.orphans import KIND_REF, OrphanFinder
from navarch.gather.owned import OwnedReader
from navarch.gather.probe import Prober
from navarch.gather.workload import read_pod, read_problems
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
        self._kinds = KindReader(client, stores["crds"])
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
        own = self.neighbours.summarise_own(body)
        default, probe = bool((body.get("spec") or {}).get("defaultTag")), self.environment.probe_namespace
        membership = build_membership(namespace, own.tag, default=default, probe=probe)
        namespaces = {ns.name: ns for ns in self.cluster.claimed(membership)}
        minors = self.neighbours.minors()
        revisions = self.owned.revisions(owner)
        inventory = self.owned.inventory(owner)
        owned = tuple(self.owned.objects(owner, inventory))
        profiles, profile_errors = self.cluster.profiles()
        observed = ObservedMesh(
            environment=self.environment,
            assets=self.assets,
            owner=owner,
            body=body,
            spec=spec,
            spec_error=error,
            meshes=tuple(sorted([own, *self.neighbours.find_rivals(body, own, namespaces)])),
            namespaces=namespaces,
            profiles=profiles,
            profile_errors=profile_errors,
            owned=owned,
            inventory=inventory,
            gateway_defaults=self.owned.gateway_defaults(owner, owned, inventory),
            peer_policies=self.owned.peer_policies(owner, owned, inventory),
            revisions=revisions,
            webhooks=tuple(self.cluster.webhooks_about(own)),
            crds=await self._crds.gather(tuple(sorted({*minors, self.neighbours.minor_of(body)} - {""}))),
            crd_minors=minors,
            census=Census(),
            root=self.cluster.root(namespace),
            probe=None,
            now=self.now(),
            kind_deleted=await self.orphans.find_kind_deletion(body),
            roles=self.cluster.roles(),
            kinds=await self._kinds.gather(),
        )
        observed = replace(observed, census=self._take_census(observed))
        return replace(observed, probe=await self.prober.probe(observed))

    def _take_census(self, observed: ObservedMesh) -> Census:
        mesh = find_effective_membership(observed)
        members = [name for name, ns in observed.namespaces.items() if is_member(mesh, name, ns.labels)]
        names = {revision["metadata"]["name"] for revision in observed.revisions}
        proxies = self.cluster.proxies_of(names, {observed.owner.namespace, *members})
        return take_census(mesh, observed.namespaces, proxies, revisions=names)

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
        inventory = self.owned.inventory(owner)
        owned = tuple(o for o in self.owned.objects(owner, inventory) if revision_of(o) == name)
        deployment = find_deployment(owned, name)
        pods = [p for p in self._stores["istiods"].list(namespace) if revision_of(p) == name]
        problems: tuple[PodProblem, ...] = ()
        if deployment is not None and not determine_rollout(deployment).complete:
            problems = read_problems(deployment, pods)
        return ObservedRevision(
            environment=self.environment,
            assets=self.assets,
            owner=owner,
            body=body,
            mesh=mesh,
            namespace=self.cluster.namespace(namespace),
            owned=owned,
            problems=problems,
            pods=tuple(pod for p in pods if (pod := read_pod(p)) is not None),
            inventory=inventory,
            now=self.now(),
            roles=self.cluster.roles(),
            kinds=await self._kinds.gather(),
        )


def _parse_spec(body: Manifest) -> tuple[MeshControlPlaneSpec | None, str]:
    try:
        return MeshControlPlaneSpec.model_validate(body.get("spec") or {}), ""
    except ValidationError as error:
        return None, "; ".join(
            f"spec.{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()
        )
