"""How much of what others write is read and kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from navarch.core.model.labels import APPLIED, FINALIZER, MESH_NAME, MESH_NAMESPACE
from navarch.core.model.refs import Ref
from navarch.kube.account import borrow_account
from navarch.kube.client import PAGE_BYTES, PAGE_TRIES, Client
from navarch.kube.errors import Gone, TooLarge, Unavailable
from navarch.kube.reflector import Reflector
from navarch.kube.resources import resource_of
from navarch.kube.shelf import Bound, Pool
from navarch.kube.store import Store
from navarch.kube.weight import reduce_object, weigh

from tests.polling import eventually
from tests.unit.test_kube_transport import serving

CONFIG_MAP = resource_of("v1", "ConfigMap")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=300),
    lambda below: st.lists(below, max_size=8) | st.dictionaries(st.text(max_size=20), below, max_size=8),
    max_leaves=80,
)


def build(name: str, *, namespace: str = "n", version: int = 1, **more: Any) -> dict[str, Any]:
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": f"{namespace}-{name}",
        "resourceVersion": str(version),
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**metadata, **more}}


@given(body=st.dictionaries(st.text(max_size=20), JSON, max_size=8), labels=st.integers(0, 300))
@settings(max_examples=50)
def test_a_reduced_object_is_small_and_still_says_whose_it_is(body: dict[str, Any], labels: int) -> None:
    """With any content; and maps, lists and texts keep their types."""
    own = {MESH_NAME: "demo", MESH_NAMESPACE: "n"}
    obj = build(
        "x",
        labels={**{f"k{number}": "v" * 60 for number in range(labels)}, **own},
        annotations={APPLIED: "hash", "x": "y" * 5000},
        finalizers=[*(f"f{number}/x" for number in range(labels)), FINALIZER],
    )
    obj = {**body, **obj}
    reduced = reduce_object(obj, 6000)
    assert weigh(reduced) <= 6000
    metadata = reduced["metadata"]
    assert own.items() <= metadata["labels"].items()
    assert metadata["annotations"] == {APPLIED: "hash"}
    assert FINALIZER in metadata["finalizers"]
    for key in reduced.keys() - {"metadata"}:
        assert isinstance(reduced[key], type(obj[key]))


def test_who_fills_one_namespace_pushes_out_nothing_of_another_one() -> None:
    store = Store(CONFIG_MAP, bound=Bound(object=10_000, watch=100_000))
    for number in range(20):
        store.change(build(f"mine-{number}", namespace="mine", labels={"x": "y"}))
    for number in range(500):
        labels = {f"k{n}": "v" * 60 for n in range(40)}
        store.change(build(f"evil-{number}", namespace="evil", version=number + 2, labels=labels))
    assert len(store.list("mine")) == 20
    assert store.bytes <= 100_000
    left_out = {namespace for namespace, _ in store.left_out}
    assert left_out == {"evil"}
    assert len(store.left_out) + len(store.list("evil")) == 500


def test_stores_of_a_pool_hold_no_more_than_it_together() -> None:
    pool = Pool(most=200_000)
    stores = [Store(CONFIG_MAP, pool=pool, bound=Bound(object=10_000, watch=150_000)) for _ in range(4)]
    for number in range(400):
        for index, store in enumerate(stores):
            labels = {f"k{n}": "v" * 60 for n in range(5)}
            store.change(build(f"o{number}", namespace=f"n{index}", version=number + 1, labels=labels))
    assert sum(store.bytes for store in stores) == pool.total <= 200_000
    assert all(len(store) > 10 for store in stores), "none takes everything"


def test_what_is_large_counts_as_left_out_until_it_is_small_or_gone() -> None:
    told: list[tuple[Any, Any]] = []
    store = Store(
        CONFIG_MAP, bound=Bound(object=5000), on_change=lambda old, new: told.append((bool(old), bool(new)))
    )
    large = {f"k{n}": "v" * 60 for n in range(400)}
    ref = Ref("v1", "ConfigMap", "n", "a")
    store.change(build("a", version=1, labels=large))
    assert store.left_out == (("n", "a"),)
    assert store.get_whole(ref) is None
    assert store.get(ref) is not None
    store.change(build("a", version=2, labels={"x": "y"}))
    assert (store.left_out, store.is_whole(ref)) == ((), True)
    store.change(build("a", version=3, labels=large))
    store.remove(build("a", version=4))
    assert store.left_out == ()
    store.change(build("b", version=5, labels=large))
    store.replace([], "9")
    assert (store.left_out, len(store)) == ((), 0)
    assert told[-1] == (True, False)


def paged(items: list[dict[str, Any]], asked: list[int]) -> Callable[[web.Request], Any]:
    """A list that honours `limit`."""

    async def handler(request: web.Request) -> web.StreamResponse:
        limit, first = int(request.query["limit"]), int(request.query.get("continue") or 0)
        asked.append(limit)
        last = first + limit
        more = str(last) if last < len(items) else ""
        return web.json_response(
            {"metadata": {"resourceVersion": "7", "continue": more}, "items": items[first:last]}
        )

    return handler


async def test_pages_shrink_until_they_can_be_read_and_grow_again(tmp_path: Path) -> None:
    large = [build(f"l{n}", labels={"x": "y" * (PAGE_BYTES // 3)}) for n in range(4)]
    small = [build(f"s{n}") for n in range(700)]
    asked: list[int] = []
    async with (
        serving(tmp_path, paged([*large, *small], asked)) as credentials,
        Client(credentials) as client,
    ):
        listing = await client.list(CONFIG_MAP, limit=50)
    assert [item["metadata"]["name"] for item in listing.items] == [f"l{n}" for n in range(4)] + [
        f"s{n}" for n in range(700)
    ]
    assert asked[:4] == [50, 12, 3, 1]
    assert max(asked) == 500
    assert len(asked) < 20


@pytest.mark.parametrize(("lost", "whole"), [(PAGE_TRIES - 1, True), (PAGE_TRIES, False)])
async def test_a_long_listing_does_not_begin_anew_for_one_page_that_is_lost(
    tmp_path: Path, lost: int, whole: bool
) -> None:
    """On a busy API server one of 200 pages is always late: a listing that begins anew then never ends."""
    asked: list[str] = []
    answer = paged([build(f"o{n}", labels={"x": "y" * 300_000}) for n in range(9)], [])

    async def handler(request: web.Request) -> web.StreamResponse:
        token = request.query.get("continue", "")
        asked.append(token)
        if token and asked.count(token) <= lost:
            raise web.HTTPServiceUnavailable
        response: web.StreamResponse = await answer(request)
        return response

    async with serving(tmp_path, handler) as credentials, Client(credentials) as client:
        if whole:
            listing = await client.list(CONFIG_MAP, limit=3)
            assert len(listing.items) == 9
            assert asked == ["", *(["3"] * PAGE_TRIES), *(["6"] * PAGE_TRIES)]
        else:
            with pytest.raises(Unavailable):
                await client.list(CONFIG_MAP, limit=3)
            assert asked == ["", *(["3"] * PAGE_TRIES)]


async def test_an_answer_or_event_beyond_all_bounds_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(40):
            await response.write(b"x" * 1024 * 1024)
        return response

    async with serving(tmp_path, handler) as credentials, Client(credentials) as client:
        with pytest.raises(TooLarge):
            await client.fetch("/huge")
        with pytest.raises(Gone):
            async for _ in client.watch(CONFIG_MAP, resource_version="1"):
                pass


@pytest.mark.parametrize("says", ["nothing", "a bookmark"])
async def test_watches_that_the_server_closes_at_once_become_rare(tmp_path: Path, says: str) -> None:
    watches: list[float] = []
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "2"}}}

    async def handler(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})
        watches.append(asyncio.get_running_loop().time())
        return web.Response(text="" if says == "nothing" else json.dumps(bookmark) + "\n")

    async with serving(tmp_path, handler) as credentials, Client(credentials) as client:
        reflector = Reflector(client, CONFIG_MAP, jitter=lambda: 0.0)
        task = asyncio.create_task(reflector.run())
        try:
            await eventually(lambda: len(watches) >= 4, seconds=30)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    # 0.5, 1 and 2 seconds, and no listing for it.
    assert [b - a > pause for a, b, pause in zip(watches, watches[1:], (0.4, 0.9, 1.9), strict=False)] == [
        True
    ] * 3


async def test_a_write_whose_caller_is_gone_is_waited_for(tmp_path: Path) -> None:
    arrived, answer = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        arrived.set()
        await answer.wait()
        return web.json_response(build("x"))

    async with serving(tmp_path, handler) as credentials, Client(credentials) as client:
        writing = asyncio.create_task(client.create(build("x")))
        await asyncio.wait_for(arrived.wait(), 10)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        assert writing.cancelled()
        assert await client.drain(0.05) is False
        draining = asyncio.create_task(client.drain(30))
        answer.set()
        assert await draining is True


async def test_tokens_of_an_account_are_asked_for_and_renewed_when_refused(tmp_path: Path) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            asked.append(request.path)
            return web.json_response({"status": {"token": f"t{len(asked)}"}})
        if request.headers["Authorization"] != "Bearer t2":
            return web.json_response({"message": "expired"}, status=401)
        return web.json_response({"ok": True})

    async with serving(tmp_path, handler) as credentials:
        borrowed = await borrow_account(credentials, namespace="system", name="navarch")
        async with Client(borrowed) as client:
            assert await client.fetch("/x") == {"ok": True}
    assert asked == ["/api/v1/namespaces/system/serviceaccounts/navarch/token"] * 2
