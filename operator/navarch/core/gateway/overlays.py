"""A gateway's overlays: whether each patches one of its objects, in a field that is open to it, and what
comes of them together.

Owns the rules about spec.overlays of a gateway; what a patch may touch is core/render/overlays' to say. Must
never look at what runs. Invariant: with no finding here every overlay is applied, and nodes can be drained.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from navarch.api.problems import build_path
from navarch.core.gateway.observed import ObservedGateway
from navarch.core.model.findings import Finding
from navarch.core.model.messages import shorten
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest
from navarch.core.render.components.gateway import GatewayInput, build_objects, find_overlay_problems
from navarch.core.render.overlays import build_finding, check_kinds, check_patches, is_refused, name_part


def check_overlays(observed: ObservedGateway) -> Iterator[Finding]:
    """Every overlay finds its object, and touches nothing that is Navarch's own or guarded."""
    spec = observed.spec
    if spec is None or not spec.overlays:
        return
    yield from check_kinds(spec.overlays, "spec")
    yield from check_patches(spec.overlays, "spec")
    for problem in find_overlay_problems(_build_input(observed), observed.assets):
        if not is_refused(problem.overlay):
            yield build_finding(problem, build_path("overlays", problem.index, name_part(problem)))


def check_budget(observed: ObservedGateway) -> Iterator[Finding]:
    """The PodDisruptionBudget lets a pod go while the fewest run: else no node of theirs can be drained."""
    spec = observed.spec
    if spec is None or not spec.overlays:
        return
    objects = build_objects(_build_input(observed), observed.assets)
    budget = next((o for o in objects if o["kind"] == "PodDisruptionBudget"), None)
    least = (spec.autoscaling.min_replicas if spec.autoscaling else spec.replicas) or 1
    if budget is not None and (blocking := _find_blocking(budget, least)):
        place = next(
            n for n, o in reversed([*enumerate(spec.overlays)]) if o.target.kind == "PodDisruptionBudget"
        )
        field = build_path("overlays", place, "patch", "spec", blocking)
        message = (
            f"with {least} pods, the fewest, no pod could ever be evicted, and no node of theirs drained"
        )
        remedy = "let at least one go, or have more pods"
        yield Finding(Reason.INVALID_SPEC, field, shorten(budget["spec"][blocking]), message, remedy)


def check_injectable(observed: ObservedGateway) -> Iterator[Finding]:
    """No overlay takes its pods' proxy away: Istio injects none that have the node's network."""
    for number, overlay in enumerate((observed.spec and observed.spec.overlays) or ()):
        found: Any = overlay.patch
        for key in _HOST_NETWORK:
            found = found.get(key) if isinstance(found, Mapping) else None
        if found is True:
            message = "pods with the node's network get no proxy: Istio's injector leaves them out"
            remedy = "leave it out; a Service of type LoadBalancer or NodePort lets clients in"
            field = build_path("overlays", number, "patch", *_HOST_NETWORK)
            yield Finding(Reason.INVALID_SPEC, field, "true", message, remedy)


_HOST_NETWORK = ("spec", "template", "spec", "hostNetwork")


def _find_blocking(budget: Manifest, least: int) -> str:
    """The field of a budget that lets no pod of `least` go; empty where there is none."""
    spec = budget["spec"]
    if (kept := _count(spec.get("minAvailable"), least)) is not None and kept >= least:
        return "minAvailable"
    return "maxUnavailable" if _count(spec.get("maxUnavailable"), least) == 0 else ""


def _count(value: Any, total: int) -> int | None:
    """How many of `total` pods a number or a share is, rounded up as Kubernetes does; None for neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    share = re.fullmatch(r"([0-9]{1,3})%", value) if isinstance(value, str) else None
    return math.ceil(int(share[1]) * total / 100) if share else None


def _build_input(observed: ObservedGateway) -> GatewayInput:
    """What overlays are judged by: no object's name or kind depends on the mesh."""
    assert observed.spec is not None
    return GatewayInput(observed.parent, observed.spec, "tag", "", "IfNotPresent")
