"""What happens to control planes of real clusters, done to a light lab: daemons go and come back, etcd
forgets.

Must never touch another lab's processes. Invariant: after the context managers here the lab runs as before.
"""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab import processes
from lab.cluster import Cluster
from lab.progress import wait_until


@contextmanager
def without(cluster: Cluster, daemon: str) -> Iterator[None]:
    """A daemon of a light lab (`etcd`, `kube-apiserver`, …) is killed, and started again after the block."""
    halted = processes.halt(cluster.state, daemon, grace=0)
    try:
        yield
    finally:
        if halted.port is not None:
            # A killed process of many threads is gone before its sockets are.
            what = f"port {halted.port} of {daemon} is free"
            wait_until(lambda: _is_free(int(halted.port or 0)), what=what, seconds=240)
        processes.resume(cluster.state, halted, log=cluster.state / "log" / f"{daemon}.log")


def compact(cluster: Cluster) -> int:
    """Makes etcd forget everything but the present; returns the revision up to which it has."""
    port = _find_port(cluster.state, "etcd")
    revision = int(_ask(port, "/v3/kv/range", {"key": "AA=="})["header"]["revision"])
    _ask(port, "/v3/kv/compaction", {"revision": str(revision), "physical": True})
    return revision


def wait_for_etcd(cluster: Cluster) -> None:
    """Returns when etcd answers."""
    port = _find_port(cluster.state, "etcd")

    def is_there() -> bool:
        try:
            _ask(port, "/v3/kv/range", {"key": "AA=="})
        except OSError:
            return False
        return True

    wait_until(is_there, what=f"{cluster.name}: etcd", seconds=240)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
    return True


def _find_port(state: Path, daemon: str) -> int:
    port = next(p.port for p in processes.recorded(state) if p.name == daemon)
    if port is None:
        raise LookupError(f"{daemon} has no port")
    return port


def _ask(port: int, path: str, question: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=json.dumps(question).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        content: dict[str, Any] = json.loads(answer.read())
    return content
