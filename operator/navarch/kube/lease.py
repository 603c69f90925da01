"""Which replica may act: a coordination.k8s.io Lease.

Owns acquiring, renewing and releasing. Must never trust the wall clock: another holder's Lease expires by our
own monotonic clock, counted from the moment its last renewal was first seen.
A leader that cannot reach the API server stops writing, and goes on when it finds the Lease still its own.
Other namespaces have Leases of their own: `find_rival` says who holds one, before this one is taken or a
leader goes on, and once more when it is taken.
Invariants: `check` passes only within `renew` seconds after the start of a renewal that succeeded, which ends
before anybody else may take over; the Lease itself is written only so soon after it was looked at; a release
lets the next replica lead at once, and nothing here writes after it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from navarch.core.model.refs import Ref
from navarch.engine.result import Fault, NotLeading
from navarch.kube.client import Client, Object
from navarch.kube.errors import Conflict, NotFound

log = structlog.get_logger(__name__)

LONGEST = 300.0
"""Seconds after which a holder that does not renew has lost the Lease, however long it says that it holds."""


async def _no_rival() -> str:
    return ""


class Elector:
    """Competes for one Lease.

    `duration` is how long the Lease holds without renewal, `renew` how long the leader goes on writing
    without one, `retry` the time between two attempts; all in seconds. `on_lost` is called once when another
    replica leads instead; the process is expected to end. `find_rival` says why no replica may lead
    here although the Lease is free. `now` gives aware UTC time, for display only.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        name: str,
        identity: str,
        on_lost: Callable[[], None],
        find_rival: Callable[[], Awaitable[str]] = _no_rival,
        duration: float = 15.0,
        renew: float = 10.0,
        retry: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if not 0 < retry < renew < duration:
            raise ValueError(f"retry {retry} < renew {renew} < duration {duration} does not hold")
        self.leading = asyncio.Event()
        # Not waiting behind reconciles.
        self._client = client.guarded(self._check_turn, requests=2)
        self._ref = Ref("coordination.k8s.io/v1", "Lease", namespace, name)
        self._identity = identity
        self._on_lost, self._find_rival = on_lost, find_rival
        self._duration, self._renew, self._retry = duration, renew, retry
        self._clock, self._now = clock, now
        self._deadline = self._turn_ends = float("-inf")
        self._seen: tuple[str, float] = ("", 0.0)
        self._expires = float("-inf")
        self._led_since = 0.0
        self._held = self._released = self._interrupted = self._barred = False
        self._turn = asyncio.Lock()

    @property
    def led(self) -> float:
        """Seconds since this replica leads; 0 when it does not."""
        return self._clock() - self._led_since if self.leading.is_set() else 0.0

    def check(self) -> None:
        """The guard of every write. Raises NotLeading when the Lease is not surely held."""
        if not self.leading.is_set():
            raise NotLeading("this replica does not hold the Lease")
        if self._clock() >= self._deadline:
            raise NotLeading("the Lease could not be renewed in time")

    def _check_turn(self) -> None:
        """The guard of our own writes: one that lay here for longer rests on a Lease of long ago."""
        if self._clock() >= self._turn_ends:
            raise NotLeading("the Lease was looked at too long ago")

    async def run(self) -> None:
        """Compete, then renew, until cancelled, released or lost to another replica."""
        while not await self._attempt():
            await asyncio.sleep(self._find_pause())
            if self._released:
                return
        if self._released:
            return
        self._lead()
        await self._hold()
        if self._released:
            return
        self.leading.clear()
        self._held = False
        log.error("lost the Lease", lease=str(self._ref), identity=self._identity)
        self._on_lost()

    def _find_pause(self) -> float:
        left = self._expires - self._clock()
        if self._barred:
            # Two that gave way to each other must not meet again and again.
            return self._retry * random.uniform(1, 2)
        return left if 0 < left < self._retry else self._retry

    def stop(self) -> None:
        """Stop renewing, and let nothing more be written. The Lease is still ours until `release`, or until
        it expires."""
        self._released = True
        self.leading.clear()

    async def release(self) -> None:
        """Stop renewing and let the next replica lead at once. Call it when everything that writes has ended.

        `run` ends too; a renewal that is on its way is waited for, since it would take the Lease back.
        """
        self.stop()
        try:
            async with asyncio.timeout(self._renew), self._turn:
                if self._held:
                    await self._free()
        except (TimeoutError, Fault) as error:
            log.warning("the Lease was not released and has to expire", error=str(error) or "timed out")

    async def _free(self) -> None:
        for last in (False, True):
            self._turn_ends = self._clock() + self._renew
            lease = await self._client.get(self._ref)
            if lease["spec"].get("holderIdentity") != self._identity:
                return
            freed = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._time()}
            try:
                await self._client.replace(lease | {"spec": lease["spec"] | freed})
                return
            except Conflict:
                # A renewal that had timed out arrived after all.
                if last:
                    raise

    def _lead(self) -> None:
        self._interrupted = False
        self._led_since = self._clock()
        self.leading.set()
        log.info("leading", lease=str(self._ref), identity=self._identity)

    async def _hold(self) -> None:
        """Renew until released, or until another replica holds the Lease.

        While it is out of reach for too long nothing is written; a restart would not bring it nearer.
        """
        while True:
            await asyncio.sleep(self._retry)
            if self._released:
                return
            held: bool | None = None
            try:
                async with asyncio.timeout(self._patience()):
                    held = await self._try()
            except (TimeoutError, Fault) as error:
                log.warning("the Lease was not renewed", error=str(error) or "timed out")
            if held is False:
                return
            if held and self._interrupted:
                self._lead()
            elif self._clock() >= self._deadline and not self._interrupted:
                self._interrupt()

    def _patience(self) -> float:
        return self._renew if self._interrupted else max(self._deadline - self._clock(), 0)

    def _interrupt(self) -> None:
        self._interrupted = True
        self.leading.clear()
        log.error("not leading until the Lease is in reach again", lease=str(self._ref))

    async def _attempt(self) -> bool:
        try:
            async with asyncio.timeout(self._renew):
                return await self._try()
        except (TimeoutError, Fault) as error:
            log.warning("the Lease is out of reach", error=str(error) or "timed out")
            return False

    async def _try(self) -> bool:
        """Take or renew the Lease. Returns False when another replica holds it, or it was released."""
        async with self._turn:
            if self._released:
                return False
            self._held = await self._take()
            if self._held and await self._find_bar():
                await self._free()
                self._held = False
            return self._held

    async def _find_bar(self) -> bool:
        """Whether another installation keeps us from leading; a leader does not check this."""
        self._barred = not self.leading.is_set() and bool(await self._find_rival())
        return self._barred

    async def _take(self) -> bool:
        started = self._clock()
        self._turn_ends = started + self._renew
        try:
            lease = await self._client.get(self._ref)
        except NotFound:
            lease = None
        if lease is not None and not self._is_free(lease):
            return False
        if self._interrupted and not self._is_ours(lease):
            return False  # another replica may have led meanwhile, and unfinished work here is out of date
        if await self._find_bar():
            return False
        self._held = True  # perhaps: it is released also when the answer never came
        try:
            if lease is None:
                await self._client.create(self._manifest({}))
            else:
                await self._client.replace(lease | {"spec": self._manifest(lease["spec"])["spec"]})
        except Conflict:
            # Another client wrote at the same moment: the next read shows which.
            if self.leading.is_set() or self._interrupted:
                raise
            return False
        self._deadline = started + self._renew
        return True

    def _is_free(self, lease: Object) -> bool:
        spec = lease["spec"]
        holder = spec.get("holderIdentity") or ""
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, self._clock())
        duration = float(spec.get("leaseDurationSeconds") or self._duration)
        self._expires = self._seen[1] + min(duration, LONGEST)
        return holder in ("", self._identity) or self._clock() >= self._expires

    def _is_ours(self, lease: Object | None) -> bool:
        return lease is not None and lease["spec"].get("holderIdentity") == self._identity

    def _manifest(self, before: dict[str, Any]) -> dict[str, Any]:
        mine = before.get("holderIdentity") == self._identity
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(int(self._duration), 1),
            "acquireTime": before.get("acquireTime") if mine else self._time(),
            "renewTime": self._time(),
            "leaseTransitions": self._count_transitions(before, mine=mine),
        }
        metadata = {"namespace": self._ref.namespace, "name": self._ref.name}
        return {"apiVersion": self._ref.api_version, "kind": "Lease", "metadata": metadata, "spec": spec}

    def _count_transitions(self, before: dict[str, Any], *, mine: bool) -> int:
        """How often the Lease went from one holder to another; begun anew at the most that the API takes."""
        count = int(before.get("leaseTransitions") or 0)
        return count if mine or not before else (count + 1) % 2**31

    def _time(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
