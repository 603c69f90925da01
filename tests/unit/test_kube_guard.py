"""The guard's last word, against a server on loopback: what is late is not sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from navarch.core.model.refs import Ref
from navarch.engine.result import NotLeading
from navarch.kube.client import Client
from navarch.kube.errors import Unavailable

from tests.unit.test_kube_transport import serving

REF = Ref("v1", "ConfigMap", "n", "c")
MANIFEST = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}}

WRITES: dict[str, Callable[[Client], Awaitable[Any]]] = {
    "apply": lambda client: client.apply(MANIFEST, manager="m"),
    "create": lambda client: client.create(MANIFEST),
    "replace": lambda client: client.replace(MANIFEST),
    "patch": lambda client: client.patch(REF, [{"op": "remove", "path": "/data"}]),
    "delete": lambda client: client.delete(REF),
}


class Patience:
    """A guard that lets so many looks pass."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def __call__(self) -> None:
        self.looks -= 1
        if self.looks < 0:
            raise NotLeading("too late")


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_write_that_was_begun_in_time_and_became_late_is_not_sent(
    tmp_path: Path, write: Callable[[Client], Awaitable[Any]]
) -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.method)
        return web.json_response({})

    async with serving(tmp_path, handler) as credentials, Client(credentials) as client:
        with pytest.raises(NotLeading):
            await write(client.guarded(Patience(1)))
        assert seen == []
        await write(client.guarded(Patience(2)))
        assert len(seen) == 1


async def test_each_write_is_asked_about_by_its_own_guard_and_reading_by_none(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response({})

    async with serving(tmp_path, handler) as credentials, Client(credentials) as client:
        never = client.guarded(Patience(0))
        await never.fetch("/version")
        await never.apply(MANIFEST, manager="m", dry_run=True)
        with pytest.raises(NotLeading):
            await never.create(MANIFEST)
        await client.create(MANIFEST)


async def test_a_broken_connection_is_still_told_as_such(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.json_response({})

    async with serving(tmp_path, handler) as credentials, Client(credentials) as client:
        with pytest.raises(Unavailable):
            await client.guarded(Patience(9)).create(MANIFEST)
