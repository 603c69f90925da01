"""Which reasons the tests have read from the status of an object on a real API server.

Owns one set for the processes of a run. Must never be filled by anything but a test that looks at status.
tests/cluster/test_reasons.py asks it at the end.
"""

from __future__ import annotations

from tests.support import run

_read: set[str] = set()


def record(reason: str) -> None:
    """A test has read this reason."""
    if reason not in _read:
        _read.add(reason)
        run.note("reasons", [reason])


def list_read() -> set[str]:
    """What any test of the run has read so far."""
    return _read | run.read("reasons")
