"""Windows of many: the time that they have in common, for any windows and at any moment.

Invariants: nothing is closed exactly while each of them is open; what is told as the next opening is one, and
the first.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from navarch.api.dataplane import DAYS, Window
from navarch.core.rollout.narrowing import Narrowing
from navarch.core.rollout.windows import find_opening

NAMES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kathmandu"]
ZONES = {name: ZoneInfo(name) for name in NAMES}

WINDOWS = st.builds(
    lambda days, hour, minute, minutes, zone: Window(
        days=sorted(days, key=DAYS.index),
        start=f"{hour:02}:{minute:02}",
        duration_minutes=minutes,
        time_zone=zone,
    ),
    st.sets(st.sampled_from(DAYS), min_size=1),
    st.integers(0, 23),
    st.sampled_from([0, 15, 30, 59]),
    st.sampled_from([1, 30, 90, 240, 720, 1440]),
    st.sampled_from(NAMES),
)
LAYERS = st.lists(WINDOWS, min_size=1, max_size=3).map(tuple)


def are_open(layers: list[tuple[Window, ...]], now: datetime) -> bool:
    """Whether each of them has a window that is open, as its own state says."""
    found = [find_opening(layer, ZONES, now) for layer in layers]
    return all(opening is not None and opening.open for opening in found)


@given(
    st.lists(WINDOWS, max_size=3),
    st.lists(LAYERS, min_size=1, max_size=3),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
)
@settings(max_examples=300, deadline=None)
def test_the_time_of_all_is_where_each_is_open(
    mesh: list[Window], layers: list[tuple[Window, ...]], now: datetime
) -> None:
    def is_free(moment: datetime) -> bool:
        return Narrowing(mesh, ZONES, moment).find_closed(layers) is None

    every = [*layers, *([tuple(mesh)] if mesh else [])]
    found = Narrowing(mesh, ZONES, now).find_closed(layers)
    assert is_free(now) == are_open(every, now) == (found is None)
    if found is None:
        return
    probes = [now + timedelta(minutes=minutes) for minutes in range(0, 7 * 24 * 60, 97)]
    if found.at is None:
        assert not any(are_open(every, moment) for moment in probes)
        return
    assert found.at > now
    assert are_open(every, found.at)
    assert not are_open(every, found.at - timedelta(seconds=1))
    assert not any(are_open(every, moment) for moment in probes if moment < found.at)
