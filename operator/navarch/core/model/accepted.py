"""Whether a specification is accepted: the verdict SpecAccepted, of any kind.

Owns that verdict. Must never look at the cluster. Invariant: one finding of severity ERROR makes it False.
"""

from __future__ import annotations

from collections.abc import Sequence

from navarch.core.model.conditions import Verdict, tell_all
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.reasons import Reason


def determine_accepted(findings: Sequence[Finding]) -> Verdict:
    """Whether the spec is valid; warnings are told without refusing it."""
    if not findings:
        return Verdict("True", Reason.AS_EXPECTED)
    worst_first = sorted(findings, key=lambda f: list(Severity).index(f.severity))
    refused = worst_first[0].severity is Severity.ERROR
    return tell_all("False" if refused else "True", [(f.reason, str(f)) for f in worst_first])
