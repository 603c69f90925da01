"""What Istio's own readers say of a text: the functions of istiod, injector and agent, in one process.

Must never answer from memory: each question goes to the program, which calls the reader itself.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lab.builds import VERDICTS, ensure


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a text is refused, and what is only logged; each empty for nothing."""

    error: str
    warning: str


@dataclass(frozen=True, slots=True)
class Readers:
    """The running program."""

    process: subprocess.Popen[str]

    def _ask(self, question: Mapping[str, str]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))

    def judge(self, reader: str, text: str) -> Verdict:
        """One reader's verdict on a text; the readers are named in lab/modules/istio/verdicts."""
        answer = self._ask({"ask": reader, "text": text})
        assert not answer["error"].startswith("verdicts: "), answer["error"]
        return Verdict(answer["error"], answer.get("warning", ""))

    def list_variables(self) -> dict[str, str]:
        """Every environment variable that istiod registers, with its type."""
        return dict(self._ask({"ask": "environment"})["variables"])


@contextmanager
def run_readers() -> Iterator[Readers]:
    """The program, until the block ends."""
    binary = ensure("node", only=[VERDICTS])[VERDICTS]
    pipe = subprocess.PIPE
    process = subprocess.Popen([str(binary)], stdin=pipe, stdout=pipe, text=True, encoding="utf-8")
    try:
        yield Readers(process)
    finally:
        process.kill()
        process.wait()
