"""What a check found: one sentence for the user, with field, value and remedy.

Invariant: a finding names what is wrong, where, and what to do; it never carries an exception.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from navarch.core.model.reasons import Reason


class Severity(StrEnum):
    """ERROR stops the spec from being acted on; WARNING asks for something to be done, INFO for nothing."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check. `field` is a path in the user's object (`spec.version`), `value` what stands
    there."""

    reason: Reason
    field: str
    value: str
    message: str
    remedy: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        where = f"{self.field}: {self.value!r}: " if self.field else ""
        return f"{where}{self.message}; {self.remedy}"


def is_accepted(findings: Iterable[Finding]) -> bool:
    """Whether the spec may be acted on."""
    return not any(f.severity is Severity.ERROR for f in findings)
