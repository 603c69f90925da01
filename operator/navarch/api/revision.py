"""MeshRevision: one resolved installation of a control plane, written by the operator only.

It is to a MeshControlPlane what a ReplicaSet is to a Deployment: the unit of render, apply, readiness and
prune. Invariants: its name, mesh, tag and strategy never change, nor with RevisionBased its version; its name
says its strategy; everything it renders follows from its spec and the catalog.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from navarch.api.controlplane import ComponentStatus
from navarch.api.meta import Column, Conditions, JSONObject, Model, Name, Resource, build_rule
from navarch.api.spec import RevisionConfig
from navarch.api.upgrade import IN_PLACE, REVISION_BASED

KIND = "MeshRevision"
PLURAL = "meshrevisions"
MOST_EXCLUDED = 1024
"""How many namespaces a revision can name that stay outside."""
MOST_PROVED = 3
"""Inputs that a revision remembers: the one that serves, and those before it."""
MOST_RECORDED = 262144
"""Characters of all configurations that it remembers: of what does not fit only the hash is kept."""


def _never_changes(field: str) -> JSONObject:
    return build_rule(
        f"self.{field} == oldSelf.{field}",
        field=f".{field}",
        message=f"the {field} of a revision never changes; Navarch makes another revision instead",
        shown=f"self.{field}",
        reason="FieldValueForbidden",
    )


_HOSTING_RULE = build_rule(
    "has(self.hosting) == has(oldSelf.hosting)",
    field=".hosting",
    message="the hosting of a revision never changes; Navarch makes another revision instead",
    shown="(has(self.hosting) ? self.hosting : 'unset')",
    reason="FieldValueForbidden",
)


_STRATEGY_RULE = build_rule(
    # One that only a newer release knows is corrected after a rollback to this one.
    f"self.strategy == oldSelf.strategy || !(oldSelf.strategy in ['{IN_PLACE}', '{REVISION_BASED}'])",
    field=".strategy",
    message="the strategy of a revision never changes; Navarch makes another revision instead",
    shown="self.strategy",
    reason="FieldValueForbidden",
)
_VERSION_RULE = build_rule(
    f"oldSelf.strategy != '{REVISION_BASED}' || self.version == oldSelf.version",
    field=".version",
    message="the version of such a revision never changes; Navarch makes another revision instead",
    shown="self.version",
    reason="FieldValueForbidden",
)


class Members(Model):
    """Which namespaces the revision serves, beside its own."""

    default: bool = Field(description="Whether it serves namespaces labelled istio-injection=enabled.")
    excluded: list[Annotated[str, Field(max_length=63)]] = Field(
        max_length=MOST_EXCLUDED,
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description="Namespaces that are never members, with any labels.",
    )
    member_of: Annotated[str, Field(max_length=63)] | None = Field(
        None,
        description="Value of the label mesh.navarch.io/member-of by which alone a namespace is a member. "
        "Default: namespaces are members by the tag.",
    )
    cluster: bool | None = Field(
        None,
        description="Whether every namespace is a member, but for those with another value of "
        "mesh.navarch.io/member-of. Default: false.",
    )


class MeshRevisionSpec(Model):
    """The installation that is wanted."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                _never_changes("mesh"),
                _never_changes("tag"),
                _STRATEGY_RULE,
                _VERSION_RULE,
                _HOSTING_RULE,
            ]
        }
    )

    mesh: Name = Field(description="Name of the MeshControlPlane, in the same namespace.")
    tag: Annotated[str, Field(max_length=63)] = Field(description="Tag of the mesh.")
    version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$", max_length=20)] = Field(
        description="Exact version of Istio."
    )
    strategy: Literal["RevisionBased", "InPlace"] = Field(
        description="Upgrade strategy that the revision was made under."
    )
    beside: bool | None = Field(
        None,
        description="InPlace: whether it has been one of several revisions of its mesh, so that the webhook "
        "that follows the tag validates the configuration that names no revision, and not its own. Default: "
        "false.",
    )
    hosting: Literal["Hosted"] | None = Field(
        None,
        description="Hosted: the control plane runs in a namespace that Navarch makes. Default: in the "
        "mesh's own.",
    )
    members: Members = Field(description="Which namespaces the revision serves.")
    config: RevisionConfig = Field(description="The sum of profiles and spec, with nothing left to default.")


class ProvedInput(Model):
    """What the revision was rendered from when it was Ready and its webhooks trusted."""

    hash: str = Field(max_length=64, description="Hash of version and configuration.")
    version: str = Field(max_length=20, description="Exact version of Istio.")
    config: str | None = Field(
        None,
        max_length=MOST_RECORDED,
        description="The configuration as JSON; absent where it is too large to be kept, and cannot be gone "
        "back to.",
    )


class Attempt(Model):
    """An input that is being rolled out and was not proved yet."""

    hash: str = Field(max_length=64, description="Hash of version and configuration.")
    since: str = Field(
        max_length=64,
        json_schema_extra={"format": "date-time"},
        description="When it was first seen: from here progressDeadlineSeconds count.",
    )


class MeshRevisionStatus(Model):
    """What was seen."""

    observed_generation: int | None = Field(
        None, ge=0, description="metadata.generation that status speaks of."
    )
    conditions: Conditions | None = Field(None, description="The revision's state, aspect by aspect.")
    version: str | None = Field(
        None, max_length=20, description="Exact version that serves; absent until one does."
    )
    proxy: str | None = Field(
        None,
        max_length=128,
        description="Value of mesh.navarch.io/proxy on pods injected now; tells current from outdated.",
    )
    components: list[ComponentStatus] | None = Field(
        None, max_length=64, json_schema_extra={"x-kubernetes-list-type": "atomic"}, description="Workloads."
    )
    proved: list[ProvedInput] | None = Field(
        None,
        max_length=MOST_PROVED,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description="What it was proved with, the last first: where a roll back leads to.",
    )
    attempt: Attempt | None = Field(
        None, description="The change that is being rolled out; absent once it is proved."
    )


RESOURCE = Resource(
    kind=KIND,
    plural=PLURAL,
    short_names=("meshrev",),
    description="One resolved installation of a mesh's control plane, written by Navarch only.",
    spec=MeshRevisionSpec,
    status=MeshRevisionStatus,
    columns=(
        Column("Mesh", ".spec.mesh", "MeshControlPlane that it belongs to."),
        Column("Version", ".spec.version", "Exact version of Istio."),
        Column(
            "Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether it serves as its spec asks."
        ),
        Column("Status", '.status.conditions[?(@.type=="Ready")].reason', "Why it is ready or not."),
        Column("Age", ".metadata.creationTimestamp", "Time since the object was made.", type="date"),
        Column("Tag", ".spec.tag", "Tag of the mesh.", wide=True),
        Column(
            "Message", '.status.conditions[?(@.type=="Ready")].message', "What is wrong, in words.", wide=True
        ),
    ),
)
