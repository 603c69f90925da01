"""MeshMemberRoll: which namespaces belong to a mesh, said by who administers it.

Owns what may be said of it, and how an entry of spec.members is read. Must never name a mesh: a namespace
holds one, and a roll is for that beside it. Invariant: a mesh has one roll at most, which is named `default`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field

from navarch.api.meta import Column, Conditions, Model, Resource, build_rule

KIND = "MeshMemberRoll"
PLURAL = "meshmemberrolls"
NAME = "default"
"""The name of every MeshMemberRoll."""
ALL = "*"
"""In spec.members: every namespace that may belong to the mesh."""
MOST_NAMES = 1000
"""Names of a roll: the policy that asks for rights in each compares them with those that were there."""
MOST_PENDING = 50
"""Namespaces that status.pending names."""

AT = "@"
"""In an entry of spec.members, between a namespace's name and its uid."""

_UID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
MemberName = Annotated[
    str,
    Field(pattern=rf"^([*]|[a-z0-9]([-a-z0-9]{{0,61}}[a-z0-9])?({AT}{_UID})?)$", max_length=100),
]
_Key = Annotated[
    str,
    Field(pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"),
    Field(max_length=317),
]
_Value = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$", max_length=63)]

_VALUES_RULE = build_rule(
    "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
    field=".values",
    message="In and NotIn need values, Exists and DoesNotExist take none; add them, or leave them out",
    shown="self.operator",
)
_EMPTY_RULE = build_rule(
    "(has(self.matchLabels) && size(self.matchLabels) > 0) || "
    "(has(self.matchExpressions) && size(self.matchExpressions) > 0)",
    message="a selector without labels means all namespaces; write '*' into spec.members for these",
    shown="'{}'",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What an entry of spec.members means: the namespace that has this name, whichever it is, or with `uid`
    the one that had it when the entry was written."""

    name: str
    uid: str = ""

    @classmethod
    def read(cls, text: str) -> Self:
        """An entry that is not ALL."""
        name, _, uid = text.partition(AT)
        return cls(name, uid)

    def __str__(self) -> str:
        return f"{self.name}{AT}{self.uid}" if self.uid else self.name


class Requirement(Model):
    """One requirement of a selector."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": [_VALUES_RULE]})

    key: _Key = Field(description="Key of the label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="How the namespace's value is compared."
    )
    values: list[_Value] | None = Field(
        None, max_length=64, description="Values for In and NotIn; none for the others."
    )


class NamespaceSelector(Model):
    """Selects namespaces by their labels; all of it must hold."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": [_EMPTY_RULE]})

    match_labels: dict[str, _Value] | None = Field(
        None,
        description="Labels that a namespace must have.",
        json_schema_extra={"maxProperties": 16},
    )
    match_expressions: list[Requirement] | None = Field(
        None, max_length=16, description="What must hold of a namespace's labels."
    )


class MeshMemberRollSpec(Model):
    """The namespaces that are wanted in the mesh of the roll's own namespace."""

    members: list[MemberName] | None = Field(
        None,
        max_length=MOST_NAMES,
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description="Namespaces: `NAME@UID` for the one with this name and this metadata.uid, `NAME` for "
        "whichever has the name, now or later, `*` for every one that may belong to the mesh. To add "
        "`NAME@UID` takes the right to update pods in that namespace, at most 96 in one request; to add "
        "`NAME` or `*` takes it in the whole cluster. More namespaces than fit are chosen by "
        "memberSelectors.",
    )
    member_selectors: list[NamespaceSelector] | None = Field(
        None,
        max_length=16,
        description="Namespaces with these labels; one of the selectors must hold. Labels that Navarch puts "
        "on members do not count. It takes the right to update pods in the whole cluster.",
    )


class RollMembers(Model):
    """The namespaces of a roll, counted."""

    total: int = Field(ge=0, description="Namespaces that the roll asks for.")
    ready: int = Field(ge=0, description="Of these, members of the mesh.")
    pending: int = Field(ge=0, description="Of these, those that are not members, or not yet.")
    self_joined: int = Field(
        ge=0, description="Namespaces whose MeshMember the roll did not make: it stays when the roll goes."
    )
    summary: Annotated[str, Field(max_length=24)] = Field(description="ready/total.")


class PendingMember(Model):
    """A namespace that is not a member yet, and why."""

    namespace: Annotated[str, Field(max_length=63)] = Field(description="Name of the namespace.")
    reason: Annotated[str, Field(max_length=64)] = Field(
        description="One word that says why; all are listed in docs/reference/conditions.md."
    )
    message: Annotated[str, Field(max_length=512)] = Field(description="The same in words.")


class MeshMemberRollStatus(Model):
    """What was seen."""

    observed_generation: int | None = Field(
        None, ge=0, description="metadata.generation that status speaks of."
    )
    conditions: Conditions | None = Field(None, description="The roll's state, aspect by aspect.")
    mesh: Annotated[str, Field(max_length=253)] | None = Field(
        None, description="Name of the MeshControlPlane beside the roll."
    )
    members: RollMembers | None = Field(None, description="The roll's namespaces, counted.")
    pending: list[PendingMember] | None = Field(
        None,
        max_length=MOST_PENDING,
        description=f"Namespaces that are not members yet, the first {MOST_PENDING} by name.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["namespace"]},
    )


RESOURCE = Resource(
    kind=KIND,
    plural=PLURAL,
    short_names=("meshmr",),
    description="Which namespaces belong to the mesh of its own namespace, said by who administers it.",
    spec=MeshMemberRollSpec,
    status=MeshMemberRollStatus,
    columns=(
        Column("Mesh", ".status.mesh", "MeshControlPlane that the namespaces belong to."),
        Column(
            "Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether all namespaces are members."
        ),
        Column("Status", '.status.conditions[?(@.type=="Ready")].reason', "Why they are or not."),
        Column("Members", ".status.members.summary", "Members of the mesh, of all that the roll asks for."),
        Column("Age", ".metadata.creationTimestamp", "Time since the object was made.", type="date"),
        Column(
            "Message", '.status.conditions[?(@.type=="Ready")].message', "What is wrong, in words.", wide=True
        ),
    ),
    rules=(
        build_rule(
            f"self.metadata.name == '{NAME}'",
            message=f"a mesh has one MeshMemberRoll; name it {NAME}",
            shown="'metadata.name: ' + self.metadata.name",
        ),
    ),
)
