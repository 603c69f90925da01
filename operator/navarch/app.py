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
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import Any, TypeAlias

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
from navarch.core.istio.assets import relate_assets
from navarch.core.model.refs import Ref
from navarch.core.revision.render import count_renderings
from navarch.core.world.cluster import Environment
from navarch.engine.backoff import Backoff
from navarch.engine.key import Key
from navarch.engine.observer import Observer
from navarch.engine.queue import BACKGROUND, EDIT, Queue
from navarch.engine.result import Done, Result
from navarch.engine.worker import Workers
from navarch.gather.watches import (
    CRDS,
    GATEWAYS,
    NAMESPACES,
    REVISIONS,
    WATCHES,
    Role,
    Watch,
    stores_of_owned,
)
from navarch.gather.world import World
from navarch.kube.account import borrow_account
from navarch.kube.apply import Applier
from navarch.kube.auth import build_connection_info, connect
from navarch.kube.client import Client
from navarch.kube.contest import Contests
from navarch.kube.credentials import load_credentials
from navarch.kube.environment import read_clock, read_kubernetes
from navarch.kube.errors import KubeError
from navarch.kube.events import Recorder
from navarch.kube.installations import Installations
from navarch.kube.lease import Elector
from navarch.kube.reflector import RELIST_SECONDS, UNSERVED_DELAY, Reflector
from navarch.kube.resources import resource_of
from navarch.kube.shelf import MIB, Pool
from navarch.kube.store import Object, Store
from navarch.settings import Settings
from navarch.telemetry import metrics
from navarch.telemetry.health import HealthServer
from navarch.telemetry.observer import MetricsObserver
from navarch.telemetry.stalls import watch_stalls
from navarch.triggers.keys import Ask, Dependents, but_itself, is_near, starts_asking_for_routes
from navarch.triggers.known import Known, key_of
from navarch.triggers.shell import Shell

log = structlog.get_logger(__name__)

GRACE = 20.0
"""Seconds that running reconciles get at shutdown; less than the pod's termination grace period."""
DRAIN = 5.0
"""Seconds that writes get which were sent already."""
FIRST_CONTACT_DELAY = 2.0
"""Seconds between two attempts to reach the API server for the first time."""


Finder: TypeAlias = Callable[[Object | None, Object | None], Iterator[Ask]]


class _Metrics(MetricsObserver, Observer):
    """The engine's observer, as metrics: the two do not know each other."""


class PortUnusable(Exception):
    """The port for probes cannot be had; the message says which, and why."""


class App:
    """One operator process. `run` returns when asked to stop, and raises when it must be restarted."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self._reflectors: dict[str, Reflector] = {}
        self._known = Known()
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
            installations = self._installations = Installations(
                reader, recorder, namespace=settings.namespace
            )
            elector = Elector(
                reader,
                namespace=settings.namespace,
                name=LEASE,
                identity=identity,
                on_lost=lambda: log.warning("ending: another replica may lead from now on"),
                find_rival=installations.find_rival,
                duration=settings.lease_seconds,
                renew=settings.lease_renew_seconds,
                retry=settings.lease_retry_seconds,
            )
            metrics.leader_election_master_status.set_function(lambda: float(elector.leading.is_set()))
            client = reader.guarded(elector.check)
            kept = build_kept(settings.namespace, settings.probe_namespace)
            self._installation = Installation(reader, client, kept, leading=elector.leading)
            queue = Queue(observer=self._observer, share=max(1, settings.workers // 4))
            metrics.workqueue_depth.set_function(lambda: queue.depth)
            self._build_reflectors(reader, queue)
            self._upgradeable = self._build_upgradeable(reader, client, elector)
            crds, leading = self._reflectors[CRDS.name].store, elector.leading
            self._gateway_api = build_gateway_api(
                settings, reader, client, crds, leading=leading, recorder=recorder
            )
            shell = Shell(
                lambda key, priority: queue.add(key, priority=priority),
                lambda: build_connection_info(credentials, now=datetime.now(UTC)),
                connect=connect,
                idle=settings.silence_seconds / 2,
                is_known=self._known.has,
                patience=settings.silence_seconds,
            )
            metrics.watch_age_seconds.labels("kopf").set_function(partial(getattr, shell, "age"))
            health = HealthServer(
                live=partial(self._find_dead, queue, elector),
                ready=lambda: chain(filter(None, [installations.problem]), self._find_unsynced()),
            )
            try:
                await health.start(settings.listen_host, settings.listen_port)
            except OSError as error:
                where = f"address {settings.listen_host or 'any'!r}, port {settings.listen_port}"
                raise PortUnusable(f"probes cannot be answered at {where}: {error}") from error
            self.port = health.port

            def build(environment: Environment) -> Workers:
                return self._build_workers(client, queue, elector, environment, identity=identity)

            # Before the API server was reached: /metrics tells of that as well.
            scraping = asyncio.create_task(serve_metrics(settings, reader, recorder), name="metrics")
            try:
                await self._supervise(elector, queue, shell, reader=reader, build_workers=build)
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
        parts: list[asyncio.Task[Any]]
        parts = [asyncio.create_task(r.run(), name=f"watch-{name}") for name, r in self._reflectors.items()]
        parts.append(asyncio.create_task(watch_stalls(), name="stalls"))
        parts.append(asyncio.create_task(self._installations.run(), name="installations"))
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        warm = asyncio.create_task(self._warm_up(reader), name="warm-up")
        waited: set[asyncio.Task[Any]] = {warm, stopping}
        workers: Workers | None = None
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not warm.done():
                return
            workers = build_workers(warm.result())
            parts.append(asyncio.create_task(elector.run(), name="lease"))
            parts.append(asyncio.create_task(self._installation.run(), name="installation"))
            if self._upgradeable is not None:
                parts.append(asyncio.create_task(self._upgradeable.run(), name="upgradeable"))
            if self._gateway_api is not None:
                parts.append(asyncio.create_task(self._gateway_api.run(), name="gateway-api"))
            parts.append(asyncio.create_task(workers.run(), name="workers"))
            parts.append(asyncio.create_task(self._resync(queue), name="resync"))
            parts.append(asyncio.create_task(shell.run(), name="kopf"))
            done, _ = await asyncio.wait({*parts, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
                raise RuntimeError(f"{task.get_name()} ended")
        finally:
            if workers is not None:
                await workers.stop(grace=GRACE)
            # The next leader must not meet a write of ours that is still under way.
            elector.stop()
            if await reader.drain(DRAIN):
                await elector.release()
            else:
                log.warning("a write was not answered in time: the Lease has to expire")
            for task in [*parts, stopping, warm]:
                task.cancel()
            await asyncio.gather(*parts, stopping, warm, return_exceptions=True)

    async def _warm_up(self, reader: Client) -> Environment:
        """Wait until every store is complete; what there is to know of the cluster."""
        environment = await self._read_environment(reader)
        for reflector in self._reflectors.values():
            await reflector.synced.wait()
        log.info("caches are warm", watches=len(self._reflectors))
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
        )

    async def _resync(self, queue: Queue) -> None:
        """Look at everything now and then: the net below all events."""
        while True:
            period = self._settings.resync_seconds
            await asyncio.sleep(period * random.uniform(0.9, 1.1))
            for kind in KINDS.values():
                for manifest in self._reflectors[kind.watch.name].store.list():
                    queue.add(key_of(manifest), priority=BACKGROUND)

    def _build_workers(
        self, client: Client, queue: Queue, elector: Elector, environment: Environment, *, identity: str
    ) -> Workers:
        stores = {name: r.store for name, r in self._reflectors.items()}
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
            list_revisions=self._reflectors[REVISIONS.name].store.list,
            now=read_clock,
        )

    def _build_reflectors(self, client: Client, queue: Queue) -> None:
        dependents = Dependents(self._known, find_namespace=self._find_namespace)
        pool = Pool(most=self._settings.cache_mib * MIB)
        for watch in WATCHES:
            reflector = self._reflectors[watch.name] = Reflector(
                client,
                resource_of(watch.api_version, watch.kind),
                namespace=self._settings.namespace if watch.in_operator_namespace else "",
                label_selector=watch.label_selector,
                field_selector=watch.field_selector,
                metadata_only=watch.metadata_only,
                transform=watch.transform,
                on_change=partial(self._note, queue, watch, partial(watch.keys, dependents)),
                on_own_change=partial(self._note, queue, watch, partial(but_itself(watch.keys), dependents)),
                bound=watch.bound,
                pool=pool,
                page=watch.page,
                idle=self._settings.silence_seconds / 2,
                on_served=partial(self._note_served, queue, watch, dependents),
                find_unserved_delay=partial(self._find_unserved_delay, watch),
            )
            store = reflector.store
            metrics.watch_age_seconds.labels(watch.name).set_function(partial(getattr, reflector, "age"))
            metrics.watch_kept_bytes.labels(watch.name).set_function(partial(getattr, store, "bytes"))
            metrics.watch_left_out_objects.labels(watch.name).set_function(partial(_count_left_out, store))

    def _find_namespace(self, name: str) -> Object | None:
        return self._reflectors[NAMESPACES.name].store.get(Ref("v1", "Namespace", "", name))

    def _note(self, queue: Queue, watch: Watch, find: Finder, old: Object | None, new: Object | None) -> None:
        """A change of an object becomes the keys that its watch's row says, or some of them."""
        about = new or old
        if about is None:
            return
        if watch.role is Role.OWN:
            self._known.change(old, new)
        if watch is CRDS or (watch is GATEWAYS and starts_asking_for_routes(old, new)):
            self._nudge_unserved()
        if watch is CRDS and self._gateway_api is not None:
            self._gateway_api.note(old, new)
        if watch is REVISIONS and self._upgradeable is not None:
            self._upgradeable.note()
        is_urgent = self._reflectors[watch.name].synced.is_set() and watch.is_edit(old, new)
        for ask in find(old, new):
            priority = EDIT if is_urgent and is_near(ask.key, about) else BACKGROUND
            queue.add(ask.key, priority=priority, after=ask.after)
        if watch.role is Role.OWN:
            self._known.note_told(old, new)

    def _note_served(self, queue: Queue, watch: Watch, dependents: Dependents) -> None:
        """An API that gateways ask for has come, or gone."""
        for key in dependents.all_gateways() if watch.wanted_by is not None else ():
            queue.add(key, priority=BACKGROUND)

    def _find_unserved_delay(self, watch: Watch) -> float:
        """Seconds until the API server is asked again for a kind that it does not serve."""
        gateways = self._reflectors[GATEWAYS.name].store.list()
        wanted = watch.wanted_by is None or any(map(watch.wanted_by, gateways))
        return UNSERVED_DELAY if wanted else RELIST_SECONDS

    def _nudge_unserved(self) -> None:
        for reflector in self._reflectors.values():
            if not reflector.served:
                reflector.nudge()

    def _find_dead(self, queue: Queue, elector: Elector) -> Iterator[str]:
        settings = self._settings
        return find_dead(
            self._reflectors,
            queue,
            led=elector.led,
            silence=settings.silence_seconds,
            stuck=settings.stuck_seconds,
        )

    def _find_unsynced(self) -> Iterable[str]:
        for name, reflector in self._reflectors.items():
            if not reflector.synced.is_set():
                yield f"watch {name} is not synced yet"


def _build_recorder(client: Client, identity: str) -> Recorder:
    return Recorder(
        client, instance=identity, now=lambda: datetime.now(UTC), ids=lambda: secrets.token_hex(8)
    )


def _count_left_out(store: Store) -> float:
    return float(len(store.left_out))


def find_dead(
    reflectors: Mapping[str, Reflector],
    queue: Queue,
    *,
    led: float,
    silence: float,
    stuck: float,
) -> Iterator[str]:
    """Why the process must be restarted, a sentence each: a silent watch, or a leader whose workers stand
    still. kopf is started anew inside the process, and what it tells the reflectors tell too. All in seconds:
    `led` since this replica leads, 0 when it does not; `silence` and `stuck` are the bounds.
    """
    # Where no watch was heard from all that time, it is the API server that was silent: no restart helps.
    # That a kind is not served may also be said by something that is not the API server.
    heard = max((reflector.steady for reflector in reflectors.values() if reflector.served), default=0.0)
    if heard >= silence:
        for name, reflector in reflectors.items():
            if reflector.age > silence:
                yield f"watch {name} has been silent for {reflector.age:.0f} s"
    # A key is not late while this replica is a standby, or while the API server is unreachable.
    waited = min(queue.age, led, heard)
    if waited > stuck:
        yield f"a key has been waiting for a worker for {waited:.0f} s"
