"""The composition root: builds everything, wires it, runs it, takes it down.

Owns the life of the process. Must never decide anything about a mesh. Invariant: everything that must outlive
a restart of kopf (workers, reflectors, Lease) is started before it.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import chain, count
from typing import Any, cast

import kopf
import structlog

from navarch.assets import load_assets
from navarch.controllers.containment import Containment
from navarch.controllers.controlplane import MeshController
from navarch.controllers.report import Reporter
from navarch.controllers.revision import RevisionController
from navarch.controllers.watches import WATCHES, WEBHOOK_KINDS, Watch, stores_of_owned
from navarch.controllers.world import World
from navarch.core.manifests import count_renderings
from navarch.core.observed import Environment
from navarch.engine.backoff import Backoff
from navarch.engine.key import Key
from navarch.engine.observer import Observer
from navarch.engine.queue import BACKGROUND, EDIT, Queue
from navarch.engine.result import Done, Result
from navarch.engine.worker import Workers
from navarch.kube.apply import Applier
from navarch.kube.auth import build_connection_info
from navarch.kube.client import Client
from navarch.kube.credentials import load_credentials
from navarch.kube.events import Recorder
from navarch.kube.lease import Elector
from navarch.kube.reflector import Reflector
from navarch.kube.resources import resource_of
from navarch.kube.store import Object
from navarch.settings import Settings
from navarch.telemetry import metrics
from navarch.telemetry.health import HealthServer
from navarch.telemetry.observer import MetricsObserver
from navarch.triggers import keys
from navarch.triggers.handlers import build_registry, build_settings

log = structlog.get_logger(__name__)

LEASE = "navarch"
GRACE = 20.0
"""Seconds that running reconciles get at shutdown; less than the pod's termination grace period."""
SILENCE = 180.0
"""Seconds without a word on one watch, while others are heard from, after which this process is not live any
more."""
STUCK = 600.0
"""Seconds for which a key may wait for a worker of the leader before this process is not live any more."""
KOPF_DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)


def read_clock() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Metrics(MetricsObserver, Observer):
    """The engine's observer, as metrics: the two do not know each other."""


class App:
    """One operator process. `run` returns when asked to stop, and raises when it must be restarted."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self._reflectors: dict[str, Reflector] = {}
        self._observer = _Metrics()
        self.port = 0

    def stop(self) -> None:
        """Ask the process to end: work in hand is finished, the Lease released."""
        self._stop.set()

    async def run(self) -> None:
        """Run until stopped. Raises when the Lease was lost or a part that must not end has ended."""
        settings = self._settings
        credentials = await load_credentials(settings.kubeconfig)
        identity = settings.identity or f"{socket.gethostname()}-{secrets.token_hex(4)}"
        async with Client(credentials, requests=settings.requests, observe=metrics.observe_request) as reader:
            elector = Elector(
                reader,
                namespace=settings.namespace,
                name=LEASE,
                identity=identity,
                on_lost=lambda: log.warning("ending: another replica may lead from now on"),
                duration=settings.lease_seconds,
                renew=settings.lease_renew_seconds,
                retry=settings.lease_retry_seconds,
            )
            metrics.leader_election_master_status.set_function(lambda: float(elector.leading.is_set()))
            client = reader.guarded(elector.check)
            queue = Queue(observer=self._observer, share=max(1, settings.workers // 2))
            metrics.workqueue_depth.set_function(lambda: queue.depth)
            self._build_reflectors(reader, queue)
            version = await reader.fetch("/version")
            environment = Environment(
                kubernetes=(int(version["major"]), int(version["minor"].rstrip("+"))),
                operator_namespace=settings.namespace,
                probe_namespace=settings.probe_namespace,
            )
            workers = self._build_workers(client, queue, elector, environment, identity=identity)
            live = partial(find_dead, self._reflectors, queue, led=lambda: elector.led)
            health = HealthServer(metrics.REGISTRY, live=live, ready=self._find_unsynced)
            await health.start(settings.listen_host, settings.listen_port)
            self.port = health.port
            try:
                await self._supervise(
                    elector,
                    workers,
                    queue,
                    login=lambda: build_connection_info(credentials, now=datetime.now(UTC)),
                )
            finally:
                await health.stop()

    async def _supervise(
        self,
        elector: Elector,
        workers: Workers,
        queue: Queue,
        *,
        login: Callable[[], Awaitable[kopf.ConnectionInfo]],
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        parts = [asyncio.create_task(r.run(), name=f"watch-{name}") for name, r in self._reflectors.items()]
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        warm = asyncio.create_task(self._warm_up(), name="warm-up")
        try:
            await asyncio.wait([warm, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not warm.done():
                return
            parts.append(asyncio.create_task(elector.run(), name="lease"))
            parts.append(asyncio.create_task(workers.run(), name="workers"))
            parts.append(asyncio.create_task(self._resync(queue), name="resync"))
            parts.append(asyncio.create_task(self._run_kopf(queue, login), name="kopf"))
            done, _ = await asyncio.wait([*parts, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
                raise RuntimeError(f"{task.get_name()} ended")
        finally:
            await workers.stop(grace=GRACE)
            await elector.release()
            for task in [*parts, stopping, warm]:
                task.cancel()
            await asyncio.gather(*parts, stopping, warm, return_exceptions=True)

    async def _warm_up(self) -> None:
        for reflector in self._reflectors.values():
            await reflector.synced.wait()
        log.info("caches are warm", watches=len(self._reflectors))

    async def _run_kopf(self, queue: Queue, login: Callable[[], Awaitable[kopf.ConnectionInfo]]) -> None:
        """Keep kopf running: it ends on a watch error that it does not know, and each run lists our kinds
        again.

        It lives in a thread with a loop of its own: at its end it cancels every task that was started after
        it, in its loop, and in a main thread it would take the process's signals.
        """
        loop = asyncio.get_running_loop()

        def enqueue(key: Key, priority: int) -> None:
            loop.call_soon_threadsafe(partial(queue.add, key, priority=priority))

        async def log_in() -> kopf.ConnectionInfo:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_awaiting(login), loop))

        for attempt in count():
            stop = threading.Event()
            shell = kopf.operator(
                registry=build_registry(enqueue, log_in),
                settings=build_settings(),
                clusterwide=True,
                standalone=True,
                # Only peers would read it, but kopf makes it from the user's name, and a pod's user has none.
                identity=cast("Any", "navarch"),
                stop_flag=stop,
            )
            try:
                await asyncio.to_thread(asyncio.run, shell)
            except Exception:
                log.warning("kopf ended", exc_info=True)
            finally:
                stop.set()
            await asyncio.sleep(KOPF_DELAYS[min(attempt, len(KOPF_DELAYS) - 1)])

    async def _resync(self, queue: Queue) -> None:
        """Look at everything now and then: the net below all events."""
        while True:
            period = self._settings.resync_seconds
            await asyncio.sleep(period * random.uniform(0.9, 1.1))
            for name in ("meshes", "revisions"):
                for manifest in self._reflectors[name].store.list():
                    queue.add(keys.key_of(manifest), priority=BACKGROUND)

    def _build_workers(
        self, client: Client, queue: Queue, elector: Elector, environment: Environment, *, identity: str
    ) -> Workers:
        stores = {name: r.store for name, r in self._reflectors.items()}
        world = World(client, stores, load_assets(), environment=environment, now=read_clock)
        applier = Applier(client, stores_of_owned(stores))
        recorder = Recorder(
            client, instance=identity, now=lambda: datetime.now(UTC), ids=lambda: secrets.token_hex(8)
        )
        reporter = Reporter(client, recorder, stores)
        mesh = MeshController(world, applier, client, reporter)
        revision = RevisionController(world, applier, reporter)
        metrics.max_concurrent_reconciles.set(self._settings.workers)
        metrics.renderings_total.read = count_renderings
        contained = Containment(
            reporter, {keys.MESH: stores["meshes"], keys.REVISION: stores["revisions"]}, now=read_clock
        )
        routes = {
            keys.MESH: contained.wrap(mesh.reconcile),
            keys.REVISION: contained.wrap(revision.reconcile),
        }

        async def reconcile(key: Key) -> Result:
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

    def _build_reflectors(self, client: Client, queue: Queue) -> None:
        dependents = keys.Dependents(
            meshes=partial(self._list, "meshes"),
            revisions=partial(self._list, "revisions"),
        )
        for watch in WATCHES:
            reflector = self._reflectors[watch.name] = Reflector(
                client,
                resource_of(watch.api_version, watch.kind),
                namespace=self._settings.namespace if watch.in_operator_namespace else "",
                label_selector=watch.label_selector,
                field_selector=watch.field_selector,
                metadata_only=watch.metadata_only,
                transform=watch.transform,
                on_change=partial(self._enqueue, queue, dependents, watch),
            )
            metrics.watch_age_seconds.labels(watch.name).set_function(partial(getattr, reflector, "age"))

    def _list(self, name: str) -> tuple[Object, ...]:
        return self._reflectors[name].store.list()

    def _enqueue(
        self, queue: Queue, dependents: keys.Dependents, watch: Watch, old: Object | None, new: Object | None
    ) -> None:
        if watch.name == "crds":
            for reflector in self._reflectors.values():
                if not reflector.served:
                    reflector.nudge()
        about = new or old
        if about is None:
            return
        is_news = self._reflectors[watch.name].synced.is_set()
        is_news = is_news and (watch.name != "meshes" or keys.is_edit(old, new))
        for ask in _find_asks(dependents, watch, old, new):
            priority = EDIT if is_news and keys.is_near(ask.key, about) else BACKGROUND
            queue.add(ask.key, priority=priority, after=ask.after)

    def _find_unsynced(self) -> Iterable[str]:
        for name, reflector in self._reflectors.items():
            if not reflector.synced.is_set():
                yield f"watch {name} is not synced yet"


def find_dead(
    reflectors: Mapping[str, Reflector], queue: Queue, *, led: Callable[[], float]
) -> Iterator[str]:
    """Why the process must be restarted, a sentence each: a silent watch, or a leader whose workers stand
    still. `led` tells for how many seconds this replica has been leading, 0 when it does not.
    """
    # Where no watch was heard from all that time, it is the API server that was silent: no restart helps.
    if any(reflector.steady >= SILENCE for reflector in reflectors.values()):
        for name, reflector in reflectors.items():
            if reflector.age > SILENCE:
                yield f"watch {name} has been silent for {reflector.age:.0f} s"
    # What a standby's queue holds is not late: nobody was there to work on it.
    waited = min(queue.age, led())
    if waited > STUCK:
        yield f"a key has been waiting for a worker for {waited:.0f} s"


async def _awaiting(login: Callable[[], Awaitable[kopf.ConnectionInfo]]) -> kopf.ConnectionInfo:
    return await login()


def _find_asks(
    dependents: keys.Dependents, watch: Watch, old: Object | None, new: Object | None
) -> Iterable[keys.Ask]:
    """What a change in one watch asks for; kinds that are not named here are objects of ours."""
    # Both states count: a label that was taken off leads to its dependents only by the old one.
    states = [state for state in (old, new) if state is not None]
    if watch.name == "proxies":
        yield from chain.from_iterable(map(dependents.asks_for_proxy, states))
        return
    by_change = {"meshes": dependents.keys_for_mesh, "namespaces": dependents.keys_for_namespace}
    by_object = {
        "revisions": keys.keys_for_revision,
        "crds": dependents.keys_for_crd,
        "roots": dependents.keys_for_namespaced,
        "profiles": lambda _: dependents.all_meshes(),
        **dict.fromkeys(WEBHOOK_KINDS, dependents.keys_for_webhook),
    }
    if watch.name in by_change:
        found = by_change[watch.name](old, new)
    else:
        found = chain.from_iterable(map(by_object.get(watch.name, keys.keys_for_owned), states))
    yield from map(keys.Ask, found)
