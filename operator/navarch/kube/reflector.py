"""Keeps a Store equal to what the API server has of one kind.

Owns one list and one watch. Must never give up: every failure is followed by another try.
Invariants: what vanished while the watch was away is gone from the store after the next listing (no ghosts),
and there is one about each hour in any case;
`synced` is set once the store was complete for the first time, also when the kind is not served at all.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import aclosing

import structlog

from navarch.kube.client import IDLE_SECONDS, PAGE, Client
from navarch.kube.errors import Forbidden, Gone, KubeError, Unavailable, Unserved
from navarch.kube.resources import Resource
from navarch.kube.shelf import Bound, Pool
from navarch.kube.store import Change, Object, Store

log = structlog.get_logger(__name__)

FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0
UNSERVED_DELAY = 5.0
"""Seconds between two looks for a kind that is not served, unless said; `nudge` cuts one short."""
SHORTEST_WATCH = 1.0
"""Seconds; a watch that ends sooner without having said anything counts as a failure, as in client-go."""
REFUSED_DELAY = 15.0
"""Seconds between two tries of a kind that need not be watched, and may not be."""
RELIST_SECONDS = 3600.0
"""About how often a watch that never fails is started over with a listing: the net below the events."""


class Reflector:
    """Lists and watches one kind, optionally narrowed by selectors.

    `metadata_only` keeps PartialObjectMetadata; `transform` shrinks an object before it is stored;
    `on_change` and `on_own_change` get the old and the new object, as the store says; `bound` and `pool`
    limit what is kept, `page` is how many objects the first page of a listing has; `jitter` gives numbers
    from [0, 1). A watch that says nothing for `idle` seconds is started anew. The API server is asked to end
    each sooner, which is a sign of life as well: of a kind whose objects do not change, Kubernetes 1.32 sends
    no bookmarks (1.37 does). `on_served` is told when a kind that was not served is, or the other way round;
    `find_unserved_delay` gives the seconds between two looks for one that is not. While `is_wanted` says no,
    nothing is asked for, and the kind counts as not served; with `optional` so does one that is forbidden.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        transform: Callable[[Object], Object] | None = None,
        on_change: Change | None = None,
        on_own_change: Change | None = None,
        bound: Bound | None = None,
        pool: Pool | None = None,
        page: int = PAGE,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        idle: float = IDLE_SECONDS,
        on_served: Callable[[], None] = lambda: None,
        find_unserved_delay: Callable[[], float] = lambda: UNSERVED_DELAY,
        is_wanted: Callable[[], bool] = lambda: True,
        optional: bool = False,
    ) -> None:
        self.store = Store(
            resource,
            metadata_only=metadata_only,
            transform=transform,
            on_change=on_change,
            on_own_change=on_own_change,
            bound=bound,
            pool=pool,
        )
        self._page = page
        self.synced = asyncio.Event()
        self._on_served, self._find_unserved_delay = on_served, find_unserved_delay
        self._is_wanted, self._optional = is_wanted, optional
        self._client = client
        self._resource = resource
        self._namespace = namespace
        self._label_selector, self._field_selector = label_selector, field_selector
        self._metadata_only = metadata_only
        self._clock, self._jitter, self._idle = clock, jitter, idle
        self._seen = self._heard_since = clock()
        self._relist_at = self._rests_until = 0.0
        self._nudged = asyncio.Event()
        self._failures = 0
        self.version = ""
        """The resourceVersion up to which the store is right; empty asks for a listing."""

    @property
    def served(self) -> bool:
        """Whether the API server had the kind when it was last asked."""
        return self.store.served

    @property
    def rests(self) -> bool:
        """Whether the kind is not served, and the next look for it is not due."""
        return self._clock() < self._rests_until

    @property
    def age(self) -> float:
        """Seconds since the API server was last heard of: it ends a watch after three quarters of `idle`. Of
        a kind that is not served, seconds since the next look was due."""
        return max(0.0, self._clock() - max(self._seen, self._rests_until))

    @property
    def steady(self) -> float:
        """Seconds for which the API server has been heard of without a gap; 0 during one."""
        return 0.0 if self.age > self._idle else self._clock() - self._heard_since

    def nudge(self) -> None:
        """Look again at once instead of waiting, for example because the CRD was just applied."""
        self._nudged.set()

    async def run(self) -> None:
        """Reflect until cancelled."""
        while True:
            if not self._is_wanted():
                self._unserved()
                await self._rest(RELIST_SECONDS)
                continue
            try:
                if not self.version or self._clock() >= self._relist_at:
                    await self._list()
                await self._watch()
            except Unserved as missing:
                if self._resource.builtin:
                    # Every API server has it: the one that answered has not read yet what it serves.
                    await self._recover(missing)
                else:
                    self._unserved()
                    await self._rest(self._find_unserved_delay())
            except Forbidden as refusal:
                if self._optional:
                    self._unserved(str(refusal))
                    await self._rest(REFUSED_DELAY)
                else:
                    await self._recover(refusal)
            except Exception as exc:
                # Go on after any exception, also a bug in a callback: a kind that is not watched is worse.
                await self._recover(exc)

    async def _recover(self, exc: Exception) -> None:
        # After a broken connection the watch resumes where it was; anything else asks for a new listing.
        if not (isinstance(exc, KubeError) and exc.status in (0, 429)):
            self.version = ""
        delay = self._next_delay()
        if not isinstance(exc, Gone):
            crash = None if isinstance(exc, KubeError) else exc
            log.warning(
                "watch interrupted", kind=self._resource.kind, error=str(exc), seconds=delay, exc_info=crash
            )
        await self._pause(delay)

    async def _list(self) -> None:
        self.store.begin()
        listing = await self._client.list(
            self._resource,
            namespace=self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            metadata_only=self._metadata_only,
            limit=self._page,
            keep=self._take,
        )
        self.store.commit(listing.resource_version)
        self._hear()
        self._relist_at = self._clock() + RELIST_SECONDS * (0.75 + self._jitter() / 2)
        self.version = listing.resource_version
        self.store.refused = ""
        self._note_served(True)

    def _take(self, obj: Object) -> None:
        """An object of a listing. A listing of many pages may take minutes: each is a sign of life."""
        self._hear()
        self.store.stage(obj)

    async def _watch(self) -> None:
        events = self._client.watch(
            self._resource,
            resource_version=self.version,
            namespace=self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            metadata_only=self._metadata_only,
            seconds=max(2, int(self._idle * (0.5 + self._jitter() / 4))),
            idle=self._idle,
        )
        started, silent = self._clock(), True
        async with aclosing(events):
            async for event in events:
                self._hear()
                if event.type != "BOOKMARK":
                    silent, self._failures = False, 0
                self._reflect(event.type, event.object)
                self.version = event.object["metadata"]["resourceVersion"]
        if not silent or self._clock() - started >= SHORTEST_WATCH:
            self._failures = 0
            self._hear()
            return
        text = f"the watch ended within {SHORTEST_WATCH:.0f} s without an event"
        raise Unavailable(text, method="WATCH", subject=self._resource.kind)

    def _reflect(self, kind: str, obj: Object) -> None:
        match kind:
            case "ADDED" | "MODIFIED":
                self.store.change(obj)
            case "DELETED":
                self.store.remove(obj)

    def _unserved(self, refused: str = "") -> None:
        self.store.refused = refused
        self.store.begin()
        self.store.replace((), "")
        self.version = ""
        self._hear()
        self._note_served(False)

    def _note_served(self, served: bool) -> None:
        """The store is complete, since the kind is served, or not."""
        changed, self.store.served = self.store.served != served, served
        if changed and self.synced.is_set():
            self._on_served()
        self.synced.set()

    def _hear(self) -> None:
        if self.age > self._idle:
            self._heard_since = self._clock()
        self._seen = self._clock()

    def _next_delay(self) -> float:
        delay = min(FIRST_DELAY * 2.0**self._failures, LONGEST_DELAY)
        self._failures = min(self._failures + 1, 16)
        return delay * (0.5 + self._jitter() / 2)

    async def _rest(self, seconds: float) -> None:
        """Wait before the next look for a kind that is not served, for an hour where no one asks for it: no
        word is expected meanwhile, and silence counts from when it is looked for again."""
        self._rests_until = self._clock() + seconds
        await self._pause(seconds)
        self._seen, self._rests_until = self._clock(), 0.0

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._nudged.wait()
        except TimeoutError:
            return
        self._nudged.clear()
