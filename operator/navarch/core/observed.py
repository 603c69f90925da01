"""What gather() returns: everything a decision may depend on, frozen.

Owns the input of checks, plans and status. Must never hold a live store, a client or a clock.
Invariant: equal observations give an equal plan, an equal status and an equal requeue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from navarch.api.controlplane import MeshControlPlaneSpec
from navarch.core.assets import Assets
from navarch.core.labels import Owner
from navarch.core.naming import revision_name
from navarch.core.refs import Manifest, Ref


@dataclass(frozen=True, slots=True)
class Environment:
    """What is the same for every mesh: the cluster and the operator's own settings. `kubernetes` is (major,
    minor) of the API server."""

    kubernetes: tuple[int, int]
    operator_namespace: str
    probe_namespace: str


@dataclass(frozen=True, slots=True, order=True)
class MeshSummary:
    """A mesh as its neighbours see it. `tag` is the effective one; `created` is
    metadata.creationTimestamp."""

    created: str
    uid: str
    namespace: str
    name: str
    tag: str
    default_tag: bool = False


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace's name, labels and whether it is being deleted."""

    name: str
    labels: Mapping[str, str]
    terminating: bool = False


@dataclass(frozen=True, slots=True)
class WebhookEntry:
    """One entry of a webhook configuration. `ca_bundle` is a fingerprint of its certificates, empty when
    unset."""

    name: str
    ca_bundle: str
    failure_policy: str
    namespace_selector: Mapping[str, object]
    object_selector: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Webhook:
    """A mutating or validating webhook configuration, anybody's. `revision` and `tag` are Istio's labels on
    it; `generation` grows with each change of its entries, also with one that was taken back."""

    ref: Ref
    owner: Owner | None
    revision: str
    tag: str
    entries: tuple[WebhookEntry, ...]
    generation: int = 0


class CRDOwner(StrEnum):
    """Whose a CRD is."""

    NAVARCH = "navarch"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class CRD:
    """An Istio CRD in the cluster. `minor` is the Istio minor it was applied for, empty where it is foreign.
    `lacks` names, for a foreign one, the first thing that the wanted minor needs and it has not (else
    empty)."""

    name: str
    owner: CRDOwner
    established: bool
    minor: str = ""
    lacks: str = ""


@dataclass(frozen=True, slots=True)
class ProxyPod:
    """A pod with a proxy. `revision` injected it; `proxy` is our annotation's value, empty on other meshes'
    pods."""

    namespace: str
    name: str
    revision: str
    proxy: str


@dataclass(frozen=True, slots=True)
class PodProblem:
    """Why a pod of the control plane is not ready: the Warning about it that tells most, which is the
    longest; where there is none, what its own status says."""

    pod: str
    reason: str
    message: str


class ProbeVerdict(StrEnum):
    """What a dry-run pod told."""

    INJECTED = "injected"
    NOT_INJECTED = "not-injected"
    WEBHOOK_FAILED = "webhook-failed"
    DENIED = "denied"
    NOT_PERMITTED = "not-permitted"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Probe:
    """Result of the dry-run pod. `revision` is the one that injected it, `message` the API server's own
    words, `failing` for how many seconds it has come to nothing although nothing that it depends on changed.
    """

    verdict: ProbeVerdict
    revision: str = ""
    message: str = ""
    failing: float = 0.0


@dataclass(frozen=True, slots=True)
class ObservedMesh:
    """Everything a MeshControlPlane's reconcile depends on.

    `body` is the object itself, `spec` its parsed form (None with `spec_error` when it does not parse).
    `meshes` are all meshes of the cluster, this one included; `owned` the objects that carry its labels,
    except CRDs; `revisions` its MeshRevisions. `namespaces` are all of the cluster. `profiles` are the user
    profiles by name. `root` is the fingerprint of the mesh's root certificates, empty while unknown. `probe`
    is None while no dry run was due. `kind_deleted` is when the deletion of the kind itself, its
    CustomResourceDefinition, was asked for; it is looked for while the mesh is being deleted only.
    """

    environment: Environment
    assets: Assets
    owner: Owner
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
    proxies: tuple[ProxyPod, ...]
    root: str
    probe: Probe | None
    now: str
    kind_deleted: str = ""

    @property
    def generation(self) -> int:
        """metadata.generation of the mesh."""
        return int(self.body["metadata"].get("generation", 0))

    @property
    def revision(self) -> Manifest | None:
        """The MeshRevision that the mesh's tag stands for; others are left over from an earlier tag."""
        name = revision_name(self.tag)
        return next((r for r in self.revisions if r["metadata"]["name"] == name), None)

    @property
    def tag(self) -> str:
        """The mesh's effective tag."""
        return next(mesh.tag for mesh in self.meshes if mesh.uid == self.owner.uid)

    @property
    def deleting(self) -> bool:
        """Whether the mesh is being deleted."""
        return "deletionTimestamp" in self.body["metadata"]

    @property
    def namespace(self) -> Namespace | None:
        """The mesh's own namespace; None when it is gone."""
        return self.namespaces.get(self.owner.namespace)


@dataclass(frozen=True, slots=True)
class ObservedRevision:
    """Everything a MeshRevision's reconcile depends on. `mesh` is its MeshControlPlane, None when that is
    gone."""

    environment: Environment
    assets: Assets
    owner: Owner
    body: Manifest
    mesh: Manifest | None
    namespace: Namespace | None
    owned: tuple[Manifest, ...]
    problems: tuple[PodProblem, ...] = field(default=())
    now: str = ""

    @property
    def generation(self) -> int:
        """metadata.generation of the revision."""
        return int(self.body["metadata"].get("generation", 0))
