"""The form of an advice.

Owns the record. Must never know a reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from navarch.core.model.findings import Severity


@dataclass(frozen=True, slots=True)
class Advice:
    """How grave a diagnosis is, what to do about it, and a message as an example."""

    severity: Severity
    remedy: str
    example: str
