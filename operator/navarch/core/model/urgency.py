"""Whether a change of status must be written now.

Owns the list of what users and policies wait for. Must never depend on a clock: controllers/pace.py does.
Invariant: equal statuses are never urgent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from navarch.api import revision
from navarch.core.model.conditions import ConditionType

_NEWS = tuple(map(ConditionType, ("Ready", "SpecAccepted", "DependenciesReady", "Deleting", "Paused")))
"""Conditions of a mesh by whose status somebody may be waiting; the others show progress towards them."""


def is_urgent(kind: str, previous: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """Whether somebody may be waiting for what this status says, and the previous one does not: that it is
    ready or not, that an edit was looked at, what pods are stamped with, whether there are any (the policy
    that guards a mesh with proxies from deletion reads it), and every condition of a revision. All else is
    progress and numbers."""

    def headlines(told: Mapping[str, Any]) -> list[Any]:
        conditions = {c["type"]: c for c in told.get("conditions") or ()}
        if kind == revision.KIND:
            words: list[Any] = [(name, c["status"], c["reason"]) for name, c in sorted(conditions.items())]
        else:
            words = [conditions[name]["status"] for name in _NEWS if name in conditions]
        populated = bool((told.get("proxies") or {}).get("total"))
        return [told.get("observedGeneration"), told.get("proxy"), populated, *words]

    return headlines(previous) != headlines(status)
