"""Whether every object of a plan stands as planned: the verdict Reconciled, of any kind.

Owns that verdict. Must never look at the cluster. Invariant: one failed object makes it False, with that
object's reason.
"""

from __future__ import annotations

from navarch.core.model.actions import Outcome
from navarch.core.model.conditions import Verdict, tell_all
from navarch.core.model.messages import join
from navarch.core.model.reasons import Reason


def determine_reconciled(outcome: Outcome | None, *, paused: bool) -> Verdict:
    """Whether every object is as planned. `outcome` is None when nothing could be applied."""
    if paused:
        differs = f"; not as planned: {join(outcome.withheld)}" if outcome and outcome.withheld else ""
        return Verdict("Unknown", Reason.PAUSED, f"nothing is written while spec.paused is true{differs}")
    if outcome is None:
        return Verdict("Unknown", Reason.NOT_YET_DETERMINED, "nothing has been applied yet")
    if outcome.failures:
        return tell_all("False", [(Reason(f.reason), f.message) for f in outcome.failures])
    return Verdict("True", Reason.RECONCILED)
