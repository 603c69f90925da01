"""Decisions about spec.overlays, of a mesh and of a gateway: which kinds may be patched, and which paths of a
patch are refused.

Owns what keeps a patch from walking around another list: what is refused in a field is refused in the object
that the field is rendered into. Everything else in an overlay needs `host`, but for what
GATEWAY_FREE_PATCH has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from navarch.api.power.reasons import OWN
from navarch.api.power.rules import Path

GATEWAY_KINDS = ("deployment", "horizontalPodAutoscaler", "podDisruptionBudget", "service", "serviceAccount")
"""What istiod deploys for a Gateway, as a class's ConfigMap and spec.values.gatewayClasses call it
(pilot/pkg/config/kube/gatewaycommon/deploymentcontroller.go, supportedOverlays)."""

_OBJECT = "an overlay cannot make an object another one; leave it out of the patch"
Tree: TypeAlias = Mapping[str, "Tree"]

_LIST = (
    "a merge patch replaces the whole list, with the image, environment and files that other rules guard; "
    "use the fields for images, resources, environment and logging"
)
_POD = ("spec", "template", "spec")

REFUSED_PATCH: Mapping[Path, str] = {
    ("apiVersion",): _OBJECT,
    ("kind",): _OBJECT,
    ("metadata", "name"): OWN,
    ("metadata", "namespace"): OWN,
    ("metadata", "ownerReferences"): "the garbage collector would remove objects out of order; leave it out",
    ("metadata", "finalizers"): "nothing would release the object; leave it out",
    ("status",): "status is written by the object's controller; leave it out",
    ("immutable",): "Navarch could not change the object any more; leave it out",
    ("binaryData",): "it would pass by the checks on what istiod reads; leave it out",
    ("data", "isolation"): "it would let the mesh reach beyond its own namespaces; leave it out",
    ("data", "mesh"): "it would pass by the checks on Istio's configuration; use spec.meshConfig",
    ("data", "meshNetworks"): "it would pass by the checks on Istio's configuration; leave it out",
    ("data", "config"): "it would pass by the checks on injection; use spec.values",
    ("data", "values"): "it would pass by the checks on injection; use spec.values",
    **{
        ("data", kind): "it would pass by the checks on gateways; use spec.values.gatewayClasses"
        for kind in GATEWAY_KINDS
    },
    (*_POD, "containers"): _LIST,
    (*_POD, "initContainers"): "a container beside istiod or a proxy holds its token and files; leave it out",
    (
        *_POD,
        "ephemeralContainers",
    ): "a container beside istiod or a proxy holds its token and files; leave it out",
    (
        *_POD,
        "volumes",
    ): "istiod or the proxy would read other files than those that other rules guard; leave it out",
    (*_POD, "serviceAccountName"): "the identity of the pods follows from this object; leave it out",
    (*_POD, "serviceAccount"): "the identity of the pods follows from this object; leave it out",
    ("spec", "selector"): "the object would find other pods than its own; leave it out",
    ("spec", "scaleTargetRef"): "the autoscaler would scale something else; leave it out",
}
"""Paths in spec.overlays[].patch. Labels and annotations under mesh.navarch.io/ are refused besides."""

OVERLAY_KINDS = (
    "ConfigMap",
    "DaemonSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "NetworkPolicy",
    "PeerAuthentication",
    "PodDisruptionBudget",
    "Service",
    "ServiceAccount",
)
"""Kinds that an overlay may patch: all that a mesh renders inside its namespace, but no roles or bindings."""


def _grow(*paths: str) -> Tree:
    tree: dict[str, Any] = {}
    for path in paths:
        node = tree
        for step in path.split("."):
            node = node.setdefault(step, {})
    return tree


GATEWAY_FREE_PATCH: Mapping[str, Tree] = {
    "DaemonSet": _grow("spec.minReadySeconds", "spec.revisionHistoryLimit", "spec.updateStrategy"),
    "Deployment": _grow(
        "spec.minReadySeconds", "spec.progressDeadlineSeconds", "spec.revisionHistoryLimit", "spec.strategy"
    ),
    "PodDisruptionBudget": _grow(
        "spec.maxUnavailable", "spec.minAvailable", "spec.unhealthyPodEvictionPolicy"
    ),
    "Service": _grow(
        "spec.healthCheckNodePort",
        "spec.internalTrafficPolicy",
        "spec.publishNotReadyAddresses",
        "spec.sessionAffinityConfig",
        "spec.trafficDistribution",
    ),
}
"""What overlays of a MeshGateway may hold without `host`, by kind: how pods are replaced and how traffic is
spread over them. It decides nothing of what they run, mount or reach. A leaf is free with all below it."""

GATEWAY_GUARDED: Mapping[Path, str] = {
    ("lifecycle",): "it runs commands in pods that hold the gateway's account, which can read Secrets",
    ("networkGateway",): "every proxy of the mesh would send what is for that network to the gateway",
    ("service", "externalIPs"): "traffic for these addresses, whose ever they are, would come to the gateway",
}
"""Fields of a MeshGateway that need `host` with any value. So do overlays beyond GATEWAY_FREE_PATCH."""

GATEWAY_LIKE_PODS: Mapping[Path, str] = {
    ("labels",): "Services of the namespace that select by them would send their requests to the gateway",
    ("placement", "priorityClassName"): "pods that it comes before are evicted where room is short",
}
"""Fields of a MeshGateway that need the right to create pods in its namespace, with any value: they give to
the gateway's pods what their author could then give to pods of their own. `host` is enough as well."""


def is_free_patch(kind: str, patch: Any) -> bool:
    """Whether a patch of a gateway's object needs no `host`; the policies say the same in CEL."""
    return kind in GATEWAY_FREE_PATCH and _is_within(patch, GATEWAY_FREE_PATCH[kind])


def _is_within(found: Any, tree: Tree) -> bool:
    return isinstance(found, Mapping) and all(
        key in tree and (not tree[key] or _is_within(value, tree[key])) for key, value in found.items()
    )
