"""What every policy is made of: a rule, a policy with its binding, and pieces of CEL.

Owns the form of a ValidatingAdmissionPolicy of ours. Must know no rule of any kind. Invariant: every policy
fails closed, and every refusal names the field, what stands there and what to do.

How CEL sees our objects here (tried on a 1.37 API server): free-form fields are plain maps; `a.?b` is
empty on a string and an error on a list, so that the type comes first; a *variable* may not be descended into
with `.?` when it is itself optional; `oldObject` is null on CREATE and `oldObject.?spec` then empty. An
expression may ask the authorizer twice at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from navarch.api.controlplane import PLURAL as MESHES
from navarch.api.meta import GROUP, JSONObject, quote_cel
from navarch.api.refused import Path

NAMESPACE_CONTROLLERS = (
    "system:serviceaccount:kube-system:namespace-controller",
    "system:kube-controller-manager",
)
NAMESPACES: Mapping[str, tuple[str, ...]] = {
    "": ("namespaces", "namespaces/finalize", "namespaces/status"),
}
"""Namespaces by every path at which their labels can be written: the API server takes metadata at each."""
LABELS = "{0}.?metadata.?labels.orValue({{}})"
"""CEL: the labels of an object."""
GARBAGE_COLLECTORS = (*NAMESPACE_CONTROLLERS, "system:serviceaccount:kube-system:generic-garbage-collector")
SPEC_CHANGED = {
    "name": "spec-changed",
    "expression": "request.operation == 'CREATE' || object.spec != oldObject.spec",
}


@dataclass(frozen=True, slots=True)
class Validation:
    """One rule. `where` is the field, `shown` a CEL expression (string) for field and value, `why` what is
    wrong and what to do. Where `shown` cannot be computed (an object has no string form), the field alone
    is named. `is_whole` says that `shown` is the whole message."""

    expression: str
    where: str
    shown: str
    why: str
    reason: Literal["Invalid", "Forbidden"] = "Invalid"
    is_whole: bool = False

    def build(self) -> JSONObject:
        """The rule as the policy carries it."""
        told = self.shown if self.is_whole else f"{self.shown} + {quote_cel(f': {self.why}')}"
        return {
            "expression": self.expression,
            "message": f"{self.where}: {self.why}",
            "messageExpression": told,
            "reason": self.reason,
        }


def build_policy(
    name: str,
    *,
    operations: Iterable[str],
    validations: Iterable[Validation],
    resources: Iterable[str] = (MESHES,),
    groups: Mapping[str, Iterable[str]] | None = None,
    conditions: Iterable[JSONObject] = (),
    variables: Mapping[str, str] | None = None,
) -> list[JSONObject]:
    """A policy and its binding, as installed; `variables` are evaluated when a rule asks for them. `groups`
    are cluster-scoped kinds of others, by API group, in place of our own `resources`."""
    metadata = {"name": f"{name}.{GROUP}", "labels": {"app.kubernetes.io/name": "navarch"}}
    rules = [
        {
            "apiGroups": [group],
            "apiVersions": ["*"],
            "operations": list(operations),
            "resources": list(kinds),
            "scope": "Cluster" if groups else "Namespaced",
        }
        for group, kinds in (groups or {GROUP: resources}).items()
    ]
    spec: JSONObject = {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": rules}}
    if conditions:
        spec["matchConditions"] = list(conditions)
    if variables:
        spec["variables"] = [{"name": key, "expression": value} for key, value in variables.items()]
    spec["validations"] = [validation.build() for validation in validations]
    api = "admissionregistration.k8s.io/v1"
    return [
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": metadata, "spec": spec},
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": metadata,
            "spec": {"policyName": metadata["name"], "validationActions": ["Deny"]},
        },
    ]


def keep_labels(decides: str, *, field: str = "labels") -> str:
    """A CEL expression for whether an update leaves the labels, or another map of metadata, as they are for
    whose `key` this condition holds."""
    new, old = (LABELS.format(root).replace("labels", field) for root in ("object", "oldObject"))
    return (
        f"{new}.all(key, !({decides}) || (key in {old} && {old}[key] == {new}[key])) && "
        f"{old}.all(key, !({decides}) || key in {new})"
    )


def quote_list(values: Iterable[str]) -> str:
    """A list of texts in CEL."""
    return f"[{', '.join(quote_cel(value) for value in values)}]"


def descend(root: str, path: Path) -> str:
    """A CEL expression for what stands at `path` below the map `root`; empty also where a step is no map."""
    found = f"{root}.?{path[0]}"
    for step in path[1:]:
        found += f".optFlatMap(at, type(at) == map ? at.?{step} : optional.none())"
    return found


def name_variable(field: str, path: Path, prefix: str = "") -> str:
    """A variable's name for what stands at a path of a free-form field."""
    name = "".join((field, *(step[0].upper() + step[1:] for step in path)))
    return prefix + (name[0].upper() + name[1:] if prefix else name)


def find_map(above: str, step: str) -> str:
    """A CEL expression for the map `step` of the map `above`; an empty one where there is something else."""
    found = f"{above}.?{step}.orValue(null)"
    return f"type({found}) == map ? {found} : {{}}"
