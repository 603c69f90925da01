"""A small HTTP server with bounds, in plain HTTP or TLS: what the operator's own ports have in common.

Owns sockets, connections and their bounds. Must never know what is answered. Invariants: each connection
serves one request; none outlives CONNECTION_SECONDS, its TLS handshake included; there are at most
CONNECTIONS, counted from the moment of accept, since asyncio keeps 256 KiB for a handshake that never ends.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias, cast

import structlog
from aiohttp import web

log = structlog.get_logger(__name__)

Answer: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.Response]]

CONNECTIONS = 64
"""Connections at a time; a further one ends the oldest, for a probe comes with a new one."""
CONNECTION_SECONDS = 10.0
"""Time for a request and its answer; each connection serves one. A kubelet's probe ends after 5, Prometheus
scrapes for 10 by default."""
_HEAD = {"max_line_size": 4096, "max_field_size": 8190, "max_headers": 64}


class Listener:
    """Serves the paths in `answers` on host and port; port 0 picks a free one, known after start(). `context`
    gives the TLS context of the next connection; without it connections are plain."""

    def __init__(
        self,
        answers: Mapping[str, Answer],
        *,
        seconds: float = CONNECTION_SECONDS,
        context: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._server = _Server(answers, seconds=seconds)
        self._context = context
        self._listening: asyncio.Server | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Begin to listen; no `host` means all addresses, IPv4 and IPv6. Raises OSError when the port is
        taken."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._meet, sock=bind(host, port))
        self.port = int(self._listening.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and end open connections."""
        if self._listening is not None:
            self._listening.close()
        await self._server.shutdown(1.0)
        self._server.end_all()

    def _meet(self) -> asyncio.Protocol:
        return _Handshake(self._server, self._context()) if self._context else self._server()


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


class _Server(web.Server):
    """One request for each connection, which ends in any case."""

    def __init__(self, answers: Mapping[str, Answer], *, seconds: float) -> None:
        quiet = logging.getLogger("aiohttp.server.quiet")
        quiet.disabled = True  # a traceback for every request that makes no sense would fill the log
        super().__init__(self._handle, access_log=None, logger=quiet, **cast("Any", _HEAD))
        self._answers, self._seconds = answers, seconds
        self._open: dict[asyncio.Protocol, tuple[asyncio.Transport, asyncio.TimerHandle]] = {}

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        answer = self._answers.get(request.path)
        if answer is None or request.method not in ("GET", "HEAD"):
            response = web.Response(status=404 if answer is None else 405)
        else:
            try:
                response = await answer(request)
            except Exception as error:
                log.exception("a request to the operator's port failed", path=request.path)
                response = web.Response(status=500, text=type(error).__name__)
        response.force_close()
        return response

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if handler not in self._open:
            self.admit(handler, transport)

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        self.forget(handler)
        super().connection_lost(handler, exc)

    def admit(self, protocol: asyncio.Protocol, transport: asyncio.Transport) -> None:
        """Count a connection, ending the oldest where there are too many, and set its end."""
        if len(self._open) >= CONNECTIONS:
            oldest, (ended, _) = next(iter(self._open.items()))
            ended.abort()
            self.forget(oldest)
        end = asyncio.get_running_loop().call_later(self._seconds, transport.abort)
        self._open[protocol] = (transport, end)

    def has(self, protocol: asyncio.Protocol) -> bool:
        """Whether a connection is still counted."""
        return protocol in self._open

    def pass_on(self, before: asyncio.Protocol, after: asyncio.Protocol) -> None:
        """The connection of one protocol is another's from now on; its end stays."""
        if before in self._open:
            self._open[after] = self._open.pop(before)

    def forget(self, protocol: asyncio.Protocol) -> None:
        """A connection is gone."""
        _, end = self._open.pop(protocol, (None, None))
        if end is not None:
            end.cancel()

    def end_all(self) -> None:
        """End every connection now."""
        for protocol, (transport, _) in list(self._open.items()):
            transport.abort()
            self.forget(protocol)


class _Handshake(asyncio.Protocol):
    """Agrees on TLS and hands the connection to `server`."""

    def __init__(self, server: _Server, context: ssl.SSLContext) -> None:
        self._server, self._context = server, context
        self._early = b""
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        plain = cast("asyncio.Transport", transport)
        plain.pause_reading()  # what comes first is TLS's
        self._server.admit(self, plain)
        self._task = asyncio.get_running_loop().create_task(self._agree(plain))

    def data_received(self, data: bytes) -> None:
        self._early += data  # with the end of the handshake, before it was told of here

    def connection_lost(self, exc: BaseException | None) -> None:
        self._server.forget(self)

    async def _agree(self, plain: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        try:
            secure = await loop.start_tls(plain, self, self._context, server_side=True)
        except OSError:  # no TLS, another certificate expected, or gone
            secure = None
        if secure is None or not self._server.has(self):
            plain.abort()
            self._server.forget(self)
            return
        handler = self._server()
        self._server.pass_on(self, handler)
        secure.set_protocol(handler)
        handler.connection_made(secure)
        if self._early:
            handler.data_received(self._early)
