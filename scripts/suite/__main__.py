"""The run as a whole: which steps, in which lanes, what is run again, and the last line.

    python -m scripts.suite [--serial] [--soak] [--minutes=N] [PART]... [-- ARGUMENT OF PYTEST]...

With `--minutes` no test on a real cluster begins later than that, and the end tells which did not.

Must never call a run green that it has not seen, unless it has a time, and then it tells what it has not seen
or not judged: a step that ended oddly fails it, and so does a part that was asked for by name and cannot run.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from lab.cluster import is_current
from scripts.suite import results
from scripts.suite.durations import KNOWN, renew_durations
from scripts.suite.parts import PARTS, REAL, find_obstacle
from scripts.suite.protocol import LAST, UNTIL
from scripts.suite.results import Case
from scripts.suite.steps import FINE, TOLD, Ended, Step, build_pytest, interrupt, run_lanes, say

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".suite"
FLAKY = HOME / "flaky.jsonl"
MOST_WORKERS, WORKER_GIB = 5, 2
"""How many light labs run beside each other, the node lab and the fast suites. A worker computes for a
quarter of its time, so that five and the other lanes keep two cores busy; more would wait for each other. One
takes up to 2 GiB, with the second lab of a test that has one of its own."""
ROOMY_GIB = 20
"""From how much memory on labs may take more of it, to compute less."""
TIMED_WORKERS = 3
"""The same, where the run has a time: it is meant for a machine of any speed."""
TAIL = 15
"""Minutes after which what had begun in the time of a run is ended."""
LEAST = 5
"""Minutes that each phase has in any case: what judges and what measures come last."""
MOST_AGAIN, AGAIN = 100, 12
"""When more tests than that failed, it is not chance, and none is run again: one lab that does not come up
fails all that were to run in it. In a run with a time they have so many minutes."""
WATCHED = ("-s", "--pdb", "--full", "-n", "--capture=no")
"""Arguments of pytest with which one wants to see, or to measure, one test after the other."""
LINT = Step("lint", ("make", "--no-print-directory", "lint"))


@dataclass
class Run:
    """One run and what it has seen so far."""

    folder: Path
    passed_on: list[str]
    serial: bool
    until: float | None = None
    """When the last test on a real cluster begins, in seconds since the epoch."""
    ended: list[Ended] = field(default_factory=list)
    tests: dict[str, Case] = field(default_factory=dict)
    flaky: list[Case] = field(default_factory=list)

    def carry_out(self, lanes: Sequence[Sequence[Step]]) -> None:
        """Run these lanes, and what failed in them on real clusters once more, in labs of its own."""
        cut_at = max(self.until + 60 * TAIL, time.time() + 60 * LEAST) if self.until else None
        ended = run_lanes([lane for lane in lanes if lane], folder=self.folder, cut_at=cut_at)
        self.ended += ended
        seen = results.read_results(self.folder, [one.step.name for one in ended if not one.cut])
        seen |= results.read_results(self.folder, [one.step.name for one in ended if one.cut], cut=True)
        self.tests |= seen
        failed = results.list_failed(seen.values())
        again = results.choose_again(failed, most=MOST_AGAIN)
        if not again or is_current():
            return
        say(f"{len(again)} of the failed tests are run once more, in a fresh lab")
        name = f"again-{len(self.ended)}"
        file = self.folder / f"{name}.txt"
        file.write_text("\n".join(again))
        options = [argument for argument in self.passed_on if argument in ("--full",)]
        step = build_pytest(name, f"@{file}", *options, parts=(), timed=True)
        cut_at = time.time() + 60 * AGAIN if self.until else None
        (once_more,) = run_lanes([[step]], folder=self.folder, cut_at=cut_at)
        self.ended.append(once_more)
        second = results.read_results(self.folder, [name], cut=once_more.cut)
        second = {key: case for key, case in second.items() if case.outcome != results.LEFT}
        self.flaky += [test for test in failed if second.get(test.name, test).outcome == "passed"]
        self.tests |= second

    @property
    def is_green(self) -> bool:
        """Whether every step was seen to its end and no test's last try failed."""
        fine = all(one.code in FINE or one.cut or self._has_told(one) for one in self.ended)
        return fine and not results.list_failed(self.tests.values())

    def _has_told(self, one: Ended) -> bool:
        """Whether a step that ended with 1 has named a test for it."""
        seen = results.read_results(self.folder, [one.step.name])
        return one.code == TOLD and not one.problem and bool(results.list_failed(seen.values()))


def count_workers(memory: int) -> int:
    """How many workers a machine with so many bytes of memory has room for."""
    return max(1, min(MOST_WORKERS, memory // (WORKER_GIB << 30) - 1))


def choose_collection(memory: int) -> dict[str, str]:
    """How rarely the labs' programs collect garbage: where there is room for it, a quarter as often as by
    default, which takes a sixth of its CPU from an API server and gives it 260 MiB more."""
    roomy = memory >= ROOMY_GIB << 30
    return {"GOGC": os.environ.get("GOGC", "400")} if roomy else {}


def build_lanes(parts: Sequence[str], run: Run) -> list[list[list[Step]]]:
    """Phases of lanes of steps: what computes without pause, then what waits for Kubernetes, then what judges
    all of that, then what measures.

    The fast suites, lint and the comparison with Istio's installer keep two cores busy: beside labs they
    would take as long as those, and labs would wait for them. What the light lane needs is built meanwhile.
    """

    def build(name: str, *chosen: str, arguments: Sequence[str] = (), **env: str) -> list[Step]:
        there = [part for part in chosen if part in parts]
        paths = [path for part in there for path in PARTS[part]]
        argv = (*paths, *arguments, *run.passed_on)
        return [build_pytest(name, *argv, parts=there, env=env, timed=UNTIL in env)] if paths else []

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = {UNTIL: str(run.until)} if run.until else {}
    labs = choose_collection(memory) | limit
    workers = min(count_workers(memory), TIMED_WORKERS if run.until else MOST_WORKERS)
    spread = ["-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder"]
    spread = [] if run.serial else spread
    light = build("light", "lab", "olm", "cluster", arguments=spread, **{LAST: "defer"}, **labs)
    # A process of its own: as one file of a worker's its lab would go on to the worker's end, and compute.
    oldest = build("oldest", "oldest", **labs)
    lint = [LINT] if "lint" in parts else []
    halves = [] if run.serial else ["-n", "2"]
    quick = [*build("unit", "unit", arguments=halves), *build("packaging", "packaging")]
    compared, watched = build("upstream", "upstream", **limit), build("monitoring", "monitoring", **limit)
    builds = [Step("builds", ("true",), step.parts) for step in light]
    # One thing is built at a time: what the longest lane waits for comes first.
    first = tuple(part for step in light for part in step.parts)
    node = [replace(step, parts=(*first, *step.parts)) for step in build("node", "node", **labs)]
    judge = build("judge", "cluster", **{LAST: "only"})
    bench = build("bench", "bench", **limit)
    if run.serial:
        return [[[*lint, *quick, *compared, *watched, *light, *oldest, *node]], [judge], [bench]]
    return [[quick, [*lint, *compared], builds], [light, [*node, *oldest], watched], [judge], [bench]]


@contextmanager
def a_run(passed_on: list[str], *, serial: bool, until: float | None) -> Iterator[Run]:
    """The one run of this checkout; another one at the same time is refused."""
    HOME.mkdir(exist_ok=True)
    with (HOME / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise SystemExit(
                f"the suites run in this checkout already (process {lock.read().strip()}): "
                "wait for that run, end it, or use another checkout"
            ) from None
        lock.truncate(0)
        print(os.getpid(), file=lock, flush=True)
        shutil.rmtree(HOME / "run", ignore_errors=True)
        (HOME / "run").mkdir()
        yield Run(HOME / "run", passed_on, serial, until)


def choose_parts(asked: Sequence[str]) -> list[str] | None:
    """The parts that will run; None when one that was asked for by name cannot."""
    chosen = []
    for part in asked or PARTS:
        if obstacle := find_obstacle(part):
            print(f"left out: {part} tests, because {obstacle}", flush=True)
            if asked:
                return None
            continue
        chosen.append(part)
    return chosen


def judge_flaky() -> bool:
    """Tell which tests were flaky since the file was last removed; whether there were none."""
    counts = results.read_flaky(FLAKY)
    for test, count in counts.items():
        print(f"FLAKY {count} times: {test}")
    if counts:
        print(f"mend these tests, or what they test, and then remove {FLAKY.relative_to(ROOT)}")
    return not counts


def main(arguments: list[str]) -> int:
    """Run the named parts, or all; 0 when everything is green."""
    parser = argparse.ArgumentParser(prog="python -m scripts.suite", allow_abbrev=False)
    parser.add_argument("--serial", action="store_true")
    parser.add_argument("--soak", action="store_true")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("parts", nargs="*", metavar="PART")
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    asked, passed_on = parser.parse_args(arguments[:cut]), arguments[cut + 1 :]
    if unknown := sorted(set(asked.parts) - PARTS.keys()):
        parser.error(f"there is no part {unknown[0]}; there are {', '.join(PARTS)}")
    parts = choose_parts(asked.parts)
    if parts is None:
        return 1
    serial = asked.serial or is_current() or any(a.startswith(WATCHED) for a in passed_on)
    until = time.time() + 60 * asked.minutes if asked.minutes else None
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    started = time.monotonic()
    with a_run(passed_on, serial=serial, until=until) as run:
        for lanes in build_lanes(parts, run):
            run.carry_out(lanes)
        if run.until is not None:
            results.leave_unjudged(run.tests.values())
        results.note_flaky(FLAKY, run.flaky)
        real = [test for test in run.tests.values() if test.part in REAL]
        durations = renew_durations(json.loads(KNOWN.read_text()), real)
        (HOME / "durations.json").write_text(json.dumps(durations, indent=1) + "\n")
        green = run.is_green
        if asked.soak:
            green = judge_flaky() and green
        seconds = time.monotonic() - started
        tests = list(run.tests.values())
        for line in results.build_summary(tests, run.flaky, ended=run.ended, seconds=seconds):
            print(line)
    return 0 if green else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
