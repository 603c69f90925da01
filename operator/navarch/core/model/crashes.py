"""What is said about a mesh or a revision whose reconcile ended in an unexpected exception.

Owns the words of such an end. Must never repeat anything that differs from one try to the next (a time, an
address, an id): the status would move by itself, and its own event would start the next try. Invariant: the
conditions that the crash says nothing about stay as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from navarch.core.model.conditions import (
    ConditionType,
    Verdict,
    find_condition,
    merge_conditions,
)
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest

UNDETERMINED = frozenset({ConditionType.READY, ConditionType.RECONCILED})
"""Conditions that a crash makes Unknown: the others may well still hold."""


def describe_crash(error: str, place: str) -> str:
    """The message of a crash: `error` is the exception in one line, `place` the line of code that raised."""
    return (
        f"an error that Navarch does not know, at {place}: {error}; what runs is left as it is, and the "
        "object is tried again with growing pauses; undo its last edit if there was one, and report this "
        "with the traceback in the operator's log"
    )


def summarise_crash(
    body: Manifest, message: str, *, conditions: Iterable[ConditionType], now: str
) -> dict[str, Any]:
    """The status of `body` after a crash: its last one, with what cannot be determined any more.
    `conditions` are those of its kind."""
    previous: Mapping[str, Any] = body.get("status") or {}
    crashed = Verdict("Unknown", Reason.INTERNAL_ERROR, message)
    verdicts = {
        kind: crashed for kind in conditions if kind in UNDETERMINED or find_condition(body, kind) is None
    }
    generation = int(body["metadata"].get("generation", 0))
    before = previous.get("conditions") or ()
    merged = merge_conditions(before, verdicts, generation=generation, now=now)
    kept = [dict(c) for c in before if c["type"] not in {kind.value for kind in verdicts}]
    told = sorted([*merged, *kept], key=lambda condition: str(condition["type"]))
    return {**previous, "observedGeneration": generation, "conditions": told}
