"""What the proxies and istiods of a mesh show of their certificates, asked beside the reconciles.

Owns whom a handshake is made with, when, and what was last shown. Must never judge what is shown, nor keep a
reconcile waiting, nor connect to an address other than that of a pod, as the API server says it. Invariants:
a mesh has one round under way at the most, and begins none within INTERVAL of the last; an answer counts when
it comes, whoever else is still asked; what is remembered goes with the phase that it was asked for.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from navarch.core.model.labels import ISTIO_REV
from navarch.core.model.moments import read_moment
from navarch.core.model.refs import Manifest
from navarch.core.trust.evidence import NO_ADDRESS, Answer, SeenTrust, Shown, Targets
from navarch.core.world.proxies import ProxyPod
from navarch.engine.result import Fault
from navarch.gather.handshakes import (
    ISTIOD_ALPN,
    ISTIOD_PORT,
    PROXY_ALPN,
    PROXY_PORT,
    Unreachable,
    shake,
)
from navarch.kube.client import Client, Object
from navarch.kube.resources import resource_of

INTERVAL = 10.0
"""Seconds between two rounds of a mesh, and after which a proxy is asked again."""
SILENT, SETTLED = 60.0, 300.0
"""The same for a proxy that has long not answered, and for one that need not be asked soon."""
SECONDS = 3.0
"""How long a pod may take."""
AT_ONCE = 50
"""Pods that are asked at the same time, over all meshes."""
LISTS = 4
"""Lists of pods that are read at the same time, over all meshes."""
NOT_ASKED = "was not asked yet"


@dataclass(frozen=True, slots=True)
class _Known:
    """What a proxy answered last; `pause` seconds later, at `due`, it is asked again."""

    pod: ProxyPod
    answer: Answer
    pause: float
    due: float

    def is_of(self, pod: ProxyPod) -> bool:
        """Whether it is the same pod still, by what the census says: another one of its name comes only after
        it has left."""
        left = self.pod.leaving and not pod.leaving
        return not left and replace(self.pod, leaving=pod.leaving) == pod


@dataclass(slots=True)
class _Mesh:
    """What is known of one mesh. `listed` says that its istiods are all those in `istiods`; `made` is when
    pods were created."""

    since: str
    began: float = 0.0
    task: asyncio.Task[None] | None = None
    proxies: dict[str, _Known] = field(default_factory=dict)
    istiods: dict[str, Answer] = field(default_factory=dict)
    made: dict[str, datetime] = field(default_factory=dict)
    listed: bool = False


class TrustReader:
    """Asks proxies and istiods of each mesh whose root is rotated, and remembers what they showed."""

    def __init__(
        self, client: Client, *, clock: Callable[[], float] = time.monotonic, loopback: bool = False
    ) -> None:
        # Lists that take long must not keep the requests of reconciles waiting. `loopback` is for tests.
        self._client = client.guarded(None, requests=LISTS)
        self._clock, self._loopback = clock, loopback
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._meshes: dict[str, _Mesh] = {}

    def read(self, uid: str, wanted: Targets | None) -> SeenTrust:
        """What is known of a mesh now; those who are due are asked meanwhile. Without targets everything is
        forgotten."""
        if wanted is None:
            self.forget(uid)
            return SeenTrust()
        mesh = self._meshes.get(uid)
        if mesh is None or mesh.since != wanted.since:
            self.forget(uid)
            mesh = self._meshes[uid] = _Mesh(wanted.since)
        now = self._clock()
        if mesh.task is None or (mesh.task.done() and now - mesh.began >= INTERVAL):
            mesh.began = now
            mesh.task = asyncio.create_task(self._ask(mesh, wanted), name=f"evidence of {uid}")
        proxies = {_key_of(pod): _find_answer(mesh, pod) for pod in wanted.pods}
        whole = mesh.listed and all(answer is not None for answer in proxies.values())
        told = {key: NOT_ASKED if answer is None else answer for key, answer in proxies.items()}
        return SeenTrust(told, dict(mesh.istiods), dict(mesh.made), whole)

    def forget(self, uid: str) -> None:
        """Drop what is known of a mesh, and ask nothing more for it."""
        mesh = self._meshes.pop(uid, None)
        if mesh is not None and mesh.task is not None:
            mesh.task.cancel()

    async def _ask(self, mesh: _Mesh, wanted: Targets) -> None:
        """One round."""
        there = {_key_of(pod): pod for pod in wanted.pods}
        for gone in mesh.proxies.keys() - there.keys():
            del mesh.proxies[gone]
            mesh.made.pop(gone, None)
        due: dict[str, list[ProxyPod]] = {}
        for key, pod in there.items():
            known = mesh.proxies.get(key)
            if known is None or not known.is_of(pod) or known.due <= mesh.began:
                due.setdefault(pod.namespace, []).append(pod)
        await asyncio.gather(
            self._ask_istiods(mesh, wanted),
            *(self._ask_proxies(mesh, wanted, namespace, pods) for namespace, pods in due.items()),
        )

    async def _ask_istiods(self, mesh: _Mesh, wanted: Targets) -> None:
        if not wanted.revisions:
            mesh.istiods, mesh.listed = {}, True
            return
        selector = f"app=istiod,{ISTIO_REV} in ({','.join(sorted(wanted.revisions))})"
        try:
            pods = await self._list(wanted.home, selector=selector)
        except (Fault, ValueError) as error:
            mesh.istiods = {f"{wanted.home}/istiod": f"cannot be listed: {error}"}
            mesh.listed = False
            return
        answers = await asyncio.gather(*(self._probe(pod, ISTIOD_PORT, ISTIOD_ALPN) for pod in pods.values()))
        keys = (f"{wanted.home}/{name}" for name in pods)
        mesh.istiods, mesh.listed = dict(zip(keys, answers, strict=True)), True

    async def _ask_proxies(
        self, mesh: _Mesh, wanted: Targets, namespace: str, pods: Iterable[ProxyPod]
    ) -> None:
        """Those of a namespace. They are listed just before, for the address of a pod that has gone may be
        another's by now."""
        by_name = {pod.name: pod for pod in pods}
        try:
            running = await self._list(namespace, names=by_name)
        except (Fault, ValueError) as error:
            for pod in by_name.values():
                self._note(mesh, wanted, pod, f"its address cannot be read: {error}")
            return

        async def ask(pod: ProxyPod) -> None:
            found = running.get(pod.name)
            answer: Answer = NO_ADDRESS
            if found is not None:
                answer = await self._probe(found, PROXY_PORT, PROXY_ALPN)
                if (made := read_moment(found["made"])) is not None:
                    mesh.made[_key_of(pod)] = made
            self._note(mesh, wanted, pod, answer)

        await asyncio.gather(*map(ask, by_name.values()))

    def _note(self, mesh: _Mesh, wanted: Targets, pod: ProxyPod, answer: Answer) -> None:
        """An answer counts at once. Who does not answer is asked more and more seldom: pods that never do
        take the slots of others."""
        last = mesh.proxies.get(_key_of(pod))
        if isinstance(answer, Shown):
            pause = SETTLED if wanted.settled(answer) else INTERVAL
        elif last is not None and last.is_of(pod) and isinstance(last.answer, str):
            pause = min(2 * last.pause, SILENT)
        else:
            pause = INTERVAL
        mesh.proxies[_key_of(pod)] = _Known(pod, answer, pause, mesh.began + pause)

    async def _list(
        self, namespace: str, *, selector: str = "", names: Container[str] | None = None
    ) -> dict[str, Manifest]:
        """The pods of a namespace that have not ended, of which only what _probe needs is kept: while one
        still starts its proxy may run already."""

        def keep(pod: Object) -> Object | None:
            name = pod["metadata"]["name"]
            if names is not None and name not in names:
                return None
            spec, status = pod.get("spec") or {}, pod.get("status") or {}
            address = status.get("podIP", "")
            own = not spec.get("hostNetwork") and (not address or address != status.get("hostIP"))
            made = pod["metadata"].get("creationTimestamp", "")
            return {"name": name, "address": address, "own": own, "made": made}

        listing = await self._client.list(
            resource_of("v1", "Pod"),
            namespace=namespace,
            label_selector=selector,
            field_selector="status.phase!=Succeeded,status.phase!=Failed",
            keep=keep,
        )
        return {pod["name"]: pod for pod in listing.items}

    async def _probe(self, pod: Manifest, port: int, alpn: bytes) -> Answer:
        if not pod["own"]:
            return "uses its node's network"
        if not pod["address"]:
            return NO_ADDRESS
        if not _is_reachable(pod["address"], loopback=self._loopback):
            return "has no address of a pod"
        async with self._slots:
            try:
                return await shake(pod["address"], port, alpn, seconds=SECONDS)
            except Unreachable as error:
                return str(error)


def _key_of(pod: ProxyPod) -> str:
    return f"{pod.namespace}/{pod.name}"


def _find_answer(mesh: _Mesh, pod: ProxyPod) -> Answer | None:
    known = mesh.proxies.get(_key_of(pod))
    return known.answer if known is not None and known.is_of(pod) else None


def _is_reachable(address: str, *, loopback: bool) -> bool:
    """Whether it may be a pod's: not this machine, nor what is beside it, as a cloud's metadata is."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback:
        return loopback
    return not (ip.is_link_local or ip.is_multicast or ip.is_unspecified)
