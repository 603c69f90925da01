"""Delays of failing keys."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navarch.engine.backoff import Backoff
from navarch.engine.key import Key

KEY, OTHER = Key("K", "ns", "a"), Key("K", "ns", "b")


def test_delays_double_up_to_the_cap() -> None:
    backoff = Backoff(random=lambda: 0.5)
    assert [backoff.next_delay(KEY) for _ in range(11)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_a_success_forgets_the_failures_of_that_key_only() -> None:
    backoff = Backoff(random=lambda: 0.5)
    for _ in range(3):
        backoff.next_delay(KEY)
        backoff.next_delay(OTHER)
    backoff.reset(KEY)
    assert (backoff.failures(KEY), backoff.failures(OTHER)) == (0, 3)
    assert (backoff.next_delay(KEY), backoff.next_delay(OTHER)) == (1, 8)


@pytest.mark.parametrize(("random", "expected"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
def test_jitter_is_twenty_percent_either_way(random: float, expected: float) -> None:
    assert Backoff(random=lambda: random).next_delay(KEY) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=2000))
def test_no_delay_exceeds_the_cap_however_long_it_fails(numbers: list[float]) -> None:
    source = iter(numbers)
    backoff = Backoff(random=lambda: next(source))
    delays = [backoff.next_delay(KEY) for _ in numbers]
    assert all(0.8 <= delay <= 300 for delay in delays)
    assert all(later > earlier for earlier, later in pairwise(delays[:8]))
