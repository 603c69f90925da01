"""What Istio's own installer prints for a wish, of each minor that the lab can run.

Owns the call. Must never change what it gives. Answers are remembered in the lab's cache, by the program's
build and the whole of the question: the installer reads nothing else, and each call takes seconds of CPU.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Mapping
from typing import Any

import yaml

from lab.builds import IstioLine, ensure
from lab.toolchain import cache

PATIENCE = 600
"""Seconds; a call takes a few, and more where many other programs run."""


def generate(line: IstioLine, wish: Mapping[str, Any]) -> str:
    """`istioctl manifest generate` for an IstioOperator."""
    program = ensure("node", only=[line.istioctl])[line.istioctl]
    asked = yaml.safe_dump(dict(wish))
    digest = hashlib.sha256(f"{program.parent.name}\0{asked}".encode()).hexdigest()[:32]
    place = cache() / "istioctl" / f"{digest}.yaml"
    if not place.exists():
        done = subprocess.run(
            [program, "manifest", "generate", "--filename=-"],
            input=asked,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        place.parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=place.parent, delete=False) as out:
            out.write(done.stdout)
        os.rename(out.name, place)  # whole or not at all, also when another process writes the same
    return place.read_text()
