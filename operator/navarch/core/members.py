"""Which namespaces belong to a mesh, and every selector that follows from it.

The one place where membership is decided: discoverySelectors, the namespaceSelector of every webhook entry,
the reach of the root ConfigMap and the census all come from here. Must never be restated elsewhere: a pod
injected where istiod does not look hangs for want of its root ConfigMap, and a mesh that injects outside its
namespaces takes other people's pods. Invariant (tests/property): whatever labels a namespace and a pod carry,
a pod is injected only in a namespace of the mesh, or in the probe namespace.

The truth table of namespace and pod labels is Istio's own (manifests/charts/istio-control/istio-discovery,
webhook selectors of a revision and of a tag).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from navarch.core.labels import ISTIO_INJECTION, ISTIO_REV, NAMESPACE_NAME, SIDECAR_INJECT
from navarch.core.naming import DEFAULT_TAG, revision_name
from navarch.core.observed import Namespace, ProxyPod

NEVER_MEMBERS = ("kube-node-lease", "kube-public", "kube-system")
"""Namespaces that belong to no mesh, whatever their labels."""
NEVER_MEMBER_PREFIXES = ("kube-", "openshift-")


@dataclass(frozen=True, slots=True)
class Membership:
    """What decides membership. `values` are the values of istio.io/rev that mean this mesh (its tag, its
    revisions), `default` says whether it also owns istio-injection=enabled, `excluded` are namespaces that
    stay outside whatever their labels, and `probe` is the operator's own namespace for dry-run pods
    (injected, never a member)."""

    namespace: str
    values: tuple[str, ...]
    default: bool = False
    excluded: tuple[str, ...] = NEVER_MEMBERS
    probe: str = ""


def build_membership(
    namespace: str, tag: str, *, default: bool, probe: str, excluded: Iterable[str] = NEVER_MEMBERS
) -> Membership:
    """What makes a namespace a member of the mesh in `namespace` with this effective tag; `default` says
    whether it owns tag `default`."""
    values = (tag, revision_name(tag), *([DEFAULT_TAG] if default else ()))
    return Membership(namespace, values, default, excluded=tuple(excluded), probe=probe)


def is_never_member(name: str) -> bool:
    """Whether a namespace of this name can belong to no mesh but one whose control plane it holds."""
    return name.startswith(NEVER_MEMBER_PREFIXES)


def is_member(mesh: Membership, name: str, labels: Mapping[str, str]) -> bool:
    """Whether the namespace `name` with these labels belongs to the mesh."""
    if name == mesh.namespace:
        return True
    if name in mesh.excluded or name == mesh.probe:
        return False
    if ISTIO_INJECTION in labels:
        return mesh.default and labels[ISTIO_INJECTION] == "enabled"
    return labels.get(ISTIO_REV) in mesh.values


def find_counted(
    mesh: Membership, namespaces: Mapping[str, Namespace], proxies: Iterable[ProxyPod]
) -> list[ProxyPod]:
    """Of the pods that say they were injected by this mesh those that belong to its census: they were stamped
    by our injector, or run in a namespace of the mesh. Anybody may write the bare annotations on a pod of his
    own."""

    def is_inside(name: str) -> bool:
        namespace = namespaces.get(name)
        return is_member(mesh, name, namespace.labels if namespace else {})

    return [proxy for proxy in proxies if proxy.proxy or is_inside(proxy.namespace)]


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
