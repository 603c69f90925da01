"""Whom the reader of evidence asks, when, and what it says meanwhile: an API server that is pretended, and
peers on loopback addresses of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from navarch.core.trust.evidence import NO_ADDRESS, SeenTrust, Shown, Targets, find_reached
from navarch.core.world.proxies import ProxyPod
from navarch.gather import trust
from navarch.gather.trust import AT_ONCE, INTERVAL, NOT_ASKED, SETTLED, SILENT, TrustReader
from navarch.kube.client import Client

from tests.polling import eventually
from tests.support.peers import Answer, Party, Peer, listening
from tests.unit.test_kube_transport import serving

A = Party(1)
UID = "uid"


def peer() -> Peer:
    leaf = A.leaf()
    return Peer((leaf.certificate, A.intermediate.certificate), leaf.key, (A.root.certificate,))


class Cluster:
    """An API server with pods, and what it was asked for."""

    def __init__(self) -> None:
        self.pods: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.forbidden: set[str] = set()

    def add(self, key: str, address: str, *, host: str = "10.9.9.9", **spec: Any) -> None:
        self.pods[key] = {
            "metadata": dict(zip(("namespace", "name"), key.split("/"), strict=True)),
            "spec": spec,
            "status": {"podIP": address, "hostIP": host},
        }

    async def answer(self, request: web.Request) -> web.StreamResponse:
        namespace = request.path.split("/")[4]
        assert request.query["fieldSelector"] == "status.phase!=Succeeded,status.phase!=Failed"
        self.asked.append((namespace, request.query.get("labelSelector", "")))
        if namespace in self.forbidden:
            return web.json_response({"kind": "Status", "code": 403, "message": "no"}, status=403)
        items = [pod for key, pod in self.pods.items() if key.startswith(f"{namespace}/")]
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Stage:
    """A reader, its cluster, and peers that all listen at one port, each at an address of its own."""

    def __init__(self, client: Client, cluster: Cluster, stack: AsyncExitStack, port: int) -> None:
        self.client, self.cluster, self.clock, self.port = client, cluster, Clock(), port
        self.reader = TrustReader(client, clock=self.clock, loopback=True)
        self._stack, self._last = stack, 1

    async def add(self, key: str, answer: Answer) -> None:
        self._last += 1
        address = f"127.0.0.{self._last}"
        await self._stack.enter_async_context(listening(answer, address, self.port))
        self.cluster.add(key, address)

    async def read(self, wanted: Targets, *, later: float = INTERVAL, uid: str = UID) -> SeenTrust:
        """What is known after one more round, `later` seconds after the one before."""
        self.clock.now += later
        self.reader.read(uid, wanted)
        for task in find_rounds(uid):
            await task
        return self.reader.read(uid, wanted)


def find_rounds(uid: str = UID) -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == f"evidence of {uid}"]


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(trust, "SECONDS", 300.0)
    cluster = Cluster()
    async with (
        serving(tmp_path, cluster.answer) as credentials,
        Client(credentials) as client,
        AsyncExitStack() as stack,
    ):
        port = await stack.enter_async_context(listening(peer().answer, "127.0.0.1"))
        monkeypatch.setattr(trust, "PROXY_PORT", port)
        monkeypatch.setattr(trust, "ISTIOD_PORT", port)
        made = Stage(client, cluster, stack, port)
        yield made
        made.reader.forget(UID)


def targets(*pods: str, **changes: Any) -> Targets:
    split = (key.split("/") for key in pods)
    proxies = tuple(ProxyPod(namespace, name, "mesh", "stamp") for namespace, name in split)
    return replace(Targets("shop", frozenset(), proxies, "phase 1"), **changes)


def states(seen: SeenTrust) -> dict[str, str]:
    return {key: said if isinstance(said, str) else "shown" for key, said in seen.proxies.items()}


async def test_proxies_and_istiods_show_what_they_have(stage: Stage) -> None:
    await stage.add("a/web", peer().answer)
    await stage.add("shop/istiod-1", peer().answer)
    wanted = targets("a/web", revisions=frozenset({"y", "x"}))
    first = stage.reader.read(UID, wanted)
    assert (first.proxies, first.istiods, first.whole) == ({"a/web": NOT_ASKED}, {}, False)
    seen = await stage.read(wanted, later=0)
    assert (seen.proxies.keys(), seen.istiods.keys(), seen.whole) == ({"a/web"}, {"shop/istiod-1"}, True)
    for shown in (seen.proxies["a/web"], seen.istiods["shop/istiod-1"]):
        assert isinstance(shown, Shown)
        assert find_reached(shown.chain, {"a": A.certificate}, now=A.now) == {"a"}
    assert sorted(stage.cluster.asked) == [("a", ""), ("shop", "app=istiod,istio.io/rev in (x,y)")]


async def test_only_a_pods_own_address_is_connected_to(stage: Stage) -> None:
    served = peer()
    await stage.add("a/own", served.answer)
    address = stage.cluster.pods["a/own"]["status"]["podIP"]
    stage.cluster.add("a/host", address, hostNetwork=True)
    stage.cluster.add("a/node", address, host=address)
    odd = ["", "169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "0.0.0.0", "224.0.0.1", "example.org"]
    for i, each in enumerate(odd):
        stage.cluster.add(f"a/odd-{i}", each)
    wanted = targets("a/own", "a/host", "a/node", "a/gone", *(f"a/odd-{i}" for i in range(len(odd))))
    seen = await stage.read(wanted)
    assert states(seen) == {
        "a/own": "shown",
        "a/host": "uses its node's network",
        "a/node": "uses its node's network",
        "a/gone": NO_ADDRESS,
        "a/odd-0": NO_ADDRESS,
        **{f"a/odd-{i}": "has no address of a pod" for i in range(1, len(odd))},
    }
    assert (served.asked, seen.whole) == (1, True)


async def test_this_machine_is_not_connected_to(stage: Stage) -> None:
    served = peer()
    await stage.add("a/web", served.answer)
    stage.cluster.add("a/mapped", "::ffff:127.0.0.1")
    stage.reader = TrustReader(stage.client, clock=stage.clock)
    assert set(states(await stage.read(targets("a/web", "a/mapped"))).values()) == {"has no address of a pod"}
    assert served.asked == 0


async def test_what_cannot_be_listed_is_unknown_and_says_why(stage: Stage) -> None:
    await stage.add("a/web", peer().answer)
    stage.cluster.forbidden = {"b", "shop"}
    wanted = targets("a/web", "b/web", revisions=frozenset({"x"}))
    seen = await stage.read(wanted)
    told = states(seen)
    assert told["a/web"] == "shown"
    assert told["b/web"].startswith("its address cannot be read: ")
    assert str(seen.istiods["shop/istiod"]).startswith("cannot be listed: ")
    assert not seen.whole, "who the istiods are is not known"
    stage.cluster.forbidden = set()
    assert (await stage.read(wanted)).whole


async def test_a_pod_that_never_answers_keeps_no_other_answer_from_counting(stage: Stage) -> None:
    held, go_on = list[int](), asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(1)
        await go_on.wait()
        writer.close()

    await stage.add("a/hangs", hang)
    await stage.add("a/web", peer().answer)
    wanted = targets("a/hangs", "a/web")
    stage.reader.read(UID, wanted)

    def is_known() -> bool:
        seen = stage.reader.read(UID, wanted)
        return states(seen) == {"a/hangs": NOT_ASKED, "a/web": "shown"} and not seen.whole

    await eventually(is_known, what="the other one's answer counts")
    stage.clock.now += 100 * INTERVAL
    stage.reader.read(UID, wanted)
    assert len(find_rounds()) == 1, "its round is the only one"
    go_on.set()
    seen = await stage.read(wanted, later=0)
    assert (states(seen)["a/hangs"], seen.whole) == ("ends the handshake", True)


async def test_all_meshes_together_ask_no_more_pods_at_once_than_is_said(stage: Stage) -> None:
    now, most, in_all, go_on = 0, 0, 0, asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most, in_all
        now, in_all = now + 1, in_all + 1
        most = max(most, now)
        await go_on.wait()
        now -= 1
        writer.close()

    await stage.add("a/x", hang)
    address = stage.cluster.pods["a/x"]["status"]["podIP"]
    keys = [f"{namespace}/{i}" for namespace in "ab" for i in range(AT_ONCE)]
    for key in keys:
        stage.cluster.add(key, address)
    for namespace in "ab":
        stage.reader.read(f"uid-{namespace}", targets(*(k for k in keys if k.startswith(namespace))))
    await eventually(lambda: len(stage.cluster.asked) == 2 and now >= AT_ONCE, what="all slots are taken")
    go_on.set()
    await asyncio.gather(*find_rounds("uid-a"), *find_rounds("uid-b"))
    assert (most, in_all) == (AT_ONCE, 2 * AT_ONCE)


async def test_who_is_settled_or_silent_is_asked_less_often(stage: Stage) -> None:
    done, open_ = peer(), peer()
    await stage.add("a/done", done.answer)
    await stage.add("a/open", open_.answer)
    calls = list[float]()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(stage.clock.now)
        await reader.read(1)
        writer.close()

    await stage.add("a/silent", refuse)
    leaf = (await stage.read(targets("a/done"))).proxies["a/done"]
    assert isinstance(leaf, Shown)
    ours = done.sent[0]
    wanted = targets("a/done", "a/open", "a/silent", settled=lambda s: s.chain[0].pem.encode() == ours)
    wanted = replace(wanted, since="phase 2")
    done.asked = 0
    rounds = int(SETTLED / INTERVAL)
    for _ in range(rounds):
        await stage.read(wanted)
    assert (done.asked, open_.asked) == (1, rounds)
    pauses = [after - before for before, after in pairwise(calls)]
    assert pauses[:4] == [INTERVAL, 2 * INTERVAL, 4 * INTERVAL, SILENT]
    await stage.read(wanted)
    assert done.asked == 2


async def test_another_phase_asks_all_anew_and_so_does_another_pod_of_the_same_name(stage: Stage) -> None:
    served = peer()
    await stage.add("a/db-0", served.answer)
    wanted = targets("a/db-0", settled=lambda _: True)
    assert (await stage.read(wanted)).whole
    later = replace(wanted, since="phase 2")
    told = stage.reader.read(UID, later)
    assert (told.proxies, told.whole) == ({"a/db-0": NOT_ASKED}, False)
    assert (await stage.read(later, later=0)).whole
    assert served.asked == 2
    (pod,) = later.pods
    leaving = replace(later, pods=(replace(pod, leaving=True),))
    assert states(await stage.read(leaving)) == {"a/db-0": "shown"}
    assert served.asked == 2, "it is the same pod still"
    gone = replace(later, pods=(replace(pod, leaving=True, owner="StatefulSet/db"),))
    assert states(await stage.read(gone)) == {"a/db-0": "shown"}
    back = replace(later, pods=(replace(pod, owner="StatefulSet/db"),))
    assert states(stage.reader.read(UID, back)) == {"a/db-0": NOT_ASKED}, "its successor"
    served.asked = 2
    stamped = replace(later, pods=(replace(pod, proxy="another"),))
    assert states(stage.reader.read(UID, stamped)) == {"a/db-0": NOT_ASKED}
    assert (await stage.read(stamped)).whole
    assert served.asked == 3


async def test_a_pod_that_joins_is_unknown_until_it_is_asked_and_one_that_leaves_is_forgotten(
    stage: Stage,
) -> None:
    await stage.add("a/x", peer().answer)
    await stage.add("a/y", peer().answer)
    assert (await stage.read(targets("a/x"))).whole
    told = stage.reader.read(UID, targets("a/x", "a/y"))
    assert (states(told), told.whole) == ({"a/x": "shown", "a/y": NOT_ASKED}, False)
    assert not find_rounds(), "no round begins before its time"
    assert (await stage.read(targets("a/x", "a/y"))).whole
    assert states(await stage.read(targets("a/y"))) == {"a/y": "shown"}
    assert states(stage.reader.read(UID, targets("a/x"))) == {"a/x": NOT_ASKED}


@pytest.mark.parametrize("end", [lambda reader: reader.forget(UID), lambda reader: reader.read(UID, None)])
async def test_what_is_forgotten_is_asked_no_more(stage: Stage, end: Callable[[TrustReader], object]) -> None:
    entered, ended = asyncio.Event(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        entered.set()
        await reader.read(-1)
        ended.set()
        writer.close()

    await stage.add("a/x", hang)
    stage.reader.read(UID, targets("a/x"))
    await asyncio.wait_for(entered.wait(), 300)
    end(stage.reader)
    await asyncio.wait_for(ended.wait(), 300)
    assert not find_rounds()
    assert stage.reader.read(UID, None) == SeenTrust()
