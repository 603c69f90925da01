"""What the lab tells the person in front of it: progress on stderr, and errors that are one line.

Must never write to stdout: that belongs to the answers of commands (a kubeconfig path, a table).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

HEARTBEAT_SECONDS = 15.0


class LabError(Exception):
    """Something the user can act on; its text is one line that says what to do."""


def say(text: str) -> None:
    """One line of progress."""
    print(text, file=sys.stderr, flush=True)


def run_visibly(
    argv: Sequence[str | os.PathLike[str]],
    *,
    label: str,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Runs a long command with its output in `log`, a line when it starts, a heartbeat, and one when it ends.

    Raises LabError with the last lines of the log when the command fails. Interrupted, it ends the command.
    """
    say(f"{label} ...")
    started = time.monotonic()
    with log.open("ab") as out:
        child = subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            while True:
                try:
                    code = child.wait(HEARTBEAT_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    say(f"{label} ... {time.monotonic() - started:.0f} s")
        except BaseException:
            child.terminate()
            child.wait()
            raise
    if code != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise LabError(f"{label} failed (exit code {code}); the end of {log}:\n{tail}")
    say(f"{label}: {time.monotonic() - started:.0f} s")


def wait_until(check: Callable[[], bool], *, what: str, seconds: float, interval: float = 0.05) -> None:
    """Polls until `check` is true. Raises LabError naming `what` when that takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not after {seconds:.0f} s")
        time.sleep(interval)
