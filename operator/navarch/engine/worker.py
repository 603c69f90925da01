"""Workers: take a key, reconcile it, act on the result.

Owns how often and when a key runs again. Must never let one key's failure reach another key.
Invariants: no reconcile starts while the gate is closed; every key that is taken is given back; a crash is
logged with its traceback once until the key succeeds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from structlog.contextvars import bound_contextvars

from navarch.engine.backoff import Backoff
from navarch.engine.key import Key
from navarch.engine.observer import Observer
from navarch.engine.queue import RETRY, Closed, Queue, Taken
from navarch.engine.result import After, Done, Result, Retry, Terminal, classify, is_well

log = structlog.get_logger(__name__)


class Workers:
    """`count` workers over one queue.

    `reconcile` does the work of one key; `gate` is open while this replica may act (the Lease); `ids` makes
    the reconcile ids that bind the log lines of one run together.
    """

    def __init__(
        self,
        queue: Queue,
        reconcile: Callable[[Key], Awaitable[Result]],
        *,
        count: int,
        gate: asyncio.Event,
        backoff: Backoff,
        ids: Callable[[], str],
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._count = count
        self._gate = gate
        self._backoff = backoff
        self._ids = ids
        self._observer = observer or Observer()
        self._clock = clock
        self._crashes: dict[Key, str] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Work until stopped. A worker that breaks ends all of them and raises: a bug of this module."""
        async with asyncio.TaskGroup() as group:
            self._tasks = [group.create_task(self._work(), name=f"worker-{n}") for n in range(self._count)]

    async def stop(self, *, grace: float) -> None:
        """Start nothing more; wait `grace` seconds for what runs, then cancel it."""
        self._queue.close()
        tasks = [task for task in self._tasks if not task.done()]
        if not self._gate.is_set():
            grace = 0  # the Lease is lost: what still runs may not write any more
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()

    async def _work(self) -> None:
        while True:
            await self._gate.wait()
            try:
                taken = await self._queue.get()
            except Closed:
                return
            well: bool | None = None
            try:
                if self._gate.is_set():
                    well = await self._run(taken)
                else:  # it closed while this worker waited for a key
                    self._queue.add(taken.key, priority=taken.priority)
            finally:
                self._queue.done(taken.key, well=well)

    async def _run(self, taken: Taken) -> bool:
        """One reconcile; whether it ended well."""
        key = taken.key
        fields = {"kind": key.kind, "namespace": key.namespace, "name": key.name, "reconcile_id": self._ids()}
        with bound_contextvars(**fields):
            self._observer.reconcile_started(key, waited=taken.waited)
            started = self._clock()
            name = "cancelled"
            try:
                result = await self._outcome(key)
                name = self._settle(taken, result)
            finally:
                self._observer.reconcile_finished(key, result=name, seconds=self._clock() - started)
            return is_well(result)

    async def _outcome(self, key: Key) -> Result:
        try:
            return await self._reconcile(key)
        except Exception as exc:
            # The boundary of fault containment: any exception of one key becomes a result of that key.
            return classify(exc)

    def _settle(self, taken: Taken, result: Result) -> str:
        key = taken.key
        match result:
            case Done():
                self._forget(key)
                return "success"
            case After(seconds):
                self._forget(key)
                self._queue.add(key, priority=RETRY, after=seconds)
                return "requeue_after"
            case Terminal(message):
                self._forget(key)
                log.warning("not retried until it is edited", error=message)
                return "terminal"
            case Retry():
                delay = min(self._backoff.next_delay(key), result.longest)
                if result.after is not None:
                    delay = result.after
                self._report(key, result, delay)
                self._observer.key_retried(key)
                self._queue.add(key, priority=RETRY, after=delay)
                return "error"

    def _forget(self, key: Key) -> None:
        self._backoff.reset(key)
        self._crashes.pop(key, None)

    def _report(self, key: Key, retry: Retry, delay: float) -> None:
        error = f"{type(retry.error).__name__}: {retry.error}"
        if not retry.crashed:
            log.warning("retried", error=error, seconds=round(delay, 1))
            return
        self._observer.reconcile_crashed(key)
        seen = self._crashes.get(key) == error
        self._crashes[key] = error
        log.error("crashed", error=error, seconds=round(delay, 1), exc_info=None if seen else retry.error)
