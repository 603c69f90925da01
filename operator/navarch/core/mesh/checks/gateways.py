"""Changes to what istiod deploys for Gateways (values.gatewayClasses): their form, and how far they reach.

Owns the rules on those patches. Must never let one through that makes istiod fail on every Gateway of the
class. Invariant: a mesh's own spec cannot bring a container, an image, a volume or a right into gateways, nor
make their objects select, scale or answer for anything but the gateways themselves; a profile can.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from navarch.api.refused import GATEWAY_KINDS
from navarch.core.mesh.checks.layers import resolved_config
from navarch.core.mesh.content import MeshContent
from navarch.core.model.findings import Finding
from navarch.core.model.messages import shorten
from navarch.core.model.reasons import Reason
from navarch.core.render.values import GATEWAY_CLASSES


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of labels or annotations that a mesh's own spec may set. One without a domain has no owner and may
    be set; one of a domain belongs to the software of that domain, which acts on it with rights of its own.

    `known` are such keys, or with a slash at their end domains, that may be set nevertheless; `domains` says
    whether those of any domain may but the RESERVED.
    """

    known: tuple[str, ...] = ()
    domains: bool = False

    def has(self, key: str) -> bool:
        """Whether this key may be set; a directive of the patch is none."""
        if key.startswith("$"):
            return False
        domain, slash, _ = key.rpartition("/")
        if not slash or key in self.known or f"{domain}/" in self.known:
            return True
        return self.domains and not any(f".{domain}".endswith(f".{reserved}") for reserved in RESERVED)


Allowed: TypeAlias = Mapping[str, "Allowed | Keys | None"]

RESERVED = ("istio.io", "k8s.io", "kubernetes.io", "navarch.io")
"""Domains, with all below them, whose keys make Kubernetes, istiod or Navarch act on an object."""

CLASS_FORM = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")

CLASS_LENGTH = 63
"""Characters of a class's name at the most, since it is a label's value."""

_FIXED = ("name", "namespace", "generateName", "ownerReferences", "finalizers")

_LABELS = Keys(
    known=(  # recommended by Kubernetes, and read by people only
        "app.kubernetes.io/component",
        "app.kubernetes.io/part-of",
        "app.kubernetes.io/version",
    )
)

_METADATA: Allowed = {"annotations": Keys(), "labels": _LABELS}

_POD_METADATA: Allowed = {  # no label: Services, budgets and policies of the namespace would select the pods
    "annotations": Keys(
        known=(
            "cluster-autoscaler.kubernetes.io/safe-to-evict",  # where a gateway may run
            "prometheus.io/path",  # who collects its metrics; Istio's own templates set them
            "prometheus.io/port",
            "prometheus.io/scheme",
            "prometheus.io/scrape",
        )
    )
}

_SERVICE_METADATA: Allowed = {
    "annotations": Keys(  # how the Service is exposed is said by them, in each provider's own domain
        known=(
            "external-dns.alpha.kubernetes.io/",  # the names under which it is found
            "service.beta.kubernetes.io/",  # the load balancers of AWS, Azure, DigitalOcean, OpenStack
            "service.kubernetes.io/topology-mode",  # whether traffic stays in its zone
        ),
        domains=True,
    ),
    "labels": _LABELS,
}

_ACCOUNT_METADATA: Allowed = {"labels": _LABELS}  # annotations bind an account to rights in a cloud

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
            "template": {"metadata": _POD_METADATA, "spec": _POD},
        },
    },
    "horizontalPodAutoscaler": {  # what it scales is the gateway
        "metadata": _METADATA,
        "spec": {"behavior": None, "maxReplicas": None, "metrics": None, "minReplicas": None},
    },
    "podDisruptionBudget": {  # what it guards are the gateway's pods
        "metadata": _METADATA,
        "spec": {"maxUnavailable": None, "minAvailable": None, "unhealthyPodEvictionPolicy": None},
    },
    "service": {
        "metadata": _SERVICE_METADATA,
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
    "serviceAccount": {"metadata": _ACCOUNT_METADATA},
}
"""What a mesh's own spec may change, by kind; None is a whole subtree, without directives."""

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
            yield from _find_directives(value, where)
        elif below is _CONTAINER and isinstance(value, list):
            for index, container in enumerate(value):
                named = isinstance(container, Mapping) and container.get("name") in _CONTAINERS
                if named:
                    yield from _find_reaching(container, _CONTAINER, f"{where}[{index}]")
                else:
                    yield f"{where}[{index}]", container
        elif not isinstance(value, Mapping):
            yield where, value
        elif isinstance(below, Keys):
            yield from ((f"{where}.{name}", text) for name, text in value.items() if not below.has(name))
        else:
            yield from _find_reaching(value, below, where)


def _find_directives(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Keys by which a strategic merge patch would replace or delete what istiod's template says."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if key.startswith("$"):
                yield f"{path}.{key}", value
            else:
                yield from _find_directives(value, f"{path}.{key}")
    elif isinstance(tree, list):
        for index, item in enumerate(tree):
            yield from _find_directives(item, f"{path}[{index}]")


def check_gateway_classes_shapes(content: MeshContent) -> Iterator[Finding]:
    """Every patch has the form that istiod counts on, in the sum of profiles and spec."""
    config = resolved_config(content)
    own = {path for path, *_ in _find_malformed(content.spec.values or {})}
    for path, value, message, remedy in _find_malformed((config and config.values) or {}):
        where = f"{GATEWAY_CLASSES}{path}"
        if path in own:
            yield Finding(Reason.VALUES_INVALID, f"spec.values.{where}", shorten(value), message, remedy)
        else:
            told = f"values.{where} of a profile {message}"
            yield Finding(Reason.VALUES_INVALID, "spec.profiles", shorten(value), told, remedy)


def check_gateway_classes_reach(content: MeshContent) -> Iterator[Finding]:
    """The mesh's own patches place, size and expose gateways, and do no more."""
    for name, kind, patch in _walk_classes(content.spec.values or {}):
        for where, value in _find_reaching(
            {kind: patch} if kind in GATEWAY_KINDS else {}, _ALLOWED, f".{name}"
        ):
            field = f"spec.values.{GATEWAY_CLASSES}{where}"
            message = "is refused: it would reach into the gateways of every namespace of the mesh"
            remedy = "place, size and expose them; for more, ask for a profile"
            yield Finding(Reason.FIELD_REFUSED, field, shorten(value), message, remedy)
