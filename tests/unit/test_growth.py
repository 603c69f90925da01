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


SLOW = [373, 381, 384, 390, 391, 394, 397, 401, 403, 408, 413, 416]


def test_pages_that_a_few_reconciles_touch_for_the_first_time_are_no_leak() -> None:
    kib = [109276, 109292, 109300, 109308, 109308, 109312, 109312, 109312, 109432, 109440, 109460, 109524]
    line = fit([*zip(SLOW, map(float, kib), strict=True)])
    assert line.slope > 3, "seen on a machine on which a reconcile took two seconds"
    assert not line.rises(more_than=3)
    assert fit([(n, 109_276.0 + 200 * n) for n in SLOW]).rises(more_than=3), "a rendering each is one"


def test_a_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        fit([(0, 0), (1, 1)])
