"""/livez, /readyz and /metrics on one port.

Owns the HTTP server. Must never do work of its own: probes only ask. Invariants: a replica that stands by is
live and ready; a probe waits neither for the metrics nor for connections that are held open; metrics are
rendered in a thread, once at a time, and not again within a time that is set; no connection outlives
CONNECTION_SECONDS, and there are at most CONNECTIONS.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

log = structlog.get_logger(__name__)

Problems = Callable[[], Iterable[str]]
"""Asked at every probe; yields what is wrong, a sentence each."""

CONNECTIONS = 64
"""Connections at a time; a further one ends the oldest, for a probe comes with a new one."""
CONNECTION_SECONDS = 10.0
"""Time for a request and its answer; each connection serves one. A kubelet's probe ends after 5, Prometheus
scrapes for 10 by default."""
_HEAD = {"max_line_size": 4096, "max_field_size": 8190, "max_headers": 64}


class HealthServer:
    """Serves the three paths on host and port; port 0 picks a free one, known after start()."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        live: Problems,
        ready: Problems,
        seconds: float = CONNECTION_SECONDS,
        metrics_seconds: float = 1.0,
    ) -> None:
        rendering = Rendering(registry, seconds=metrics_seconds)
        answers = {"/livez": _answer(live), "/readyz": _answer(ready), "/metrics": rendering.answer}
        self._runner = web.ServerRunner(_Server(answers, seconds=seconds))
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Begin to listen; no `host` means all addresses, IPv4 and IPv6. Raises OSError when the port is
        taken."""
        await self._runner.setup()
        await web.SockSite(self._runner, bind(host, port)).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening and end open connections."""
        await self._runner.cleanup()


def bind(host: str, port: int) -> socket.socket:
    """A socket on one address; without `host` one that takes IPv4 and IPv6, as far as the machine has them:
    a cluster may have either alone. Raises OSError."""
    if host:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise  # IPv6 is compiled in and switched off
    return socket.create_server(("0.0.0.0", port))


class Rendering:
    """The metrics as text, shared by all requests of the same time; `seconds` is the age up to which a text
    is served again."""

    def __init__(
        self, registry: CollectorRegistry, *, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry, self._seconds, self._clock = registry, seconds, clock
        self._task: asyncio.Task[bytes] | None = None
        self._begun = 0.0

    async def answer(self) -> web.Response:
        """The text that is rendered now, or was just now."""
        task = self._task
        if task is None or (task.done() and self._clock() - self._begun >= self._seconds):
            self._begun = self._clock()
            # In a thread: of a thousand meshes it takes a large part of a second.
            task = self._task = asyncio.create_task(asyncio.to_thread(generate_latest, self._registry))
        # One request that goes away must not take the text from the others.
        body = await asyncio.shield(task)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


class _Server(web.Server):
    """One request for each connection, which ends in any case."""

    def __init__(self, answers: dict[str, Callable[[], Awaitable[web.Response]]], *, seconds: float) -> None:
        quiet = logging.getLogger("aiohttp.server.quiet")
        quiet.disabled = True  # a traceback for every request that makes no sense would fill the log
        super().__init__(self._handle, access_log=None, logger=quiet, **cast("Any", _HEAD))
        self._answers, self._seconds = answers, seconds
        self._open: dict[Any, tuple[asyncio.Transport, asyncio.TimerHandle]] = {}

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        answer = self._answers.get(request.path)
        if answer is None or request.method not in ("GET", "HEAD"):
            response = web.Response(status=404 if answer is None else 405)
        else:
            try:
                response = await answer()
            except Exception as error:
                log.exception("a request to the operator's port failed", path=request.path)
                response = web.Response(status=500, text=type(error).__name__)
        response.force_close()
        return response

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self._open) >= CONNECTIONS:
            oldest, _ = next(iter(self._open.values()))
            oldest.abort()
            self._forget(next(iter(self._open)))
        end = asyncio.get_running_loop().call_later(self._seconds, transport.abort)
        self._open[handler] = (transport, end)

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        self._forget(handler)
        super().connection_lost(handler, exc)

    def _forget(self, handler: Any) -> None:
        _, end = self._open.pop(handler, (None, None))
        if end is not None:
            end.cancel()


def _answer(problems: Problems) -> Callable[[], Awaitable[web.Response]]:
    async def answer() -> web.Response:
        found = list(problems())
        return web.Response(text="\n".join(found) if found else "ok", status=503 if found else 200)

    return answer
