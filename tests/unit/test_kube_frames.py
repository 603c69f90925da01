"""What kopf gets of our objects, and what that costs, with kopf itself and a server that has too much."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import kopf
from aiohttp import web
from navarch.api.meta import API_VERSION
from navarch.core.model.labels import MESH_NAME
from navarch.kube.auth import connect
from navarch.kube.client import PAGE_BYTES
from navarch.triggers.handlers import CHUNK
from navarch.triggers.known import Sighting
from navarch.triggers.shell import Shell

from tests.polling import eventually
from tests.support.limits import read_peak
from tests.unit.test_shell import SERVED, Server

PLURAL = "meshcontrolplanes"
MIB = 1024 * 1024


def build(number: int, filling: str = "[]") -> str:
    """A mesh as text."""
    metadata = {
        "name": f"mesh-{number}",
        "namespace": "ns",
        "uid": f"uid-{number}",
        "resourceVersion": str(number + 1),
        "labels": {MESH_NAME: "demo", "color": "blue"},
        "annotations": {"note": "n" * 100},
    }
    head = json.dumps({"apiVersion": API_VERSION, "kind": "MeshControlPlane", "metadata": metadata})
    return f'{head[:-1]},"spec":{{"values":{filling}}}}}'


class Filled(Server):
    """It has meshes, and ignores that it was asked for metadata; `pages` are the sizes that it was asked for,
    `accepted` the forms. Each watch of meshes begins with `events`."""

    def __init__(self, meshes: list[str], *, events: list[bytes] | None = None) -> None:
        super().__init__()
        self._meshes, self._events = meshes, events or []
        self.pages: list[int] = []
        self.accepted: set[str] = set()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        if not request.path.endswith(f"/{PLURAL}") or request.path in SERVED:
            return await super()._answer(request)
        self.accepted.add(request.headers["Accept"].partition(";g=")[0])
        if "watch" in query:
            response = web.StreamResponse()
            await response.prepare(request)
            for event in self._events:
                await response.write(event + b"\n")
            await asyncio.sleep(3600)
            return response
        first, limit = int(query.get("continue", "0")), int(query["limit"])
        self.pages.append(limit)
        last = first + limit
        metadata = {"resourceVersion": "1", "continue": str(last) if last < len(self._meshes) else ""}
        items = ",".join(self._meshes[first:last])
        text = f'{{"kind":"List","metadata":{json.dumps(metadata)},"items":[{items}]}}'
        return web.Response(text=text, content_type="application/json")


@asynccontextmanager
async def a_kopf(server: Server, seen: list[Sighting]) -> AsyncIterator[None]:
    async def log_in() -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=f"http://127.0.0.1:{server.port}")

    def note(sighting: Sighting) -> bool:
        seen.append(sighting)
        return True

    shell = Shell(lambda key, priority: None, log_in, connect=connect, idle=60.0, is_known=note, beat=0.05)
    task = asyncio.create_task(shell.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def get(server: Server, query: str) -> dict[str, Any]:
    """What a session of kopf's gets of a listing, or of a watch's first event."""
    info = kopf.ConnectionInfo(server=f"http://127.0.0.1:{server.port}")
    session = connect(info, lambda: None).aiohttp_session
    async with session, session.get(f"{info.server}/apis/{API_VERSION}/{PLURAL}?{query}") as response:
        if "watch" in query:
            return dict(json.loads(await anext(response.content.iter_chunked(1024))))
        return dict(await response.json())


async def test_kopf_gets_names_and_the_labels_that_keys_are_made_of() -> None:
    frame = {
        "apiVersion": API_VERSION,
        "kind": "MeshControlPlane",
        "metadata": {
            "name": "mesh-0",
            "namespace": "ns",
            "uid": "uid-0",
            "resourceVersion": "1",
            "labels": {MESH_NAME: "demo"},
            "annotations": {},
        },
        "spec": {"group": ""},
    }
    event = b'{"type":"MODIFIED","object":' + build(0).encode() + b"}"
    server = Filled([build(0)], events=[event])
    async with server.serving():
        assert (await get(server, "limit=5"))["items"] == [frame]
        assert await get(server, "watch=true") == {"type": "MODIFIED", "object": frame}
    form = "application/json;as=PartialObjectMetadata"
    assert server.accepted == {form, f"{form}List"}


async def test_an_event_that_is_too_long_makes_kopf_list_anew() -> None:
    server = Filled([], events=[b'{"type":"MODIFIED","object":"' + b"x" * 17 * MIB + b'"}'])
    async with server.serving():
        event = await get(server, "watch=true")
    assert event["type"] == "ERROR"
    assert event["object"]["code"] == 410, "the one error after which kopf lists anew"


async def test_where_a_page_is_too_large_kopf_lists_object_by_object_and_sees_all() -> None:
    filling = json.dumps("x" * (PAGE_BYTES // 3))
    server = Filled([build(number, filling) for number in range(CHUNK)])
    seen: list[Sighting] = []
    async with server.serving(), a_kopf(server, seen):
        await eventually(lambda: len({sighting.key for sighting in seen}) == CHUNK, seconds=60)
    assert server.pages == [CHUNK, *[1] * CHUNK]


async def see_all_of_what_is_nothing_but_lists() -> None:
    """Run in a process of its own: print by how many bytes its peak has grown."""
    filling = f"[{'[],' * 480_000}[]]"
    server = Filled([build(number, filling) for number in range(CHUNK + 2)])
    seen: list[Sighting] = []
    async with server.serving():
        # The first answer is what this process itself takes as a server.
        await get(server, "limit=1&continue=0")
        before = read_peak(os.getpid())
        async with a_kopf(server, seen):
            await eventually(lambda: len({sighting.key for sighting in seen}) == CHUNK + 2, seconds=500)
    print(read_peak(os.getpid()) - before)


def test_meshes_that_are_nothing_but_lists_cost_kopf_the_memory_of_one() -> None:
    """An object of 1.4 MB takes 35 MiB of memory, and a page of ten as many, twice."""
    program = f"import asyncio; from {__name__} import *; asyncio.run(see_all_of_what_is_nothing_but_lists())"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=600)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < 100 * MIB
