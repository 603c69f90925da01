"""A proxy between an operator and its API server that behaves, on demand, as networks and servers do on a bad
day.

Owns one port on loopback and a thread with an event loop of its own: a test may block while it runs.
Must never alter what it was not asked to: requests and answers pass byte for byte, watches line by line as
they come. Invariant: once it is frozen, not one more request reaches the API server.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import yaml
from aiohttp import web

from lab.cluster import Cluster, write_private

T = TypeVar("T")
READS = frozenset({"GET", "HEAD", "OPTIONS"})
KOPF, OURS = "kopf", "navarch"
_HOP = frozenset({"host", "connection", "transfer-encoding", "content-length", "keep-alive"})


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived. `agent` is who asked: `kopf` or `navarch` (our own client)."""

    method: str
    path: str
    query: Mapping[str, str]
    agent: str
    token: str = ""

    @property
    def is_watch(self) -> bool:
        return "watch" in self.query

    @property
    def is_lease(self) -> bool:
        return "/leases" in self.path

    @property
    def is_write(self) -> bool:
        """Whether it changes something; the Lease is the process's own breath."""
        return self.method not in READS and not self.is_lease and "dryRun" not in self.query


@dataclass(frozen=True, slots=True)
class Answer:
    """Answered by the proxy itself; nothing reaches the API server."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Late:
    """Forwarded after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset, before or `after` the API server has done what was asked."""

    after: bool = False


@dataclass(frozen=True, slots=True)
class Paged:
    """A list comes in pages of so many items."""

    limit: int


Deed = Answer | Late | Reset | Paged


def _build_status(code: int) -> dict[str, Any]:
    reasons = {401: "Unauthorized", 410: "Expired", 429: "TooManyRequests"}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"the proxy says {code}",
        "reason": reasons.get(code, "InternalError"),
        "code": code,
    }


def _build_error(code: int) -> bytes:
    return json.dumps({"type": "ERROR", "object": _build_status(code)}).encode() + b"\n"


_HALF = b'{"type":"MODIFIED","object":{"kind":"Conf'
ENDS = {"reset": _HALF, "end": _HALF, "gone": _build_error(410), "error": _build_error(500)}
"""Last words of a watch that is cut: half an object before a reset or a clean end, or an ERROR event."""


@dataclass(eq=False, slots=True)
class _Stream:
    """An open watch. `version` is the newest resourceVersion that the client knows."""

    seen: Seen
    version: str
    end: asyncio.Future[str]


@dataclass(eq=False)
class Fault:
    """What happens to which requests; `struck` counts them by who asked."""

    matches: Callable[[Seen], bool]
    deed: Deed
    struck: Counter[str] = field(default_factory=Counter)


class Proxy:
    """Use it as a context manager; `kubeconfig` is what the operator is given."""

    def __init__(self, cluster: Cluster, kubeconfig: Path, *, name: str = "proxy") -> None:
        """`kubeconfig` names the API server and holds the operator's own token."""
        content = yaml.safe_load(kubeconfig.read_text())
        entry = content["clusters"][0]["cluster"]
        self._server = entry["server"]
        self._tls = ssl.create_default_context(
            cafile=entry.get("certificate-authority"), cadata=_decode(entry)
        )
        self.kubeconfig = cluster.state / f"{name}.kubeconfig"
        self.token_file = cluster.state / f"{name}.token"
        write_private(self.token_file, content["users"][0]["user"]["token"])
        self.requests: list[Seen] = []
        self.frozen = threading.Event()
        """Set when the last write that was allowed has been answered, and kept from its sender."""
        self.writes = 0
        """Writes that reached the API server since the count began."""
        self.heartbeat: float | None = None
        """Seconds between two bookmarks that the proxy adds to every watch that it lets speak."""
        self._faults: tuple[Fault, ...] = ()
        self._limit: int | None = None
        self._silence: Callable[[Seen], bool] = lambda _: False
        self._silenced: Counter[str] = Counter()
        self._streams: set[_Stream] = set()

    # --- for tests, from their own thread -----------------------------------------------------------------

    def __enter__(self) -> Proxy:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faults", daemon=True)
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @contextmanager
    def inflict(self, deed: Deed, matches: Callable[[Seen], bool] = lambda _: True) -> Iterator[Fault]:
        """Do this to all requests that match, while the block runs. Of several faults the newest counts."""
        fault = Fault(matches, deed)
        self._faults = (fault, *self._faults)
        try:
            yield fault
        finally:
            self._faults = tuple(f for f in self._faults if f is not fault)

    @contextmanager
    def silence(self, matches: Callable[[Seen], bool] = lambda _: True) -> Iterator[Counter[str]]:
        """Open watches that match say nothing more, nor do new ones, while the block runs. Gives who was
        kept waiting how often. What was said meanwhile comes afterwards, where a client still listens."""
        self._silence, self._silenced = matches, Counter()
        try:
            yield self._silenced
        finally:
            self._silence = lambda _: False

    def cut(self, end: str, matches: Callable[[Seen], bool] = lambda _: True) -> Counter[str]:
        """End all open watches that match, in one of ENDS; tells whose they were."""

        async def cut() -> Counter[str]:
            found = [s for s in self._streams if matches(s.seen) and not s.end.done()]
            for stream in found:
                stream.end.set_result(end)
            return Counter(stream.seen.agent for stream in found)

        return self._call(cut())

    def list_watches(self) -> set[tuple[str, ...]]:
        """Whose watches are open now, and of what."""
        return {
            (seen.agent, seen.path, *(seen.query.get(f"{of}Selector", "") for of in ("label", "field")))
            for seen in [stream.seen for stream in [*self._streams]]
        }

    def allow(self, writes: int) -> None:
        """Let so many writes through from now on, one after the other, and freeze with the last of them."""
        self.frozen.clear()
        self.writes, self._limit = 0, writes

    def thaw(self) -> None:
        """Serve again. What had been asked before is not answered any more."""
        self._limit = None
        self.frozen.clear()

    # --- in the proxy's own thread --------------------------------------------------------------------------

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _start(self) -> None:
        self._turn = asyncio.Lock()
        self._upstream = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            trust_env=False,
        )
        application = web.Application(client_max_size=2**26)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port = self._runner.addresses[0][1]
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "u", "user": {"tokenFile": str(self.token_file)}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        write_private(self.kubeconfig, yaml.safe_dump(content))

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._upstream.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        agent = request.headers.get("User-Agent", "").partition("/")[0]
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        seen = Seen(request.method, request.path, dict(request.query), agent, token)
        self.requests.append(seen)
        fault = next((f for f in self._faults if f.matches(seen)), None)
        if fault is not None:
            fault.struck[agent] += 1
        match fault and fault.deed:
            case Answer(code, headers, body):
                return _refuse(code, headers, body)
            case Reset(after=False):
                return _reset(request)
            case Late(seconds):
                await asyncio.sleep(seconds)
            case Paged(limit) if "limit" in seen.query:
                seen = replace(seen, query={**seen.query, "limit": str(limit)})
        try:
            if seen.is_write and self._limit is not None:
                return await self._forward_counted(request, seen)
            if self.frozen.is_set():
                return await self._withhold(request)
            answer = await self._forward(request, seen)
        except (aiohttp.ClientError, OSError):
            # The API server is not there, or went away: that shows as it would without a proxy.
            return _reset(request)
        return _reset(request) if fault is not None and isinstance(fault.deed, Reset) else answer

    async def _forward_counted(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        async with self._turn:
            if not self.frozen.is_set():
                answer = await self._forward(request, seen)
                self.writes += 1
                if self.writes != self._limit:
                    return answer
                self.frozen.set()
        return await self._withhold(request)

    async def _withhold(self, request: web.Request) -> web.StreamResponse:
        while self.frozen.is_set():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0.05)
        return _reset(request)

    async def _forward(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
        url = f"{self._server}{request.path}"
        async with self._upstream.request(
            request.method,
            url,
            params=dict(seen.query),
            headers=headers,
            data=await request.read(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        ) as upstream:
            kept = {k: v for k, v in upstream.headers.items() if k.lower() not in _HOP}
            if not seen.is_watch or upstream.status != 200:
                return web.Response(status=upstream.status, headers=kept, body=await upstream.read())
            response = web.StreamResponse(status=200, headers=kept)
            return await self._stream(request, response, seen, upstream)

    async def _stream(
        self,
        request: web.Request,
        response: web.StreamResponse,
        seen: Seen,
        upstream: aiohttp.ClientResponse,
    ) -> web.StreamResponse:
        stream = _Stream(seen, seen.query.get("resourceVersion", ""), self._loop.create_future())
        self._streams.add(stream)
        turn = asyncio.Lock()
        relay = asyncio.create_task(self._relay(request, response, stream, upstream, turn))
        pulse = asyncio.create_task(self._pulse(response, stream, turn))
        try:
            await asyncio.wait({relay, pulse, stream.end}, return_when=asyncio.FIRST_COMPLETED)
            if stream.end.done():
                async with turn:
                    if not response.prepared:
                        await response.prepare(request)
                    await response.write(ENDS[stream.end.result()])
                if stream.end.result() == "reset":
                    return _reset(request)
            elif relay.done():
                relay.result()
            await response.write_eof()
            return response
        except ConnectionError:
            return response
        finally:
            self._streams.discard(stream)
            for task in (relay, pulse):
                task.cancel()
            await asyncio.gather(relay, pulse, return_exceptions=True)

    async def _relay(
        self,
        request: web.Request,
        response: web.StreamResponse,
        stream: _Stream,
        upstream: aiohttp.ClientResponse,
        turn: asyncio.Lock,
    ) -> None:
        response.enable_chunked_encoding()
        await response.prepare(request)
        rest = b""
        async for chunk in upstream.content.iter_any():
            await self._hold(stream)
            lines, newline, rest = (rest + chunk).rpartition(b"\n")
            if newline:
                async with turn:
                    await response.write(lines + newline)
                    stream.version = _version_of(lines.rpartition(b"\n")[2]) or stream.version
        await self._hold(stream)  # a server that says nothing does not end a watch either

    async def _hold(self, stream: _Stream) -> None:
        if self._silence(stream.seen):
            self._silenced[stream.seen.agent] += 1
        while self.frozen.is_set() or self._silence(stream.seen):  # noqa: ASYNC110 - by another thread
            await asyncio.sleep(0.02)

    async def _pulse(self, response: web.StreamResponse, stream: _Stream, turn: asyncio.Lock) -> None:
        """Bookmarks of what the client knows already: nothing but a sign of life."""
        while True:
            await asyncio.sleep(self.heartbeat or 1.0)
            if self.heartbeat is None or not stream.version or not response.prepared:
                continue
            if self._silence(stream.seen):
                self._silenced[stream.seen.agent] += 1
                continue
            metadata = {"resourceVersion": stream.version, "creationTimestamp": None}
            bookmark = {"kind": "Bookmark", "apiVersion": "v1", "metadata": metadata}
            async with turn:
                await response.write(json.dumps({"type": "BOOKMARK", "object": bookmark}).encode() + b"\n")


def _decode(entry: Mapping[str, str]) -> str | None:
    import base64

    data = entry.get("certificate-authority-data")
    return base64.b64decode(data).decode() if data else None


def _version_of(line: bytes) -> str:
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(line)["object"]["metadata"]["resourceVersion"])
    return ""


def _refuse(code: int, headers: Mapping[str, str], body: bytes | None) -> web.Response:
    if body is not None:
        return web.Response(status=code, headers=headers, body=body)
    return web.json_response(_build_status(code), status=code, headers=headers)


def _reset(request: web.Request) -> web.Response:
    """Reset the client's connection: a RST, not a clean end."""
    transport = request.transport
    if transport is not None:
        raw = transport.get_extra_info("socket")
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=499)
