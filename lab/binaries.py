"""Programs as they lie on this machine: those that the user gives, and whether one is whole.

Must never run a program to find out about it. Invariant: what is given is used as it is, and never removed.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from lab.progress import LabError

ASSETS = "KUBEBUILDER_ASSETS"
"""The variable by which envtest, too, is told where these three are."""
GIVEN = ("etcd", "kube-apiserver", "kubectl")
_ELF_64_LITTLE = b"\x7fELF\x02\x01"
_LOADED = 1
"""Type of a program header whose bytes are read into memory (PT_LOAD)."""


def find_given(name: str) -> Path | None:
    """A program of the folder that $KUBEBUILDER_ASSETS names; None where it is not set, or lacks this one.

    Raises LabError when there is no such folder, or the program in it cannot be executed.
    """
    folder = os.environ.get(ASSETS)
    if not folder or name not in GIVEN:
        return None
    if not Path(folder).is_dir():
        raise LabError(
            f"{ASSETS} names {folder}, and there is no such folder: "
            f"name the one that holds {', '.join(GIVEN)}, or unset it, and they are built"
        )
    program = Path(folder, name).absolute()
    if not program.exists():
        return None
    if not is_whole(program) or not os.access(program, os.X_OK):
        raise LabError(f"{program} ({ASSETS}) is no whole program that can be executed: get it again")
    return program


def is_whole(path: Path) -> bool:
    """Whether a file is there with all its bytes, as far as it tells: a program says where its parts end."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(64)
            if not head.startswith(_ELF_64_LITTLE):
                return size > 0
            (start,) = struct.unpack_from("<Q", head, 32)
            length, count = struct.unpack_from("<HH", head, 54)
            file.seek(start)
            table = file.read(length * count)
        return len(table) == length * count and all(
            offset + held <= size
            for kind, offset, held in (_read_part(table, n * length) for n in range(count))
            if kind == _LOADED
        )
    except (OSError, struct.error):
        return False


def _read_part(table: bytes, at: int) -> tuple[int, int, int]:
    """Type, place in the file and length in the file of one part of a program."""
    (kind,) = struct.unpack_from("<I", table, at)
    (offset,) = struct.unpack_from("<Q", table, at + 8)
    (held,) = struct.unpack_from("<Q", table, at + 32)
    return kind, offset, held
