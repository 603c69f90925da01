"""How a process and the API server's log are read: CPU time, memory, and who asked for what and when."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from urllib.parse import parse_qsl, urlsplit

from tests.polling import eventually
from tests.support.audit import ASIDE, READS
from tests.support.logs import read_events

MIB = 1024
"""Kibibytes of a mebibyte: /proc counts in the former."""
STILL_SECONDS = 0.0005
"""CPU time between two looks below which a process has nothing to do."""


def read_cpu(pid: int) -> float:
    """Seconds of CPU that a process's threads have had, in nanoseconds: /proc/PID/stat has hundredths.

    A thread that ends takes its time along, and the operator's are few and long-lived.
    """
    return sum(_read_thread(thread) for thread in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def _read_thread(thread: Path) -> int:
    try:
        return int((thread / "schedstat").read_text().split()[0])
    except FileNotFoundError:
        return 0


def read_ticks(pid: int) -> float:
    """Seconds of CPU of a process, ended threads included, in hundredths."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_import_cpu() -> float:
    """Seconds of CPU that importing the operator takes now: what this machine, as busy as it is, needs for a
    known piece of work."""
    child = subprocess.Popen([sys.executable, "-P", "-c", "import navarch.app"], cwd="/")
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return usage.ru_utime + usage.ru_stime


def read_rss(pid: int) -> float:
    """MiB of memory that a process has now."""
    return _read_status(pid, "VmRSS") / MIB


def read_peak(pid: int) -> float:
    """MiB of memory that a process had at the most."""
    return _read_status(pid, "VmHWM") / MIB


def _read_status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


async def wait_until_still(pid: int, *, looks: int = 4, seconds: float = 60) -> float:
    """Waits until a process takes no CPU for a moment; its CPU time by then."""
    seen: list[float] = []

    def is_still() -> bool:
        seen.append(read_cpu(pid))
        last = seen[-looks:]
        return len(last) == looks and last[-1] - last[0] < STILL_SECONDS

    await eventually(is_still, seconds=seconds, every=0.02, what="the operator has nothing to do")
    return seen[-1]


def find_percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def show_spread(values: Sequence[float], *, unit: str = "s", digits: int = 2) -> str:
    """Median and extremes."""
    numbers = (f"{value:.{digits}f}" for value in (median(values), min(values), max(values)))
    middle, least, most = numbers
    return f"{middle} {unit} ({least} to {most})"


@dataclass(frozen=True, slots=True)
class Moment:
    """A finished request and when it came and ended: seconds since the epoch, by the API server's clock."""

    user: str
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    received: float
    ended: float
    is_write: bool

    def __str__(self) -> str:
        return (
            f"{self.verb} {self.resource}/{self.subresource} {self.name} -> {self.code} at {self.ended:.3f}"
        )


def find_open_watches(log: Path, user: str) -> Counter[str]:
    """The watches that a user has open now, by what they watch: path and selectors."""
    open_ones: dict[str, str] = {}
    with log.open("rb") as lines:
        # A log of a whole lab has hundreds of thousands of lines: only these are taken apart.
        events = [json.loads(line) for line in lines if b'"verb":"watch"' in line and line.endswith(b"\n")]
    for event in events:
        if event["user"].get("username") != user:
            continue
        if event["stage"] in ("ResponseComplete", "Panic"):
            open_ones.pop(event["auditID"], None)
        else:
            open_ones[event["auditID"]] = _name_watched(event["requestURI"])
    return Counter(open_ones.values())


def _name_watched(uri: str) -> str:
    parts = urlsplit(uri)
    chosen = [f"{key}={value}" for key, value in parse_qsl(parts.query) if key.endswith("Selector")]
    return "?".join((parts.path, *sorted(chosen)))


def read_moments(log: Path, mark: int) -> Iterator[Moment]:
    """The requests in an audit log from a point on, in the order in which they ended."""
    for event in read_events(log, mark):
        if event["stage"] != "ResponseComplete":
            continue
        about, verb = event.get("objectRef") or {}, event["verb"]
        resource = about.get("resource", "")
        writes = verb not in READS and resource not in ASIDE and "dryRun=All" not in event["requestURI"]
        yield Moment(
            user=event["user"]["username"],
            verb=verb,
            resource=resource,
            subresource=about.get("subresource", ""),
            namespace=about.get("namespace", ""),
            name=about.get("name", ""),
            code=(event.get("responseStatus") or {}).get("code", 0),
            received=datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp(),
            ended=datetime.fromisoformat(event["stageTimestamp"]).timestamp(),
            is_write=writes,
        )
