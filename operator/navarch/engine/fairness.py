"""How much each lane was worked on of late, and by how much that puts it back.

Owns the one number by which a busy lane lets a rested one pass. Must never hold a key back for good: the
number is bounded, and counts from the key's arrival. Invariant: it changes nothing while no other key waits.
"""

from __future__ import annotations

from math import exp

MEMORY = 60.0
"""Seconds after which a run counts for a third of what it did."""
PER_RUN = 0.05
"""Seconds by which each run of late puts a lane back."""
LONGEST = 1.0
"""Largest penalty of a busy lane in seconds: no lane starves."""
_REMEMBERED = 20_000


class Usage:
    """Runs of late, by lane. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._runs: dict[str, tuple[float, float]] = {}

    def count(self, lane: str, now: float) -> None:
        """One more run of this lane."""
        if len(self._runs) >= _REMEMBERED:
            self._runs = {name: run for name, run in self._runs.items() if now - run[1] < MEMORY}
        self._runs[lane] = (self._read(lane, now) + 1.0, now)

    def find_delay(self, lane: str, now: float) -> float:
        """By how many seconds a key of this lane counts as having come later than it did."""
        return min(PER_RUN * self._read(lane, now), LONGEST)

    def _read(self, lane: str, now: float) -> float:
        runs, at = self._runs.get(lane, (0.0, now))
        return runs * exp((at - now) / MEMORY)
