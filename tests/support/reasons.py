"""Which reasons the tests have read from the status of an object on a real API server.

Owns one set for the test session. Must never be filled by anything but a test that looks at status.
tests/cluster/test_reasons.py asks it at the end.
"""

from __future__ import annotations

READ: set[str] = set()


def record(reason: str) -> None:
    """A test has read this reason."""
    READ.add(reason)
