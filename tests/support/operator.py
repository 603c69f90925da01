"""The operator as a process of its own, as in a pod: its service account, its settings, its signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

SYSTEM = "navarch-system"
USER = f"system:serviceaccount:{SYSTEM}:navarch"


_reserved: list[socket.socket] = []
"""Sockets that are bound and never listen: as long as they are there, nothing else is given their ports."""


def reserve_port() -> int:
    """A port of 127.0.0.1 that a server which sets SO_REUSEADDR may listen on, as asyncio's do, and nothing
    that asks for any port gets, however late the server comes and however often it starts anew."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _reserved.append(held)
    return int(held.getsockname()[1])


@dataclass
class Operator:
    """One replica. `settings` are NAVARCH_* variables without the prefix, in lower case."""

    kubeconfig: Path
    log: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=reserve_port)
    metrics_port: int = field(default_factory=reserve_port)
    program: tuple[str, ...] = ("-m", "navarch")
    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=dict)
    """Further variables of the process: which build it runs."""
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; it is ready when /readyz says so."""
        values = {
            "kubeconfig": str(self.kubeconfig),
            "listen_host": "127.0.0.1",
            "listen_port": str(self.port),
            "metrics_port": str(self.metrics_port),
            "metrics_plain": "true",
            "metrics_seconds": "0",  # what a test reads is what is so now
            **self.settings,
        }
        environment = {f"NAVARCH_{key.upper()}": value for key, value in values.items()}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self.python, "-P", *self.program, "run"],
                env={**os.environ, **environment, **self.environment},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd="/",
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self, *, with_signal: int = signal.SIGTERM, seconds: float = 40) -> int:
        """End the process and return its exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(with_signal)
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait(10)

    def kill(self) -> None:
        """End the process without a chance to clean up."""
        self.stop(with_signal=signal.SIGKILL)

    def fetch(self, path: str) -> tuple[int, str]:
        """GET one of the operator's own paths; metrics from their own port, or from the only one that an
        older build has."""
        if path == "/metrics" and (found := _fetch(self.metrics_port, path))[0]:
            return found
        return _fetch(self.port, path)

    def is_ready(self) -> bool:
        """Whether /readyz says so. AssertionError, with the end of the log, when the process ended with an
        error: it would never be ready."""
        if self._process is not None and (code := self._process.poll() or 0) > 0:
            raise AssertionError(f"the operator ended with {code}; its log ends: {self._read_end()}")
        return self.fetch("/readyz")[0] == 200

    def _read_end(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]


def _fetch(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""
