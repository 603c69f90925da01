"""Whether a change of status must be written now.

Owns the list of what users and policies wait for. Must never depend on a clock: controllers/pace.py does.
Invariant: equal statuses are never urgent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from navarch.api import revision
from navarch.core.model.conditions import ConditionType

_AWAITED = tuple(map(ConditionType, ("Ready", "SpecAccepted", "DependenciesReady", "Deleting", "Paused")))
"""Conditions of a mesh whose every change is urgent; the others show progress towards them."""


def is_urgent(kind: str, previous: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """True if the change must be written now: a condition that was True and is no longer, readiness and an
    edit that was looked at, the stamp of pods, the number of proxies leaving or reaching zero (the policy
    that guards a mesh with proxies from deletion reads it), and every condition of a revision. All else is
    progress and numbers."""

    def headlines(told: Mapping[str, Any]) -> list[Any]:
        conditions = {c["type"]: c for c in told.get("conditions") or ()}
        if kind == revision.KIND:
            words: list[Any] = [(name, c["status"], c["reason"]) for name, c in sorted(conditions.items())]
        else:
            words = [conditions[name]["status"] for name in _AWAITED if name in conditions]
        populated = bool((told.get("proxies") or {}).get("total"))
        return [told.get("observedGeneration"), told.get("proxy"), populated, *words]

    def holding(told: Mapping[str, Any]) -> set[str]:
        return {c["type"] for c in told.get("conditions") or () if c["status"] == "True"}

    lost = holding(previous) - holding(status) - {ConditionType.PROGRESSING}
    return bool(lost) or headlines(previous) != headlines(status)
