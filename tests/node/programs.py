"""The tests' own programs in a lab's network: what lies behind its gateways, and who calls them.

Owns their processes. Must never judge: what a caller has seen is for the test to weigh.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from lab.cluster import CHECKOUT, Cluster
from lab.node import host
from lab.node.layout import NODE_ADDRESS
from lab.progress import LabError
from tests.node.callers import Seen, Settings
from tests.polling import eventually


def enter_network(cluster: Cluster) -> list[str]:
    """What to put before a command so that it sees the lab's network and the host's files."""
    first = host.first_process(cluster.state)
    if first is None:
        raise LabError(f"the lab {cluster.name!r} does not run")
    return ["nsenter", f"--target={first}", "--net"]


@contextmanager
def _program(cluster: Cluster, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [*enter_network(cluster), sys.executable, "-m", *arguments]
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        try:
            yield running
        finally:
            running.kill()


class Backend:
    """What lies behind gateways, at the node's address."""

    address = NODE_ADDRESS

    def __init__(self, running: subprocess.Popen[str]) -> None:
        assert running.stdout is not None
        assert running.stdin is not None
        assert running.stdout.readline() == "ready\n"
        self._input = running.stdin

    def set_metric(self, value: int) -> None:
        """What the metrics API says from now on."""
        self._input.write(f"{value}\n")
        self._input.flush()


@contextmanager
def backend(cluster: Cluster) -> Iterator[Backend]:
    """The backend, running."""
    with _program(cluster, "tests.node.backend", NODE_ADDRESS) as running:
        yield Backend(running)


class Caller:
    """A running caller; `seen` is what it has seen up to now."""

    def __init__(self, running: subprocess.Popen[str], kind: str) -> None:
        self.kind = kind
        self.seen = Seen()
        self._running = running
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self._running.stdout is not None
        for line in self._running.stdout:
            self.seen = Seen(**json.loads(line))

    async def see_more(self, count: int, *, seconds: float = 15) -> None:
        """Until so many more were answered; or the caller's stream was ended by the other side."""
        before = self.seen.done
        try:
            await eventually(
                lambda: self.seen.done >= before + count or self.seen.ended, seconds=seconds, every=0.1
            )
        except AssertionError:
            told = f"not {count} more {self.kind} after {before}, but {self.seen.done - before}"
            raise AssertionError(f"{told}: {self.seen.failures[-3:]}") from None

    def end(self) -> Seen:
        """Lets what is under way come to its end; what was seen in all."""
        assert self._running.stdin is not None
        self._running.stdin.close()
        assert self._running.wait(120) == 0
        self._reading.join()
        return self.seen


@contextmanager
def caller(cluster: Cluster, kind: str, settings: Settings) -> Iterator[Caller]:
    """Requests, downloads, a socket or a stream through a gateway, until it is ended or the block is."""
    told: dict[str, Any] = asdict(settings)
    with _program(cluster, "tests.node.callers", kind, json.dumps(told)) as running:
        yield Caller(running, kind)


@contextmanager
def load(cluster: Cluster, *, requests: Settings, downloads: Settings) -> Iterator[Caller]:
    """Requests, whose caller is given, and downloads beside them while the block runs. In the end none of
    them may have failed."""
    with (
        caller(cluster, "requests", requests) as first,
        caller(cluster, "downloads", downloads) as second,
    ):
        yield first
        seen = {one.kind: one.end() for one in (first, second)}
    for kind, one in seen.items():
        print(f"{kind}: {one.done} answered, {len(one.failures)} failed {one.failures[:5]}")
    assert {kind: one.failures for kind, one in seen.items()} == {"requests": [], "downloads": []}
    assert all(one.done for one in seen.values())
