"""A program: clients of a gateway, which send each request once and count what became of it.

    python -m tests.node.callers requests|downloads|socket|stream|bytes SETTINGS

SETTINGS is JSON: `address` and `port` to connect to, `ca` (a PEM file) and the `hosts` that are asked for in
turn; `calm`, the seconds between two requests of a connection; `connections`, unless said as many as make
200 requests a second; `fresh`, for a connection for each request; `certificate`, a PEM file with the client's
own and its key. Five times a second it prints what it has seen, as JSON. The end of its standard input ends
it, once what is under way has come to its own end.
Must never send anything a second time: a request that gets no whole answer has failed.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import aiohttp
import grpc

PATIENCE = 60.0
"""Seconds after which a request without an answer has failed."""
DOWNLOAD = 4
"""Seconds that a download takes."""


@dataclass
class Seen:
    """`done` are requests, downloads or messages that were answered whole; `ended` is how a stream ended, and
    `certificates` counts handshakes by the hash of the certificate that was shown."""

    done: int = 0
    failures: list[str] = field(default_factory=list)
    certificates: dict[str, int] = field(default_factory=dict)
    last: str = ""
    ended: str = ""


@dataclass(frozen=True)
class Settings:
    address: str
    port: int
    ca: str
    hosts: list[str]
    calm: float = 0.1
    connections: int = 20
    fresh: bool = False
    path: str = "/"
    certificate: str = ""


class Cut(Exception):
    """An answer that is not whole, or says that the request failed."""


@dataclass
class Caller:
    settings: Settings
    seen: Seen = field(default_factory=Seen)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def send_requests(self, number: int) -> None:
        """Requests on one connection after the other, each used until the server says that it closes it."""
        while not self.over.is_set():
            host = self.settings.hosts[number % len(self.settings.hosts)]
            number += 1
            try:
                await self._use_connection(host)
            except (OSError, Cut, asyncio.IncompleteReadError, TimeoutError) as error:
                self.seen.failures.append(f"{datetime.now(UTC):%H:%M:%S.%f} {host}: {error!r}")
                await asyncio.sleep(self.settings.calm)

    async def _use_connection(self, host: str) -> None:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(
                self.settings.address, self.settings.port, ssl=self.build_context(), server_hostname=host
            )
        try:
            self._note_certificate(writer)
            more = True
            while more and not self.over.is_set():
                async with asyncio.timeout(PATIENCE):
                    more = await self._send_one(reader, writer, host=host)
                self.seen.done += 1
                await asyncio.sleep(self.settings.calm)
        finally:
            writer.close()

    def _note_certificate(self, writer: asyncio.StreamWriter) -> None:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        self.seen.last = sha256(shown).hexdigest()
        self.seen.certificates[self.seen.last] = self.seen.certificates.get(self.seen.last, 0) + 1

    async def _send_one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, host: str
    ) -> bool:
        """Whether the connection may be used once more."""
        close = "Connection: close\r\n" if self.settings.fresh else ""
        writer.write(f"GET {self.settings.path} HTTP/1.1\r\nHost: {host}\r\n{close}\r\n".encode())
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        lines = head.split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        async for size in self._read_sizes(reader, headers):
            await reader.readexactly(size)
        if lines[0].split()[1] != "200":
            raise Cut(lines[0])
        return headers.get("connection") != "close" and not self.settings.fresh

    async def _read_sizes(self, reader: asyncio.StreamReader, headers: dict[str, str]) -> AsyncIterator[int]:
        """Sizes of the pieces in which a body comes."""
        if (length := headers.get("content-length")) is not None:
            yield int(length)
            return
        if headers.get("transfer-encoding") != "chunked":
            raise Cut("a body of no known length")
        while size := int(await reader.readuntil(b"\r\n"), 16):
            yield size + 2
        yield 2

    def build_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.settings.ca)
        if self.settings.certificate:
            context.load_cert_chain(self.settings.certificate)
        return context

    async def hold_socket(self) -> None:
        """A WebSocket with a message each moment, until it is told to end."""
        url = f"wss://{self.settings.address}:{self.settings.port}/ws"
        host = self.settings.hosts[0]
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(
                url, ssl=self.build_context(), server_hostname=host, headers={"Host": host}
            ) as socket,
        ):
            while not self.over.is_set():
                try:
                    await socket.send_str(str(self.seen.done))
                    answer = await socket.receive(PATIENCE)
                except (OSError, TimeoutError, aiohttp.ClientError) as error:
                    self.seen.ended = f"cut: {error!r}"
                    return
                if answer.type != aiohttp.WSMsgType.TEXT or answer.data != str(self.seen.done):
                    self.seen.ended = f"cut: close code {socket.close_code}"
                    return
                self.seen.done += 1
                await asyncio.sleep(self.settings.calm)
            await socket.close()
            self.seen.ended = f"closed: {socket.close_code}"

    async def hold_stream(self) -> None:
        """A gRPC stream in both directions with a message each moment, until it is told to end."""
        with open(self.settings.ca, "rb") as file:  # noqa: ASYNC230
            credentials = grpc.ssl_channel_credentials(file.read())
        host = self.settings.hosts[0]
        options = [("grpc.ssl_target_name_override", host), ("grpc.default_authority", host)]
        target = f"ipv4:{self.settings.address}:{self.settings.port}"
        async with grpc.aio.secure_channel(target, credentials, options=options) as channel:
            call = channel.stream_stream("/echo.Echo/Hold")()
            try:
                while not self.over.is_set():
                    await call.write(str(self.seen.done).encode())
                    if await call.read() != str(self.seen.done).encode():
                        raise Cut("another message came back")
                    self.seen.done += 1
                    await asyncio.sleep(self.settings.calm)
                await call.done_writing()
                await call.read()
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, Cut):
                pass
            self.seen.ended = (await call.code()).name

    async def hold_bytes(self) -> None:
        """A connection of bare TCP with a line each moment, until it is told to end."""
        reader, writer = await asyncio.open_connection(self.settings.address, self.settings.port)
        try:
            while not self.over.is_set():
                line = f"{self.seen.done}\n".encode()
                writer.write(line)
                async with asyncio.timeout(PATIENCE):
                    if await reader.readuntil(b"\n") != line:
                        raise Cut("another line came back")
                self.seen.done += 1
                await asyncio.sleep(self.settings.calm)
            self.seen.ended = "closed"
        except (OSError, Cut, asyncio.IncompleteReadError, TimeoutError) as error:
            self.seen.ended = f"cut: {error!r}"
        finally:
            writer.close()


async def tell(seen: Seen) -> None:
    while True:
        print(json.dumps(asdict(seen)), flush=True)
        await asyncio.sleep(0.2)


def choose(kind: str, caller: Caller) -> list[Any]:
    count = caller.settings.connections
    held = {"socket": caller.hold_socket, "stream": caller.hold_stream, "bytes": caller.hold_bytes}
    if kind in held:
        return [held[kind]()]
    return [start_late(caller, number, count) for number in range(count)]


async def start_late(caller: Caller, number: int, count: int) -> None:
    """Downloads begin one after the other, so that one is under way at any moment."""
    if "/bytes" in caller.settings.path:
        await asyncio.sleep(DOWNLOAD * number / count)
    await caller.send_requests(number)


async def main(kind: str, settings: dict[str, Any]) -> None:
    if kind == "downloads":
        settings |= {"path": f"/bytes?seconds={DOWNLOAD}"}
    caller = Caller(Settings(**settings))
    telling = asyncio.create_task(tell(caller.seen))
    work = asyncio.gather(*choose(kind, caller))
    await asyncio.to_thread(sys.stdin.read)
    caller.over.set()
    await work
    telling.cancel()
    print(json.dumps(asdict(caller.seen)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
