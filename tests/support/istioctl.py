"""istioctl of the lab's own Istio, as a user calls it: for tests on a node lab."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.builds import ISTIO_VERSIONS, ensure
from lab.cluster import Cluster

VERSION = ISTIO_VERSIONS[0]
"""What this istioctl says it is."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a command printed, and its exit code. `rows` are a table's lines below its head, in words."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err

    @property
    def rows(self) -> list[list[str]]:
        return [line.split() for line in self.out.splitlines()[1:] if line.strip()]

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Istioctl:
    """Calls against one cluster. `home` is an empty home directory: no settings of the machine count."""

    cluster: Cluster
    home: Path

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> Told:
        """Any command; it may fail."""
        argv = [str(ensure("node")[f"istioctl-{VERSION}"]), "--kubeconfig", str(self.cluster.kubeconfig)]
        settings = {**os.environ, "HOME": str(self.home), **(env or {})}
        done = subprocess.run(
            [*argv, *arguments], env=settings, capture_output=True, text=True, timeout=240, check=False
        )
        return Told(done.returncode, done.stdout, done.stderr)

    def ask(self, *arguments: str, env: Mapping[str, str] | None = None) -> Told:
        """A command that must succeed."""
        told = self.run(*arguments, env=env)
        assert told.code == 0, f"istioctl {' '.join(arguments)}: {told.text}"
        return told
