"""Whether a process grows: what it holds, from /proc, and a straight line through it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROBE = """
import os
status = dict(line.split(":", 1) for line in open(f"/proc/{PID}/status"))
print(int(status["VmRSS"].split()[0]), int(status["Threads"]), len(os.listdir(f"/proc/{PID}/fd")))
"""
"""A program that prints the three numbers of a Held for process PID."""


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
    """A line fitted by least squares: its slope, and half the width of the slope's 95 % interval."""

    slope: float
    margin: float

    def rises(self, *, more_than: float) -> bool:
        """Whether the slope is above a bound, and that is more than noise."""
        return self.slope > more_than and self.slope - self.margin > 0


def fit(points: Sequence[tuple[float, float]]) -> Line:
    """The line through at least ten points (x, y)."""
    count = len(points)
    if count < 10:
        raise ValueError(f"{count} points are too few")
    mean_x, mean_y = (sum(values) / count for values in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    rest = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points)
    # 2.3 is the 97.5 % point of Student's distribution with eight degrees of freedom; with more it is less.
    return Line(slope, 2.3 * math.sqrt(rest / (count - 2) / spread))


def show(samples: Sequence[tuple[float, Held]], line: Line) -> str:
    """A table of samples (reconciles so far, what was held), and the line through their memory."""
    step = max(1, len(samples) // 12)
    rows = [f"{'reconciles':>10} {'RSS KiB':>9} {'files':>6} {'threads':>8}"]
    rows += [
        f"{reconciles:>10.0f} {held.rss:>9} {held.files:>6} {held.threads:>8}"
        for reconciles, held in samples[::step]
    ]
    rows.append(f"RSS: {line.slope * 1000:+.0f} ± {line.margin * 1000:.0f} KiB for 1,000 reconciles")
    return "\n".join(rows)
