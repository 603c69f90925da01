"""Requests to the API server: dictionaries in, dictionaries out.

Owns verbs, content types, limits and the mapping of failures to kube.errors. Must never build a typed model
(five times the CPU per request) and never retry a write whose fate is unknown.
Invariants: the guard is asked before each write, and once more when its bytes go out (kube.guard); at most
`requests` requests are in flight, watches aside.
"""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlencode

import aiohttp

from navarch.core.refs import Manifest, Ref, ref_of
from navarch.kube.credentials import Credentials
from navarch.kube.errors import Conflict, Invalid, KubeError, Unavailable, error_of
from navarch.kube.guard import Guard, guarding
from navarch.kube.resources import Resource, resource_for
from navarch.kube.wire import parse

Object: TypeAlias = dict[str, Any]
"""An object as the API server returned it."""

CONNECT_SECONDS = 3.0
"""Time to connect. With the Lease's margin of five seconds between the last allowed write and the earliest
takeover, a write that is stuck in connecting fails before somebody else may lead."""
REQUEST_SECONDS = 30.0
IDLE_SECONDS = 90.0
"""A watch without a byte for so long is dead: the API server sends a bookmark about each minute."""
PATIENCE = 5
"""How often a 429 is waited out before the caller hears of it."""
LONGEST_WAIT = 15.0

_METADATA = "as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
_APPLY = "application/apply-patch+yaml"
_JSON_PATCH = "application/json-patch+json"


class Observe(Protocol):
    """Told of each answered or failed request; `code` is 0 when there was no answer."""

    def __call__(self, *, method: str, resource: str, code: int, seconds: float) -> None:
        """Count it."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a collection at one resourceVersion."""

    items: tuple[Object, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change: ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Object


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    subject: str
    resource: str = "raw"
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"
    accept: str = "application/json"
    writes: bool = False


def _whole(obj: Object) -> Object:
    return obj


class Client:
    """A client of one API server; close it after use, or use it as an asynchronous context manager.

    `guard` raises when nothing may be written (NotLeading); `observe` feeds the request metrics.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        guard: Guard | None = None,
        observe: Observe | None = None,
        requests: int = 32,
        user_agent: str = "navarch",
    ) -> None:
        self._credentials = credentials
        self._guard = guard
        self._observe = observe
        self._slots = asyncio.Semaphore(requests)
        self._user_agent = user_agent

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections, watches included."""
        await self._credentials.close()

    def guarded(self, guard: Guard | None, *, requests: int | None = None) -> Client:
        """The same client with another guard, or none.

        Both share the request slots, unless `requests` gives the twin slots of its own: for the Lease, which
        must not wait behind reconciles.
        """
        twin = copy.copy(self)
        twin._guard = guard
        if requests is not None:
            twin._slots = asyncio.Semaphore(requests)
        return twin

    # --- reading --------------------------------------------------------------------------------------------

    async def fetch(self, path: str) -> Any:
        """GET any path (`/version`); the parsed answer, or text where it is not JSON."""
        return await self._call(_Request("GET", path, path))

    async def get(self, ref: Ref, *, metadata_only: bool = False) -> Object:
        """One object. Raises NotFound; Unserved when its kind is not served."""
        accept = _accept(metadata_only, "")
        found = await self._call(_of(ref, "GET", accept=accept))
        return _typed(found, ref.api_version, ref.kind)

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        limit: int = 500,
        keep: Callable[[Object], Object | None] = _whole,
    ) -> Listing:
        """A whole collection, read in chunks of `limit`. Raises Gone when it changed too much in between.

        `keep` gives what is to be kept of each object, or None: it is asked chunk by chunk, so that a large
        collection is never held whole."""
        query = _selectors(label_selector, field_selector) | {"limit": str(limit)}
        items: list[Object] = []
        while True:
            request = _Request(
                "GET",
                resource.path(namespace=namespace),
                resource.kind,
                resource.plural,
                query,
                accept=_accept(metadata_only, "List"),
            )
            page = await self._call(request)
            typed = (_typed(item, resource.api_version, resource.kind) for item in page.get("items") or ())
            items += (kept for kept in map(keep, typed) if kept is not None)
            metadata = page["metadata"]
            if not metadata.get("continue"):
                return Listing(tuple(items), metadata["resourceVersion"])
            query = query | {"continue": metadata["continue"]}

    async def watch(
        self,
        resource: Resource,
        *,
        resource_version: str,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        seconds: int = 300,
        idle: float = IDLE_SECONDS,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Changes since `resource_version`, bookmarks included, until the server ends it after `seconds`.

        Raises Gone when that version is too old, Unavailable when the stream breaks or is silent for `idle`
        seconds.
        """
        query = _selectors(label_selector, field_selector) | {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(seconds),
        }
        path = resource.path(namespace=namespace)
        accept = _accept(metadata_only, "")
        request = _Request("GET", path, resource.kind, f"{resource.plural}:watch", query, accept=accept)
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=idle)
        with _Translated(request):
            response = await self._open(request, limits)
        try:
            if response.status >= 400:
                raise await _error(response, request)
            async for line in _lines(response, request):
                event = parse(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise error_of(
                        int(status.get("code") or 500), status, method="WATCH", subject=resource.kind
                    )
                yield WatchEvent(event["type"], _typed(event["object"], resource.api_version, resource.kind))
        finally:
            response.close()

    # --- writing --------------------------------------------------------------------------------------------

    async def apply(
        self,
        manifest: Manifest,
        *,
        manager: str,
        force: bool = False,
        dry_run: bool = False,
        subresource: str = "",
    ) -> Object:
        """Server-side apply; creates what is missing. Raises Conflict where another manager owns a field."""
        query = {"fieldManager": manager, "force": "true" if force else "false", "fieldValidation": "Strict"}
        request = _of(
            ref_of(manifest),
            "PATCH",
            subresource,
            query=query | _dry(dry_run),
            body=manifest,
            content_type=_APPLY,
            writes=not dry_run,
        )
        return _object(await self._call(request))

    async def create(self, manifest: Manifest, *, dry_run: bool = False) -> Object:
        """POST. Raises Conflict with reason AlreadyExists."""
        ref = ref_of({**manifest, "metadata": {"name": "", **manifest["metadata"]}})
        resource = resource_for(ref)
        request = _Request(
            "POST",
            resource.path(namespace=ref.namespace),
            str(ref),
            resource.plural,
            {"fieldValidation": "Strict", **_dry(dry_run)},
            body=manifest,
            writes=not dry_run,
        )
        return _object(await self._call(request))

    async def replace(self, manifest: Manifest) -> Object:
        """PUT, only over exactly metadata.resourceVersion where that is set. Raises Conflict."""
        return _object(await self._call(_of(ref_of(manifest), "PUT", body=manifest, writes=True)))

    async def patch(self, ref: Ref, operations: Sequence[Mapping[str, Any]]) -> Object:
        """JSON Patch. A `test` that fails raises Conflict."""
        request = _of(ref, "PATCH", body=[*operations], content_type=_JSON_PATCH, writes=True)
        try:
            return _object(await self._call(request))
        except Invalid as error:
            if error.causes or not any(operation["op"] == "test" for operation in operations):
                raise
            # A patch that does not fit gets a 422 without a cause, unlike an object that is refused.
            raise Conflict(
                "a test of the patch failed", method="PATCH", subject=str(ref), status=409
            ) from error

    async def delete(
        self, ref: Ref, *, uid: str = "", resource_version: str = "", propagation: str = "Background"
    ) -> Object:
        """DELETE; the object while a finalizer holds it, else a Status. Raises Conflict, NotFound."""
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
            "preconditions": {key: value for key, value in preconditions.items() if value},
        }
        return _object(await self._call(_of(ref, "DELETE", body=body, writes=True)))

    # --- transport ------------------------------------------------------------------------------------------

    async def _call(self, request: _Request) -> Any:
        renewed = False
        for attempt in range(PATIENCE + 1):
            async with self._slots:
                try:
                    return await self._exchange(request)
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

    async def _exchange(self, request: _Request) -> Any:
        limits = aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=CONNECT_SECONDS)
        with _Translated(request):
            response = await self._open(request, limits)
            if response.status >= 400:
                raise await _error(response, request)
            text = (await response.read()).decode()
        is_json = "json" in response.headers.get("Content-Type", "")
        return parse(text) if is_json else text

    async def _open(self, request: _Request, limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        url = f"{self._credentials.host}{request.path}"
        if request.query:
            url = f"{url}?{urlencode(request.query)}"
        headers = {
            "Accept": request.accept,
            "Content-Type": request.content_type,
            "User-Agent": self._user_agent,
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


class _Translated:
    """Turns the transport's exceptions into Unavailable."""

    def __init__(self, request: _Request) -> None:
        self._request = request

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if isinstance(exc, (aiohttp.ClientError, OSError, TimeoutError)):
            text = f"no answer: {type(exc).__name__} {exc}".rstrip()
            raise Unavailable(text, method=self._request.method, subject=self._request.subject) from exc


async def _error(response: aiohttp.ClientResponse, request: _Request) -> KubeError:
    text = (await response.read()).decode(errors="replace")
    try:
        body: object = json.loads(text)
    except ValueError:
        body = text
    wait = response.headers.get("Retry-After", "")
    return error_of(
        response.status,
        body,
        method=request.method,
        subject=request.subject,
        retry_after=float(wait) if wait.isdigit() else None,
    )


async def _lines(response: aiohttp.ClientResponse, request: _Request) -> AsyncIterator[bytes]:
    """Lines of any length: the transport's own readline gives up at its buffer's size."""
    buffer = bytearray()
    chunks = response.content.iter_any()
    while True:
        with _Translated(request):
            chunk = await anext(chunks, b"")
        if not chunk:
            return
        searched = len(buffer)
        buffer += chunk
        for line in _cut(buffer, searched):
            yield line


def _cut(buffer: bytearray, searched: int) -> Iterator[bytes]:
    while (end := buffer.find(b"\n", searched)) >= 0:
        line = bytes(buffer[:end])
        del buffer[: end + 1]
        searched = 0
        if line:
            yield line


def _of(ref: Ref, method: str, subresource: str = "", **more: Any) -> _Request:
    resource = resource_for(ref)
    path = resource.path(namespace=ref.namespace, name=ref.name, subresource=subresource)
    return _Request(method, path, str(ref), resource.plural, **more)


def _typed(item: Object, api_version: str, kind: str) -> Object:
    # Lists leave out the kind of their items, and metadata comes as a PartialObjectMetadata.
    item["apiVersion"], item["kind"] = api_version, kind
    return item


def _object(answer: Any) -> Object:
    if not isinstance(answer, dict):
        raise TypeError(f"expected an object, got {type(answer).__name__}")
    return answer


def _accept(metadata_only: bool, suffix: str) -> str:
    return f"application/json;{_METADATA.format(suffix)}" if metadata_only else "application/json"


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    both = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {key: value for key, value in both.items() if value}


def _dry(dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}
