"""A process under a memory limit, as a container has one, where the machine lets us make a cgroup."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def read_peak(pid: int) -> int:
    """The most resident memory that a process ever had, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("there is no VmHWM")


@contextmanager
def a_memory_limit(most: int) -> Iterator[Path | None]:
    """A cgroup of either version with at most so many bytes and no swap; None where none can be made: then
    the peak alone decides."""
    v2 = (ROOT / "cgroup.controllers").exists()
    group = (ROOT if v2 else ROOT / "memory") / f"navarch-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.max" if v2 else "memory.limit_in_bytes")).write_text(str(most))
    except OSError:
        with suppress(OSError):
            group.rmdir()
        yield None
        return
    with suppress(OSError):  # a machine without swap need not have it
        (group / ("memory.swap.max" if v2 else "memory.memsw.limit_in_bytes")).write_text(
            "0" if v2 else str(most)
        )
    try:
        yield group
    finally:
        with suppress(OSError):
            group.rmdir()


def put_into(group: Path | None, pid: int) -> None:
    """Move a process that has just begun."""
    if group is not None:
        (group / "cgroup.procs").write_text(str(pid))
