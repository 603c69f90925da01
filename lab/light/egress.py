"""The proxy through which the API server reaches Services: CONNECT on a unix socket.

Owns the relaying of bytes. Who serves an address is decided by the function that it is given.
Must never dial an address of the cluster itself: there is nothing behind it on this machine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

_log = logging.getLogger(__name__)
LONGEST_REQUEST = 8192


@dataclass(frozen=True, slots=True)
class Target:
    """A ClusterIP and port that somebody wants to reach."""

    host: str
    port: int


Upstream: TypeAlias = Path | Target
"""Who serves a target: a unix socket, or a port on this machine."""

Finder: TypeAlias = Callable[[Target], Upstream | None]


def parse_connect(request: bytes) -> Target:
    """The target of a CONNECT request. ValueError when it is anything else."""
    line = request.partition(b"\r\n")[0].decode("latin-1")
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "CONNECT" or not parts[2].startswith("HTTP/1."):
        raise ValueError(f"not a CONNECT request: {line!r}")
    host, _, port = parts[1].rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"no host and port: {parts[1]!r}")
    return Target(host.strip("[]"), int(port))


async def serve(socket: Path, find: Finder) -> asyncio.Server:
    """Starts the proxy; an unknown target is answered 502 at once, so that a webhook call fails fast."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _relay(reader, writer, find)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            _log.info("egress: %s", error)
        finally:
            writer.close()

    return await asyncio.start_unix_server(relay, socket, limit=LONGEST_REQUEST)


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, find: Finder) -> None:
    request = await reader.readuntil(b"\r\n\r\n")
    try:
        target = parse_connect(request)
    except ValueError as error:
        _answer(writer, "400 Bad Request", str(error))
        return
    upstream = find(target)
    if upstream is None:
        _answer(writer, "502 Bad Gateway", f"nobody serves {target.host}:{target.port} in this lab")
        return
    try:
        far_reader, far_writer = await _dial(upstream)
    except OSError as error:
        _answer(writer, "502 Bad Gateway", str(error))
        return
    try:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        # Either side that ends, ends both: TLS inside says itself when it is done.
        pumps = [
            asyncio.create_task(_pump(reader, far_writer)),
            asyncio.create_task(_pump(far_reader, writer)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
    finally:
        far_writer.close()


async def _dial(upstream: Upstream) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(upstream, Path):
        return await asyncio.open_unix_connection(upstream)
    return await asyncio.open_connection(upstream.host, upstream.port)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


def _answer(writer: asyncio.StreamWriter, status: str, text: str) -> None:
    _log.info("egress: %s: %s", status, text)
    body = text.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
