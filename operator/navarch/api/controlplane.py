"""MeshControlPlane: one mesh, as its administrator writes it.

Invariant: every condition of docs/reference/conditions.md is in status from the first reconcile.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from navarch.api.authority import CertificateAuthorityStatus
from navarch.api.dataplane import DataPlaneStatus
from navarch.api.inline import MeshSettings
from navarch.api.member import MOST_WORKLOADS
from navarch.api.member import ManualWorkload as OwnManualWorkload
from navarch.api.meta import Column, Conditions, Model, Name, Resource, build_rule
from navarch.api.networkpolicies import MANAGE_RULE
from navarch.api.spec import Version
from navarch.api.upgrade import PlanStatus, Upgrade, UpgradeStatus

KIND = "MeshControlPlane"
PLURAL = "meshcontrolplanes"
MEMBERS = "Members"
"""The scope of a mesh whose members are the namespaces with a MeshMember."""
CLUSTER = "Cluster"
"""The scope of a mesh to which every namespace belongs."""
MOST_PUT_OUT = 256
"""Names in spec.excludedNamespaces."""
HOSTED = "Hosted"
"""The hosting of a mesh whose control plane runs in a namespace that Navarch makes."""
HOSTED_FORM = "^navarch-[0-9a-f]{20}$"
"""Names of such namespaces, as a regular expression."""

Tag = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=40)]

REVISION_FORM = r"((-[0-9]+){3}|-inplace)$"
"""What names of revisions end in, and no tag may: a revision is `<tag>-<version with dashes>` or
`<tag>-inplace`."""

_TAG_RULES = [
    build_rule(
        "has(self.tag) == has(oldSelf.tag) && (!has(self.tag) || self.tag == oldSelf.tag)",
        field=".tag",
        message="the tag of a mesh never changes, nor is it set or unset later, since namespaces carry it; "
        "put it back as it was, or make another mesh and move its namespaces there",
        shown="(has(self.tag) ? self.tag : 'unset')",
        reason="FieldValueForbidden",
    ),
    build_rule(
        f"!has(self.tag) || !self.tag.matches('{REVISION_FORM}')",
        field=".tag",
        message="names of revisions end like this (-inplace, or three numbers); choose a tag that does not",
        shown="self.tag",
    ),
    build_rule(
        "!has(self.tag) || self.tag != 'default'",
        field=".tag",
        message="the tag default belongs to istio-injection=enabled; set defaultTag: true beside a tag of "
        "another name",
        shown="self.tag",
    ),
]
_HOSTED = "(has({0}.hosting) && {0}.hosting == 'Hosted')"
_HOSTING_RULES = [
    build_rule(
        f"{_HOSTED.format('self')} == {_HOSTED.format('oldSelf')}",
        field=".hosting",
        message="the hosting of a mesh never changes, since its certificate authority cannot move with it; "
        "put it back as it was, or make another mesh in another namespace and move the members there",
        shown="(has(self.hosting) ? self.hosting : 'unset')",
        reason="FieldValueForbidden",
    ),
    build_rule(
        f"!{_HOSTED.format('self')} || (has(self.scope) && self.scope in ['Members', 'Cluster'])",
        field=".hosting",
        message="a hosted mesh takes in no namespace by its tag; set scope: Members (or Cluster)",
        shown="self.hosting",
    ),
]
_REPLICAS_RULE = build_rule(
    "!has(self.controlPlane) || !has(self.controlPlane.replicas) || !has(self.controlPlane.autoscaling) || "
    "!has(self.controlPlane.autoscaling.enabled) || !self.controlPlane.autoscaling.enabled",
    field=".controlPlane.replicas",
    message="the autoscaler decides the number of istiods; remove replicas, or set autoscaling.enabled: "
    "false",
    shown="self.controlPlane.replicas",
)


class MeshControlPlaneSpec(MeshSettings):
    """The mesh that is wanted."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [*_TAG_RULES, *_HOSTING_RULES, _REPLICAS_RULE, MANAGE_RULE]
        }
    )

    version: Version = Field(
        description="Istio's version: a minor, which follows its newest patch (`1.31`), or exact (`1.31.1`). "
        "Another version rolls istiod, and then, all at once, the Gateways that istiod deployed."
    )
    profiles: list[Name] | None = Field(
        None,
        max_length=16,
        description="Layers below this spec; the last wins, and the spec wins over all. Default: default.",
    )
    tag: Tag | None = Field(
        None,
        description="Value of istio.io/rev on namespaces that join the mesh; stable across upgrades and "
        "immutable. Default: <namespace>-<name>, shortened by a hash where that is too long.",
    )
    default_tag: bool | None = Field(
        None,
        description="Whether the mesh also takes namespaces labelled istio-injection=enabled, and validates "
        "Istio configuration that names no revision. At most one mesh of the cluster. Default: false.",
    )
    scope: Literal["Members", "Cluster"] | None = Field(
        None,
        description="Which namespaces belong to the mesh. Members: those with a MeshMember that names it; a "
        "label written by hand takes in none. Cluster: every namespace, with the tag as the label by which "
        "pods are injected; then no other mesh can be in the cluster, and to set it takes the verb host in "
        "all namespaces. Default: those that carry its tag.",
    )
    excluded_namespaces: list[Name] | None = Field(
        None,
        max_length=MOST_PUT_OUT,
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description="Namespaces that do not belong to the mesh, whatever their labels, their MeshMember or a "
        "MeshMemberRoll say; one that did leaves it. The mesh's own stays.",
    )
    hosting: Literal["InNamespace", "Hosted"] | None = Field(
        None,
        description="Where the control plane runs. InNamespace: beside the mesh, which needs the verb host. "
        "Hosted: in a namespace that Navarch makes, and removes with the mesh and its certificate authority; "
        "needs scope: Members or Cluster, and the verb host only for the fields that docs/reference/power.md "
        "names. Never changes. Default: InNamespace.",
    )
    upgrade: Upgrade | None = Field(None, description="How the mesh goes from one version to the next.")
    paused: bool | None = Field(
        None,
        description="While true nothing is written but status and Events; a deletion waits. To pause needs "
        "the verb host, to resume does not. Default: false.",
    )


class VersionStatus(Model):
    """Versions of the control plane."""

    desired: str | None = Field(
        None, max_length=20, description="The exact version that the spec resolves to."
    )
    active: str | None = Field(None, max_length=20, description="The exact version that serves.")
    upgrade_to: str | None = Field(
        None,
        max_length=20,
        description="The exact version to which the tag is to move; absent while no upgrade is under way.",
    )


class ManualWorkload(OwnManualWorkload):
    """What nothing makes anew with a newer proxy, in any namespace of the mesh."""

    namespace: str = Field(max_length=63, description="Its namespace.")


class ProxyCounts(Model):
    """The mesh's proxies, counted from what runs."""

    total: int = Field(ge=0, description="Pods with a proxy of this mesh.")
    current: int = Field(ge=0, description="Proxies of the active version and configuration.")
    outdated: int = Field(ge=0, description="Proxies that a restart of their pod would change.")
    misplaced: int | None = Field(
        None,
        ge=0,
        description="Pods where membership and injection disagree: in the mesh's namespaces with the proxy "
        "of another control plane, or outside of them with a proxy of this mesh. They are not in total.",
    )
    gateways: int | None = Field(
        None,
        ge=0,
        description="Of total, pods of the gateways of spec.gateways: they go with the mesh, and do not keep "
        "it from being deleted.",
    )
    manual: int | None = Field(
        None,
        ge=0,
        description="Pods in the mesh's namespaces with another proxy than the mesh injects now that no "
        "rollout replaces: those without a controller, and those of Jobs.",
    )
    manual_workloads: list[ManualWorkload] | None = Field(
        None,
        max_length=MOST_WORKLOADS,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["namespace", "kind", "name"],
        },
        description="What these belong to, the first by namespace, kind and name.",
    )
    summary: str = Field(max_length=32, description="current/total, for kubectl get.")


class RevisionSummary(Model):
    """One revision of the control plane."""

    name: str = Field(
        max_length=253, description="Name of the MeshRevision, and value of istio.io/rev of its pods."
    )
    version: str = Field(max_length=20, description="Exact version.")
    ready: bool = Field(description="Whether the revision is ready.")
    phase: Literal["Active", "Proving", "Retiring"] | None = Field(
        None,
        description="Active: the tag points to it. Proving: the tag is to move to it. Retiring: it goes when "
        "nothing uses it and its grace period is over. Absent where a mesh has one revision that is "
        "changed in place (InPlace): that is the active one.",
    )
    proxies: int = Field(ge=0, description="Pods whose proxy was injected by it.")


class ComponentStatus(Model):
    """One workload of the control plane."""

    kind: str = Field(max_length=63, description="Kind of the object.")
    name: str = Field(max_length=253, description="Name of the object.")
    ready: int = Field(ge=0, description="Pods that are ready.")
    desired: int = Field(ge=0, description="Pods that are wanted.")
    message: str | None = Field(
        None, max_length=4096, description="Why it is not ready, from the pods' own status."
    )


MOST_GATEWAYS = 64
"""Gateways that status lists, those that are not ready before others."""


class GatewaySummary(Model):
    """One gateway of the mesh."""

    namespace: str = Field(max_length=63, description="Namespace of the MeshGateway.")
    name: str = Field(max_length=253, description="Name of the MeshGateway.")
    ready: bool = Field(description="Whether it is ready, by its own status.")
    reason: str = Field(max_length=1024, description="Why it is ready or not.")
    address: str | None = Field(None, max_length=253, description="First address at which clients reach it.")


MOST_PENDING = 64
"""Members that are not ready which status lists."""


class PendingMember(Model):
    """A namespace that is to belong to the mesh, or to leave it, and is not ready."""

    namespace: str = Field(max_length=63, description="The namespace, and its MeshMember's.")
    reason: str = Field(max_length=1024, description="Why, by the MeshMember's condition Ready.")


class MemberCounts(Model):
    """The namespaces of the mesh, its own excepted."""

    total: int = Field(
        ge=0, description="Namespaces that carry its label, and those whose MeshMember names it."
    )
    ready: int = Field(
        ge=0, description="Of these, those whose MeshMember is Ready, or that belong to the mesh without one."
    )
    pending: list[PendingMember] | None = Field(
        None,
        max_length=MOST_PENDING,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["namespace"]},
        description="The others, the first by namespace.",
    )
    summary: str = Field(max_length=32, description="ready/total, for kubectl get.")


class MeshControlPlaneStatus(Model):
    """What was seen."""

    observed_generation: int | None = Field(
        None, ge=0, description="metadata.generation that status speaks of."
    )
    conditions: Conditions | None = Field(None, description="The mesh's state, aspect by aspect.")
    version: VersionStatus | None = Field(None, description="Versions of the control plane.")
    active_revision: str | None = Field(
        None, max_length=253, description="The revision that the tag points to."
    )
    tag: str | None = Field(
        None, max_length=63, description="Value of istio.io/rev that joins a namespace to the mesh."
    )
    control_plane_namespace: str | None = Field(
        None,
        max_length=63,
        description="Namespace of the control plane, where that is not the mesh's own (`istioctl -i`).",
    )
    upgrade: UpgradeStatus | None = Field(
        None,
        description="The upgrade from one revision to another that is under way; absent while none is. "
        "A change of the one revision of a mesh in place (InPlace) is none: Progressing says how far it is, "
        "and version.desired what it leads to.",
    )
    revisions: list[RevisionSummary] | None = Field(
        None,
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        description="All revisions of the control plane.",
    )
    components: list[ComponentStatus] | None = Field(
        None,
        max_length=64,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description="Workloads of the control plane.",
    )
    plan: PlanStatus | None = Field(
        None, description="The change that waits for an approval; absent while none does."
    )
    certificate_authority: CertificateAuthorityStatus | None = Field(
        None, description="The mesh's certificate authority."
    )
    data_plane: DataPlaneStatus | None = Field(
        None, description="How far the restarts of workloads are; absent unless Navarch is to restart them."
    )
    proxies: ProxyCounts | None = Field(None, description="The mesh's proxies.")
    members: MemberCounts | None = Field(None, description="The mesh's namespaces.")
    gateways: list[GatewaySummary] | None = Field(
        None,
        max_length=MOST_GATEWAYS,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["namespace", "name"],
        },
        description="Gateways that the mesh makes, and others in its namespaces. Of more than fit, those "
        "that are not ready come first.",
    )


RESOURCE = Resource(
    kind=KIND,
    plural=PLURAL,
    short_names=("meshcp",),
    description="One Istio mesh. A namespace holds one; of several the oldest counts.",
    spec=MeshControlPlaneSpec,
    status=MeshControlPlaneStatus,
    columns=(
        Column("Version", ".status.version.active", "Exact version of Istio that serves."),
        Column("Revision", ".status.activeRevision", "Revision that the tag points to."),
        Column(
            "Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether the mesh is as its spec asks."
        ),
        Column("Status", '.status.conditions[?(@.type=="Ready")].reason', "Why it is ready or not."),
        Column("Members", ".status.members.summary", "Namespaces that are ready, of all beside its own."),
        Column("Proxies", ".status.proxies.summary", "Proxies that are current, of all that run."),
        Column("Tag", ".status.tag", "Value of istio.io/rev that joins a namespace to the mesh."),
        Column(
            "CA-Expires",
            ".status.certificateAuthority.expires",
            "Day on which the first certificate of a managed authority ends.",
            wide=True,
        ),
        Column("Age", ".metadata.creationTimestamp", "Time since the object was made.", type="date"),
        Column(
            "Message", '.status.conditions[?(@.type=="Ready")].message', "What is wrong, in words.", wide=True
        ),
    ),
    rules=(
        build_rule(
            "self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')",
            message="labels and Services are named after the mesh; choose a name of at most 63 characters "
            "and no dots",
            shown="'metadata.name: ' + self.metadata.name",
        ),
    ),
)
