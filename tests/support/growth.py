"""Whether a process grows: what it holds, from /proc, and a straight line through it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

PROBE = """
import os
status = dict(line.split(":", 1) for line in open(f"/proc/{PID}/status"))
print(int(status["VmRSS"].split()[0]), int(status["Threads"]), len(os.listdir(f"/proc/{PID}/fd")))
"""
"""A program that prints the three numbers of a Held for process PID."""
ARENA = 1024
"""KiB by which CPython's allocator grows at a time (ARENA_SIZE in Objects/obmalloc.c since 3.10)."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds: memory in KiB, threads, open files."""

    rss: int
    threads: int
    files: int


def read_held(pid: int) -> Held:
    """What a process of this machine holds now."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Held(int(status["VmRSS"].split()[0]), int(status["Threads"]), files)


def read_waited(pid: int) -> float:
    """Seconds for which the first thread of a process could have run and had no core to run on."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


@dataclass(frozen=True, slots=True)
class Line:
    """A robust line through points: its slope, the lower end of the slope's 95 % interval, and how far the
    points reach along x."""

    slope: float
    least: float
    reach: float

    def rises(self, *, more_than: float) -> bool:
        """Whether the slope is above a bound, and what it comes to is more than noise and more than an arena:
        on a slow machine there are too few reconciles for less to say anything."""
        return self.slope > more_than and self.least > 0 and self.slope * self.reach > ARENA


def fit(points: Sequence[tuple[float, float]]) -> Line:
    """The line of Theil and Sen through at least ten points (x, y): the median of the slopes of all pairs.

    One step, as an allocator makes it when it takes an arena, moves few of these slopes; a leak moves all.
    """
    count = len(points)
    if count < 10:
        raise ValueError(f"{count} points are too few")
    slopes = sorted((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if a[0] != b[0])
    # Sen's interval: the deviation of Kendall's statistic, in ranks of the slopes (Hollander and Wolfe, 9.3).
    ranks = 1.96 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    least = slopes[max(0, math.floor((len(slopes) - ranks) / 2))]
    where = [x for x, _ in points]
    return Line(statistics.median(slopes), least, max(where) - min(where))


def show(samples: Sequence[tuple[float, Held]], line: Line) -> str:
    """A table of samples (reconciles so far, what was held), and the line through their memory."""
    step = max(1, len(samples) // 12)
    rows = [f"{'reconciles':>10} {'RSS KiB':>9} {'files':>6} {'threads':>8}"]
    rows += [
        f"{reconciles:>10.0f} {held.rss:>9} {held.files:>6} {held.threads:>8}"
        for reconciles, held in samples[::step]
    ]
    rows.append(f"RSS: {line.slope * 1000:+.0f} KiB for 1,000 reconciles, at least {line.least * 1000:+.0f}")
    return "\n".join(rows)
