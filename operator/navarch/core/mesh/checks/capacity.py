"""Amounts that the schema cannot compare, because one may come from the spec and the other from a profile.

Owns rules between numbers of the resolved configuration. Must never judge whether an amount is wise, only
whether the API server would refuse it or a drain would hang on it. Invariant: no finding on any built-in
profile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from navarch.api.spec import ControlPlane, Resources
from navarch.core.mesh.checks.accepted import build_sources
from navarch.core.mesh.checks.layers import resolved_config
from navarch.core.mesh.content import MeshContent
from navarch.core.model.findings import Finding
from navarch.core.model.quantities import parse_quantity
from navarch.core.model.reasons import Reason

_CONTAINERS: Final = ("proxy", "proxy_init", "waypoint")
"""What in values.global has resources of a container."""
_STANDARD: Final = re.compile(r"cpu|memory|ephemeral-storage|hugepages-.+")
_EXTENDED: Final = re.compile(
    r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?)/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)


def count_replicas(control_plane: ControlPlane) -> int:
    """How many istiods a revision has at the least."""
    autoscaling = control_plane.autoscaling
    if autoscaling and autoscaling.enabled is not False:
        return autoscaling.min_replicas or 1
    return control_plane.replicas or 1


def check_replicas_count(content: MeshContent) -> Iterator[Finding]:
    """A fixed number of replicas is not asked for where an autoscaler, a profile's too, would override it."""
    control_plane = content.spec.control_plane
    config = resolved_config(content)
    merged = config.control_plane if config else None
    if control_plane is None or control_plane.replicas is None or merged is None:
        return
    if merged.autoscaling and merged.autoscaling.enabled is not False:
        yield Finding(
            Reason.INVALID_SPEC,
            "spec.controlPlane.replicas",
            str(control_plane.replicas),
            "with the profiles merged in, the autoscaler decides the number of istiods",
            "set spec.controlPlane.autoscaling.enabled: false, or autoscaling.minReplicas in place of this",
        )


def check_autoscaling_bounds(content: MeshContent) -> Iterator[Finding]:
    """The autoscaler's lower bound is not above its upper one."""
    config = resolved_config(content)
    autoscaling = config.control_plane.autoscaling if config and config.control_plane else None
    if not autoscaling or autoscaling.min_replicas is None or autoscaling.max_replicas is None:
        return
    low, high = autoscaling.min_replicas, autoscaling.max_replicas
    if low > high:
        yield Finding(
            Reason.INVALID_SPEC,
            "spec.controlPlane.autoscaling.minReplicas",
            str(low),
            f"with the profiles merged in, it is above maxReplicas, which is {high}",
            "set both in spec.controlPlane.autoscaling",
        )


def check_disruption_budget(content: MeshContent) -> Iterator[Finding]:
    """The PodDisruptionBudget lets at least one pod be evicted, else no node of istiod's could ever be
    drained."""
    config = resolved_config(content)
    control_plane = config.control_plane if config else None
    budget = control_plane.pod_disruption_budget if control_plane else None
    if control_plane is None or budget is None or budget.enabled is False:
        return
    replicas, kept = count_replicas(control_plane), budget.min_available or 0
    if replicas > 1 and kept >= replicas:
        yield Finding(
            Reason.INVALID_SPEC,
            "spec.controlPlane.podDisruptionBudget.minAvailable",
            str(kept),
            f"with the profiles merged in, istiod may have {replicas} replicas, so no node could be drained",
            f"set it to {replicas - 1} or less, or ask for more replicas",
        )


def _check_limits(resources: Resources | None, path: str) -> Iterator[Finding]:
    if resources is None or resources.requests is None or resources.limits is None:
        return
    for name in ("cpu", "memory"):
        request, limit = getattr(resources.requests, name), getattr(resources.limits, name)
        if request is not None and limit is not None and parse_quantity(request) > parse_quantity(limit):
            yield Finding(
                Reason.INVALID_SPEC,
                f"{path}.limits.{name}",
                limit,
                f"with the profiles merged in, it is below requests.{name}, which is {request}",
                f"raise it, or lower {path}.requests.{name}",
            )


def check_resources(content: MeshContent) -> Iterator[Finding]:
    """No container asks for more than its limit: the API server would refuse every pod."""
    config = resolved_config(content)
    if config is None:
        return
    if config.control_plane:
        yield from _check_limits(config.control_plane.resources, "spec.controlPlane.resources")
    if config.proxy:
        yield from _check_limits(config.proxy.resources, "spec.proxy.resources")


def _look_up(tree: Any, *steps: str) -> Any:
    for step in steps:
        tree = tree.get(step) if isinstance(tree, Mapping) else None
    return tree


def _read(amount: Any) -> Decimal | None:
    try:
        return parse_quantity(str(amount))
    except (ArithmeticError, KeyError):
        return None


def _find_bad_amounts(resources: Mapping[str, Any]) -> Iterator[tuple[str, str, Any, str]]:
    """(side, name, amount, what is wrong) of a container's resources."""
    sides = {side: resources.get(side) or {} for side in ("requests", "limits")}
    for side, amounts in sides.items():
        for name, amount in amounts.items():
            if not _STANDARD.fullmatch(name) and not _EXTENDED.fullmatch(name):
                message = (
                    "is no resource of a container: cpu, memory, ephemeral-storage, or a name with a domain"
                )
                yield side, name, amount, message
    for name, amount in sides["limits"].items():
        request = sides["requests"].get(name)
        least, most = _read(request), _read(amount)
        if least is not None and most is not None and least > most:
            yield "limits", name, amount, f"is below requests.{name}, which is {request}"


def check_amounts_in_values(content: MeshContent) -> Iterator[Finding]:
    """No container that values give resources asks for what the API server would refuse: it would refuse
    every pod. What is no amount at all is another rule's."""
    config, built = resolved_config(content), build_sources(content)
    if config is None or built is None:
        return
    for container in _CONTAINERS:
        path = ("global", container, "resources")
        given, resources = _look_up(config.values, *path), _look_up(built[1], *path)
        if not given or not isinstance(resources, Mapping):
            continue
        for side, name, amount, wrong in _find_bad_amounts(resources):
            mine = _look_up(content.spec.values, *path) is not None
            where = ".".join(("values", *path, side, name))
            field, subject = (f"spec.{where}", "") if mine else ("spec.profiles", f"{where} of a profile ")
            message = f"{subject}{wrong}; with the profiles merged in, every pod would be refused"
            remedy = "correct the value, or leave it out"
            yield Finding(Reason.VALUES_INVALID, field, str(amount), message, remedy)
