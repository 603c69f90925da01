"""The result of a dry-run pod.

Owns the record. Must never judge it: mesh/injection.py does. Invariant: one verdict for each answer that
an API server can give.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ProbeVerdict(StrEnum):
    """What a dry-run pod told."""

    INJECTED = "injected"
    NOT_INJECTED = "not-injected"
    WEBHOOK_FAILED = "webhook-failed"
    DENIED = "denied"
    NOT_PERMITTED = "not-permitted"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Probe:
    """Result of the dry-run pod. `revision` is the one that injected it, `message` the API server's own
    words, `failing` for how many seconds it has come to nothing although nothing that it depends on changed.
    """

    verdict: ProbeVerdict
    revision: str = ""
    message: str = ""
    failing: float = 0.0
