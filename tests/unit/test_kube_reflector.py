"""What a reflector believes of a server that says 404 without naming an object."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from navarch.kube.client import Client
from navarch.kube.reflector import Reflector
from navarch.kube.resources import RESOURCES, resource_of

from tests.polling import eventually
from tests.unit.test_kube_transport import serving

OBJECT = {"metadata": {"name": "x", "namespace": "n", "uid": "u", "resourceVersion": "1"}}


def test_kinds_that_need_a_crd_are_told_from_those_that_every_server_has() -> None:
    custom = {resource.group for resource in RESOURCES if not resource.builtin}
    assert {"mesh.navarch.io", "security.istio.io"} <= custom
    assert not {
        group
        for group in custom
        if not group.endswith((".istio.io", ".navarch.io", ".coreos.com", ".openshift.io", "argoproj.io"))
    }


@pytest.mark.parametrize(
    ("api_version", "kind", "believed"),
    [
        ("apps/v1", "Deployment", False),
        ("v1", "ConfigMap", False),
        ("security.istio.io/v1", "PeerAuthentication", True),
    ],
)
async def test_a_404_empties_the_store_only_of_a_kind_that_may_be_missing(
    tmp_path: Path, api_version: str, kind: str, believed: bool
) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append("watch" if "watch" in request.query else "list")
        if asked == ["list"]:
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": [OBJECT]})
        return web.Response(status=404, text="404 page not found\n")

    async with serving(tmp_path, handler) as credentials, Client(credentials) as client:
        reflector = Reflector(client, resource_of(api_version, kind), jitter=lambda: 0.0)
        task = asyncio.create_task(reflector.run())
        try:
            await eventually(lambda: len(asked) >= 2)
            if believed:
                await eventually(lambda: not reflector.store.list())
            else:
                await eventually(lambda: asked[2:], what="it lists again")
                assert len(reflector.store.list()) == 1
            assert reflector.served is not believed
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_kind_that_no_one_asks_for_is_not_silent_until_it_is_looked_for_again(tmp_path: Path) -> None:
    """/livez fails where a watch is silent for three minutes, and such a kind is looked for once an hour."""
    now, asked, over = 0.0, 0, asyncio.Event()

    async def handler(_: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if asked > 1:
            await over.wait()
        return web.Response(status=404, text="404 page not found\n")

    async with serving(tmp_path, handler) as credentials, Client(credentials) as client:
        reflector = Reflector(
            client,
            resource_of("route.openshift.io/v1", "Route"),
            clock=lambda: now,
            find_unserved_delay=lambda: 3600.0,
        )
        task = asyncio.create_task(reflector.run())
        try:
            await reflector.synced.wait()
            await eventually(lambda: reflector.rests, what="it waits for the next look")
            now = 3599.0
            assert reflector.age == 0.0
            reflector.nudge()
            await eventually(lambda: asked == 2, what="it is looked for again")
            now += 7
            assert reflector.age == 7.0, "what does not answer then is silent"
        finally:
            over.set()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_kind_that_comes_and_goes_while_it_is_watched_is_told_and_asked_for_as_seldom_as_said(
    tmp_path: Path,
) -> None:
    """As an aggregated API does, of which no CRD tells."""
    served, told, delays = False, [], []

    async def handler(request: web.Request) -> web.StreamResponse:
        if not served:
            return web.Response(status=404, text="404 page not found\n")
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": [OBJECT]})
        await asyncio.sleep(0.01)
        return web.Response(text="")

    def find_delay() -> float:
        delays.append(served)
        return 3600.0

    async with serving(tmp_path, handler) as credentials, Client(credentials) as client:
        reflector = Reflector(
            client,
            resource_of("route.openshift.io/v1", "Route"),
            jitter=lambda: 0.0,
            on_served=lambda: told.append(reflector.store.served),
            find_unserved_delay=find_delay,
        )
        task = asyncio.create_task(reflector.run())
        try:
            await eventually(reflector.synced.is_set)
            assert (reflector.served, told, len(delays)) == (False, [], 1), "what is so at first is no news"
            served = True
            reflector.nudge()
            await eventually(lambda: told == [True])
            assert reflector.store.list() != ()
            served = False
            await eventually(lambda: told == [True, False])
            assert (reflector.store.list(), len(delays)) == ((), 2)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_kind_that_need_not_be_watched_is_asked_for_only_while_it_is_wanted_and_may_be_forbidden(
    tmp_path: Path,
) -> None:
    wanted, permitted, asked, over = False, False, 0, asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if not permitted:
            return web.json_response({"message": "statefulsets.apps is forbidden", "code": 403}, status=403)
        if "watch" in request.query:
            await over.wait()
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": [OBJECT]})

    async with serving(tmp_path, handler) as credentials, Client(credentials) as client:
        reflector = Reflector(
            client, resource_of("apps/v1", "StatefulSet"), is_wanted=lambda: wanted, optional=True
        )
        task = asyncio.create_task(reflector.run())
        try:
            await reflector.synced.wait()
            assert (reflector.served, reflector.store.refused, asked) == (False, "", 0)
            wanted = True
            reflector.nudge()
            await eventually(lambda: "forbidden" in reflector.store.refused, what="it says why")
            await eventually(lambda: reflector.rests, what="it waits for the next try")
            permitted = True
            reflector.nudge()
            await eventually(lambda: reflector.served, what="it is watched")
            assert reflector.store.refused == ""
            assert len(reflector.store.list()) == 1
        finally:
            over.set()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_each_page_of_a_long_listing_is_a_sign_of_life(tmp_path: Path) -> None:
    """A listing of hundreds of megabytes takes minutes, and a probe must not end the process meanwhile."""
    now, pages, rest = 0.0, 5, asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal now
        number = int(request.query.get("continue", "0"))
        if number == pages:
            await rest.wait()
        now += 100.0
        name = {**OBJECT["metadata"], "name": f"x{number}", "uid": str(number)}
        listed = {"resourceVersion": "1", "continue": str(number + 1)}
        return web.json_response({"metadata": listed, "items": [{"metadata": name}]})

    async with serving(tmp_path, handler) as credentials, Client(credentials) as client:
        reflector = Reflector(client, resource_of("v1", "ConfigMap"), clock=lambda: now)
        task = asyncio.create_task(reflector.run())
        try:
            await eventually(lambda: now == 100.0 * pages and reflector.age == 0)
            assert not reflector.synced.is_set()
            now += 100.0
            assert reflector.age == 100
        finally:
            task.cancel()
            rest.set()
            await asyncio.gather(task, return_exceptions=True)
