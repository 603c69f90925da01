"""Decisions about spec.overlays: which kinds may be patched, and which paths of a patch are refused.

Owns what keeps a patch from walking around another list: what is refused in a field is refused in the object
that the field is rendered into. Everything else in an overlay needs `host`.
"""

from __future__ import annotations

from collections.abc import Mapping

from navarch.api.power.reasons import OWN
from navarch.api.power.rules import Path

GATEWAY_KINDS = ("deployment", "horizontalPodAutoscaler", "podDisruptionBudget", "service", "serviceAccount")
"""What istiod deploys for a Gateway, as a class's ConfigMap and spec.values.gatewayClasses call it
(pilot/pkg/config/kube/gatewaycommon/deploymentcontroller.go, supportedOverlays)."""

_OBJECT = "an overlay cannot make an object another one; leave it out of the patch"
_LIST = (
    "a merge patch replaces the whole list, with the image, environment and files that other rules guard; "
    "use spec.images, and resources, environment and logging of spec.controlPlane"
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
    (*_POD, "initContainers"): "a container beside istiod holds istiod's token and files; leave it out",
    (*_POD, "ephemeralContainers"): "a container beside istiod holds istiod's token and files; leave it out",
    (*_POD, "volumes"): "istiod would read other files than those that other rules guard; leave it out",
    (*_POD, "serviceAccountName"): "istiod's identity follows from this object; leave it out",
    (*_POD, "serviceAccount"): "istiod's identity follows from this object; leave it out",
    ("spec", "selector"): "the object would find other pods than istiod's; leave it out",
    ("spec", "scaleTargetRef"): "the autoscaler would scale something else than istiod; leave it out",
}
"""Paths in spec.overlays[].patch. Labels and annotations under mesh.navarch.io/ are refused besides."""

OVERLAY_KINDS = (
    "ConfigMap",
    "Deployment",
    "HorizontalPodAutoscaler",
    "NetworkPolicy",
    "PeerAuthentication",
    "PodDisruptionBudget",
    "Service",
    "ServiceAccount",
)
"""Kinds that an overlay may patch: all that a mesh renders inside its namespace, but no roles or bindings."""
