"""Every selector that follows from membership: discoverySelectors, and the entries of injection webhooks.

Owns the translation of the rule into label selectors, and into conditions where those cannot say it. Must
never decide membership itself. Invariant (tests/property): a pod is injected only in a namespace of the mesh,
or in the probe namespace; what follows from a mesh has the same size however many namespaces there are.

The truth table of namespace and pod labels is Istio's own (manifests/charts/istio-control/istio-discovery,
webhook selectors of a revision and of a tag).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from navarch.api.meta import quote_cel
from navarch.core.membership.rule import RESERVED_PREFIXES, Membership
from navarch.core.model.labels import (
    ISTIO_INJECTION,
    ISTIO_REV,
    MEMBER_OF,
    NAMESPACE_NAME,
    SIDECAR_INJECT,
)


def _expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator} | ({"values": list(values)} if values else {})


def _labelled(mesh: Membership, *expressions: dict[str, Any]) -> list[dict[str, Any]]:
    """Selectors of the members, beside the mesh's own namespace, that have also these labels: one for each
    way of belonging to the mesh, and no namespace by two of them."""
    outside = _expression(NAMESPACE_NAME, "NotIn", *_list_outside(mesh))
    ways: list[list[dict[str, Any]]] = [[_expression(MEMBER_OF, "In", mesh.member_of)]]
    if mesh.cluster:
        ways.insert(0, [_expression(MEMBER_OF, "DoesNotExist")])
    elif mesh.by_tag:
        ways = [[]]
    return [{"matchExpressions": [*joined, *expressions, outside]} for joined in ways]


def _list_outside(mesh: Membership) -> list[str]:
    return sorted({*mesh.excluded, *([mesh.probe] if mesh.probe else [])} - {mesh.namespace})


def build_discovery_selectors(mesh: Membership) -> list[dict[str, Any]]:
    """MeshConfig.discoverySelectors: the namespaces istiod looks at. A list is a disjunction; a webhook,
    whose entries have one selector each, needs an entry for each of them."""
    selectors: list[dict[str, Any]] = [{"matchLabels": {NAMESPACE_NAME: mesh.namespace}}]
    if not mesh.by_tag:
        return [*selectors, *_labelled(mesh)]
    revs = [_expression(ISTIO_REV, "In", *mesh.values), _expression(ISTIO_INJECTION, "DoesNotExist")]
    selectors += _labelled(mesh, *revs)
    if mesh.default:
        selectors += _labelled(mesh, _expression(ISTIO_INJECTION, "In", "enabled"))
    return selectors


_CONDITION = re.compile(r"request\.namespace == '([^'\\]*)' \|\| !\((.*)\)")
_PREFIX = re.compile(r"request\.namespace\.startsWith\('([^'\\]*)'\)")


@dataclass(frozen=True, slots=True)
class NameCondition:
    """That a namespace is `own`, or its name has none of these `prefixes`."""

    own: str
    prefixes: tuple[str, ...] = RESERVED_PREFIXES

    @classmethod
    def read(cls, expression: str) -> NameCondition | None:
        """The condition that an expression says; None for one that is no such condition."""
        found = _CONDITION.fullmatch(expression)
        if found is None:
            return None
        condition = cls(found[1], tuple(_PREFIX.findall(found[2])))
        return condition if condition.build()["expression"] == expression else None

    def allows(self, namespace: str) -> bool:
        """What the API server makes of the expression."""
        return namespace == self.own or not namespace.startswith(self.prefixes)

    def build(self) -> dict[str, str]:
        """The condition as an item of a webhook's matchConditions. Its evaluation cannot fail: every pod has
        a namespace."""
        begins = " || ".join(f"request.namespace.startsWith({quote_cel(p)})" for p in self.prefixes)
        own = f"request.namespace == {quote_cel(self.own)}"
        return {"name": "not-reserved", "expression": f"{own} || !({begins})"}


@dataclass(frozen=True, slots=True)
class InjectionSelector:
    """One webhook entry: its name's prefix, its two selectors, and a condition where labels cannot say it."""

    prefix: str
    namespace_selector: dict[str, Any]
    object_selector: dict[str, Any]
    condition: NameCondition | None = None

    @property
    def match_conditions(self) -> list[dict[str, str]]:
        """The entry's matchConditions."""
        return [self.condition.build()] if self.condition else []

    def takes(self, namespace: str, labels: Mapping[str, str], pod: Mapping[str, str]) -> bool:
        """Whether the API server asks the webhook about a pod with the labels `pod`. `labels` are the
        namespace's, without the one that the API server gives it."""
        return (
            matches(self.namespace_selector, {**labels, NAMESPACE_NAME: namespace})
            and matches(self.object_selector, pod)
            and (self.condition is None or self.condition.allows(namespace))
        )


def build_injection_selectors(mesh: Membership, value: str, *, default: bool) -> list[InjectionSelector]:
    """The entries of the injection webhook of one revision or tag `value`.

    `default` adds the entries for istio-injection=enabled and for pods that ask for injection by
    sidecar.istio.io/inject=true; they belong on one webhook of the mesh only.
    """
    not_refused = {"matchExpressions": [_expression(SIDECAR_INJECT, "NotIn", "false")]}
    asks = {"matchExpressions": [*not_refused["matchExpressions"], _expression(ISTIO_REV, "In", value)]}
    revs = [_expression(ISTIO_REV, "In", value), _expression(ISTIO_INJECTION, "DoesNotExist")]
    # By another value no namespace belongs to the mesh.
    takes = value in mesh.values
    entries = [*_build_of_namespaces("rev.namespace.", mesh, revs, not_refused)] if takes else []
    entries += _build_of_pods("rev.object.", mesh, asks)
    if default:
        asked = [_expression(SIDECAR_INJECT, "In", "true"), _expression(ISTIO_REV, "DoesNotExist")]
        enabled = [_expression(ISTIO_INJECTION, "In", "enabled")]
        entries += _build_of_namespaces("namespace.", mesh, enabled, not_refused)
        entries += _build_of_pods("object.", mesh, {"matchExpressions": asked})
    return entries


def _build_of_namespaces(
    prefix: str, mesh: Membership, asking: list[dict[str, Any]], pods: dict[str, Any]
) -> Iterator[InjectionSelector]:
    """Entries for members whose labels ask; the second, where a mesh takes namespaces in two ways, is for
    those with a MeshMember."""
    for kind, selector in zip(("", "member."), _labelled(mesh, *asking), strict=False):
        yield InjectionSelector(prefix + kind, selector, pods, NameCondition(mesh.namespace))


def _build_of_pods(prefix: str, mesh: Membership, asking: dict[str, Any]) -> Iterator[InjectionSelector]:
    """Entries for pods that ask by themselves, where the namespace's labels say nothing: in the mesh's own,
    in the probe's, and in all that belong to it without a word."""
    silent = [_expression(ISTIO_REV, "DoesNotExist"), _expression(ISTIO_INJECTION, "DoesNotExist")]
    own = [mesh.namespace, *([mesh.probe] if mesh.probe else [])]
    named = {"matchExpressions": [*silent, _expression(NAMESPACE_NAME, "In", *own)]}
    yield InjectionSelector(prefix, named, asking)
    if mesh.cluster:
        others = _expression(NAMESPACE_NAME, "NotIn", *sorted({mesh.namespace, *_list_outside(mesh)}))
        every = {"matchExpressions": [_expression(MEMBER_OF, "DoesNotExist"), *silent, others]}
        yield InjectionSelector(f"{prefix}cluster.", every, asking, NameCondition(mesh.namespace))


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a Kubernetes LabelSelector selects these labels (apimachinery's rules; an empty selector
    selects all).
    """
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for rule in selector.get("matchExpressions") or ():
        key, values = rule["key"], rule.get("values") or ()
        match rule["operator"]:
            case "In" if labels.get(key) not in values or key not in labels:
                return False
            case "NotIn" if key in labels and labels[key] in values:
                return False
            case "Exists" if key not in labels:
                return False
            case "DoesNotExist" if key in labels:
                return False
    return True
