"""How often the status of an object is written for changes that no client waits for.

Owns the pace. Must never know what a status says. Invariants: of one object no two such writes lie less than
PERIOD apart; what is held back is due at a time that is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable

PERIOD = 5.0
"""Seconds between two writes: while pods come and go, each of them changes the census."""
_SLACK = 0.01
"""Seconds by which a timer may come early."""
_REMEMBERED = 1000


class Pace:
    """When each object, by uid, was written last. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._written: dict[str, float] = {}

    def find_wait(self, uid: str) -> float | None:
        """Seconds until a write may go; None when it may go now."""
        left = self._written.get(uid, self._clock() - PERIOD) + PERIOD - self._clock()
        return left if left > _SLACK else None

    def note(self, uid: str) -> None:
        """A write went."""
        now = self._clock()
        if len(self._written) >= _REMEMBERED:
            self._written = {name: at for name, at in self._written.items() if now - at < PERIOD}
        self._written[uid] = now
