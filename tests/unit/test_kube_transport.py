"""The client against a server on loopback that is in a bad mood: limits, patience, credentials."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from navarch.kube.client import Client
from navarch.kube.credentials import Credentials, load_credentials
from navarch.kube.errors import TooManyRequests, Unavailable
from navarch.kube.resources import resource_of
from navarch.kube.transport import PATIENCE

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def kubeconfig(path: Path, url: str, token: str) -> Path:
    content = {
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"tokenFile": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(content))
    return path


@asynccontextmanager
async def serving(tmp_path: Path, handler: Handler) -> AsyncIterator[Credentials]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    (tmp_path / "token").write_text("first")
    port = runner.addresses[0][1]
    try:
        file = kubeconfig(tmp_path / "kubeconfig", f"http://127.0.0.1:{port}", str(tmp_path / "token"))
        yield await load_credentials(file)
    finally:
        await runner.cleanup()


def status(code: int, **headers: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "message": "no"}, status=code, headers=headers)


async def test_too_many_requests_is_waited_out(tmp_path: Path) -> None:
    refusals = iter(range(3))

    async def handler(request: web.Request) -> web.StreamResponse:
        refused = next(refusals, None) is not None
        return status(429, **{"Retry-After": "0"}) if refused else web.json_response({"ok": True})

    async with serving(tmp_path, handler) as credentials, Client(credentials) as client:
        assert await client.fetch("/version") == {"ok": True}


async def test_patience_with_too_many_requests_ends(tmp_path: Path) -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.method)
        return status(429, **{"Retry-After": "0"})

    async with serving(tmp_path, handler) as credentials, Client(credentials) as client:
        with pytest.raises(TooManyRequests):
            await client.fetch("/version")
    assert len(seen) == PATIENCE + 1


async def test_a_refused_token_is_read_again_once(tmp_path: Path) -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers["Authorization"])
        return web.json_response({}) if seen[-1] == "Bearer second" else status(401)

    async with serving(tmp_path, handler) as credentials, Client(credentials) as client:
        (tmp_path / "token").write_text("second")
        await client.fetch("/version")
        assert seen == ["Bearer first", "Bearer second"]
        (tmp_path / "token").write_text("third")
        await credentials.renew()
        with pytest.raises(Unavailable):
            await client.fetch("/version")
        assert seen[2:] == ["Bearer third", "Bearer third"]


async def test_no_more_requests_are_in_flight_than_allowed(tmp_path: Path) -> None:
    now, most = 0, 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.005)
        now -= 1
        return web.json_response({})

    async with serving(tmp_path, handler) as credentials, Client(credentials, requests=3) as client:
        await asyncio.gather(*(client.fetch(f"/{number}") for number in range(20)))
    assert most == 3


async def test_a_twin_shares_the_slots_unless_it_gets_its_own(tmp_path: Path) -> None:
    now, most = 0, 0
    full, release = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal now, most
        if request.path == "/lease":
            return web.json_response({})
        now += 1
        most = max(most, now)
        if now == 2:
            full.set()
        await release.wait()
        now -= 1
        return web.json_response({})

    async with serving(tmp_path, handler) as credentials, Client(credentials, requests=2) as client:
        twin = client.guarded(None)
        both = [asyncio.ensure_future(c.fetch(f"/{n}")) for n in range(10) for c in (client, twin)]
        await asyncio.wait_for(full.wait(), 60)
        await asyncio.wait_for(client.guarded(None, requests=1).fetch("/lease"), 60)
        release.set()
        await asyncio.gather(*both)
    assert most == 2


async def test_every_request_carries_who_we_are_and_is_counted(tmp_path: Path) -> None:
    agents: list[str] = []
    counted: list[tuple[str, str, int]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        agents.append(request.headers["User-Agent"])
        return status(404) if request.path == "/gone" else web.json_response({})

    def observe(*, method: str, resource: str, code: int, seconds: float) -> None:
        counted.append((method, resource, code))
        assert seconds >= 0

    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    async with (
        serving(tmp_path, handler) as credentials,
        Client(credentials, observe=observe, user_agent="navarch/1.2.3") as client,
    ):
        await client.fetch("/version")
        await client.apply(namespace, manager="navarch")
    assert set(agents) == {"navarch/1.2.3"}
    assert counted == [("GET", "raw", 200), ("PATCH", "namespaces", 200)]


async def test_a_connection_that_breaks_is_unavailable(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async with serving(tmp_path, handler) as credentials, Client(credentials) as client:
        with pytest.raises(Unavailable) as caught:
            await client.fetch("/version")
    assert caught.value.status == 0


async def test_lines_of_a_watch_may_be_split_anywhere(tmp_path: Path) -> None:
    line = b'{"type":"ADDED","object":{"metadata":{"name":"x","resourceVersion":"1"}}}\n'

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        stream = line * 3 + b"\n" + line
        for start in range(0, len(stream), 7):
            await response.write(stream[start : start + 7])
            await asyncio.sleep(0)
        return response

    events: list[Any] = []
    async with serving(tmp_path, handler) as credentials, Client(credentials) as client:
        async for event in client.watch(resource_of("v1", "ConfigMap"), resource_version="1"):
            events.append(event)
    assert [event.object["metadata"]["name"] for event in events] == ["x"] * 4
    assert {event.object["kind"] for event in events} == {"ConfigMap"}
