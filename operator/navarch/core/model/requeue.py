"""When a key is looked at again although no event came.

Owns the intervals and their choice. Must never look at a clock. Invariant: the shortest wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from navarch.core.model.actions import Outcome, Plan
from navarch.core.model.conditions import ConditionType

SAFETY_REQUEUE = 30.0
"""Seconds after which a plan that waits is looked at again even if no event came."""

LABELS_REQUEUE = 60.0
"""Seconds after which labels of another client are looked at again: a mesh that comes may take a namespace by
them, and no event about the namespace tells."""

RIVAL_REQUEUE = 5.0
"""Seconds after which the API server is asked once more whether a control plane may be made: of the revision
that stood in its way no watch needs to have told."""

PROBE_REQUEUE = 5.0
"""Seconds after which an injection that could not be proved is tried again."""


def determine_requeue(
    plan: Plan,
    outcome: Outcome | None,
    conditions: Iterable[Mapping[str, Any]],
    *,
    held: float | None = None,
) -> float | None:
    """Seconds until the next look without an event; None waits for one. A failure that may pass by itself and
    an unproved injection are looked at again sooner than the safety net would; `held` is when a status
    that was held back may be written."""
    unproved = any(c["type"] == ConditionType.INJECTION_READY and c["status"] != "True" for c in conditions)
    candidates = [
        plan.requeue_after,
        outcome.retry_after if outcome else None,
        PROBE_REQUEUE if unproved and not plan.waiting and plan.waves else None,
        held,
    ]
    return min((c for c in candidates if c is not None), default=None)
