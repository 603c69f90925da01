"""When restarts may begin, by the windows of a mesh.

Owns the arithmetic of local times. Must never read a clock or a time zone's data: both are handed in.
Invariants: a window is open for exactly its minutes, whatever the clocks do meanwhile; it opens once on each
of its days, also on one on which its hour does not exist, or comes twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

from navarch.api.dataplane import DAYS, Window

_BEFORE, _AFTER = 2, 9
"""Days before and after today on which openings are looked for: one that is open now began at most a day ago,
and the next of a weekly one is at most a week away; a day more for time zones."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Whether a window is open now, and when that changes: `at` is when the last of those that are open
    closes, or the first of the others opens. `told` is that moment in the words of the window."""

    open: bool
    at: datetime
    told: str


def find_opening(windows: Sequence[Window], zones: Mapping[str, tzinfo], now: datetime) -> Opening | None:
    """The state of the windows; None where there are none, or where none can be read: no zone is known."""
    spans = [(*span, w) for w in windows if w.time_zone in zones for span in list_spans(w, zones, now)]
    current = [(end, w) for start, end, w in spans if start <= now < end]
    if current:
        end, window = max(current, key=lambda each: each[0])
        return Opening(True, end, tell_moment(end, window, zones))
    later = [(start, w) for start, _, w in spans if start > now]
    if not later:
        return None
    start, window = min(later, key=lambda each: each[0])
    return Opening(False, start, tell_moment(start, window, zones))


def list_spans(
    window: Window, zones: Mapping[str, tzinfo], now: datetime
) -> tuple[tuple[datetime, datetime], ...]:
    """When a window opens and closes, of the days about now."""
    zone = zones[window.time_zone]
    days = tuple(window.days or DAYS)
    return _list_spans(now.astimezone(zone).date(), days, window.start, window.duration_minutes, zone)


@lru_cache(maxsize=8192)
def _list_spans(
    today: date, days: tuple[str, ...], clock: str, minutes: int, zone: tzinfo
) -> tuple[tuple[datetime, datetime], ...]:
    """The same: of a thousand namespaces most have one of a few windows, and the next look is on the same
    day."""
    about = (today + timedelta(days=offset) for offset in range(-_BEFORE, _AFTER))
    starts = (_resolve(day, clock, zone) for day in about if DAYS[day.weekday()] in days)
    return tuple((start, start + timedelta(minutes=minutes)) for start in starts)


def _resolve(day: date, clock: str, zone: tzinfo) -> datetime:
    """A local time as a moment. One that is skipped is read by the offset before the clocks were put forward,
    one that comes twice is the first."""
    hour, minute = map(int, clock.split(":"))
    return datetime.combine(day, time(hour, minute), tzinfo=zone).astimezone(UTC)


def tell_moment(moment: datetime, window: Window, zones: Mapping[str, tzinfo]) -> str:
    """A moment in the words of a window."""
    local = moment.astimezone(zones[window.time_zone])
    return f"{DAYS[local.weekday()]} {local:%Y-%m-%d %H:%M} {window.time_zone}"


def describe_window(window: Window) -> str:
    """A window for people, such as `Mon, Tue 22:00 for 240 min (Europe/Berlin)`."""
    days = ", ".join(day for day in DAYS if day in (window.days or DAYS)) if window.days else "daily"
    return f"{days} {window.start} for {window.duration_minutes} min ({window.time_zone})"
