"""The queue of keys: each at most once, in the order of their rank; one a time per lane.

Owns which key may run when. Must never know what a key stands for. Everything but `get` is synchronous, so
that event handlers can add without yielding.
Keys are ordered by arrival time plus penalties: 15 s for a retry, 30 s for background work, 30 s if the last
run failed, or if there was none and nobody edited the object, up to 1 s for a busy lane. The sum is at most
LONGEST_PUT_BACK: once a key has waited that long, no key that arrives from then on gets a worker that it may
use, so none starves.
Invariants: a key that is added while it runs, runs exactly once more afterwards; two keys of one lane are
never out at the same time, and of several lanes of a key the last one counts; nothing that was added is lost
unless the queue is closed; never more than `share` keys of low priority are out; between the arrival and
the start of an edit of a key whose last run succeeded and whose lane is not busy, no other such edit starts
twice, nor does any key start that came less than its own offset before.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from navarch.engine.fairness import LONGEST, Usage
from navarch.engine.key import Key
from navarch.engine.observer import Observer

EDIT = 0
"""Priority of a change of the object, or of an object that belongs to it."""
RETRY = -50
"""Priority of a key that failed, or asked to be reconciled again later."""
BACKGROUND = -100
"""Priority of initial listings, of resyncs, and of changes of other objects: no user waits for these."""

RETRY_LATER = 15.0
"""Seconds by which a key that is less urgent than an edit counts as having come later."""
BACKGROUND_LATER = 30.0
"""The same for a key that is less urgent than a retry."""
UNHEALTHY = 30.0
"""The same for a key whose last run failed: five hundred refused meshes do not delay a healthy one, and none
of them waits for ever. Also for one that never ran, unless it is edited: who joins while a new process looks
at thousands for the first time comes before these."""
LONGEST_PUT_BACK = BACKGROUND_LATER + UNHEALTHY + LONGEST
"""Seconds by which any key counts as having come later, at the most."""
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
    rank: float
    sequence: int
    priority: int = field(compare=False)
    is_low: bool = field(compare=False)
    key: Key = field(compare=False)
    since: float = field(compare=False)
    dropped: bool = field(default=False, compare=False)


@dataclass(slots=True)
class _Delayed:
    key: Key
    due: float
    priority: int
    timer: Timer


class Queue:
    """A keyed work queue. `clock` is the running event loop unless a test passes its own; `share` is how many
    keys of low priority may be out at the same time, None for any number: retries, background work, and keys
    that never ran or whose last run failed."""

    def __init__(
        self, *, observer: Observer | None = None, clock: Clock | None = None, share: int | None = None
    ) -> None:
        self._share = share
        self._usage = Usage()
        self._well: set[Key] = set()
        self._ill: set[Key] = set()
        self._low: set[Key] = set()
        self._clock: Clock = clock or asyncio.get_running_loop()
        self._observer = observer or Observer()
        self._heaps: tuple[list[_Entry], list[_Entry]] = ([], [])
        self._ready: dict[Key, _Entry] = {}
        self._delayed: dict[Key, _Delayed] = {}
        self._again: dict[Key, tuple[Key, int]] = {}
        self._running: dict[Key, str] = {}
        self._lanes: dict[str, list[_Entry]] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._sequence = 0
        self._closed = False

    def add(self, key: Key, *, priority: int = EDIT, after: float = 0.0) -> None:
        """Ask for a run of `key`, at once or after so many seconds.

        Of several requests the earliest time and the highest priority count; none is above EDIT.
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
            key, priority = self._choose(delayed.key, key), max(priority, delayed.priority)
            if delayed.due <= due:
                delayed.key, delayed.priority = key, priority
                return
            delayed.timer.cancel()
        timer = self._clock.call_later(after, self._mature, key)
        self._delayed[key] = _Delayed(key, due, priority, timer)

    def _choose(self, before: Key, key: Key) -> Key:
        """Of two equal keys the one whose lane was said last. A key that its own run puts back comes with the
        lane that it has been taken with: that is nothing new."""
        return before if self._running.get(key) == key.lane else key

    def _mature(self, key: Key) -> None:
        delayed = self._delayed.pop(key, None)
        if delayed is not None and not self._closed:
            self._add_now(delayed.key, delayed.priority)

    def _add_now(self, key: Key, priority: int) -> None:
        if key in self._running:
            if key not in self._again:
                self._observer.key_added(key)
            waiting, before = self._again.get(key, (key, priority))
            self._again[key] = (self._choose(waiting, key), max(priority, before))
            return
        since = self._clock.time()
        entry = self._ready.get(key)
        if entry is not None:
            if entry.priority >= priority and entry.key.lane == key.lane:
                return
            priority = max(priority, entry.priority)
            entry.dropped = True
            since = entry.since
        else:
            self._observer.key_added(key)
        self._push(key, priority, since)

    def _push(self, key: Key, priority: int, since: float) -> None:
        self._sequence += 1
        is_well = key in self._well
        rank = since + self._usage.find_delay(key.lane, self._clock.time())
        is_new = priority >= EDIT and key not in self._ill
        rank += _find_offset(priority) + (0.0 if is_well or is_new else UNHEALTHY)
        is_low = priority < EDIT or not is_well
        entry = _Entry(rank, self._sequence, priority, is_low, key, since)
        self._ready[key] = entry
        self._offer(entry)

    def _offer(self, entry: _Entry) -> None:
        heapq.heappush(self._heaps[entry.is_low], entry)
        self._wake_one()

    async def get(self) -> Taken:
        """The key of the lowest rank whose lane is free and which `share` allows; waits for one. Raises
        Closed once the queue was closed."""
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
                # Woken and cancelled at once: another worker has to take the key.
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
            crowded = self._share is not None and len(self._low) >= self._share
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
            if entry.is_low:
                self._low.add(entry.key)
            del self._ready[entry.key]
            return Taken(entry.key, entry.priority, self._clock.time() - entry.since)

    def done(self, key: Key, *, well: bool | None = True) -> None:
        """Give a key back: its lane is free, and it runs again if it was added meanwhile. `well` says how it
        ended; None when it did not run to its end, so that it counts as what it did before.

        Raises KeyError when it is not out.
        """
        lane = self._running.pop(key)
        if well is not None:
            _move(key, *((self._ill, self._well) if well else (self._well, self._ill)))
        if key in self._low:
            self._low.discard(key)
            self._wake_one()
        for entry in self._lanes.pop(lane):
            if not entry.dropped:
                self._offer(entry)
        again = self._again.pop(key, None)
        if again is not None and not self._closed:
            key, priority = again
            delayed = self._delayed.pop(key, None)
            if delayed is not None:
                delayed.timer.cancel()
                priority = max(priority, delayed.priority)
            self._push(key, priority, self._clock.time())

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


def _move(key: Key, before: set[Key], after: set[Key]) -> None:
    """Note how a key ended. What is remembered has a bound, and may be lost."""
    before.discard(key)
    if len(after) >= _REMEMBERED:
        after.clear()
    after.add(key)


def _find_offset(priority: int) -> float:
    """By how many seconds a key of this priority counts as having come later than an edit."""
    if priority >= EDIT:
        return 0.0
    return RETRY_LATER if priority >= RETRY else BACKGROUND_LATER
