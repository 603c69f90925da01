"""Who scales a gateway's pods: its own autoscaler, one of another client, or its spec alone.

Owns the rule that Navarch never works against another client's autoscaler, and what is said where two things
decide one number, or an autoscaler has nothing to measure. Must never look at how many pods run. Invariants:
the number of pods is left alone as long as another HorizontalPodAutoscaler scales the Deployment; for a
gateway whose number is as Navarch wrote it last, no request asks which autoscalers there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from navarch.api.gateway import GatewayAutoscaling, MeshGatewaySpec
from navarch.core.gateway.observed import ObservedGateway
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.messages import join, shorten
from navarch.core.model.ownership import own_fields
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest
from navarch.core.render.components.gateway import DEPLOYMENT

_AMBIGUOUS = "AmbiguousSelector"
"""What Kubernetes' controller says of each of several autoscalers with the same pods; it then scales by none
(pkg/controller/podautoscaler)."""


def may_be_scaled(spec: MeshGatewaySpec | None, workload: Manifest | None) -> bool:
    """Whether another client may have the number of pods that `spec.replicas` asks for: what stands is not
    as Navarch wrote it last."""
    if spec is None or spec.replicas is None or workload is None or workload["kind"] != DEPLOYMENT:
        return False
    owned = (own_fields(workload) or {}).get("f:spec") or {}
    return "f:replicas" not in owned or (workload.get("spec") or {}).get("replicas") != spec.replicas


def is_left_to_others(observed: ObservedGateway) -> bool:
    """Whether the number of pods is another client's autoscaler's to say."""
    return bool(observed.autoscalers)


def check_autoscalers(observed: ObservedGateway) -> Iterator[Finding]:
    """One thing decides the number of pods."""
    spec = observed.spec
    if spec is not None and spec.replicas is not None and observed.autoscalers:
        who = join(f"HorizontalPodAutoscaler {observed.parent.namespace}/{n}" for n in observed.autoscalers)
        message = f"{who} scales the gateway's pods, so that their number is left to it"
        yield _warn("spec.replicas", str(spec.replicas), message, "remove spec.replicas, or that autoscaler")
    if spec is not None and spec.autoscaling is not None and (told := _find_ambiguity(observed)):
        message = f"Kubernetes scales by none of two autoscalers with the same pods: {shorten(told)}"
        remedy = "remove spec.autoscaling, or the other autoscaler"
        yield _warn("spec.autoscaling", f"{spec.autoscaling.min_replicas}", message, remedy)


def _warn(field: str, value: str, message: str, remedy: str) -> Finding:
    return Finding(Reason.OTHER_AUTOSCALER, field, value, message, remedy, Severity.WARNING)


def _find_ambiguity(observed: ObservedGateway) -> str:
    """What Kubernetes says of the gateway's own autoscaler where another one has the same pods."""
    own = (o for o in observed.owned if o["kind"] == "HorizontalPodAutoscaler")
    said = (c for o in own for c in (o.get("status") or {}).get("conditions") or ())
    return next((str(c.get("message", "")) for c in said if c.get("reason") == _AMBIGUOUS), "")


def check_measured(observed: ObservedGateway) -> Iterator[Finding]:
    """An autoscaler that aims at a share of what pods request needs a request. A limit makes one."""
    spec = observed.spec
    if spec is None or spec.autoscaling is None or spec.resources is None:
        return
    said = spec.resources.to_json()
    for resource, field in _find_targets(spec.autoscaling).items():
        if not any(_has(said, part, resource) for part in ("requests", "limits")):
            message = (
                f"spec.resources requests no {resource}, and a share of nothing cannot be worked out: the "
                "autoscaler does not scale, unless a LimitRange of the namespace gives a request"
            )
            remedy = f"set spec.resources.requests.{resource}"
            yield Finding(Reason.FIELD_WITHOUT_EFFECT, f"spec.{field}", "", message, remedy, Severity.WARNING)


def _has(resources: Mapping[str, Any], part: str, resource: str) -> bool:
    return resource in (resources.get(part) or {})


def _find_targets(autoscaling: GatewayAutoscaling) -> dict[str, str]:
    """What an autoscaler measures as a share of requests, and by which field."""
    cpu, memory = autoscaling.target_cpu_utilization, autoscaling.target_memory_utilization
    targets = {"cpu": "autoscaling.targetCPUUtilization"} if cpu else {}
    if not (cpu or memory or autoscaling.metrics):
        targets = {"cpu": "autoscaling"}  # the default
    return targets | ({"memory": "autoscaling.targetMemoryUtilization"} if memory else {})
