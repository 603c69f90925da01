"""The reflectors of all watches, and the way from a change to the keys of what depends on it.

Owns the reflectors and the index of our own objects. Must never look at what changed beyond what the watch's
row asks for. Invariants: the index knows of a change before it is asked which keys follow, and says that it
was told of a version only once these are in the queue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeAlias

from navarch.core.model.parent import parent_of
from navarch.core.model.refs import Ref
from navarch.engine.queue import BACKGROUND, EDIT, Queue
from navarch.gather.authority import OF_AUTHORITIES
from navarch.gather.cluster import by_service
from navarch.gather.rolled import OF_ROLLOUTS
from navarch.gather.watches import (
    CRDS,
    GATEWAYS,
    MESHES,
    NAMESPACES,
    WATCHES,
    WEBHOOK_KINDS,
    Role,
    Watch,
)
from navarch.kube.client import Client
from navarch.kube.reflector import RELIST_SECONDS, UNSERVED_DELAY, Reflector
from navarch.kube.resources import resource_of
from navarch.kube.shelf import MIB, Pool
from navarch.kube.store import Object, Store
from navarch.settings import Settings
from navarch.telemetry import metrics
from navarch.triggers.keys import (
    Ask,
    Dependents,
    asks_for_routes,
    but_itself,
    is_near,
    starts,
)
from navarch.triggers.known import Known, key_of

Finder: TypeAlias = Callable[[Object | None, Object | None], Iterator[Ask]]
Heed: TypeAlias = Callable[[Watch, Object | None, Object | None], None]


ALL_WATCHES = (*WATCHES, *OF_ROLLOUTS, *OF_AUTHORITIES)
_ASKED_FOR = {watch.asked_by for watch in ALL_WATCHES if watch.asked_by is not None}


class Watching:
    """A reflector for each watch, which `heed` is told of besides the `queue`."""

    def __init__(self, client: Client, queue: Queue, settings: Settings, *, heed: Heed) -> None:
        self.known = Known()
        self._queue, self._heed = queue, heed
        self._dependents = Dependents(
            self.known, find_namespace=self._find_namespace, is_called=self._is_called
        )
        self._pool = Pool(most=settings.cache_mib * MIB)
        idle = settings.silence_seconds / 2
        self.reflectors = {
            watch.name: self._build(watch, client, settings.namespace, idle) for watch in ALL_WATCHES
        }

    def store(self, watch: Watch) -> Store:
        """What is known of a watch's objects."""
        return self.reflectors[watch.name].store

    @property
    def stores(self) -> dict[str, Store]:
        """All stores, by the watch's name."""
        return {name: reflector.store for name, reflector in self.reflectors.items()}

    async def run(self, watch: Watch) -> None:
        """Reflect until cancelled; what meshes ask for once it is known what they ask for, or the first look
        would find less than the last one before a restart did."""
        if watch.asked_by is not None:
            await self.reflectors[MESHES.name].synced.wait()
        await self.reflectors[watch.name].run()

    async def wait(self) -> None:
        """Wait until every store is complete."""
        for reflector in self.reflectors.values():
            await reflector.synced.wait()

    def find_unsynced(self) -> Iterator[str]:
        """A sentence for each watch whose store is not complete yet."""
        for name, reflector in self.reflectors.items():
            if not reflector.synced.is_set():
                yield f"watch {name} is not synced yet"

    def _build(self, watch: Watch, client: Client, namespace: str, idle: float) -> Reflector:
        reflector = Reflector(
            client,
            resource_of(watch.api_version, watch.kind),
            namespace=namespace if watch.in_operator_namespace else "",
            label_selector=watch.label_selector,
            field_selector=watch.field_selector,
            metadata_only=watch.metadata_only,
            transform=watch.transform,
            on_change=partial(self._note, watch, partial(watch.keys, self._dependents)),
            on_own_change=partial(self._note, watch, partial(but_itself(watch.keys), self._dependents)),
            bound=watch.bound,
            pool=self._pool,
            page=watch.page,
            idle=idle,
            on_served=partial(self._note_served, watch),
            find_unserved_delay=partial(self._find_unserved_delay, watch),
            is_wanted=partial(self._is_wanted, watch),
            optional=watch.asked_by is not None,
        )
        metrics.watch_age_seconds.labels(watch.name).set_function(partial(getattr, reflector, "age"))
        metrics.watch_kept_bytes.labels(watch.name).set_function(partial(getattr, reflector.store, "bytes"))
        left_out = partial(_count_left_out, reflector.store)
        metrics.watch_left_out_objects.labels(watch.name).set_function(left_out)
        return reflector

    def _find_namespace(self, name: str) -> Object | None:
        return self.store(NAMESPACES).get(Ref("v1", "Namespace", "", name))

    def _is_called(self, namespace: str) -> bool:
        stores = (self.reflectors[kind].store for kind in WEBHOOK_KINDS)
        found = (webhook for store in stores for webhook in store.find(by_service, namespace))
        return any(parent_of(webhook) is None for webhook in found)

    def _note(self, watch: Watch, find: Finder, old: Object | None, new: Object | None) -> None:
        """A change of an object becomes the keys that its watch's row says, or some of them."""
        about = new or old
        if about is None:
            return
        if watch.role is Role.OWN:
            self.known.change(old, new)
        asks = watch is GATEWAYS and starts(asks_for_routes, old, new)
        if watch is CRDS or asks or (watch is MESHES and any(starts(ask, old, new) for ask in _ASKED_FOR)):
            self._nudge_unserved()
        self._heed(watch, old, new)
        is_urgent = self.reflectors[watch.name].synced.is_set() and watch.is_edit(old, new)
        for ask in find(old, new):
            priority = EDIT if is_urgent and is_near(ask.key, about) else BACKGROUND
            self._queue.add(ask.key, priority=priority, after=ask.after)
        if watch.role is Role.OWN:
            self.known.note_told(old, new)

    def _note_served(self, watch: Watch) -> None:
        """An API that gateways ask for has come, or gone, or what meshes ask for."""
        gateways = self._dependents.all_gateways() if watch.wanted_by is not None else ()
        meshes = self.store(MESHES).list() if watch.asked_by is not None else ()
        asking = (key_of(mesh) for mesh in meshes if watch.asked_by is not None and watch.asked_by(mesh))
        for key in (*gateways, *asking):
            self._queue.add(key, priority=BACKGROUND)

    def _is_wanted(self, watch: Watch) -> bool:
        """Whether a kind is to be watched at all: of some that is asked for by meshes, and of some that comes
        with a CRD, whose coming wakes the reflector."""
        if watch.crd and self.store(CRDS).get(Ref(CRDS.api_version, CRDS.kind, "", watch.crd)) is None:
            return False
        return watch.asked_by is None or any(map(watch.asked_by, self.store(MESHES).list()))

    def _find_unserved_delay(self, watch: Watch) -> float:
        """Seconds until the API server is asked again for a kind that it does not serve."""
        gateways = self.store(GATEWAYS).list()
        wanted = watch.wanted_by is None or any(map(watch.wanted_by, gateways))
        return UNSERVED_DELAY if wanted else RELIST_SECONDS

    def _nudge_unserved(self) -> None:
        for reflector in self.reflectors.values():
            if not reflector.served:
                reflector.nudge()


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
