"""Processes that a lab starts and ends, remembered in its state directory.

Owns `processes.json`: name, pid and start time of each, written the moment it was started.
Must never signal a process whose start time is not the recorded one: pids are used again.
Invariant: what a lab started can be ended by any later command, also after a crash or from another shell.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.progress import LabError

GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Process:
    """One daemon of a lab. `started`: its start time in clock ticks since boot (/proc/PID/stat, field 22);
    `argv`: what it was started with."""

    name: str
    pid: int
    started: int
    port: int | None = None
    argv: tuple[str, ...] = ()

    def is_alive(self) -> bool:
        """Whether exactly this process still runs (a zombie does not)."""
        state, started = _stat(self.pid)
        return started == self.started and state not in {"Z", "X", ""}

    def memory(self) -> int:
        """Resident memory in MiB; 0 when it is gone."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) if self.is_alive() else 0
        except (OSError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def start(
    state: Path,
    name: str,
    argv: Sequence[str | os.PathLike[str]],
    *,
    log: Path,
    port: int | None = None,
    env: Mapping[str, str] | None = None,
) -> Process:
    """Starts a daemon in a session of its own, output to `log`, and records it in `state`."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    arguments = [os.fspath(a) for a in argv]
    try:
        pid = os.posix_spawnp(
            arguments[0],
            arguments,
            dict(os.environ if env is None else env),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, out, 1),
                (os.POSIX_SPAWN_DUP2, out, 2),
            ],
            setsid=True,
        )
    except OSError as error:
        raise LabError(
            f"{name} cannot be started: {arguments[0]}: {error.strerror} (remove its folder, and it "
            "is made again)"
        ) from error
    finally:
        os.close(out)
    process = Process(name, pid, _stat(pid)[1], port, tuple(arguments))
    _write(state, [*recorded(state), process])
    return process


def recorded(state: Path) -> list[Process]:
    """The processes that were started in this state directory, oldest first, alive or not."""
    try:
        entries = json.loads((state / "processes.json").read_text())
    except FileNotFoundError:
        return []
    return [Process(**{**entry, "argv": tuple(entry.get("argv", ()))}) for entry in entries]


def stop_all(state: Path) -> None:
    """Ends the recorded processes, youngest first, and forgets them: SIGTERM, then SIGKILL after a while."""
    for process in reversed(recorded(state)):
        stop(process)
    (state / "processes.json").unlink(missing_ok=True)


def halt(state: Path, name: str, *, grace: float = GRACE_SECONDS) -> Process:
    """Ends one recorded process and forgets it, and gives it back for `resume`; `grace` 0 kills it. KeyError
    when none of this name lives."""
    found = [process for process in recorded(state) if process.name == name and process.is_alive()]
    if not found:
        raise KeyError(name)
    process = found[-1]
    stop(process, grace=grace)
    _write(state, [p for p in recorded(state) if p.pid != process.pid])
    return process


def resume(state: Path, halted: Process, *, log: Path) -> Process:
    """Starts a halted process again, with the same arguments."""
    return start(state, halted.name, halted.argv, log=log, port=halted.port)


def stop(process: Process, *, grace: float = GRACE_SECONDS) -> None:
    """Ends one process and waits until it is gone. A paused one is resumed first, so that it can end.

    One that is still there after `grace` seconds is killed, with 0 at once.
    """
    for number in (signal.SIGCONT, signal.SIGTERM) if grace else (signal.SIGKILL,):
        _send(process, number)
    deadline = time.monotonic() + grace
    while process.is_alive():
        if time.monotonic() > deadline:
            _send(process, signal.SIGKILL)
        time.sleep(0.02)
    _reap(process)


def _send(process: Process, number: signal.Signals) -> None:
    if process.is_alive():
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return


def _reap(process: Process) -> None:
    """Takes the exit code of a child of ours, and with it what it cost; of a process that another command
    started, init takes it. Waits, since one with many threads looks dead before its last thread is."""
    if _stat(process.pid)[1] == process.started:
        with suppress(ChildProcessError):
            os.waitpid(process.pid, 0)


def _stat(pid: int) -> tuple[str, int]:
    try:
        # The command name is in parentheses and may hold anything, so fields are counted from its end.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, IndexError):
        return "", -1


def _write(state: Path, processes: Sequence[Process]) -> None:
    beside = state / "processes.json.new"
    beside.write_text(json.dumps([asdict(p) for p in processes]))
    beside.rename(state / "processes.json")
