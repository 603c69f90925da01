"""A request and its answer over HTTP.

Owns limits, tokens, patience with a busy API server, and the mapping of failures to kube.errors. Must never
send a write again whose result is unknown.
Invariants: the guard is asked before each write, and once more when its bytes go out (kube.guard); at most
`requests` requests are in flight, watches aside; no answer, nor one event of a watch, is read beyond its
bound in bytes.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode

import aiohttp

from navarch.kube.credentials import Credentials
from navarch.kube.errors import Gone, KubeError, TooLarge, Unavailable, error_of
from navarch.kube.guard import Guard, guarding
from navarch.kube.wire import parse

CONNECT_SECONDS = 3.0
"""Time to connect. With the Lease's margin of five seconds between the last allowed write and the earliest
takeover, a write that is stuck in connecting fails before another replica may lead."""
REQUEST_SECONDS = 30.0
PATIENCE = 5
"""How often a 429 is waited out before the caller hears of it."""
LONGEST_WAIT = 15.0
ANSWER_BYTES = 16 * 1024 * 1024
"""The most that is read of one answer, or of one event of a watch. etcd takes objects of 1.5 MiB, and JSON
writes a control character as six bytes, so no object of a cluster with etcd's own limits is larger."""


class Observe(Protocol):
    """Told of each answered or failed request; `code` is 0 when there was no answer."""

    def __call__(self, *, method: str, resource: str, code: int, seconds: float) -> None:
        """Count it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. `subject` names its object in errors, `resource` its kind in metrics; `writes` says that
    it may change something."""

    method: str
    path: str
    subject: str
    resource: str = "raw"
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"
    accept: str = "application/json"
    writes: bool = False
    most: int = ANSWER_BYTES
    """Bytes of the answer; a longer one raises TooLarge."""


class Transport:
    """The way to one API server. The parameters are those of kube.client.Client."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        guard: Guard | None,
        observe: Observe | None,
        requests: int,
        user_agent: str,
    ) -> None:
        self._credentials = credentials
        self._guard = guard
        self._observe = observe
        self._slots = asyncio.Semaphore(requests)
        self._user_agent = user_agent
        self._writes: set[asyncio.Task[Any]] = set()

    async def drain(self, seconds: float) -> bool:
        """Wait until every write that was sent is answered, also those whose caller has been cancelled. False
        where one is still under way after so many seconds: what becomes of it is not known."""
        if self._writes:
            await asyncio.wait([*self._writes], timeout=seconds)
        return not self._writes

    async def close(self) -> None:
        """Close all connections, watches included."""
        await self._credentials.close()

    def guarded(self, guard: Guard | None, *, requests: int | None) -> Transport:
        """The same way with another guard, or none, and with `requests` slots of its own where that is
        given."""
        twin = copy.copy(self)
        twin._guard = guard
        if requests is not None:
            twin._slots = asyncio.Semaphore(requests)
        return twin

    async def call(self, request: Request) -> Any:
        """The parsed answer, or text where it is not JSON. Raises KubeError."""
        answer, _ = await self.measure(request)
        return answer

    async def measure(self, request: Request) -> tuple[Any, int]:
        """The same, and the number of characters that the answer had."""
        renewed = False
        for attempt in range(PATIENCE + 1):
            async with self._slots:
                try:
                    return await (self._finish(request) if request.writes else self._exchange(request))
                except KubeError as error:
                    failure = error
            if failure.status == 401 and not renewed:
                renewed = True
                await self._credentials.renew()
            elif failure.status == 429 and attempt < PATIENCE:
                # The server refused before doing anything, so even a write may be sent again.
                wait = 1.0 if failure.retry_after is None else failure.retry_after
                await asyncio.sleep(min(wait, LONGEST_WAIT))
            else:
                raise failure
        raise failure

    async def stream(self, request: Request, *, idle: float) -> AsyncGenerator[Any, None]:
        """The lines of an answer that goes on, parsed. Raises Unavailable when it breaks or is silent for
        `idle` seconds."""
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=idle)
        with _Translated(request):
            response = await self._open(request, limits)
        try:
            if response.status >= 400:
                raise await _error(response, request)
            async for line in read_lines(response.content.iter_any(), request):
                yield parse(line)
        finally:
            response.close()

    async def _finish(self, request: Request) -> tuple[Any, int]:
        """A write goes on when its caller is cancelled: the API server may have it already, and only the
        answer tells when it is over."""
        task = asyncio.create_task(self._exchange(request))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_forget_failure)
            raise

    async def _exchange(self, request: Request) -> tuple[Any, int]:
        limits = aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=CONNECT_SECONDS)
        with _Translated(request):
            response = await self._open(request, limits)
            if response.status >= 400:
                raise await _error(response, request)
            # What the API server says is UTF-8; a log, which it hands on, is what a program wrote.
            text = (await _read(response, request)).decode(errors="replace")
        is_json = "json" in response.headers.get("Content-Type", "")
        return (parse(text) if is_json else text), len(text)

    async def _open(self, request: Request, limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        url = f"{self._credentials.host}{request.path}"
        if request.query:
            url = f"{url}?{urlencode(request.query)}"
        headers = {
            "Accept": request.accept,
            "Content-Type": request.content_type,
            "User-Agent": self._user_agent,
            # A few bytes could unpack to a thousand times as many.
            "Accept-Encoding": "identity",
        }
        authorization = await self._credentials.authorization()
        if authorization:
            headers["Authorization"] = authorization
        transport: Any = self._credentials.transport()
        started, code = time.monotonic(), 0
        try:
            with guarding(self._guard if request.writes else None):
                answer = await transport.request(
                    request.method, url, headers=headers, body=request.body, _request_timeout=limits
                )
            response: aiohttp.ClientResponse = answer.response
            code = response.status
            return response
        finally:
            if self._observe is not None:
                seconds = time.monotonic() - started
                self._observe(method=request.method, resource=request.resource, code=code, seconds=seconds)


def _forget_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


class _Translated:
    """Turns the transport's exceptions into Unavailable."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if isinstance(exc, (aiohttp.ClientError, OSError, TimeoutError)):
            text = f"no answer: {type(exc).__name__} {exc}".rstrip()
            raise Unavailable(text, method=self._request.method, subject=self._request.subject) from exc


async def read_body(chunks: AsyncIterator[bytes], request: Request) -> bytearray:
    """A body from its pieces. Raises TooLarge, and asks for no more, where it is longer than it may be."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > request.most:
            raise _too_large(request)
    return body


def _too_large(request: Request) -> TooLarge:
    text = f"the answer is longer than {request.most:,} bytes"
    return TooLarge(text, method=request.method, subject=request.subject)


async def _read(response: aiohttp.ClientResponse, request: Request) -> bytearray:
    try:
        if (response.content_length or 0) > request.most:
            raise _too_large(request)
        return await read_body(response.content.iter_any(), request)
    except TooLarge:
        response.close()
        raise


async def _error(response: aiohttp.ClientResponse, request: Request) -> KubeError:
    text = (await _read(response, request)).decode(errors="replace")
    try:
        body: object = parse(text)
    except ValueError:
        body = text
    wait = response.headers.get("Retry-After", "")
    return error_of(
        response.status,
        body,
        method=request.method,
        subject=request.subject,
        retry_after=float(wait) if wait.isdecimal() else None,
    )


async def read_lines(chunks: AsyncIterator[bytes], request: Request) -> AsyncIterator[bytes]:
    """Lines of any length up to the request's bound: the transport's own readline gives up at its buffer's
    size."""
    buffer = bytearray()
    while True:
        with _Translated(request):
            chunk = await anext(chunks, b"")
        if not chunk:
            return
        searched = len(buffer)
        buffer += chunk
        for line in _cut(buffer, searched):
            yield line
        if len(buffer) > request.most:
            text = f"an event is longer than {request.most:,} bytes"
            raise Gone(text, method=request.method, subject=request.subject, status=410)


def _cut(buffer: bytearray, searched: int) -> Iterator[bytes]:
    while (end := buffer.find(b"\n", searched)) >= 0:
        line = bytes(buffer[:end])
        del buffer[: end + 1]
        searched = 0
        if line:
            yield line
