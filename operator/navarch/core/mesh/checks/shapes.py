"""Types of what becomes a part of pods, gateways and webhooks as it is, which Istio's own definition leaves
open, or wider than Kubernetes does: sidecarInjectorWebhook, gatewayClasses, probes and hooks of proxies.

Owns what Kubernetes and istiod read there: a pod that cannot be read is refused, and so is every pod of the
mesh. Must never judge what may be set, which is gateways.py's and power.py's. Invariant: what yields nothing
can be put into the object that it is for; a field that is not known here is not judged.
"""

from __future__ import annotations

import re
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
    """A value without parts: of one of some JSON types, a number up to `most`, a text of a pattern, or one
    of some words."""

    words: str
    types: tuple[type, ...] = ()
    among: tuple[str, ...] = ()
    most: int | None = None
    pattern: str = ""

    def takes(self, value: Any) -> bool:
        """Whether a value has this form."""
        if self.among:
            return value in self.among
        if type(value) not in self.types or (self.most is not None and not 0 <= value <= self.most):
            return False
        return not self.pattern or re.fullmatch(self.pattern, value) is not None


@dataclass(frozen=True, slots=True)
class Many:
    """A list whose items have one form; `names` instead a map whose values do."""

    item: Form
    names: bool = False


@dataclass(frozen=True, slots=True)
class One:
    """A map of which exactly one of some fields is there."""

    fields: Mapping[str, Form]

    @property
    def words(self) -> str:
        """The form in words."""
        return f"a map with one of {', '.join(self.fields)}"

    def takes(self, value: Any) -> bool:
        """Whether a value has one of the fields; what is in it is not looked at."""
        return isinstance(value, Mapping) and sum(value.get(name) is not None for name in self.fields) == 1


Form: TypeAlias = "Scalar | Many | One | Mapping[str, Form]"

TEXT = Scalar("a text (in quotes where it looks like something else)", (str,))
WHOLE = Scalar("a whole number", (int,))
COUNT = Scalar("a whole number from 0 to 2147483647", (int,), most=2**31 - 1)
PORT = Scalar("a port up to 65535, or 0 for none", (int,), most=65535)
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
_POD: Mapping[str, Form] = {
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
_HOOK = One(
    {
        "exec": {"command": Many(TEXT)},
        "httpGet": {
            **dict.fromkeys(("host", "path", "scheme"), TEXT),
            "httpHeaders": Many({"name": TEXT, "value": TEXT}),
            "port": WHOLE_OR_TEXT,
        },
        "sleep": {"seconds": COUNT},
        "tcpSocket": {"host": TEXT, "port": WHOLE_OR_TEXT},
    }
)
_HOOKS: Form = {"postStart": _HOOK, "preStop": _HOOK}
_SECCOMP: Form = {"localhostProfile": TEXT, "type": TEXT}
_SECRET = Scalar("the name of a Secret", (str,), pattern=r"(?=.{1,253}$)[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_PROXY: Form = {
    **dict.fromkeys(
        ("readinessFailureThreshold", "readinessInitialDelaySeconds", "readinessPeriodSeconds"), COUNT
    ),
    "lifecycle": _HOOKS,
    "seccompProfile": _SECCOMP,
    "startupProbe": {"failureThreshold": COUNT},
    "statusPort": PORT,
}
_GLOBAL: Form = {
    "imagePullPolicy": Scalar("Always, IfNotPresent or Never", among=("", "Always", "IfNotPresent", "Never")),
    "imagePullSecrets": Many(_SECRET),
    "proxy": _PROXY,
    "waypoint": {
        name: _POD[name] for name in ("affinity", "nodeSelector", "tolerations", "topologySpreadConstraints")
    },
}
_VALUES: Form = {
    "gatewayClasses": Many(_CLASS, names=True),
    "gateways": {"seccompProfile": _SECCOMP},
    "global": _GLOBAL,
    "sidecarInjectorWebhook": _WEBHOOK,
}
_SPEC: Form = {"proxy": {"lifecycle": _HOOKS}, "values": _VALUES}


def find_misshapen(value: Any, form: Form, path: str = "") -> Iterator[tuple[str, Any, str]]:
    """What has another form: path, value, the form in words. Null takes a field away and has every form; so
    do the directives of a patch."""
    if value is None:
        return
    if words := _refuse(value, form):
        yield path, value, words
    elif isinstance(form, Many) and not form.names:
        for index, item in enumerate(value):
            yield from find_misshapen(item, form.item, f"{path}[{index}]")
    elif not isinstance(form, Scalar):
        known = dict.fromkeys(value, form.item) if isinstance(form, Many) else form
        fields = known.fields if isinstance(known, One) else known
        for key, item in value.items():
            if key in fields and not key.startswith("$"):
                yield from find_misshapen(item, fields[key], f"{path}.{key}")


def _refuse(value: Any, form: Form) -> str:
    """The form in words where a value has not got it, whatever is below; empty where it has."""
    if isinstance(form, (Scalar, One)):
        return "" if form.takes(value) else form.words
    if isinstance(form, Many) and not form.names:
        return "" if isinstance(value, list) else "a list"
    return "" if isinstance(value, Mapping) else "a map"


def check_shapes(content: MeshContent) -> Iterator[Finding]:
    """What becomes a part of pods, gateways and webhooks as it is has the types that Kubernetes and istiod
    read, in the sum of profiles and spec."""
    config = resolved_config(content)
    found = list(find_misshapen(config.to_json() if config is not None else {}, _SPEC))
    if not found:
        return
    own = {path for path, *_ in find_misshapen(content.spec.to_json(), _SPEC)}
    others = (check_values_shapes, check_gateway_classes_shapes)
    told = {finding.field for check in others for finding in check(content)}
    for path, value, words in found:
        reason = Reason.VALUES_INVALID if path.startswith(".values") else Reason.INVALID_SPEC
        remedy = f"make it {words}, or leave it out"
        message = f"is not {words}, and could not be put into the object that it is for"
        if path not in own:
            profile = f"{path[1:]} of a profile {message}"
            yield Finding(reason, "spec.profiles", shorten(value), profile, remedy)
        elif f"spec{path}" not in told:
            yield Finding(reason, f"spec{path}", shorten(value), message, remedy)
