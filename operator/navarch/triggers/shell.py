"""kopf in a thread of its own, started again whenever it ends.

Owns kopf's life, and tells whether it lives. Must never do anything with a key but hand it on. At its end
kopf cancels every task of its loop that is younger than it, and in a main thread it would take the process's
signals: hence a thread and a loop of its own.
Invariant: `age` stays small exactly while runs of kopf last and their loop turns.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias, cast

import kopf
import structlog

from navarch.engine.key import Key
from navarch.triggers.handlers import Enqueue, Login, build_registry, build_settings

log = structlog.get_logger(__name__)

DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between the end of a run and the next one, growing while runs end soon."""
BEAT = 5.0
"""Seconds between two signs of life; a run that begins to end before the first one counts as none."""
URGING = 1.0
"""Seconds between two cancellations of whatever keeps a run from ending."""
LASTING = 60.0
"""Seconds after which a run was a good one: when it ends, the next one starts soon again."""

Operate: TypeAlias = Callable[..., Awaitable[None]]


class Shell:
    """Runs kopf over our kinds. `enqueue` and `login` are called in the loop in which `run` runs; `idle` is
    after how many seconds of silence kopf starts a watch anew.
    """

    def __init__(
        self,
        enqueue: Enqueue,
        login: Login,
        *,
        idle: float,
        operate: Operate = kopf.operator,
        clock: Callable[[], float] = time.monotonic,
        beat: float = BEAT,
    ) -> None:
        self._enqueue, self._login, self._operate = enqueue, login, operate
        self._idle, self._beat, self._clock = idle, beat, clock
        self._seen: float | None = None

    @property
    def age(self) -> float:
        """Seconds since kopf last showed that it runs; 0 before it was started."""
        return 0.0 if self._seen is None else self._clock() - self._seen

    async def run(self) -> None:
        """Keep kopf running until cancelled: it ends on errors of the API server that it does not know, and
        each run lists our kinds again."""
        loop = asyncio.get_running_loop()
        self._seen, attempt = self._clock(), 0
        while True:
            started, stop = self._clock(), threading.Event()
            try:
                await asyncio.to_thread(asyncio.run, self._run_once(loop, stop))
                log.warning("kopf ended")
            except Exception:
                log.warning("kopf ended", exc_info=True)
            finally:
                stop.set()
            if self._clock() - started > LASTING:
                attempt = 0
            await asyncio.sleep(DELAYS[min(attempt, len(DELAYS) - 1)])
            attempt += 1

    async def _run_once(self, home: asyncio.AbstractEventLoop, stop: threading.Event) -> None:
        def enqueue(key: Key, priority: int) -> None:
            home.call_soon_threadsafe(partial(self._enqueue, key, priority))

        async def log_in() -> kopf.ConnectionInfo:
            asked: Any = asyncio.run_coroutine_threadsafe(_await(self._login), home)
            return cast("kopf.ConnectionInfo", await asyncio.wrap_future(asked))

        beating = asyncio.create_task(self._keep_beating())
        registry = build_registry(enqueue, log_in)
        run = asyncio.current_task()

        @kopf.on.cleanup(registry=registry)
        async def let_go(**_: Any) -> None:
            # It watches no more; what is left of the run is its end.
            beating.cancel()
            stop.set()
            asyncio.get_running_loop().call_later(URGING, urge)

        def urge() -> None:
            # After a watch of one kind has failed, the other kind's may swallow kopf's only cancellation, and
            # kopf would wait for it for ever.
            for task in asyncio.all_tasks() - {run}:
                task.cancel()
            asyncio.get_running_loop().call_later(URGING, urge)

        try:
            await self._operate(
                registry=registry,
                settings=build_settings(idle=self._idle),
                clusterwide=True,
                standalone=True,
                # Only peers would read it, but kopf makes it from the user's name, and a pod's user has none.
                identity=cast("Any", "navarch"),
                stop_flag=stop,
            )
        finally:
            beating.cancel()
            # The loop waits for its threads at its end.
            stop.set()

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(self._beat)
            self._seen = self._clock()


async def _await(login: Login) -> kopf.ConnectionInfo:
    return await login()
