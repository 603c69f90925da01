"""The queue of keys: each at most once, the most urgent first, then the longest rested; one a time per lane.

Owns which key may run when. Must never know what a key stands for. Everything but `get` is synchronous, so
that event handlers can add without yielding.
Invariants: a key that is added while it runs, runs exactly once more afterwards; two keys of one lane are
never out at the same time; nothing that was added is lost unless the queue is closed; between the arrival and
the start of an edit no other edited key starts twice, and none that is less urgent than an edit.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from navarch.engine.fairness import Usage
from navarch.engine.key import Key
from navarch.engine.observer import Observer

EDIT = 0
"""Priority of what somebody changed just now."""
DELETION = 100
"""Priority of an object that is being deleted: somebody waits for it."""
RETRY = -50
"""Priority of a key that failed, or asked to be looked at again: nobody did anything just now."""
BACKGROUND = -100
"""Priority of initial listings, of resyncs, and of what a neighbour changed; it must never delay an edit."""


UNWELL = 30.0
"""Seconds by which a key that never ran, or did not end well when it did, counts as having come later: five
hundred that are refused hold up nobody who serves, and none of them waits for ever."""
_REMEMBERED = 20_000


class Closed(Exception):
    """The queue was closed: the regular end of a worker's loop."""


class Timer(Protocol):
    """A scheduled call that can be called off."""

    def cancel(self) -> None:
        """Call it off."""


class Clock(Protocol):
    """What the queue needs of the event loop."""

    def time(self) -> float:
        """Monotonic seconds."""

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call back after `delay` seconds."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A key handed to a worker, the priority it had, and how many seconds it had been ready."""

    key: Key
    priority: int
    waited: float


@dataclass(order=True, slots=True)
class _Entry:
    urgency: int
    rank: float
    sequence: int
    patient: bool = field(compare=False)
    key: Key = field(compare=False)
    since: float = field(compare=False)
    dropped: bool = field(default=False, compare=False)


@dataclass(slots=True)
class _Delayed:
    due: float
    priority: int
    timer: Timer


class Queue:
    """A keyed work queue. `clock` is the running event loop unless a test passes its own; `share` is how many
    patient keys may be out at the same time, None for any number: those less urgent than an edit, and those
    that never ran or did not end well when they last did."""

    def __init__(
        self, *, observer: Observer | None = None, clock: Clock | None = None, share: int | None = None
    ) -> None:
        self._share = share
        self._usage = Usage()
        self._well: set[Key] = set()
        self._patient: set[Key] = set()
        self._clock: Clock = clock or asyncio.get_running_loop()
        self._observer = observer or Observer()
        self._heaps: tuple[list[_Entry], list[_Entry]] = ([], [])
        self._ready: dict[Key, _Entry] = {}
        self._delayed: dict[Key, _Delayed] = {}
        self._again: dict[Key, int] = {}
        self._running: dict[Key, str] = {}
        self._lanes: dict[str, list[_Entry]] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._sequence = 0
        self._closed = False

    def add(self, key: Key, *, priority: int = EDIT, after: float = 0.0) -> None:
        """Ask for a run of `key`, at once or after so many seconds.

        Of several requests the earliest time and the highest priority count.
        """
        if self._closed:
            return
        if after > 0:
            self._add_later(key, priority, after)
            return
        delayed = self._delayed.pop(key, None)
        if delayed is not None:
            delayed.timer.cancel()
            priority = max(priority, delayed.priority)
        self._add_now(key, priority)

    def _add_later(self, key: Key, priority: int, after: float) -> None:
        pending = self._ready.get(key)
        if pending is not None or key in self._again:
            self._add_now(key, priority)
            return
        due = self._clock.time() + after
        delayed = self._delayed.get(key)
        if delayed is not None:
            priority = max(priority, delayed.priority)
            if delayed.due <= due:
                delayed.priority = priority
                return
            delayed.timer.cancel()
        timer = self._clock.call_later(after, self._mature, key)
        self._delayed[key] = _Delayed(due, priority, timer)

    def _mature(self, key: Key) -> None:
        delayed = self._delayed.pop(key, None)
        if delayed is not None and not self._closed:
            self._add_now(key, delayed.priority)

    def _add_now(self, key: Key, priority: int) -> None:
        if key in self._running:
            if key not in self._again:
                self._observer.key_added(key)
            self._again[key] = max(priority, self._again.get(key, priority))
            return
        since = self._clock.time()
        entry = self._ready.get(key)
        if entry is not None:
            if -entry.urgency >= priority:
                return
            entry.dropped = True
            since = entry.since
        else:
            self._observer.key_added(key)
        self._push(key, priority, since)

    def _push(self, key: Key, priority: int, since: float) -> None:
        self._sequence += 1
        rank = since + self._usage.find_delay(key.lane, self._clock.time())
        if key not in self._well:
            rank += UNWELL
        patient = priority < EDIT or (priority == EDIT and key not in self._well)
        entry = _Entry(-priority, rank, self._sequence, patient, key, since)
        self._ready[key] = entry
        self._offer(entry)

    def _offer(self, entry: _Entry) -> None:
        heapq.heappush(self._heaps[entry.patient], entry)
        self._wake_one()

    async def get(self) -> Taken:
        """The most urgent key whose lane is free; waits for one. Raises Closed once the queue was closed."""
        while True:
            if self._closed:
                raise Closed
            taken = self._take()
            if taken is not None:
                return taken
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except BaseException:
                # Woken and cancelled at once: somebody else has to take what this one was woken for.
                if getter.done() and not getter.cancelled():
                    self._wake_one()
                raise

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _take(self) -> Taken | None:
        while True:
            crowded = self._share is not None and len(self._patient) >= self._share
            heaps = [heap for heap in self._heaps[: 1 if crowded else 2] if heap]
            if not heaps:
                return None
            entry = heapq.heappop(min(heaps, key=lambda heap: heap[0]))
            if entry.dropped:
                continue
            parked = self._lanes.get(entry.key.lane)
            if parked is not None:
                parked.append(entry)
                continue
            self._lanes[entry.key.lane] = []
            self._usage.count(entry.key.lane, self._clock.time())
            self._running[entry.key] = entry.key.lane
            if entry.patient:
                self._patient.add(entry.key)
            del self._ready[entry.key]
            return Taken(entry.key, -entry.urgency, self._clock.time() - entry.since)

    def done(self, key: Key, *, well: bool = True) -> None:
        """Give a key back: its lane is free, and it runs again if it was added meanwhile. `well` says how it
        ended: with an object that is to be looked at again only when something changes, or at a set time.

        Raises KeyError when it is not out.
        """
        lane = self._running.pop(key)
        if len(self._well) >= _REMEMBERED:
            self._well.clear()
        if well:
            self._well.add(key)
        else:
            self._well.discard(key)
        if key in self._patient:
            self._patient.discard(key)
            self._wake_one()
        for entry in self._lanes.pop(lane):
            if not entry.dropped:
                self._offer(entry)
        again = self._again.pop(key, None)
        if again is not None and not self._closed:
            delayed = self._delayed.pop(key, None)
            if delayed is not None:
                delayed.timer.cancel()
                again = max(again, delayed.priority)
            self._push(key, again, self._clock.time())

    def close(self) -> None:
        """Take nothing more and hand out nothing more; every waiting `get` raises Closed."""
        self._closed = True
        for delayed in self._delayed.values():
            delayed.timer.cancel()
        self._delayed.clear()
        while self._getters:
            self._wake_one()

    @property
    def depth(self) -> int:
        """Keys that are ready and wait for a worker (workqueue_depth)."""
        return len(self._ready) + len(self._again)

    @property
    def delayed(self) -> int:
        """Keys whose time has not come."""
        return len(self._delayed)

    @property
    def age(self) -> float:
        """Seconds that the oldest ready key has been waiting; 0 when none is."""
        oldest = min((entry.since for entry in self._ready.values()), default=None)
        return 0.0 if oldest is None else self._clock.time() - oldest
