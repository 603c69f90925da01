"""What every one of our kinds shares: naming, the base model, conditions.

Owns the conventions of the schema. Must never hold a rule that belongs to one kind only.
Invariant: every field has a description; a field that may be absent has no schema default that could change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "mesh.navarch.io"
VERSION = "v1beta1"
API_VERSION = f"{GROUP}/{VERSION}"
NAVARCH = "0.1.0"
"""The release of Navarch."""
RELEASE = f"{GROUP}/release"
"""Annotation of our kinds, and of what the operator keeps itself: the release that wrote it."""
IMAGE = f"navarch:{NAVARCH}"
"""The operator's image, unless another is named."""
LEASE = "navarch"
"""Name of the Lease that the leading operator holds, in the namespace of the operator."""
FORCE_DELETE = f"{GROUP}/force-delete"
"""Annotation: `"true"` lets a MeshControlPlane be deleted although pods still carry its proxies."""
APPROVED = f"{GROUP}/approved"
"""Annotation on a MeshControlPlane: the hash of the plan that may be carried out (`status.plan.hash`)."""
RETRY = f"{GROUP}/retry"
"""Annotation on a MeshControlPlane: another value has what was given up tried once more."""
ROOT_GENERATION = f"{GROUP}/root-generation"
"""Annotation on a MeshControlPlane: which root its managed certificate authority is to have, by number. Label
on a root's Secret: its number."""
ROOT_STRATEGY = f"{GROUP}/root-strategy"
"""Annotation on a MeshControlPlane: `Emergency` switches to that root without waiting for proxies."""
FINALIZER = f"{GROUP}/cleanup"
"""Finalizer on an object of ours: it goes when everything that was made for it is removed."""
ROLL_NAMESPACE = f"{GROUP}/roll-namespace"
ROLL_NAME = f"{GROUP}/roll-name"
"""Labels on a MeshMember that a MeshMemberRoll has made: which one. Only the operator writes them."""
MEMBER_OF = f"{GROUP}/member-of"
"""Label on a namespace that a MeshMember has brought into a mesh: `<namespace>.<name>` of the mesh. Only the
operator writes it."""

JSONObject: TypeAlias = dict[str, Any]
"""A free-form object, kept as the user wrote it (x-kubernetes-preserve-unknown-fields)."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$", max_length=63)]
CIDR = Annotated[str, Field(pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$", max_length=49)]
Quantity = Annotated[
    str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$", max_length=32)
]


class Model(BaseModel):
    """Base of every part of a resource: camelCase in JSON, immutable in Python."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    def to_json(self) -> JSONObject:
        """The object as the API server sees it: camelCase, without what was never set."""
        return self.model_dump(by_alias=True, exclude_none=True, mode="json")


def build_rule(
    expression: str,
    *,
    message: str,
    field: str = "",
    shown: str = "",
    reason: Literal["FieldValueInvalid", "FieldValueForbidden"] = "FieldValueInvalid",
) -> JSONObject:
    """A CEL rule of the schema (x-kubernetes-validations).

    `field` is the path that the API server names, relative to the object the rule stands on (absent on a
    whole resource, whose metadata it cannot name); `message` says what is wrong and what to do; `shown` is a
    CEL expression for the offending value, which is put before the message.
    """
    rule = {"rule": expression, "message": message, "reason": reason}
    if field:
        rule["fieldPath"] = field
    if shown:
        text = quote_cel("%s: " + message.replace("%", "%%"))
        rule["messageExpression"] = f"{text}.format([{shown}])"
    return rule


def quote_cel(text: str) -> str:
    """A CEL string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`; `wide` shows it with `-o wide` only."""

    name: str
    path: str
    description: str
    type: Literal["string", "integer", "date"] = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """One of our kinds, as its CustomResourceDefinition is made from it.

    `rules` are CEL rules on the whole object: nothing of metadata but its name can be seen there.
    """

    kind: str
    plural: str
    short_names: tuple[str, ...]
    description: str
    spec: type[Model]
    status: type[Model]
    columns: tuple[Column, ...]
    rules: tuple[JSONObject, ...] = ()


class Condition(Model):
    """One aspect of the observed state, after metav1.Condition."""

    type: Annotated[str, Field(max_length=316)] = Field(description="Name of the condition.")
    status: Literal["True", "False", "Unknown"] = Field(
        description="True, False, or Unknown when it could not be determined."
    )
    observed_generation: int = Field(
        ge=0, description="metadata.generation that the condition was computed from."
    )
    last_transition_time: str = Field(
        json_schema_extra={"format": "date-time"}, description="When status last changed."
    )
    reason: Annotated[
        str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    ] = Field(description="One CamelCase word that says why; all are listed in docs/reference/conditions.md.")
    message: Annotated[str, Field(max_length=32768)] = Field(
        description="What is wrong, on which object, and what happens next or what to do."
    )


Conditions = Annotated[
    list[Condition],
    Field(
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]
