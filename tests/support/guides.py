"""The commands of the guides, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap
from collections.abc import Mapping
from pathlib import Path

from lab.cluster import CHECKOUT, Cluster, published

GUIDES = CHECKOUT / "docs" / "how-to"


def read_section(guide: str, heading: str) -> str:
    """The text below a heading of a guide, up to the next one of its level. Raises ValueError for none."""
    _, _, rest = (GUIDES / guide).read_text().partition(f"\n## {heading}\n")
    if not rest:
        raise ValueError(f"{guide} has no heading {heading}")
    return rest.partition("\n## ")[0]


def list_commands(guide: str, heading: str) -> list[str]:
    """The indented blocks of a section, each as one text."""
    blocks = re.findall(r"(?:^|\n\n)((?: {4,}.*(?:\n|$))+)", f"\n{read_section(guide, heading)}")
    return [textwrap.dedent(block).strip() for block in blocks]


def read_yaml(guide: str, heading: str) -> str:
    """The first YAML of a section."""
    found = re.search(r"```yaml\n(.*?)```", read_section(guide, heading), re.DOTALL)
    if found is None:
        raise ValueError(f"{guide}, {heading}: no YAML")
    return found[1]


def run_command(
    cluster: Cluster,
    command: str,
    *,
    names: Mapping[str, str] | None = None,
    folder: Path = CHECKOUT,
    programs: Path | None = None,
) -> str:
    """What a block of commands prints, in this folder, with the cluster's kubectl first in the PATH, and
    before it `programs`. `names` are words of the guide that stand for what a reader fills in. Raises
    AssertionError where one of the commands fails."""
    for word, name in (names or {}).items():
        command = command.replace(word, name)
    places = [*([programs] if programs else []), published(cluster.name), os.environ["PATH"]]
    done = subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": ":".join(map(str, places))},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout
