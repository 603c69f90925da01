"""Objects that another client changes again and again: how often we put them back.

Owns the pace of repairs. The first ones follow at once, for any object; then the pauses double. Must
never delay a change of our own. Invariant: an object that no other client has changed for a while is
forgotten, and repaired at once again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from navarch.core.model.refs import Ref

AT_ONCE = 20
"""Repairs of one object that follow without a pause."""
CALM = 60.0
"""Seconds in which one repair is forgotten."""
LONGEST = 60.0
"""Seconds between two repairs at the most."""
_REMEMBERED = 10_000


@dataclass(slots=True)
class _Contest:
    repairs: float
    at: float
    told: str = ""


class Contests:
    """The repairs of late, by object. `at_once` repairs follow without a pause; None never pauses."""

    def __init__(self, *, at_once: int | None = AT_ONCE, clock: Callable[[], float] = time.monotonic) -> None:
        self._at_once, self._clock = at_once, clock
        self._of: dict[Ref, _Contest] = {}

    def note(self, ref: Ref) -> None:
        """The object was put back just now."""
        now = self._clock()
        contest = self._of.pop(ref, None)
        repairs = self._fade(contest, now) if contest else 0.0
        self._of[ref] = _Contest(repairs + 1, now, contest.told if contest else "")
        while len(self._of) > _REMEMBERED:
            self._of.pop(next(iter(self._of)))

    def find_wait(self, ref: Ref) -> float:
        """Seconds until the object may be put back again; 0 where it may be at once."""
        contest = self._of.get(ref)
        if contest is None or self._at_once is None or contest.repairs <= self._at_once:
            return 0.0
        pause: float = min(LONGEST, 2.0 ** min(contest.repairs - self._at_once, 16))
        return max(0.0, contest.at + pause - self._clock())

    def find_rest(self, ref: Ref) -> float:
        """Seconds until the object no longer counts as contested; 0 where it does not."""
        contest = self._of.get(ref)
        if contest is None or self._at_once is None:
            return 0.0
        over = self._fade(contest, self._clock()) - self._at_once
        if over <= 0:
            contest.told = ""
            return 0.0
        return float(over * CALM)

    def told(self, ref: Ref) -> str:
        """What is said of the contest; empty while it has not been looked into."""
        contest = self._of.get(ref)
        return contest.told if contest else ""

    def tell(self, ref: Ref, text: str) -> None:
        """Keep what is said of a contest, so that it stays the same while the contest lasts."""
        if ref in self._of:
            self._of[ref].told = text

    def _fade(self, contest: _Contest, now: float) -> float:
        return max(0.0, contest.repairs - (now - contest.at) / CALM)
