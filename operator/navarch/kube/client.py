"""The API server's verbs: dictionaries in, dictionaries out.

Owns paths, parameters and content types. Must never build a typed model (five times the CPU per request).
Invariant: every request that may change something is marked so, for kube.transport asks the guard before it.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias

from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.kube import wire
from navarch.kube.credentials import Credentials
from navarch.kube.errors import Conflict, Invalid, TooLarge, Unavailable, error_of
from navarch.kube.guard import Guard
from navarch.kube.resources import Resource, resource_for, resource_of
from navarch.kube.transport import ANSWER_BYTES, Observe, Request, Transport

Object: TypeAlias = dict[str, Any]
"""An object as the API server returned it."""

IDLE_SECONDS = 90.0
"""A watch without a byte for so long is dead: the API server sends a bookmark about each minute."""

PAGE = 500
"""Objects of a page at the most."""
PAGE_BYTES = 2 * 1024 * 1024
"""A page of more than one object is not read beyond this: it is asked for anew, with a quarter of the
objects. In Python's memory JSON may become twenty times as large."""
PAGE_TRIES = 3
"""Requests for one page, in a row, that may go unanswered before the listing begins anew. The first page has
one: nothing is lost with it."""
_PAGES_AT_ONCE = 4

_METADATA = "as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
_APPLY = "application/apply-patch+yaml; charset=utf-8"
"""With its character set, the library sends the bytes of kube/wire.py as they are."""
_JSON_PATCH = "application/json-patch+json"


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
        self._pages = asyncio.Semaphore(_PAGES_AT_ONCE)
        self._transport = Transport(
            credentials, guard=guard, observe=observe, requests=requests, user_agent=user_agent
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections, watches included."""
        await self._transport.close()

    async def drain(self, seconds: float) -> bool:
        """Wait until every write that was sent is answered; False where one is not after so many seconds."""
        return await self._transport.drain(seconds)

    def guarded(self, guard: Guard | None, *, requests: int | None = None) -> Client:
        """The same client with another guard, or none.

        Both share the request slots, unless `requests` gives the twin slots of its own: for the Lease, which
        must not wait behind reconciles.
        """
        twin = copy.copy(self)
        twin._transport = self._transport.guarded(guard, requests=requests)
        return twin

    # --- reading --------------------------------------------------------------------------------------------

    async def fetch(self, path: str, *, most: int = ANSWER_BYTES) -> Any:
        """GET any path (`/version`); the parsed answer, or text where it is not JSON. Raises TooLarge where
        that has more than `most` bytes."""
        return await self._transport.call(Request("GET", path, path, most=most))

    async def read_log(
        self, namespace: str, pod: str, *, container: str, previous: bool = False, lines: int, most: int
    ) -> str:
        """The last lines of a container's log, with their times; of the container before where `previous`.
        Of what they hold beyond `most` bytes, the beginning stays."""
        path = resource_of("v1", "Pod").path(namespace=namespace, name=pod, subresource="log")
        query = {
            "container": container,
            "tailLines": str(lines),
            "limitBytes": str(most),
            "timestamps": "true",
        }
        query |= {"previous": "true"} if previous else {}
        # The kubelet may end with a whole line beyond the limit.
        subject = f"Pod {namespace}/{pod}"
        return str(await self._transport.call(Request("GET", path, subject, "pods", query, accept="*/*")))

    async def get(self, ref: Ref, *, metadata_only: bool = False) -> Object:
        """One object. Raises NotFound; Unserved when its kind is not served."""
        accept = build_accept(metadata_only, "")
        found = await self._transport.call(_of(ref, "GET", accept=accept))
        return _typed(found, ref.api_version, ref.kind)

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        limit: int = PAGE,
        keep: Callable[[Object], Object | None] = _whole,
    ) -> Listing:
        """A whole collection, read page by page. Raises Gone when it changed too much in between.

        `keep` gives what is to be kept of each object, or None: it is asked page by page, so that a large
        collection is never held whole. The first page has `limit` objects; pages shrink where objects are
        large, and grow to PAGE where they are small."""
        query = _selectors(label_selector, field_selector)
        items: list[Object] = []
        unanswered = 0
        while True:
            request = Request(
                "GET",
                resource.path(namespace=namespace),
                resource.kind,
                resource.plural,
                query | {"limit": str(limit)},
                accept=build_accept(metadata_only, "List"),
                most=PAGE_BYTES if limit > 1 else ANSWER_BYTES,
            )
            async with self._pages:
                try:
                    page, size = await self._transport.measure(request)
                except TooLarge:
                    if limit == 1:
                        raise
                    limit = max(limit // 4, 1)
                    continue
                except Unavailable:
                    unanswered += 1
                    if "continue" not in query or unanswered == PAGE_TRIES:
                        raise
                    continue
                unanswered = 0
                found = page.get("items") or ()
                typed = (_typed(item, resource.api_version, resource.kind) for item in found)
                items += (kept for kept in map(keep, typed) if kept is not None)
                metadata = page["metadata"]
                del page, found, typed
            if not metadata.get("continue"):
                return Listing(tuple(items), metadata["resourceVersion"])
            query = query | {"continue": metadata["continue"]}
            if size < PAGE_BYTES // 8:
                limit = min(limit * 4, max(limit, PAGE))

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
        accept = build_accept(metadata_only, "")
        request = Request("GET", path, resource.kind, f"{resource.plural}:watch", query, accept=accept)
        async with aclosing(self._transport.stream(request, idle=idle)) as events:
            async for event in events:
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise error_of(
                        int(status.get("code") or 500), status, method="WATCH", subject=resource.kind
                    )
                yield WatchEvent(event["type"], _typed(event["object"], resource.api_version, resource.kind))

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
            body=wire.dump(manifest),
            content_type=_APPLY,
            writes=not dry_run,
        )
        return _object(await self._transport.call(request))

    async def create(self, manifest: Manifest, *, dry_run: bool = False) -> Object:
        """POST. Raises Conflict with reason AlreadyExists."""
        ref = ref_of({**manifest, "metadata": {"name": "", **manifest["metadata"]}})
        resource = resource_for(ref)
        request = Request(
            "POST",
            resource.path(namespace=ref.namespace),
            str(ref),
            resource.plural,
            {"fieldValidation": "Strict", **_dry(dry_run)},
            body=manifest,
            writes=not dry_run,
        )
        return _object(await self._transport.call(request))

    async def request_token(self, namespace: str, account: str) -> str:
        """A token of a ServiceAccount, good for a day or as long as the cluster allows."""
        path = resource_of("v1", "ServiceAccount").path(
            namespace=namespace, name=account, subresource="token"
        )
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 86_400},
        }
        subject = f"ServiceAccount {namespace}/{account}"
        answer = _object(await self._transport.call(Request("POST", path, subject, body=body, writes=True)))
        return str(answer["status"]["token"])

    async def replace(self, manifest: Manifest) -> Object:
        """PUT, only over exactly metadata.resourceVersion where that is set. Raises Conflict."""
        return _object(await self._transport.call(_of(ref_of(manifest), "PUT", body=manifest, writes=True)))

    async def patch(self, ref: Ref, operations: Sequence[Mapping[str, Any]]) -> Object:
        """JSON Patch. A `test` that fails raises Conflict."""
        request = _of(ref, "PATCH", body=[*operations], content_type=_JSON_PATCH, writes=True)
        try:
            return _object(await self._transport.call(request))
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
        return _object(await self._transport.call(_of(ref, "DELETE", body=body, writes=True)))


def _of(ref: Ref, method: str, subresource: str = "", **more: Any) -> Request:
    resource = resource_for(ref)
    path = resource.path(namespace=ref.namespace, name=ref.name, subresource=subresource)
    return Request(method, path, str(ref), resource.plural, **more)


def _typed(item: Object, api_version: str, kind: str) -> Object:
    # Lists leave out the kind of their items, and metadata comes as a PartialObjectMetadata.
    item["apiVersion"], item["kind"] = api_version, kind
    return item


def _object(answer: Any) -> Object:
    if not isinstance(answer, dict):
        raise TypeError(f"expected an object, got {type(answer).__name__}")
    return answer


def build_accept(metadata_only: bool, suffix: str) -> str:
    """The Accept header for whole objects, or for their metadata; `suffix` is "List" for a listing."""
    return f"application/json;{_METADATA.format(suffix)}" if metadata_only else "application/json"


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    both = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {key: value for key, value in both.items() if value}


def _dry(dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}
