"""Types below the values that Istio's own definition leaves open: sidecarInjectorWebhook and gatewayClasses.

Owns what Kubernetes and istiod read there. Must never judge what may be set, which is gateways.py's and
power.py's. Invariant: what yields nothing can be put into the object that it is for; a field that is not
known here is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from navarch.core.mesh.checks.gateways import check_gateway_classes_shapes
from navarch.core.mesh.checks.layers import resolved_config
from navarch.core.mesh.checks.values import check_values_shapes
from navarch.core.mesh.content import MeshContent
from navarch.core.model.findings import Finding
from navarch.core.model.messages import shorten
from navarch.core.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value without parts: of one of some JSON types, or one of some words."""

    words: str
    types: tuple[type, ...] = ()
    among: tuple[str, ...] = ()

    def takes(self, value: Any) -> bool:
        """Whether a value has this form."""
        return value in self.among if self.among else type(value) in self.types


@dataclass(frozen=True, slots=True)
class Many:
    """A list whose items have one form; `names` instead a map whose values do."""

    item: Form
    names: bool = False


Form: TypeAlias = "Scalar | Many | Mapping[str, Form]"

TEXT = Scalar("a text (in quotes where it looks like something else)", (str,))
WHOLE = Scalar("a whole number", (int,))
SWITCH = Scalar("true or false", (bool,))
WHOLE_OR_TEXT = Scalar("a whole number or a text", (int, str))
QUANTITY = Scalar("an amount, such as 100m or 1Gi", (int, float, str))
TEXTS = Many(TEXT, names=True)
ANY_MAP: Form = {}

_SELECTOR: Form = {
    "matchLabels": TEXTS,
    "matchExpressions": Many({"key": TEXT, "operator": TEXT, "values": Many(TEXT)}),
}
_WEBHOOK: Form = {
    "aliases": Many(Many(TEXT), names=True),
    "alwaysInjectSelector": Many(_SELECTOR),
    "defaultTemplates": Many(TEXT),
    "enableNamespacesByDefault": SWITCH,
    "injectedAnnotations": TEXTS,
    "neverInjectSelector": Many(_SELECTOR),
    "reinvocationPolicy": Scalar("Never or IfNeeded", among=("Never", "IfNeeded")),
    "rewriteAppHTTPProbe": SWITCH,
    "templates": TEXTS,
}
_METADATA: Form = {"annotations": TEXTS, "labels": TEXTS}
_RESOURCES: Form = {name: Many(QUANTITY, names=True) for name in ("limits", "requests")}
_TOLERATION: Form = {
    **dict.fromkeys(("effect", "key", "operator", "value"), TEXT),
    "tolerationSeconds": WHOLE,
}
_SPREAD: Form = {
    "labelSelector": _SELECTOR,
    "matchLabelKeys": Many(TEXT),
    "maxSkew": WHOLE,
    "minDomains": WHOLE,
    **dict.fromkeys(("nodeAffinityPolicy", "nodeTaintsPolicy", "topologyKey", "whenUnsatisfiable"), TEXT),
}
_POD: Form = {
    "affinity": dict.fromkeys(("nodeAffinity", "podAffinity", "podAntiAffinity"), ANY_MAP),
    "containers": Many({"name": TEXT, "resources": _RESOURCES}),
    "nodeSelector": TEXTS,
    "priorityClassName": TEXT,
    "terminationGracePeriodSeconds": WHOLE,
    "tolerations": Many(_TOLERATION),
    "topologySpreadConstraints": Many(_SPREAD),
}
_DEPLOYMENT: Form = {
    "minReadySeconds": WHOLE,
    "progressDeadlineSeconds": WHOLE,
    "replicas": WHOLE,
    "revisionHistoryLimit": WHOLE,
    "strategy": {
        "type": TEXT,
        "rollingUpdate": dict.fromkeys(("maxSurge", "maxUnavailable"), WHOLE_OR_TEXT),
    },
    "template": {"metadata": _METADATA, "spec": _POD},
}
_PORT: Form = {
    "appProtocol": TEXT,
    "name": TEXT,
    "nodePort": WHOLE,
    "port": WHOLE,
    "protocol": TEXT,
    "targetPort": WHOLE_OR_TEXT,
}
_SERVICE: Form = {
    "allocateLoadBalancerNodePorts": SWITCH,
    "ipFamilies": Many(TEXT),
    "loadBalancerSourceRanges": Many(TEXT),
    "ports": Many(_PORT),
    **dict.fromkeys(
        (
            "externalTrafficPolicy",
            "internalTrafficPolicy",
            "ipFamilyPolicy",
            "loadBalancerClass",
            "sessionAffinity",
            "trafficDistribution",
            "type",
        ),
        TEXT,
    ),
}
_CLASS: Form = {
    "deployment": {"metadata": _METADATA, "spec": _DEPLOYMENT},
    "horizontalPodAutoscaler": {
        "metadata": _METADATA,
        "spec": {
            "behavior": dict.fromkeys(("scaleDown", "scaleUp"), ANY_MAP),
            "maxReplicas": WHOLE,
            "metrics": Many(ANY_MAP),
            "minReplicas": WHOLE,
        },
    },
    "podDisruptionBudget": {
        "metadata": _METADATA,
        "spec": {
            "maxUnavailable": WHOLE_OR_TEXT,
            "minAvailable": WHOLE_OR_TEXT,
            "unhealthyPodEvictionPolicy": TEXT,
        },
    },
    "service": {"metadata": _METADATA, "spec": _SERVICE},
    "serviceAccount": {"metadata": _METADATA},
}
_VALUES: Form = {"gatewayClasses": Many(_CLASS, names=True), "sidecarInjectorWebhook": _WEBHOOK}


def find_misshapen(value: Any, form: Form, path: str = "") -> Iterator[tuple[str, Any, str]]:
    """What has another form: path, value, the form in words. Null takes a field away and has every form; so
    do the directives of a patch."""
    if value is None:
        return
    if isinstance(form, Scalar):
        if not form.takes(value):
            yield path, value, form.words
    elif isinstance(form, Many) and not form.names:
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from find_misshapen(item, form.item, f"{path}[{index}]")
        else:
            yield path, value, "a list"
    elif not isinstance(value, Mapping):
        yield path, value, "a map"
    else:
        known = dict.fromkeys(value, form.item) if isinstance(form, Many) else form
        for key, item in value.items():
            if key in known and not key.startswith("$"):
                yield from find_misshapen(item, known[key], f"{path}.{key}")


def check_open_values_shapes(content: MeshContent) -> Iterator[Finding]:
    """What Istio's definition of values leaves open has the types that Kubernetes and istiod read, in the sum
    of profiles and spec."""
    config = resolved_config(content)
    found = list(find_misshapen((config and config.values) or {}, _VALUES))
    if not found:
        return
    own = {path for path, *_ in find_misshapen(content.spec.values or {}, _VALUES)}
    others = (check_values_shapes, check_gateway_classes_shapes)
    told = {finding.field for check in others for finding in check(content)}
    for path, value, words in found:
        remedy = f"make it {words}, or leave it out"
        message = f"is not {words}, and could not be put into the object that it is for"
        if path not in own:
            profile = f"values{path} of a profile {message}"
            yield Finding(Reason.VALUES_INVALID, "spec.profiles", shorten(value), profile, remedy)
        elif f"spec.values{path}" not in told:
            yield Finding(Reason.VALUES_INVALID, f"spec.values{path}", shorten(value), message, remedy)
