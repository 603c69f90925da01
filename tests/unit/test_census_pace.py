"""How often proxies are counted: at once when it is quiet, once per period while pods come and go."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from navarch.controllers.census import PERIOD, Census
from navarch.core.observed import ProxyPod


def pods(number: int, stamp: str = "1.31.1-a") -> list[ProxyPod]:
    return [ProxyPod("app", f"p{index}", "shop-mesh-inplace", stamp) for index in range(number)]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_first_change_counts_at_once_and_the_next_after_the_period() -> None:
    clock = Clock()
    census = Census(clock)
    assert census.count("uid", []) == ((), None)
    assert census.count("uid", pods(1)) == (tuple(pods(1)), None)
    clock.now += 2
    assert census.count("uid", pods(2)) == (tuple(pods(1)), PERIOD - 2)
    clock.now += PERIOD - 2
    assert census.count("uid", pods(2)) == (tuple(pods(2)), None)


def test_a_pod_that_takes_anothers_place_changes_no_number_and_costs_no_turn() -> None:
    clock = Clock()
    census = Census(clock)
    census.count("uid", pods(2))
    clock.now += 1
    others = [ProxyPod("app", "new", "shop-mesh-inplace", "1.31.1-a"), *pods(1)]
    assert census.count("uid", others) == (tuple(others), None)


def test_meshes_have_a_pace_of_their_own_and_one_that_is_forgotten_begins_anew() -> None:
    census = Census(Clock())
    census.count("one", pods(1))
    assert census.count("two", pods(1))[1] is None
    assert census.count("one", pods(3))[1] == PERIOD
    census.forget("one")
    assert census.count("one", pods(3)) == (tuple(pods(3)), None)


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 4)), max_size=60))
def test_counts_that_differ_lie_a_period_apart_and_the_last_one_is_asked_for(
    steps: list[tuple[float, int]],
) -> None:
    clock = Clock()
    census = Census(clock)
    changes: list[float] = []
    shown, due = 0, None
    for wait, number in steps:
        clock.now += wait
        counted, due = census.count("uid", pods(number))
        if len(counted) != shown:
            changes.append(clock.now)
            shown = len(counted)
        assert (due is None) == (len(counted) == number)
    assert all(later - earlier > PERIOD - 1e-6 for earlier, later in pairwise(changes))
    if due is not None:
        clock.now += due
        assert len(census.count("uid", pods(steps[-1][1]))[0]) == steps[-1][1]
