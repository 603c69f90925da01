"""A small client of one API server: requests as any user, and stores kept fresh by list and watch.

Owns the connection of the istiod stand-in. Must never retry a write: whoever asked decides by looking again.
Invariant: a store holds exactly what the API server lists (a new list replaces everything, so no ghosts).
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import aiohttp

Object: TypeAlias = dict[str, Any]

_log = logging.getLogger(__name__)
LONGEST_LINE = 2**24
"""Bytes of one watch event: an injector ConfigMap is larger than aiohttp's default."""


class ApiError(Exception):
    """An answer that is not a success: its HTTP status and the API server's words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Account:
    """The ServiceAccount in whose name a request is made, so that its RBAC decides."""

    namespace: str
    name: str

    def headers(self) -> list[tuple[str, str]]:
        """Impersonation headers: user and groups as the API server gives them to a real token."""
        groups = (
            "system:serviceaccounts",
            f"system:serviceaccounts:{self.namespace}",
            "system:authenticated",
        )
        user = f"system:serviceaccount:{self.namespace}:{self.name}"
        return [("Impersonate-User", user), *(("Impersonate-Group", group) for group in groups)]


class Api:
    """One API server. `agent` becomes the field manager of its updates."""

    def __init__(self, server: str, *, ca_file: str, token: str, agent: str) -> None:
        self._server = server
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=ca_file), limit=0),
            headers={"Authorization": f"Bearer {token}", "User-Agent": agent},
            read_bufsize=LONGEST_LINE,
        )

    async def close(self) -> None:
        """Closes all connections."""
        await self._session.close()

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        account: Account | None = None,
        dry_run: bool = False,
    ) -> Object:
        """One request and its answer's object. ApiError unless it succeeds."""
        headers = account.headers() if account else []
        query = {"dryRun": "All"} if dry_run else {}
        timeout = aiohttp.ClientTimeout(total=15)
        async with self._session.request(
            method, self._server + path, json=body, headers=headers, params=query, timeout=timeout
        ) as answer:
            text = await answer.text()
            if answer.status >= 400:
                raise ApiError(answer.status, _message(text))
            content: Object = json.loads(text)
            return content

    async def watch(self, path: str, *, query: Mapping[str, str], version: str) -> aiohttp.ClientResponse:
        """The open stream of changes after a resource version; the caller closes it."""
        wanted = {**query, "watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        return await self._session.get(self._server + path, params=wanted, timeout=timeout)

    async def list(self, path: str, *, query: Mapping[str, str]) -> Object:
        """A whole list."""
        timeout = aiohttp.ClientTimeout(total=60)
        async with self._session.get(self._server + path, params=dict(query), timeout=timeout) as answer:
            if answer.status >= 400:
                raise ApiError(answer.status, _message(await answer.text()))
            content: Object = json.loads(await answer.read())
            return content


class Store:
    """The objects of one collection, by (namespace, name)."""

    def __init__(self, path: str, *, on_change: Callable[[], None], **query: str) -> None:
        self._path = path
        self._query = query
        self._on_change = on_change
        self._objects: dict[tuple[str, str], Object] = {}
        self.synced = asyncio.Event()

    def __iter__(self) -> Iterator[Object]:
        return iter(list(self._objects.values()))

    def get(self, name: str, namespace: str = "") -> Object | None:
        """One object, as last seen."""
        return self._objects.get((namespace, name))

    async def run(self, api: Api) -> None:
        """Keeps the store fresh until cancelled."""
        while True:
            try:
                await self._follow(api)
            except (ApiError, aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                _log.debug("watch of %s: %s", self._path, error)
            await asyncio.sleep(0.2)

    async def _follow(self, api: Api) -> None:
        listed = await api.list(self._path, query=self._query)
        self._objects = {_key(item): item for item in listed.get("items") or ()}
        self.synced.set()
        self._on_change()
        version = listed["metadata"]["resourceVersion"]
        while True:
            async with await api.watch(self._path, query=self._query, version=version) as stream:
                async for line in stream.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    version = event["object"]["metadata"]["resourceVersion"]
                    self._take(event["type"], event["object"])

    def _take(self, kind: str, item: Object) -> None:
        if kind == "BOOKMARK":
            return
        if kind == "DELETED":
            self._objects.pop(_key(item), None)
        else:
            self._objects[_key(item)] = item
        self._on_change()


def _key(item: Object) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _message(text: str) -> str:
    try:
        return str(json.loads(text).get("message", text))
    except ValueError:
        return text
