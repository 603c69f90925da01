"""What Istio's own installer, and its charts, print for a wish, of each minor that the lab can run.

Owns the calls. Must never change what they give. Answers are remembered in the lab's cache, by the program's
build and the whole of the question: the programs read nothing else, and each call takes seconds of CPU.
"""

from __future__ import annotations

import hashlib
import json
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
    return _ask(line.istioctl, "manifest", "generate", "--filename=-", text=yaml.safe_dump(dict(wish)))


def render_chart(
    line: IstioLine, chart: str, *, release: str, namespace: str, values: Mapping[str, Any]
) -> str:
    """What `helm template` would print for a chart of Istio's."""
    wish = {"chart": chart, "release": release, "namespace": namespace, "values": dict(values)}
    return _ask(line.charts, text=json.dumps(wish))


def _ask(name: str, *arguments: str, text: str) -> str:
    program = ensure("node", only=[name])[name]
    digest = hashlib.sha256(f"{program.parent.name}\0{text}".encode()).hexdigest()[:32]
    place = cache() / "istioctl" / f"{digest}.yaml"
    if not place.exists():
        done = subprocess.run(
            [program, *arguments],
            input=text,
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
