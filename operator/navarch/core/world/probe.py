"""The results of dry runs: of a pod, and of configuration.

Owns the records. Must never judge them: mesh/injection.py and mesh/validation.py do. Invariant: one verdict
for each answer to a pod that an API server can give.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ProbeVerdict(StrEnum):
    """What a dry-run pod told."""

    INJECTED = "injected"
    NOT_INJECTED = "not-injected"
    WEBHOOK_FAILED = "webhook-failed"
    MADE_INVALID = "made-invalid"
    """What webhooks made of the pod is refused by the API server itself."""
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


@dataclass(frozen=True, slots=True)
class Validation:
    """Result of the dry runs of a good and of a bad VirtualService. `problem` says why they prove nothing;
    empty where istiod's webhook let the one pass and refused the other."""

    problem: str = ""
