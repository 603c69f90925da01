"""What to do about each id, how grave it is, and an example of it: the text of docs/reference/checks.md.

Owns severity, remedy and example of every reason that can be reported; those of signs are in signs.py. Must
never hold a rule. Invariant: each reason but those that say that all is well is here, once.
"""

from __future__ import annotations

from collections.abc import Mapping

from navarch.core.diagnosis.advice.authority import OF_AUTHORITIES
from navarch.core.diagnosis.advice.form import Advice
from navarch.core.diagnosis.advice.managed import OF_MANAGED_AUTHORITIES
from navarch.core.diagnosis.advice.neighbourhood import OF_NEIGHBOURHOOD
from navarch.core.diagnosis.advice.running import OF_WHAT_RUNS
from navarch.core.diagnosis.advice.specification import OF_SPECIFICATION
from navarch.core.model.reasons import Reason

OF_REASONS: Mapping[Reason, Advice] = {
    **OF_SPECIFICATION,
    **OF_NEIGHBOURHOOD,
    **OF_WHAT_RUNS,
    **OF_AUTHORITIES,
    **OF_MANAGED_AUTHORITIES,
}

WELL = frozenset(
    {
        Reason.AS_EXPECTED,
        Reason.SETTLED,
        Reason.NOT_PAUSED,
        Reason.NOT_DELETING,
        Reason.RECONCILED,
        Reason.INJECTION_PROVED,
        Reason.DEPENDENCIES_MET,
        Reason.UPGRADED,
    }
)
"""Reasons that say that all is well: nothing is ever reported under them."""

BY_NAVARCH = frozenset(
    {
        Reason.CRDS_PENDING,
        Reason.NOT_INSTALLED,
        Reason.NOT_YET_DETERMINED,
        Reason.PROGRESSING,
        Reason.REMOVING,
        Reason.VERSION_PENDING,
        Reason.WEBHOOK_MISSING,
    }
)
"""Reasons whose remedy is to wait for what Navarch does: of a paused mesh it does nothing."""
