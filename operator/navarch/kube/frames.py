"""kopf's way to the API server, where an object is its frame: its name, and the labels that make its key.

kopf reads a page whole, of any size, and keeps each object until half a second after its event: of
meshes of 1.4 MB that are nothing but lists, one page and its objects took 800 MiB.
Owns the session that kopf asks with. Must never change what an answer means to kopf.
Invariants: kopf gets at most a few KiB of an object; besides that, a listing or a watch takes the memory of
one page of PAGE_BYTES, or of one object.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, cast

import aiohttp

from navarch.api.export import RESOURCES
from navarch.api.meta import GROUP
from navarch.kube.client import PAGE_BYTES, build_accept
from navarch.kube.errors import Gone, KubeError, TooLarge
from navarch.kube.transport import ANSWER_BYTES, Request, read_body, read_lines
from navarch.kube.weight import build_frame
from navarch.kube.wire import parse

Object = dict[str, Any]
KINDS = {
    ("apiextensions.k8s.io", "customresourcedefinitions"): "CustomResourceDefinition",
    **{(GROUP, own.plural): own.kind for own in RESOURCES},
}
"""What kopf lists and watches, by group and plural, in any version."""


def build_session(
    headers: Mapping[str, str], context: ssl.SSLContext, on_large: Callable[[], None]
) -> aiohttp.ClientSession:
    """A session of the running event loop. `on_large` is called where a page is too long: it is not read, and
    a moment later kopf lists anew."""

    async def shorten(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        api_version, plural = request.url.path.removeprefix("/apis/").rsplit("/", 1)
        kind = KINDS.get((api_version.partition("/")[0], plural))
        if kind is None:
            return await handler(request)
        query = request.url.query
        request.headers["Accept"] = build_accept(True, "" if "watch" in query else "List")
        response = await handler(request)
        if response.status == 200:
            most = PAGE_BYTES if query.get("limit", "1") != "1" else ANSWER_BYTES
            asked = Request("GET", request.url.path, kind, most=most)
            frames = _Frames(response.content, asked, api_version=api_version, on_large=on_large)
            response.content = cast("Any", frames)
        return response

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=context),
        headers={**headers, "Accept-Encoding": "identity"},
        middlewares=[shorten],
    )


class _Frames:
    """The content of an answer, with frames in place of objects."""

    def __init__(
        self, content: aiohttp.StreamReader, asked: Request, *, api_version: str, on_large: Callable[[], None]
    ) -> None:
        self._content, self._asked = content, asked
        self._api_version, self._on_large = api_version, on_large

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def read(self) -> bytes:
        """A listing."""
        try:
            page = parse(bytes(await read_body(self._content.iter_any(), self._asked)))
        except KubeError as error:
            if isinstance(error, TooLarge):
                self._on_large()
            raise aiohttp.ClientPayloadError(str(error)) from error
        page["items"] = [self._frame(item) for item in page.get("items") or ()]
        return json.dumps(page).encode()

    async def iter_chunked(self, _: int) -> AsyncIterator[bytes]:
        """A watch, an event at a time."""
        try:
            async for line in read_lines(self._content.iter_any(), self._asked):
                event = parse(line)
                if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                    event["object"] = self._frame(event["object"])
                yield json.dumps(event).encode() + b"\n"
        except Gone as error:
            gone = {"type": "ERROR", "object": {"code": error.status, "message": str(error)}}
            yield json.dumps(gone).encode() + b"\n"
        except KubeError as error:
            raise aiohttp.ClientPayloadError(str(error)) from error

    def _frame(self, obj: Object) -> Object:
        typed = {**obj, "apiVersion": self._api_version, "kind": self._asked.subject}
        # kopf asks a CustomResourceDefinition for its group, and the API server calls it PLURAL.GROUP.
        group = obj["metadata"]["name"].partition(".")[2]
        return {**build_frame(typed), "spec": {"group": group}}
