"""Whether the tests of endurance can tell a leak from an allocator that takes an arena."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.support.growth import fit

BUSY = range(150, 300, 10)
"""Reconciles at which samples were taken."""


def test_one_step_and_a_level_line_after_it_are_no_leak() -> None:
    points = [(n, 109_400.0 if n == BUSY[0] else 110_600.0 + n % 7) for n in BUSY]
    assert not fit(points).rises(more_than=3)


@pytest.mark.parametrize("leaked", [10, 40])
def test_what_each_reconcile_leaves_behind_is_seen_in_noise_and_steps(leaked: int) -> None:
    points = [(n, 109_400.0 + leaked * n + n * 7919 % 13 * 20 + 800 * (n > 200)) for n in BUSY]
    line = fit(points)
    assert line.rises(more_than=6)
    assert all(a <= b for a, b in pairwise((line.least, line.slope, leaked * 2)))


def test_a_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        fit([(0, 0), (1, 1)])
