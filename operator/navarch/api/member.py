"""MeshMember: that a namespace belongs to a mesh, said by who owns the namespace.

Owns what may be said of it. Must never hold a field that decides what runs in the namespace: that follows
from the mesh. Invariant: a namespace has one MeshMember at most, which is named `default`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from navarch.api.dataplane import Window
from navarch.api.meta import Column, Conditions, Model, Name, Resource, build_rule

KIND = "MeshMember"
PLURAL = "meshmembers"
NAME = "default"
"""The name of every MeshMember."""


class MeshRef(Model):
    """Names a MeshControlPlane."""

    name: Name = Field(description="Name of the MeshControlPlane.")
    namespace: Name = Field(description="Its namespace.")


_REF_RULE = build_rule(
    "self.controlPlaneRef == oldSelf.controlPlaneRef",
    field=".controlPlaneRef",
    message="a member stays with its mesh; to move to another one, delete this MeshMember, which leaves the "
    "mesh, and make one for the other mesh",
    shown="self.controlPlaneRef.name",
    reason="FieldValueForbidden",
)


class MeshMemberSpec(Model):
    """The membership that is wanted."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": [_REF_RULE]})

    control_plane_ref: MeshRef = Field(
        description="The mesh. It takes the verb use on it to join. Immutable."
    )
    injection: Literal["Enabled", "Disabled"] | None = Field(
        None,
        description="Whether pods of the namespace get a sidecar, unless their own labels say otherwise. "
        "Default: Enabled.",
    )
    restarts: Literal["Never", "First", "Last"] | None = Field(
        None,
        description="When Navarch restarts the namespace's workloads for newer proxies, where the mesh has "
        "that done (spec.upgrade.dataPlane). Never: their owners do. First: in the first wave after the "
        "canaries. Last: in the last wave. The annotation mesh.navarch.io/rollout on the namespace counts "
        "before this. Default: in a wave by the namespace's name.",
    )
    restart_windows: list[Window] | None = Field(
        None,
        max_length=20,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description="When such restarts may begin here; in one of them is enough. They narrow the windows "
        "of the mesh: both have to be open, and what the annotation mesh.navarch.io/restart-windows says as "
        "well. Default: when those of the mesh are.",
    )


MOST_WORKLOADS = 32
"""Workloads to be replaced by hand that status lists."""


class ManualWorkload(Model):
    """What nothing makes anew with a newer proxy."""

    kind: Literal["Pod", "Job"] = Field(description="Pod for one that has no controller, or Job.")
    name: str = Field(max_length=253, description="Its name.")
    pods: int = Field(ge=1, description="Its pods that are outdated or misplaced.")


class MemberProxies(Model):
    """The proxies in the namespace."""

    total: int = Field(ge=0, description="Pods with a proxy of the mesh.")
    current: int = Field(ge=0, description="Of these, pods that run the proxy which the mesh injects now.")
    outdated: int = Field(ge=0, description="Of these, pods with an older one, until they are restarted.")
    misplaced: int | None = Field(
        None,
        ge=0,
        description="Pods with the proxy of another control plane, until they are restarted. They are not in "
        "total.",
    )
    manual: int | None = Field(
        None,
        ge=0,
        description="Of outdated and misplaced, pods that no rollout replaces: those without a controller, "
        "and those of Jobs.",
    )
    manual_workloads: list[ManualWorkload] | None = Field(
        None,
        max_length=MOST_WORKLOADS,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["kind", "name"],
        },
        description="What these belong to, the first by kind and name.",
    )
    summary: str = Field(max_length=24, description="current/total.")


class MeshMemberStatus(Model):
    """What was seen."""

    observed_generation: int | None = Field(
        None, ge=0, description="metadata.generation that status speaks of."
    )
    conditions: Conditions | None = Field(None, description="The membership's state, aspect by aspect.")
    tag: str | None = Field(None, max_length=63, description="Tag of the mesh that the namespace carries.")
    proxies: MemberProxies | None = Field(None, description="The proxies in the namespace.")


RESOURCE = Resource(
    kind=KIND,
    plural=PLURAL,
    short_names=("meshm",),
    description="That a namespace belongs to a mesh, said by who owns the namespace.",
    spec=MeshMemberSpec,
    status=MeshMemberStatus,
    columns=(
        Column("Mesh", ".spec.controlPlaneRef.name", "MeshControlPlane that the namespace belongs to."),
        Column(
            "Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether the namespace is a member."
        ),
        Column("Status", '.status.conditions[?(@.type=="Ready")].reason', "Why it is or not."),
        Column("Proxies", ".status.proxies.summary", "Pods with the mesh's present proxy, of all with one."),
        Column("Manual", ".status.proxies.manual", "Pods with another proxy that no rollout replaces."),
        Column("Age", ".metadata.creationTimestamp", "Time since the object was made.", type="date"),
        Column("Mesh-Namespace", ".spec.controlPlaneRef.namespace", "The mesh's namespace.", wide=True),
        Column(
            "Message", '.status.conditions[?(@.type=="Ready")].message', "What is wrong, in words.", wide=True
        ),
    ),
    rules=(
        build_rule(
            f"self.metadata.name == '{NAME}'",
            message=f"a namespace has one MeshMember; name it {NAME}",
            shown="'metadata.name: ' + self.metadata.name",
        ),
    ),
)
