"""Everything that a MeshControlPlane's reconcile depends on, as one frozen value.

Owns the input of checks, plan and status of a mesh. Must never be read from anywhere but gather (or offline).
Invariant: equal observations give equal findings, plans and statuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo

from navarch.api.controlplane import MeshControlPlaneSpec
from navarch.api.upgrade import IN_PLACE, REVISION_BASED
from navarch.core.istio.assets import Assets
from navarch.core.model.naming import is_in_place, revision_name
from navarch.core.model.ownership import NOTHING, Inventory
from navarch.core.model.parent import GATEWAY, Parent
from navarch.core.model.pointed import find_pointed
from navarch.core.model.refs import Manifest
from navarch.core.rollout.gates import Gate
from navarch.core.rollout.observed import Workloads
from navarch.core.trust.evidence import SeenTrust
from navarch.core.trust.observed import SeenAuthority
from navarch.core.world.cluster import CRD, Environment, ForeignConfig, Namespace, PeerPolicy, Webhook
from navarch.core.world.kinds import CURRENT, ServedKinds
from navarch.core.world.neighbours import MeshSummary
from navarch.core.world.probe import Probe, Validation
from navarch.core.world.proxies import Census
from navarch.core.world.trial import TrialPod


@dataclass(frozen=True, slots=True)
class ObservedMesh:
    """Everything a MeshControlPlane's reconcile depends on.

    `body` is the object itself, `spec` its parsed form (None with `spec_error` when it does not parse).
    `meshes`, `namespaces` and `webhooks` are those of the cluster that this mesh's decisions depend on
    (gather/neighbours.py and cluster.py say which), this mesh and its namespace included; `owned` the objects
    that carry its labels, except CRDs; `revisions` its MeshRevisions. `profiles` are the user
    profiles by name. `root` is the fingerprint of the mesh's root certificates, empty while unknown. `probe`
    is None while no dry run was due. `crd_minors` are the Istio minors that meshes of the cluster were
    accepted for, `roles` the installation's roles for istiods, by name, with hashes of their rules.
    `kind_deleted` is when the deletion of the kind itself, its CustomResourceDefinition, was asked for; it is
    looked for while the mesh is being deleted only.
    `inventory` says which objects were made for the mesh, or taken over; `gateway_defaults` are ConfigMaps of
    others beside istiod that it would deploy gateways with: name and class. `peer_policies` are mesh-wide
    PeerAuthentications of others. `kinds` says what Navarch's own CRDs lack. `gateways` are the MeshGateways
    that name the mesh; those that it has made are among `owned`. `gateway_api` are the versions of Gateway
    API's CRDs, by plural, of those that istiod does not read in every version; `standard_gateway_api` the
    same of the standard channel, of those that it may wait for. `members` are the MeshMembers that name the
    mesh. `asked_probe` is the dry run for the revision that the spec asks for, while the tag points to
    another, `asked_validation` the same of configuration, and `trial` the pods of the proxy with which it is
    tried. `workloads` are those with proxies of the mesh, where it asks for restarts of them; `zones` are
    the time zones that it names, of those that are known; `gates` is how the gates of the restarts stand.
    `authority` is what there is of its certificate authority, None where Secrets are not looked at; while its
    root changes, `trust` is what its proxies and istiods show, and `bundles` are fingerprints of the roots in
    ConfigMaps of its namespaces, by namespace.
    """

    environment: Environment
    assets: Assets
    parent: Parent
    body: Manifest
    spec: MeshControlPlaneSpec | None
    spec_error: str
    meshes: tuple[MeshSummary, ...]
    namespaces: Mapping[str, Namespace]
    profiles: Mapping[str, Mapping[str, object]]
    profile_errors: Mapping[str, str]
    owned: tuple[Manifest, ...]
    revisions: tuple[Manifest, ...]
    webhooks: tuple[Webhook, ...]
    crds: tuple[CRD, ...]
    crd_minors: tuple[str, ...]
    census: Census
    root: str
    probe: Probe | None
    now: str
    kind_deleted: str = ""
    roles: Mapping[str, frozenset[str]] = field(default_factory=dict)
    inventory: Inventory = NOTHING
    kinds: ServedKinds = CURRENT
    gateway_defaults: Mapping[str, str] = field(default_factory=dict)
    peer_policies: tuple[PeerPolicy, ...] = ()
    gateways: tuple[Manifest, ...] = ()
    gateway_api: Mapping[str, str] = field(default_factory=dict)
    members: tuple[Manifest, ...] = ()
    standard_gateway_api: Mapping[str, str] = field(default_factory=dict)
    foreign_configs: tuple[ForeignConfig, ...] = ()
    asked_probe: Probe | None = None
    asked_validation: Validation | None = None
    trial: tuple[TrialPod, ...] = ()
    workloads: Workloads | None = None
    zones: Mapping[str, tzinfo] = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()
    authority: SeenAuthority | None = None
    trust: SeenTrust | None = None
    bundles: Mapping[str, str] = field(default_factory=dict)

    @property
    def generation(self) -> int:
        """metadata.generation of the mesh."""
        return int(self.body["metadata"].get("generation", 0))

    @property
    def strategy(self) -> str:
        """How the mesh goes from one version to the next: as its spec says, else as what serves was made."""
        upgrade = self.spec.upgrade if self.spec is not None else None
        if upgrade is not None and upgrade.strategy:
            return upgrade.strategy
        names = (self._told, *_names_of(self.revisions), find_pointed(self.owned, self.tag))
        serving = next(filter(None, names), "")
        return REVISION_BASED if serving and not is_in_place(serving) else IN_PLACE

    @property
    def in_place(self) -> bool:
        """Whether the mesh has one revision, which is updated where it stands: it asks for that, and nothing
        of a revision for one version is left. Else it may have several."""
        if self.strategy == REVISION_BASED:
            return False
        names = [*filter(None, (self._told, *_names_of(self.revisions)))]
        if not names:
            names = [*filter(None, (find_pointed(self.owned, self.tag),))]
        return all(map(is_in_place, names))

    @property
    def active(self) -> str:
        """The revision to which the mesh's tag points; empty while it points to none. The tag's webhook says
        it, since it is where the API server sends pods; where that is missing the tag's Service, then what
        was seen last."""
        if self.in_place:
            return revision_name(self.tag)
        return find_pointed(self.owned, self.tag) or self._told

    @property
    def _told(self) -> str:
        return str((self.body.get("status") or {}).get("activeRevision") or "")

    @property
    def revision(self) -> Manifest | None:
        """The MeshRevision that the mesh's tag stands for; the newest one while it points to none."""
        found = self.find_revision(self.active)
        if found is not None or self.in_place:
            return found
        return max(self.revisions, key=_age_of, default=None)

    def find_revision(self, name: str) -> Manifest | None:
        """The mesh's MeshRevision of this name."""
        return next((r for r in self.revisions if r["metadata"]["name"] == name), None)

    @property
    def tag(self) -> str:
        """The mesh's effective tag."""
        return self.own.tag

    @property
    def own(self) -> MeshSummary:
        """The mesh as its neighbours see it."""
        return next(mesh for mesh in self.meshes if mesh.uid == self.parent.uid)

    @property
    def own_gateways(self) -> tuple[Manifest, ...]:
        """The MeshGateways that the mesh has made."""
        return tuple(o for o in self.owned if o["kind"] == GATEWAY)

    @property
    def deleting(self) -> bool:
        """Whether the mesh is being deleted."""
        return "deletionTimestamp" in self.body["metadata"]

    @property
    def namespace(self) -> Namespace | None:
        """The mesh's own namespace; None when it is gone."""
        return self.namespaces.get(self.parent.namespace)


def _names_of(revisions: Iterable[Manifest]) -> Iterator[str]:
    return (str(r["metadata"]["name"]) for r in revisions)


def _age_of(manifest: Manifest) -> tuple[str, str]:
    return str(manifest["metadata"].get("creationTimestamp", "")), str(manifest["metadata"]["name"])


def is_held(observed: ObservedMesh) -> bool:
    """Whether nothing may be written but status and Events: the mesh is paused."""
    return bool((observed.body.get("spec") or {}).get("paused"))
