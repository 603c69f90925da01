"""What the Containerfile says of the image that it makes.

Owns the few instructions that decide how the operator's process runs. Must never fill a gap with a guess: an
instruction it does not know is an error, so that the lab's image and the real one cannot drift apart.
"""

from __future__ import annotations

import json
import re
import shlex
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BASE_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"}
"""What Python's slim images set."""


_BUILD_ONLY = ("RUN", "ARG", "EXPOSE")


@dataclass(slots=True)
class FinalStage:
    """The last stage: the image configuration, `copied`, the paths taken over from an earlier stage, and
    `programs`, files of the checkout by their place in the image."""

    environment: dict[str, str] = field(default_factory=lambda: dict(BASE_ENVIRONMENT))
    user: str = "0"
    directory: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    copied: list[str] = field(default_factory=list)
    programs: dict[str, str] = field(default_factory=dict)

    def config(self) -> dict[str, Any]:
        """The `config` object of the image configuration."""
        return {
            "User": self.user,
            "Env": [f"{name}={value}" for name, value in sorted(self.environment.items())],
            "WorkingDir": self.directory,
            "Entrypoint": self.entrypoint,
            "Cmd": self.command,
            "Labels": self.labels,
        }


def read_final_stage(path: Path) -> FinalStage:
    """Read the last stage. ValueError names an instruction that this reader does not understand."""
    stage = FinalStage()
    last: list[tuple[str, str]] = []
    for instruction, argument in _instructions(path.read_text()):
        last = [] if instruction == "FROM" else [*last, (instruction, argument)]
    for instruction, argument in last:
        if instruction not in _BUILD_ONLY:
            _follow(stage, instruction, argument)
    return stage


def _follow(stage: FinalStage, instruction: str, argument: str) -> None:
    match instruction:
        case "ENV":
            stage.environment |= _read_pairs(argument, stage.environment)
        case "LABEL":
            stage.labels |= _read_pairs(argument, stage.environment)
        case "USER":
            stage.user = argument
        case "WORKDIR":
            stage.directory = argument
        case "ENTRYPOINT":
            stage.entrypoint, stage.command = json.loads(argument), []
        case "CMD":
            stage.command = json.loads(argument)
        case "COPY":
            _read_copy(stage, argument)
        case _:
            raise ValueError(f"the Containerfile's instruction {instruction} is not understood here")


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        instruction, _, argument = line.strip().partition(" ")
        yield instruction.upper(), argument.strip()


def _read_pairs(argument: str, environment: dict[str, str]) -> dict[str, str]:
    pairs = (word.partition("=") for word in shlex.split(argument))
    return {name: string.Template(value).substitute(environment) for name, _, value in pairs}


def _read_copy(stage: FinalStage, argument: str) -> None:
    words = shlex.split(argument)
    flags = [word for word in words if word.startswith("--")]
    paths = [word for word in words if not word.startswith("--")]
    if flags == ["--chmod=755"] and len(paths) == 2:
        stage.programs[paths[1]] = paths[0]
    elif flags and flags[0].startswith("--from=") and len(paths) == 2 and paths[0] == paths[1]:
        stage.copied.append(paths[1])
    else:
        raise ValueError(
            f"COPY {argument}: only one path, copied to the same place from an earlier stage, or one program "
            "of the checkout with --chmod=755, is understood here"
        )
