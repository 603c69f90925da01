"""How much an archive may hold, and how long collecting it may take.

Owns the numbers, each with what it bounds. Plain data.
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What is beyond one of these is left out, and told."""

    seconds: float = 300
    """All requests together."""
    bytes: int = 64 * MIB
    """All files together, before they are packed."""
    object_bytes: int = MIB
    """One object as YAML."""
    objects: int = 500
    """Objects of one list."""
    events: int = 500
    """Events of one namespace: the newest."""
    namespaces: int = 100
    """Namespaces whose Events and quotas are read, beside the operator's."""
    pods: int = 60
    """Pods whose logs are read: the operator's, then istiods, then gateways."""
    log_lines: int = 5000
    """Lines of one log: the newest."""
    log_bytes: int = 2 * MIB
    """One log: its end."""
    requests: int = 8
    """Requests in flight."""
