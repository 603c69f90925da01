"""Whether a change of status must be written now.

Owns the rule; each kind's status.py names the conditions that users and policies wait for. Must never depend
on a clock: controllers/pace.py does. Invariant: equal statuses are never urgent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from navarch.core.model.conditions import ConditionType


@dataclass(frozen=True, slots=True)
class Awaited:
    """Conditions of a kind whose every change is urgent, with `reasons` also that of a reason alone; the
    others show progress towards them."""

    conditions: tuple[ConditionType, ...]
    reasons: bool = False


def is_urgent(awaited: Awaited, previous: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """True if the change must be written now: a condition that was True and is no longer, what is `awaited`,
    an edit that was looked at, the stamp of pods, and the number of proxies that keep a mesh from being
    deleted leaving or reaching zero (a policy reads it). All else is progress and numbers."""

    def headlines(told: Mapping[str, Any]) -> list[Any]:
        conditions = {c["type"]: c for c in told.get("conditions") or ()}
        found = (conditions[name] for name in awaited.conditions if name in conditions)
        words = [(c["type"], c["status"], c["reason"] if awaited.reasons else "") for c in found]
        proxies = told.get("proxies") or {}
        populated = proxies.get("total", 0) > proxies.get("gateways", 0)
        return [told.get("observedGeneration"), told.get("proxy"), populated, *words]

    def holding(told: Mapping[str, Any]) -> set[str]:
        return {c["type"] for c in told.get("conditions") or () if c["status"] == "True"}

    lost = holding(previous) - holding(status) - {ConditionType.PROGRESSING}
    return bool(lost) or headlines(previous) != headlines(status)
