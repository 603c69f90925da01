"""The `navarch` command as a process of its own, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ended:
    """How a run ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.out))

    def find(self, id: str) -> list[dict[str, Any]]:
        """The findings of one id, of a report."""
        return [finding for finding in self.json["findings"] if finding["id"] == id]

    @property
    def ids(self) -> set[str]:
        """All ids of a report."""
        return {finding["id"] for finding in self.json["findings"]}


def navarch(
    *arguments: str,
    kubeconfig: Path | None = None,
    stdin: str = "",
    environment: dict[str, str] | None = None,
) -> Ended:
    """Run `navarch` to its end, outside of any terminal."""
    more = ["--kubeconfig", str(kubeconfig)] if kubeconfig else []
    done = subprocess.run(
        [sys.executable, "-P", "-m", "navarch", *arguments, *more],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        cwd="/",
        env={**os.environ, **(environment or {})},
    )
    return Ended(done.returncode, done.stdout, done.stderr)
