"""Starting and ending daemons by what was recorded of them."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from lab import processes
from lab.progress import wait_until


def test_a_recorded_process_is_ended_also_when_it_is_paused(tmp_path: Path) -> None:
    process = processes.start(tmp_path, "sleeper", ["sleep", "600"], log=tmp_path / "log")
    assert process.is_alive()
    assert processes.recorded(tmp_path) == [process]
    os.kill(process.pid, signal.SIGSTOP)
    processes.stop_all(tmp_path)
    assert not process.is_alive()
    assert processes.recorded(tmp_path) == []


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    script = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
while True:
    signal.pause()
"""
    process = processes.start(tmp_path, "stubborn", [sys.executable, "-c", script], log=tmp_path / "log")
    wait_until(lambda: "ready" in (tmp_path / "log").read_text(), what="the trap", seconds=60)
    processes.stop(process, grace=0.2)
    assert not process.is_alive()


def test_a_process_is_waited_for_until_its_last_thread_is_gone_so_that_its_cpu_is_counted(
    tmp_path: Path,
) -> None:
    script = """
import ctypes, os, threading, time
def end():
    time.sleep(1)
    os._exit(0)
threading.Thread(target=end).start()
ctypes.CDLL(None).pthread_exit(None)
"""
    process = processes.start(tmp_path, "threads", [sys.executable, "-c", script], log=tmp_path / "log")
    wait_until(lambda: not process.is_alive(), what="the end of its first thread", seconds=60)
    processes.stop(process)
    assert not Path(f"/proc/{process.pid}").exists(), "a zombie: what it cost is not counted"


def test_a_process_with_a_reused_pid_is_left_alone(tmp_path: Path) -> None:
    process = processes.start(tmp_path, "stranger", ["sleep", "600"], log=tmp_path / "log")
    processes.stop(replace(process, started=process.started - 1))
    assert process.is_alive()
    processes.stop_all(tmp_path)


def test_a_process_leads_a_session_of_its_own(tmp_path: Path) -> None:
    process = processes.start(tmp_path, "leader", ["sleep", "600"], log=tmp_path / "log")
    assert os.getsid(process.pid) == process.pid
    processes.stop_all(tmp_path)


def test_what_ended_by_itself_counts_as_ended_and_keeps_its_log(tmp_path: Path) -> None:
    process = processes.start(tmp_path, "short", ["sh", "-c", "echo done; exit 3"], log=tmp_path / "log")
    wait_until(lambda: not process.is_alive(), what="the end", seconds=60)
    assert (tmp_path / "log").read_text() == "done\n"
    assert process.memory() == 0
    processes.stop_all(tmp_path)


def test_a_halted_process_is_resumed_as_it_was(tmp_path: Path) -> None:
    log = tmp_path / "log"
    other = processes.start(tmp_path, "other", ["sleep", "600"], log=log)
    before = processes.start(tmp_path, "sleeper", ["sleep", "601"], log=log, port=1234)
    halted = processes.halt(tmp_path, "sleeper", grace=0)
    assert not before.is_alive()
    assert processes.recorded(tmp_path) == [other]
    after = processes.resume(tmp_path, halted, log=log)
    assert after.is_alive()
    assert (after.name, after.port) == ("sleeper", 1234)
    command = Path(f"/proc/{after.pid}/cmdline")
    # The kernel fills it in a moment after the process exists.
    wait_until(lambda: command.read_bytes() == b"\0".join((b"sleep", b"601", b"")), what="it", seconds=60)
    processes.stop_all(tmp_path)
    assert not after.is_alive()
