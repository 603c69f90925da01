"""Every selector that follows from membership: discoverySelectors, and the entries of injection webhooks.

Owns the translation of the rule into label selectors. Must never decide membership itself. Invariant
(tests/property): a pod is injected only in a namespace of the mesh, or in the probe namespace.

The truth table of namespace and pod labels is Istio's own (manifests/charts/istio-control/istio-discovery,
webhook selectors of a revision and of a tag).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from navarch.core.membership.rule import Membership
from navarch.core.model.labels import ISTIO_INJECTION, ISTIO_REV, NAMESPACE_NAME, SIDECAR_INJECT


def _expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator} | ({"values": list(values)} if values else {})


def _labelled(mesh: Membership, *expressions: dict[str, Any]) -> dict[str, Any]:
    outside = sorted({*mesh.excluded, *([mesh.probe] if mesh.probe else [])} - {mesh.namespace})
    return {"matchExpressions": [*expressions, _expression(NAMESPACE_NAME, "NotIn", *outside)]}


def build_discovery_selectors(mesh: Membership) -> list[dict[str, Any]]:
    """MeshConfig.discoverySelectors: the namespaces istiod looks at. A list is a disjunction; a webhook,
    whose entries have one selector each, needs an entry for each of them."""
    selectors: list[dict[str, Any]] = [{"matchLabels": {NAMESPACE_NAME: mesh.namespace}}]
    revs = [_expression(ISTIO_REV, "In", *mesh.values), _expression(ISTIO_INJECTION, "DoesNotExist")]
    selectors.append(_labelled(mesh, *revs))
    if mesh.default:
        selectors.append(_labelled(mesh, _expression(ISTIO_INJECTION, "In", "enabled")))
    return selectors


@dataclass(frozen=True, slots=True)
class InjectionSelector:
    """One webhook entry: its name's prefix and its two selectors."""

    prefix: str
    namespace_selector: dict[str, Any]
    object_selector: dict[str, Any]


def build_injection_selectors(mesh: Membership, value: str, *, default: bool) -> list[InjectionSelector]:
    """The entries of the injection webhook of one revision or tag `value`.

    `default` adds the entries for istio-injection=enabled and for pods that ask for injection by
    sidecar.istio.io/inject=true; they belong on one webhook of the mesh only.
    """
    not_refused = _expression(SIDECAR_INJECT, "NotIn", "false")
    unlabelled = [_expression(ISTIO_REV, "DoesNotExist"), _expression(ISTIO_INJECTION, "DoesNotExist")]
    own = [mesh.namespace, *([mesh.probe] if mesh.probe else [])]
    own_and_unlabelled = {"matchExpressions": [*unlabelled, _expression(NAMESPACE_NAME, "In", *own)]}
    entries = [
        InjectionSelector(
            "rev.namespace.",
            _labelled(
                mesh, _expression(ISTIO_REV, "In", value), _expression(ISTIO_INJECTION, "DoesNotExist")
            ),
            {"matchExpressions": [not_refused]},
        ),
        InjectionSelector(
            "rev.object.",
            own_and_unlabelled,
            {"matchExpressions": [not_refused, _expression(ISTIO_REV, "In", value)]},
        ),
    ]
    if default:
        asked = [_expression(SIDECAR_INJECT, "In", "true"), _expression(ISTIO_REV, "DoesNotExist")]
        entries += [
            InjectionSelector(
                "namespace.",
                _labelled(mesh, _expression(ISTIO_INJECTION, "In", "enabled")),
                {"matchExpressions": [not_refused]},
            ),
            InjectionSelector("object.", own_and_unlabelled, {"matchExpressions": asked}),
        ]
    return entries


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
