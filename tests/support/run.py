"""What the processes of one run tell each other: `make test` runs several, each with labs of its own.

Owns the folder that `$SUITE_RUN` names: `results-*.jsonl` (how each test ended), and lines by kind (what
tests that judge all others must know of other processes). Without a run there is only this process.
Must never rewrite what another process wrote: each appends to files of its own.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from scripts.suite.protocol import FOLDER, LAST, STEP, UNTIL
from tests.support import platforms

UNKNOWN_SECONDS = 120.0
"""How long a file is taken for that has no hint yet: it may be long, and starting a short one early costs
nothing."""
MOST_LOAD, LOAD_OF_A_WORKER = 26, 6
"""The load of the last minute above which the first of several workers would begin nothing, and how much less
for each further one. With all lanes on two cores it is 10 to 30; above that the kubelet of a node lab finds
pods not ready that are."""
_STARTED = pytest.StashKey[float]()


def find_folder() -> Path | None:
    """Where the run keeps what its processes say; None where this process is all there is."""
    return Path(os.environ[FOLDER]) if os.environ.get(FOLDER) else None


def note(kind: str, lines: Iterable[str]) -> None:
    """Tell the other processes of the run."""
    if folder := find_folder():
        with (folder / f"{kind}-{os.getpid()}.txt").open("a") as out:
            out.writelines(f"{line}\n" for line in lines)


def read(kind: str) -> set[str]:
    """What any process of the run has told so far."""
    files = folder.glob(f"{kind}-*.txt") if (folder := find_folder()) else ()
    return {line for file in files for line in file.read_text().splitlines()}


def list_files(suite: str) -> set[str]:
    """Names of the files of a suite (`tests/cluster`) of which the run has begun a test so far, and has left
    out none for want of time."""
    files = folder.glob("results-*.jsonl") if (folder := find_folder()) else ()
    entries = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    left = {entry["test"].partition("::")[0] for entry in entries if entry.get("left")}
    begun = {entry["test"].partition("::")[0] for entry in entries} - left
    return {file.removeprefix(f"{suite}/") for file in begun if file.startswith(suite)}


def read_cpu() -> float:
    """Seconds of CPU of this process and of those of its children that have ended."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class Recorder:
    """The part of pytest that writes down how each test ended, as soon as it did."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"results-{os.environ.get(STEP, 'tests')}.jsonl"

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str, location: object) -> None:
        self._write({"test": nodeid, "when": "start"})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._write(
            {
                "test": report.nodeid,
                "when": report.when,
                "outcome": report.outcome,
                "seconds": round(report.duration, 3),
                "cpu": dict(report.user_properties).get("cpu", 0.0),
                "met": dict(report.user_properties).get("met", []),
                "chain": "chain" in report.keywords,
                "left": "left" in dict(report.user_properties),
                "start": measure_start() if report.failed else 0.0,
                "why": str(report.longrepr)[-2000:] if report.failed else "",
            }
        )

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._write({"test": report.nodeid, "when": "collect", "outcome": "failed"})

    def _write(self, entry: dict[str, Any]) -> None:
        with self._file.open("a") as out:
            out.write(json.dumps(entry) + "\n")


def begin(item: pytest.Item) -> None:
    """A test begins: its CPU is counted from here, and what it stands on is noted."""
    item.stash[_STARTED] = read_cpu()
    platforms.begin()
    if is_over():
        item.user_properties.append(("left", True))
        pytest.skip("not begun: the time of this run is over")


def measure_start() -> float:
    """Seconds in which the machine starts Python now, in the median of three: a tenth of one where nothing
    else is to be done."""
    starts = []
    for _ in range(3):
        began = time.monotonic()
        subprocess.run([sys.executable, "-S", "-c", "import json, ssl, asyncio"], check=True)
        starts.append(time.monotonic() - began)
    return round(median(starts), 3)


def is_over() -> bool:
    """Whether the run begins no more tests."""
    return UNTIL in os.environ and time.time() >= float(os.environ[UNTIL])


def await_room() -> None:
    """A worker of several begins its next test when the machine has room for it, each later worker at a lower
    load: where programs compute for much longer than usual, fewer labs run beside each other, and none waits
    for an API server that waits for a core. The first worker never waits."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    most = MOST_LOAD - number * LOAD_OF_A_WORKER
    while number and find_folder() and os.getloadavg()[0] > most and not is_over():
        time.sleep(1)


def note_end(item: pytest.Item, report: pytest.TestReport) -> None:
    """A test has ended with its fixtures: what it cost, processes included that ended meanwhile, and what it
    stood on."""
    if report.when == "teardown":
        report.user_properties.append(("cpu", round(read_cpu() - item.stash[_STARTED], 3)))
        report.user_properties.append(("met", platforms.list_met(item)))


def choose(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the tests marked `last`, or all others, as the run wants it."""
    wish = os.environ.get(LAST)
    if not wish:
        return
    parted: dict[bool, list[pytest.Item]] = {True: [], False: []}
    for item in items:
        parted[(item.get_closest_marker("last") is None) == (wish == "defer")].append(item)
    config.hook.pytest_deselected(items=parted[False])
    items[:] = parted[True]


def sort_by_duration(items: list[pytest.Item], *, hints: Path, in_workers: bool) -> None:
    """Puts the files that took longest first, so that workers end together; where the run has a time, those
    that took least, so that as many as possible begin in it. The order in a file stays."""
    if not in_workers and UNTIL not in os.environ:
        return
    seconds: dict[str, float] = json.loads(hints.read_text()) if hints.exists() else {}
    items.sort(
        key=lambda item: seconds.get(item.nodeid.partition("::")[0], UNKNOWN_SECONDS),
        reverse=UNTIL not in os.environ,
    )
