"""What the queue is told at the end of a reconcile of an object that people write.

Owns the verdict on the run. Must never decide when the next look is due: core/model/requeue.py does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from navarch.core.model.actions import Outcome, Plan
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.requeue import determine_requeue
from navarch.engine.result import After, Done, Result, Terminal


def conclude(
    plan: Plan,
    findings: Sequence[Finding],
    outcome: Outcome,
    conditions: Sequence[Any],
    *,
    held: float | None,
) -> Result:
    """When the object is looked at again, and whether it waits for an edit. `held` is what Reporter.report
    returns: the seconds until a status that was held back may be written."""
    seconds = determine_requeue(plan, outcome, conditions, held=held)
    refusals = [str(finding) for finding in findings if finding.severity is Severity.ERROR]
    if seconds is not None:
        return After(seconds, well=not refusals and not outcome.failures)
    return Terminal("; ".join(refusals)) if refusals else Done()
