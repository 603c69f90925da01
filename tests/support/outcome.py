"""How a test has ended so far, for fixtures that judge only what a test that passed has left."""

from __future__ import annotations

import pytest

_PASSED = pytest.StashKey[bool]()


def note_outcome(item: pytest.Item, report: pytest.TestReport) -> None:
    """Remember that the test itself has passed, before its fixtures are taken down."""
    if report.when == "call":
        item.stash[_PASSED] = report.passed


def has_passed(item: pytest.Item) -> bool:
    """Whether the test itself has passed."""
    return item.stash.get(_PASSED, False)
