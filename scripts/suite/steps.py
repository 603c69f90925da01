"""Steps of a run, each a process of its own, in lanes beside each other.

Owns how a step is started, shown and measured. A lane does its steps one after the other and begins each by
having built what it needs, so that what needs no build runs while others build. Must never lose output: a
step that is alone writes to the terminal, others write into a log that is printed when they end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lab.progress import LabError
from scripts.suite.parts import prepare
from scripts.suite.protocol import FOLDER, STEP

HEARTBEAT_SECONDS, LOOK_SECONDS = 60.0, 0.1
GRACE_SECONDS = 300.0
"""How long a step that is ended may take labs down."""
FINE = (0, 5)
"""Exit codes of pytest: all passed, or there was nothing to run."""
TOLD = 1
"""Exit code of pytest when tests failed, which the results tell."""
_children: dict[int, bool] = {}
"""The steps that run, and whether each is in a process group of its own: Ctrl-C does not reach it there."""
_interrupted = threading.Event()


@dataclass(frozen=True, slots=True)
class Step:
    """One process of a run; `parts` is what it runs, and must be built before. `timed` says that it may be
    ended when the time of the run is over; any other is seen to its end."""

    name: str
    argv: tuple[str, ...]
    parts: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    timed: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """How a step ended: `code` is its exit code, `problem` a sentence where it could not run at all, `cut`
    that the run has ended it since its time was over."""

    step: Step
    code: int
    seconds: float = 0.0
    cpu: float = 0.0
    problem: str = ""
    cut: bool = False


def build_pytest(
    name: str,
    *arguments: str,
    parts: Sequence[str],
    env: dict[str, str] | None = None,
    timed: bool = False,
) -> Step:
    """A step that is a pytest process."""
    return Step(name, (sys.executable, "-m", "pytest", *arguments), tuple(parts), env or {}, timed)


def run_lanes(lanes: Sequence[Sequence[Step]], *, folder: Path, cut_at: float | None = None) -> list[Ended]:
    """Run all lanes beside each other; returns when all have ended, which timed steps have to at `cut_at`
    (seconds since the epoch)."""
    alone = sum(map(len, lanes)) == 1

    def run_all(lane: Sequence[Step]) -> list[Ended]:
        return [run(step, folder=folder, alone=alone, cut_at=cut_at) for step in lane]

    with ThreadPoolExecutor(max(1, len(lanes))) as pool:
        ended = [one for lane in pool.map(run_all, lanes) for one in lane]
    if any(one.cut for one in ended):
        end_left(folder)
    return ended


def end_left(folder: Path) -> None:
    """Ends what steps that were ended have left running: every process that knows this run."""
    knows = f"{FOLDER}={folder}".encode()
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(place.name) != os.getpid() and knows in (place / "environ").read_bytes().split(b"\0"):
                os.kill(int(place.name), signal.SIGKILL)


def run(step: Step, *, folder: Path, alone: bool = False, cut_at: float | None = None) -> Ended:
    """Build what a step needs, and run it; nothing begins after an interruption."""
    cut_at = cut_at if step.timed else None
    if _interrupted.is_set():
        return Ended(step, 1, problem=f"{step.name}: interrupted before it began")
    try:
        for part in step.parts:
            prepare(part)
    except LabError as error:
        return Ended(step, 1, problem=f"{step.name}: {error}")
    started = time.monotonic()
    env = {**os.environ, **step.env, **build_bytecode(folder), FOLDER: str(folder), STEP: step.name}
    if alone:
        child = subprocess.Popen(step.argv, env=env)
        _children[child.pid] = False
        return _see_end(step, child, started, cut_at=cut_at)
    say(f"{step.name}: begins")
    results = folder / f"results-{step.name}.jsonl"
    log = folder / f"{step.name}.log"
    with log.open("ab") as out:
        child = subprocess.Popen(
            step.argv, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, process_group=0
        )
        _children[child.pid] = True
        ended = _see_end(step, child, started, results=results, cut_at=cut_at)
    bar = "=" * 20
    print(f"{bar} {step.name} {bar}\n{log.read_text(errors='replace')}", flush=True)
    say(f"{step.name}: ended after {ended.seconds:.0f} s, {ended.cpu:.0f} s of CPU, exit code {ended.code}")
    return ended


def build_bytecode(folder: Path) -> dict[str, str]:
    """The environment in which Python compiles each module once in a run, also where it is told to keep no
    bytecode: operators, commands and workers start by the hundred."""
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str((folder / "bytecode").absolute())}


def _see_end(
    step: Step,
    child: subprocess.Popen[bytes],
    started: float,
    *,
    results: Path | None = None,
    cut_at: float | None = None,
) -> Ended:
    """Waits for a process, and tells how far it is; its CPU is its own and that of all descendants that were
    waited for."""
    told, cut = started, False
    while (found := os.wait4(child.pid, os.WNOHANG))[0] == 0:
        time.sleep(LOOK_SECONDS)
        if cut_at is not None and not cut and time.time() > cut_at:
            cut = True
            say(f"{step.name}: is ended, since the time of the run is over")
            os.kill(child.pid, signal.SIGINT)
        if cut_at is not None and time.time() > cut_at + GRACE_SECONDS:
            os.kill(child.pid, signal.SIGKILL)  # Popen.kill would take its end from wait4
        if results and time.monotonic() > told + HEARTBEAT_SECONDS:
            told = time.monotonic()
            say(f"{step.name}: {_count_ended(results)} tests after {told - started:.0f} s")
    del _children[child.pid]
    _, status, usage = found
    child.returncode = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    return Ended(step, child.returncode, time.monotonic() - started, cpu, cut=cut)


def _count_ended(results: Path) -> int:
    """How many tests have been taken down by now."""
    return results.read_text().count('"when": "teardown"') if results.exists() else 0


def interrupt(number: int, _: object) -> None:
    """Ends every step as Ctrl-C would, once, so that each takes its labs down; a signal handler."""
    if not _interrupted.is_set():
        _interrupted.set()
        for pid in [pid for pid, apart in _children.items() if apart or number != signal.SIGINT]:
            os.kill(pid, signal.SIGINT)


def say(text: str) -> None:
    """One line of progress, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
