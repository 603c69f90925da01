"""Gateway API's CRDs, where the operator is told to install them.

Owns when they are looked at and written. Must never remove one, nor hold a mesh up: what cannot be written
is told, and tried again. Invariants: a CRD is written only over what was read of it; a settled set is not
written, also by a process that has just started.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import structlog

from navarch.assets import load_gateway_api
from navarch.core.istio.gatewayapi import (
    Bundle,
    Choice,
    Found,
    Install,
    choose,
    is_of_gateway_api,
    read_crd,
)
from navarch.core.model.messages import join
from navarch.core.model.ownership import MANAGER
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, Ref
from navarch.engine.result import PASSING, Cause, Fault
from navarch.kube.client import Client
from navarch.kube.errors import NotFound
from navarch.kube.events import Recorder
from navarch.kube.own_pod import OwnPod
from navarch.kube.store import Store
from navarch.settings import Settings
from navarch.telemetry import metrics

log = structlog.get_logger(__name__)

PAUSE = 5.0
"""The least seconds between two looks."""
LONGEST = 600.0
"""Seconds between two attempts at what is refused, and the longest pause while another client changes a CRD
again and again."""


class GatewayAPI:
    """Keeps the CRDs of a bundle. `crds` is the store of all CRDs, and `note` is told of each change in it;
    `reader` reads on every replica, `writer` writes only on the leader; `tell` says what is wrong."""

    def __init__(
        self,
        reader: Client,
        writer: Client,
        crds: Store,
        *,
        install: Install,
        load: Callable[[], Bundle],
        leading: asyncio.Event,
        tell: Callable[[str], Awaitable[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader, self._writer, self._crds = reader, writer, crds
        self._install, self._load, self._leading = install, load, leading
        self._tell, self._clock = tell, clock
        self._bundle = Bundle("", "", {})
        self._found: dict[str, Found] = {}
        self._seen: dict[str, str] = {}
        """Version of each of the bundle's CRDs as it was last read or written."""
        self._due: set[str] = set()
        self._changed = asyncio.Event()
        self._pause, self._repaired = PAUSE, -2 * LONGEST

    def note(self, old: Manifest | None, new: Manifest | None) -> None:
        """A CRD changed, or was seen for the first time."""
        about = new or old
        name = about["metadata"]["name"] if about is not None else ""
        if not is_of_gateway_api(name) or not self._bundle.crds:
            return
        if name not in self._bundle.crds:
            self._changed.set()
        elif self._seen.get(name, "") != (new["metadata"]["resourceVersion"] if new is not None else ""):
            self._due.add(name)
            self._changed.set()

    async def run(self) -> None:
        """Look at all of them, and again at what changes or is not right yet, until cancelled."""
        await self._leading.wait()
        self._bundle = self._load()
        self._due = {*self._bundle.crds}
        while True:
            await self._leading.wait()
            self._changed.clear()
            refused = False
            try:
                refused = await self._look()
            except Fault as fault:
                log.warning("Gateway API's CRDs were not all looked at", error=str(fault))
                self._changed.set()
            await asyncio.sleep(self._pause)
            try:
                await asyncio.wait_for(self._changed.wait(), LONGEST if refused else None)
            except TimeoutError:
                log.debug("what was refused is tried again")

    async def _look(self) -> bool:
        """Write what is to be written; whether something of it was refused."""
        for name in sorted(self._due):
            await self._read(name)
        choice = choose(self._install, self._bundle, {**self._find_others(), **self._found})
        refusal = await self._write_all(choice)
        problem = refusal or join(choice.obstacles)
        metrics.gateway_api_not_installed.set(bool(problem))
        if problem:
            log.warning("Gateway API's CRDs are not as they should be", why=problem)
            await self._tell(f"Gateway API's CRDs of {self._bundle.version} are not installed: {problem}")
        return bool(refusal)

    async def _write_all(self, choice: Choice) -> str:
        """Write them one after the other; why one was refused, and then the others are not tried. Raises what
        passes by itself."""
        if any(name in self._found for name in choice.writes):
            now = self._clock()
            self._pause, self._repaired = find_pause(self._pause, since=now - self._repaired), now
        for name in choice.writes:
            try:
                await self._write(name)
            except Fault as fault:
                self._due.add(name)
                if fault.cause in PASSING or fault.cause is Cause.NOT_LEADING:
                    raise
                return str(fault)
        return ""

    def _find_others(self) -> dict[str, Found]:
        """CRDs of these groups that the bundle does not have."""
        names = (manifest["metadata"]["name"] for manifest in self._crds.list())
        refs = (_ref(name) for name in names if is_of_gateway_api(name) and name not in self._bundle.crds)
        return {ref.name: read_crd(stored) for ref in refs if (stored := self._crds.get(ref)) is not None}

    async def _read(self, name: str) -> None:
        self._due.discard(name)  # first: what comes while it is read is due again
        try:
            live = await self._reader.get(_ref(name), metadata_only=self._install is not Install.MANAGED)
        except NotFound:
            self._found.pop(name, None)
            self._seen.pop(name, None)
        except Fault:
            self._due.add(name)
            raise
        else:
            self._keep(live)

    def _keep(self, live: Manifest) -> None:
        name = live["metadata"]["name"]
        self._found[name] = read_crd(live, self._bundle.crds[name])
        self._seen[name] = live["metadata"]["resourceVersion"]

    async def _write(self, name: str) -> None:
        manifest: dict[str, Any] = dict(self._bundle.crds[name])
        is_there = name in self._found
        if is_there:
            # Only over what was judged: a newer one may have come since.
            manifest["metadata"] = {**manifest["metadata"], "resourceVersion": self._seen[name]}
        live = await self._writer.apply(manifest, manager=MANAGER, force=is_there)
        self._keep(live)
        # What a write leaves there is what it is compared with, or a field that the API server drops would be
        # written for ever.
        self._found[name] = replace(self._found[name], current=True)
        log.info("a CRD of Gateway API was written", name=name, version=self._bundle.version, anew=is_there)


def find_pause(pause: float, *, since: float) -> float:
    """Seconds to the next look after something was put back, `since` seconds after the last time: twice as
    long each time while another client goes on."""
    return min(2 * pause, LONGEST) if since < 2 * LONGEST else PAUSE


def _ref(name: str) -> Ref:
    return Ref("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", name)


def build_gateway_api(
    settings: Settings,
    reader: Client,
    writer: Client,
    crds: Store,
    *,
    leading: asyncio.Event,
    recorder: Recorder,
) -> GatewayAPI | None:
    """As the settings say; None where nothing is to be installed."""
    install = Install(settings.gateway_api_install)
    own_pod = OwnPod(reader, recorder)

    async def tell(problem: str) -> None:
        await own_pod.warn(Reason.GATEWAY_API_NOT_INSTALLED, problem, action="InstallGatewayAPI")

    def load() -> Bundle:
        return load_gateway_api(settings.gateway_api_channel)

    if install is Install.NEVER:
        return None
    return GatewayAPI(reader, writer, crds, install=install, load=load, leading=leading, tell=tell)
