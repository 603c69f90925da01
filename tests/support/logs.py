"""Logs of which each line is a JSON object, read while a process writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from os import SEEK_END
from pathlib import Path
from typing import Any

LONGEST = 1 << 20
"""No line has more bytes."""


def find_end(log: Path) -> int:
    """Where the last whole line ends.

    The file's size may lie in the middle of a line: what a process writes at once comes page by page.
    """
    with log.open("rb") as lines:
        size = lines.seek(0, SEEK_END)
        start = lines.seek(max(0, size - LONGEST))
        return start + lines.read(size - start).rfind(b"\n") + 1


def read_events(log: Path, mark: int = 0) -> Iterator[dict[str, Any]]:
    """What the whole lines say, from the end of one of them on."""
    with log.open("rb") as lines:
        lines.seek(mark)
        for line in lines:
            if not line.endswith(b"\n"):  # still being written
                return
            yield json.loads(line)
