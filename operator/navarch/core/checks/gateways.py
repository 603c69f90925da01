"""Changes to what istiod deploys for Gateways (values.gatewayClasses): their form, and how far they reach.

Owns the rules on those patches. Must never let one through that makes istiod fail on every Gateway of the
class. Invariant: a mesh's own spec cannot bring a container, an image, a volume or a right into gateways; a
profile can.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from navarch.api.refused import GATEWAY_KINDS
from navarch.core.checks.layers import resolved_config
from navarch.core.checks.power import shorten
from navarch.core.findings import Finding
from navarch.core.observed import ObservedMesh
from navarch.core.reasons import Reason
from navarch.core.values import GATEWAY_CLASSES

Allowed: TypeAlias = Mapping[str, "Allowed | None"]

CLASS_FORM = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
CLASS_LENGTH = 63
"""Characters of a class's name at the most, since it is a label's value."""
_FIXED = ("name", "namespace", "generateName", "ownerReferences", "finalizers")

_METADATA: Allowed = {"annotations": None, "labels": None}
_CONTAINER: Allowed = {"name": None, "resources": None}
_POD: Allowed = {
    "affinity": None,
    "containers": _CONTAINER,
    "nodeSelector": None,
    "priorityClassName": None,
    "terminationGracePeriodSeconds": None,
    "tolerations": None,
    "topologySpreadConstraints": None,
}
_ALLOWED: Allowed = {
    "deployment": {
        "metadata": _METADATA,
        "spec": {
            "minReadySeconds": None,
            "progressDeadlineSeconds": None,
            "replicas": None,
            "revisionHistoryLimit": None,
            "strategy": None,
            "template": {"metadata": _METADATA, "spec": _POD},
        },
    },
    "horizontalPodAutoscaler": None,
    "podDisruptionBudget": None,
    "service": {
        "metadata": _METADATA,
        "spec": {
            "allocateLoadBalancerNodePorts": None,
            "externalTrafficPolicy": None,
            "internalTrafficPolicy": None,
            "ipFamilies": None,
            "ipFamilyPolicy": None,
            "loadBalancerClass": None,
            "loadBalancerSourceRanges": None,
            "ports": None,
            "sessionAffinity": None,
            "trafficDistribution": None,
            "type": None,
        },
    },
    "serviceAccount": {"metadata": _METADATA},
}
"""What a mesh's own spec may change, by kind; None is a whole subtree."""
_CONTAINERS = ("istio-proxy", "agentgateway")


def _walk_classes(values: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Class, kind and patch of everything under gatewayClasses that can be entered."""
    classes = values.get(GATEWAY_CLASSES)
    for name, overlays in classes.items() if isinstance(classes, Mapping) else ():
        for kind, patch in overlays.items() if isinstance(overlays, Mapping) else ():
            yield name, kind, patch


def _find_malformed(values: Mapping[str, Any]) -> Iterator[tuple[str, Any, str, str]]:
    """Path, value, what is wrong and what to do."""
    classes = values.get(GATEWAY_CLASSES)
    for name, overlays in classes.items() if isinstance(classes, Mapping) else ():
        if not CLASS_FORM.fullmatch(name) or len(name) > CLASS_LENGTH:
            yield f".{name}", name, "is no name that a label can carry", "use the name of a GatewayClass"
        if not isinstance(overlays, Mapping):
            yield (
                f".{name}",
                overlays,
                "is not a map",
                f"write one patch for each of {', '.join(GATEWAY_KINDS)}",
            )
    for name, kind, patch in _walk_classes(values):
        where, metadata = f".{name}.{kind}", patch.get("metadata") if isinstance(patch, Mapping) else None
        if kind not in GATEWAY_KINDS:
            yield (
                where,
                kind,
                "is nothing that istiod deploys for a Gateway",
                f"use {', '.join(GATEWAY_KINDS)}",
            )
        elif not isinstance(patch, Mapping):
            yield where, patch, "is not a map", "write the patch as a map"
        elif not isinstance(metadata, Mapping | None):
            yield f"{where}.metadata", metadata, "is not a map", "write the patch as a map"
        for key, fixed in metadata.items() if isinstance(metadata, Mapping) else ():
            if key in _FIXED:
                message = "cannot be changed, and istiod would deploy no Gateway of the class"
                yield f"{where}.metadata.{key}", fixed, message, "leave it out"


def _find_reaching(patch: Any, allowed: Allowed, path: str) -> Iterator[tuple[str, Any]]:
    """Parts of a patch that are not among what is allowed, by path."""
    for key, value in patch.items() if isinstance(patch, Mapping) else ():
        where = f"{path}.{key}"
        if key not in allowed:
            yield where, value
            continue
        below = allowed[key]
        if below is None:
            continue
        if below is _CONTAINER and isinstance(value, list):
            for index, container in enumerate(value):
                named = isinstance(container, Mapping) and container.get("name") in _CONTAINERS
                if named:
                    yield from _find_reaching(container, below, f"{where}[{index}]")
                else:
                    yield f"{where}[{index}]", container
        elif isinstance(value, Mapping):
            yield from _find_reaching(value, below, where)
        else:
            yield where, value


def check_gateway_classes_shapes(observed: ObservedMesh) -> Iterator[Finding]:
    """Every patch has the form that istiod counts on, in the sum of profiles and spec."""
    config = resolved_config(observed)
    own = {path for path, *_ in _find_malformed((observed.spec and observed.spec.values) or {})}
    for path, value, message, remedy in _find_malformed((config and config.values) or {}):
        where = f"{GATEWAY_CLASSES}{path}"
        if path in own:
            yield Finding(Reason.VALUES_INVALID, f"spec.values.{where}", shorten(value), message, remedy)
        else:
            told = f"values.{where} of a profile {message}"
            yield Finding(Reason.VALUES_INVALID, "spec.profiles", shorten(value), told, remedy)


def check_gateway_classes_reach(observed: ObservedMesh) -> Iterator[Finding]:
    """The mesh's own patches place, size and expose gateways, and do no more."""
    for name, kind, patch in _walk_classes((observed.spec and observed.spec.values) or {}):
        for where, value in _find_reaching(
            {kind: patch} if kind in GATEWAY_KINDS else {}, _ALLOWED, f".{name}"
        ):
            field = f"spec.values.{GATEWAY_CLASSES}{where}"
            message = "is refused: it would reach into the gateways of every namespace of the mesh"
            remedy = "place, size and expose them; for more, ask for a profile"
            yield Finding(Reason.FIELD_REFUSED, field, shorten(value), message, remedy)
