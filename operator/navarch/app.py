"""The composition root: builds everything, wires it, runs it, takes it down.

Owns the life of the process. Must never decide anything about a mesh. Invariant: everything that must outlive
a restart of kopf (workers, reflectors, Lease) is started before it.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import Any

import structlog

from navarch.api.install import NAME, build_kept
from navarch.api.meta import LEASE
from navarch.assets import load_assets
from navarch.controllers.containment import Containment
from navarch.controllers.gatewayapi import GatewayAPI, build_gateway_api
from navarch.controllers.installation import Installation
from navarch.controllers.kinds import KINDS, Tools
from navarch.controllers.report import Reporter
from navarch.controllers.scraping import serve_metrics
from navarch.controllers.upgradeable import CONDITION, VARIABLE, Upgradeable
from navarch.controllers.watching import ALL_WATCHES, Watching, find_dead
from navarch.core.istio.assets import relate_assets
from navarch.core.model.refs import Ref
from navarch.core.revision.render import count_renderings
from navarch.core.world.cluster import Environment
from navarch.engine.backoff import Backoff
from navarch.engine.key import Key
from navarch.engine.observer import Observer
from navarch.engine.queue import BACKGROUND, Queue
from navarch.engine.result import Done, Result
from navarch.engine.worker import Workers
from navarch.gather.watches import CRDS, REVISIONS, Watch, stores_of_owned
from navarch.gather.world import World
from navarch.kube.account import borrow_account
from navarch.kube.apply import Applier
from navarch.kube.auth import build_connection_info, connect
from navarch.kube.client import Client
from navarch.kube.contest import Contests
from navarch.kube.credentials import Credentials, load_credentials
from navarch.kube.environment import read_clock, read_kubernetes
from navarch.kube.errors import KubeError
from navarch.kube.events import Recorder
from navarch.kube.installations import Installations
from navarch.kube.lease import Elector
from navarch.kube.store import Object
from navarch.settings import Settings
from navarch.telemetry import metrics
from navarch.telemetry.health import HealthServer
from navarch.telemetry.observer import MetricsObserver
from navarch.telemetry.stalls import watch_stalls
from navarch.triggers.known import key_of
from navarch.triggers.shell import Shell

log = structlog.get_logger(__name__)

GRACE = 20.0
"""Seconds that running reconciles get at shutdown; less than the pod's termination grace period."""
DRAIN = 5.0
"""Seconds that writes get which were sent already."""
FIRST_CONTACT_DELAY = 2.0
"""Seconds between two attempts to reach the API server for the first time."""


class _Metrics(MetricsObserver, Observer):
    """The engine's observer, as metrics: the two do not know each other."""


class PortUnusable(Exception):
    """The port for probes cannot be had; the message says which, and why."""


class App:
    """One operator process. `run` returns when asked to stop, and raises when it must be restarted."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self._watching: Watching
        self._observer = _Metrics()
        self._installation: Installation
        self._upgradeable: Upgradeable | None = None
        self._gateway_api: GatewayAPI | None = None
        self.port = 0

    def stop(self) -> None:
        """Ask the process to end: work in hand is finished, the Lease released."""
        self._stop.set()

    async def run(self) -> None:
        """Run until stopped. Raises when the Lease was lost or a part that must not end has ended, and
        MissingAssets."""
        settings = self._settings
        # Before anything else: without it there is nothing to do.
        self._assets = relate_assets(load_assets(), os.environ, only=settings.only_related_images)
        credentials = await load_credentials(settings.kubeconfig, context=settings.context or None)
        if settings.borrow_account:
            credentials = await borrow_account(credentials, namespace=settings.namespace, name=NAME)
        identity = settings.identity or f"{socket.gethostname()}-{secrets.token_hex(4)}"
        async with Client(credentials, requests=settings.requests, observe=metrics.observe_request) as reader:
            recorder = _build_recorder(reader, identity)
            self._installations = Installations(reader, recorder, namespace=settings.namespace)
            elector = self._build_elector(reader, identity)
            queue = Queue(observer=self._observer, share=max(1, settings.workers // 4))
            metrics.workqueue_depth.set_function(lambda: queue.depth)
            self._watching = Watching(reader, queue, settings, heed=self._heed)
            client = reader.guarded(elector.check)
            self._build_parts(reader, client, elector, recorder)
            shell = self._build_shell(credentials, queue)

            def build(environment: Environment) -> Workers:
                return self._build_workers(client, queue, elector, environment, identity=identity)

            async with self._answering(reader, queue, elector, recorder):
                await self._supervise(elector, queue, shell, reader=reader, build_workers=build)

    def _build_elector(self, reader: Client, identity: str) -> Elector:
        settings = self._settings
        elector = Elector(
            reader,
            namespace=settings.namespace,
            name=LEASE,
            identity=identity,
            on_lost=lambda: log.warning("ending: another replica may lead from now on"),
            find_rival=self._installations.find_rival,
            duration=settings.lease_seconds,
            renew=settings.lease_renew_seconds,
            retry=settings.lease_retry_seconds,
        )
        metrics.leader_election_master_status.set_function(lambda: float(elector.leading.is_set()))
        return elector

    def _build_parts(self, reader: Client, writer: Client, elector: Elector, recorder: Recorder) -> None:
        """What works beside the queue: on Navarch's own installation, for OLM, on Gateway API's CRDs."""
        settings, leading = self._settings, elector.leading
        kept = build_kept(settings.namespace, settings.probe_namespace)
        self._installation = Installation(reader, writer, kept, leading=leading)
        self._upgradeable = self._build_upgradeable(reader, writer, elector)
        self._gateway_api = build_gateway_api(
            settings, reader, writer, self._watching.store(CRDS), leading=leading, recorder=recorder
        )

    def _build_shell(self, credentials: Credentials, queue: Queue) -> Shell:
        shell = Shell(
            lambda key, priority: queue.add(key, priority=priority),
            lambda: build_connection_info(credentials, now=datetime.now(UTC)),
            connect=connect,
            idle=self._settings.silence_seconds / 2,
            is_known=self._watching.known.has,
            patience=self._settings.silence_seconds,
        )
        metrics.watch_age_seconds.labels("kopf").set_function(partial(getattr, shell, "age"))
        return shell

    @asynccontextmanager
    async def _answering(
        self, reader: Client, queue: Queue, elector: Elector, recorder: Recorder
    ) -> AsyncIterator[None]:
        """Answer probes and serve metrics meanwhile. Raises PortUnusable."""
        settings = self._settings
        health = HealthServer(
            live=partial(self._find_dead, queue, elector),
            ready=lambda: chain(filter(None, [self._installations.problem]), self._watching.find_unsynced()),
        )
        try:
            await health.start(settings.listen_host, settings.listen_port)
        except OSError as error:
            where = f"address {settings.listen_host or 'any'!r}, port {settings.listen_port}"
            raise PortUnusable(f"probes cannot be answered at {where}: {error}") from error
        self.port = health.port
        # Before the API server was reached: /metrics tells of that as well.
        scraping = asyncio.create_task(serve_metrics(settings, reader, recorder), name="metrics")
        try:
            yield
        finally:
            scraping.cancel()
            await asyncio.gather(scraping, return_exceptions=True)
            await health.stop()

    async def _supervise(
        self,
        elector: Elector,
        queue: Queue,
        shell: Shell,
        *,
        reader: Client,
        build_workers: Callable[[Environment], Workers],
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        parts = _start({f"watch-{watch.name}": self._watching.run(watch) for watch in ALL_WATCHES})
        parts += _start({"stalls": watch_stalls(), "installations": self._installations.run()})
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        warm = asyncio.create_task(self._warm_up(reader), name="warm-up")
        workers: Workers | None = None
        try:
            await asyncio.wait({warm, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not warm.done():
                return
            workers = build_workers(warm.result())
            parts += _start({"lease": elector.run(), **self._list_works()})
            parts += _start({"workers": workers.run(), "resync": self._resync(queue), "kopf": shell.run()})
            done, _ = await asyncio.wait({*parts, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
                raise RuntimeError(f"{task.get_name()} ended")
        finally:
            await _stop_writing(workers, elector, reader)
            for task in [*parts, stopping, warm]:
                task.cancel()
            await asyncio.gather(*parts, stopping, warm, return_exceptions=True)

    def _list_works(self) -> dict[str, Coroutine[Any, Any, None]]:
        """The parts that work beside the queue."""
        works = {"installation": self._installation.run()}
        if self._upgradeable is not None:
            works["upgradeable"] = self._upgradeable.run()
        if self._gateway_api is not None:
            works["gateway-api"] = self._gateway_api.run()
        return works

    async def _warm_up(self, reader: Client) -> Environment:
        """Wait until every store is complete; what there is to know of the cluster."""
        environment = await self._read_environment(reader)
        await self._watching.wait()
        log.info("caches are warm", watches=len(self._watching.reflectors))
        return environment

    async def _read_environment(self, reader: Client) -> Environment:
        while True:
            try:
                kubernetes = await read_kubernetes(reader)
                break
            except KubeError as error:
                # A process that ended here would be restarted ever more rarely, and late when it is back.
                log.warning("the API server is out of reach", error=str(error))
                await asyncio.sleep(FIRST_CONTACT_DELAY)
        return Environment(
            kubernetes=kubernetes,
            operator_namespace=self._settings.namespace,
            probe_namespace=self._settings.probe_namespace,
            volume_seconds=self._settings.volume_seconds,
        )

    async def _resync(self, queue: Queue) -> None:
        """Look at everything now and then: the net below all events."""
        while True:
            period = self._settings.resync_seconds
            await asyncio.sleep(period * random.uniform(0.9, 1.1))
            for kind in KINDS.values():
                for manifest in self._watching.store(kind.watch).list():
                    queue.add(key_of(manifest), priority=BACKGROUND)

    def _build_workers(
        self, client: Client, queue: Queue, elector: Elector, environment: Environment, *, identity: str
    ) -> Workers:
        stores = self._watching.stores
        world = World(
            client,
            stores,
            self._assets,
            environment=environment,
            now=read_clock,
            orphan_seconds=self._settings.orphan_seconds,
            certificate_seconds=self._settings.certificate_seconds,
        )
        applier = Applier(client, stores_of_owned(stores), inventories=world.inventories, contests=Contests())
        reporter = Reporter(client, _build_recorder(client, identity), stores, kinds=KINDS)
        tools = Tools(world, applier, client, reporter)
        metrics.max_concurrent_reconciles.set(self._settings.workers)
        metrics.renderings_total.read = count_renderings
        contained = Containment(reporter, stores, kinds=KINDS, now=read_clock)
        routes = {name: contained.wrap(kind.build(tools).reconcile) for name, kind in KINDS.items()}

        async def reconcile(key: Key) -> Result:
            await self._installation.settled.wait()
            return await routes[key.kind](key) if key.kind in routes else Done()

        return Workers(
            queue,
            reconcile,
            count=self._settings.workers,
            gate=elector.leading,
            backoff=Backoff(random=random.random),
            ids=lambda: secrets.token_hex(4),
            observer=self._observer,
        )

    def _build_upgradeable(self, reader: Client, writer: Client, elector: Elector) -> Upgradeable | None:
        """Where OLM runs this process."""
        name = os.environ.get(VARIABLE)
        if not name:
            return None
        return Upgradeable(
            reader,
            writer,
            Ref(*CONDITION, self._settings.namespace, name),
            leading=elector.leading,
            list_revisions=self._watching.store(REVISIONS).list,
            now=read_clock,
        )

    def _heed(self, watch: Watch, old: Object | None, new: Object | None) -> None:
        """What is not done for a key, but by a part of its own."""
        if watch is CRDS and self._gateway_api is not None:
            self._gateway_api.note(old, new)
        if watch is REVISIONS and self._upgradeable is not None:
            self._upgradeable.note()

    def _find_dead(self, queue: Queue, elector: Elector) -> Iterator[str]:
        settings = self._settings
        return find_dead(
            self._watching.reflectors,
            queue,
            led=elector.led,
            silence=settings.silence_seconds,
            stuck=settings.stuck_seconds,
        )


def _build_recorder(client: Client, identity: str) -> Recorder:
    return Recorder(
        client, instance=identity, now=lambda: datetime.now(UTC), ids=lambda: secrets.token_hex(8)
    )


def _start(parts: Mapping[str, Coroutine[Any, Any, Any]]) -> list[asyncio.Task[Any]]:
    """A task of each name."""
    return [asyncio.create_task(part, name=name) for name, part in parts.items()]


async def _stop_writing(workers: Workers | None, elector: Elector, reader: Client) -> None:
    """End what writes, and give the Lease back once all writes are answered."""
    if workers is not None:
        await workers.stop(grace=GRACE)
    # The next leader must not meet a write of ours that is still under way.
    elector.stop()
    if await reader.drain(DRAIN):
        await elector.release()
    else:
        log.warning("a write was not answered in time: the Lease has to expire")
