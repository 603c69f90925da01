"""How the tests of a run ended: read from what its processes wrote down, added up, and told.

Invariant: a test that began and was never reported has failed; a test passes a run if its last try passed,
and is FLAKY if that was not its first.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.suite.parts import PARTS, REAL, find_part
from scripts.suite.steps import Ended

SLOWEST = 20
LEFT = "left"
"""The outcome of a test that did not begin, or not end, since the time of the run was over."""
UNJUDGED, UNFIT_SECONDS = "unjudged", 1.0
"""The outcome of a test on a lab that failed, in a run with a time, while Python took longer than that to
start, which takes a tenth of a second where nothing else is to be done: API servers, kubelets and leases give
up after times of their own. What is unjudged says nothing, and is told."""
LABS = ("monitoring", "lab", "olm", "cluster", "oldest", "bench", "node")
"""Parts whose tests run against programs that give up after times of their own."""


@dataclass(slots=True)
class Case:
    """One test in one step."""

    name: str
    outcome: str = "failed"
    seconds: float = 0.0
    cpu: float = 0.0
    why: str = "it began and never ended"
    chain: bool = False
    met: tuple[str, ...] = ()
    start: float = 0.0
    """Where it failed, the seconds in which Python started then."""
    reported: bool = field(default=False, repr=False)

    @property
    def file(self) -> str:
        """The file that it is in."""
        return self.name.partition("::")[0]

    @property
    def part(self) -> str:
        """The part of the suites that it belongs to."""
        return find_part(self.name)

    def take(self, entry: dict[str, object]) -> None:
        """One more report about it."""
        self.seconds += float(str(entry.get("seconds", 0)))
        self.cpu += float(str(entry.get("cpu", 0)))
        self.chain = self.chain or bool(entry.get("chain"))
        self.start = max(self.start, float(str(entry.get("start", 0))))
        self.met = tuple(map(str, entry.get("met") or self.met))  # type: ignore[call-overload]
        if entry.get("left"):
            self.outcome, self.why = LEFT, ""
        elif entry["outcome"] == "failed":
            self.outcome, self.why, self.reported = "failed", str(entry.get("why", "")), True
        elif not self.reported and (entry["when"] == "call" or entry["outcome"] == "skipped"):
            self.outcome, self.why, self.reported = str(entry["outcome"]), "", True


def read_results(folder: Path, steps: Iterable[str], *, cut: bool = False) -> dict[str, Case]:
    """Every test of some steps, by id; of one that ran in several steps the last. Where the run has `cut` the
    steps, one that had not ended was left."""
    tests: dict[str, Case] = {}
    for step in steps:
        file = folder / f"results-{step}.jsonl"
        own: dict[str, Case] = {}
        for line in file.read_text().splitlines() if file.exists() else ():
            entry = json.loads(line)
            test = own.setdefault(entry["test"], Case(entry["test"]))
            if entry["when"] != "start":
                test.take(entry)
        for test in own.values():
            if cut and not test.reported and test.outcome == "failed":
                test.outcome, test.why = LEFT, ""
        tests |= own
    return tests


def leave_unjudged(tests: Iterable[Case]) -> None:
    """What failed on a lab while the machine was not fit for one is no failure, and no success."""
    for test in list_failed(tests):
        if test.part in LABS and test.start > UNFIT_SECONDS:
            test.outcome = UNJUDGED


def list_failed(tests: Iterable[Case]) -> list[Case]:
    """Those that failed."""
    return [test for test in tests if test.outcome == "failed"]


def choose_again(failed: Sequence[Case], *, most: int) -> list[str]:
    """What pytest is to run once more: tests on real clusters, and whole files whose tests build upon each
    other. Nothing where more than `most` have failed: that is not chance."""
    if len(failed) > most:
        return []
    real = [test for test in failed if test.part in REAL and test.name != test.file]
    return list(dict.fromkeys(test.file if test.chain else test.name for test in real))


def note_flaky(file: Path, tests: Iterable[Case]) -> None:
    """Remember tests that passed only when run again: `make soak` judges them."""
    told = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    with file.open("a") as out:
        for test in tests:
            entry = {"test": test.name, "commit": told.stdout.strip(), "why": test.why}
            out.write(json.dumps({**entry, "when": time.strftime("%F %T")}) + "\n")


def read_flaky(file: Path) -> dict[str, int]:
    """How often each test was flaky since the file was last removed."""
    counts: dict[str, int] = defaultdict(int)
    for line in file.read_text().splitlines() if file.exists() else ():
        counts[json.loads(line)["test"]] += 1
    return counts


def sum_durations(tests: Iterable[Case]) -> dict[str, float]:
    """Seconds of each file, longest first."""
    files: dict[str, float] = defaultdict(float)
    for test in tests:
        files[test.file] += test.seconds
    return {name: round(files[name], 1) for name in sorted(files, key=lambda name: -files[name])}


def build_summary(
    tests: Sequence[Case], flaky: Sequence[Case], *, ended: Sequence[Ended], seconds: float
) -> list[str]:
    """The end of a run, line by line; the last but for nothing is `N passed, N failed`."""
    lines = [
        "",
        f"{'suite':<12} {'tests':>6} {'seconds':>9} {'CPU':>8}   (of the tests; beside each other)",
    ]
    for part in PARTS:
        own = [test for test in tests if test.part == part]
        if own:
            spent, cpu = sum(t.seconds for t in own), sum(t.cpu for t in own)
            lines.append(f"{part:<12} {len(own):>6} {spent:>9.0f} {cpu:>8.0f}")
    lines += ["", f"{'step':<12} {'':>6} {'wall':>9} {'CPU':>8}   (with labs and operators)"]
    lines += [f"{e.step.name:<12} {'':>6} {e.seconds:>9.0f} {e.cpu:>8.0f}" for e in ended]
    lines.append(f"{'all':<12} {'':>6} {seconds:>9.0f} {sum(e.cpu for e in ended):>8.0f}")
    lines += ["", f"the {SLOWEST} slowest tests:"]
    slowest = sorted(tests, key=lambda test: -test.seconds)[:SLOWEST]
    lines += [f"{test.seconds:>7.1f} s  {test.name}" for test in slowest]
    lines += [
        "",
        *_list_left(tests),
        *_list_unjudged(tests),
        *(f"FAILED {test.name}" for test in list_failed(tests)),
    ]
    lines += [f"FLAKY {test.name}" for test in flaky]
    lines += [e.problem for e in ended if e.problem]
    lines += [f"{e.step.name}: exit code {e.code}" for e in ended if e.code and not e.problem]
    counts = Counter(test.outcome for test in tests)
    not_run = counts["skipped"] + counts[LEFT] + counts[UNJUDGED]
    skipped = f", {not_run} skipped" if not_run else ""
    return [*lines, f"{counts['passed']} passed, {counts['failed']} failed{skipped}"]


def _list_unjudged(tests: Sequence[Case]) -> list[str]:
    """What failed while the machine was not fit for it."""
    return [
        f"NOT JUDGED, since Python took {test.start:.1f} s to start when it failed: {test.name}"
        for test in tests
        if test.outcome == UNJUDGED
    ]


def _list_left(tests: Sequence[Case]) -> list[str]:
    """What did not begin in time, by file."""
    left = Counter(test.file for test in tests if test.outcome == LEFT)
    if not left:
        return []
    of = Counter(test.file for test in tests)
    return [
        f"NOT RUN, since the time was over: {left.total()} tests (without --minutes, `make test` runs them)",
        *(f"  {left[file]:>4} of {of[file]:<4} {file}" for file in sorted(left)),
    ]
