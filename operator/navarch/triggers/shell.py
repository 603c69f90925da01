"""kopf in a thread of its own, started again whenever it ends.

Owns kopf's life, tells whether it lives, and hands on what kopf sees before the reflectors do. Must never do
anything else with a key. At its end
kopf cancels every task of its loop that is younger than it, and in a main thread it would take the process's
signals: hence a thread and a loop of its own.
Invariants: `age` stays small exactly while runs of kopf last and their loop turns; a run that stands still
keeps neither the process nor the next run waiting, and enqueues nothing once it was given up.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import kopf
import structlog

from navarch.triggers.handlers import Connect, Enqueue, Login, build_registry, build_settings
from navarch.triggers.known import Sighting

log = structlog.get_logger(__name__)

DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between the end of a run and the next one, growing while runs end soon."""
BEAT = 5.0
"""Seconds between two signs of life; a run that begins to end before the first one counts as none."""
URGING = 1.0
"""Seconds between two cancellations of the tasks that keep a run from ending."""
LEAVE = 5.0
"""Seconds that kopf gets to end when the process does."""
LASTING = 60.0
"""Seconds after which a run was a good one: when it ends, the next one starts soon again."""

Operate: TypeAlias = Callable[..., Awaitable[None]]


@dataclass(slots=True)
class _Run:
    """One run of kopf: what stops it, and when its loop last turned."""

    seen: float
    stop: threading.Event = field(default_factory=threading.Event)


class Shell:
    """Runs kopf over our kinds. `enqueue`, `is_known` and `login` are called in the loop in which `run` runs;
    `connect`, which makes kopf's session, in kopf's. `is_known` says whether the reflectors have told of a
    sighting already; `idle` is after how many seconds
    of silence kopf starts a watch anew, `patience` after how many seconds a run whose loop stands still is
    left to itself, and another one started.
    """

    def __init__(
        self,
        enqueue: Enqueue,
        login: Login,
        *,
        connect: Connect,
        idle: float,
        is_known: Callable[[Sighting], bool],
        patience: float = 60.0,
        operate: Operate = kopf.operator,
        clock: Callable[[], float] = time.monotonic,
        beat: float = BEAT,
    ) -> None:
        self._enqueue, self._login, self._operate = enqueue, login, operate
        self._connect, self._is_known = connect, is_known
        self._idle, self._patience, self._beat, self._clock = idle, patience, beat, clock
        self._seen: float | None = None

    @property
    def age(self) -> float:
        """Seconds since kopf last showed that it runs; 0 before it was started."""
        return 0.0 if self._seen is None else self._clock() - self._seen

    async def run(self) -> None:
        """Keep kopf running until cancelled: it ends on errors of the API server that it does not know, and
        each run lists our kinds again."""
        self._seen, attempt = self._clock(), 0
        while True:
            started = self._clock()
            run = _Run(seen=started)
            ended = self._start(run)
            try:
                while not (await asyncio.wait({ended}, timeout=self._beat))[0]:
                    if self._clock() - run.seen > self._patience:
                        log.error("kopf stands still and is started anew", seconds=self._patience)
                        break
                else:
                    log.warning("kopf ended", exc_info=ended.result())
            finally:
                run.stop.set()
                if not ended.done():
                    # At the end of the process kopf gets a moment; one that stands still takes none.
                    moment = 0.0 if self._clock() - run.seen > self._patience else LEAVE
                    await asyncio.wait({ended}, timeout=moment)
            if self._clock() - started > LASTING:
                attempt = 0
            await asyncio.sleep(DELAYS[min(attempt, len(DELAYS) - 1)])
            attempt += 1

    def _start(self, run: _Run) -> asyncio.Future[BaseException | None]:
        """Begin a run in a thread that the process does not wait for; what ended it, once it has."""
        home = asyncio.get_running_loop()
        ended: asyncio.Future[BaseException | None] = home.create_future()

        def tell(error: BaseException | None) -> None:
            if not ended.done():
                ended.set_result(error)

        def work() -> None:
            error: BaseException | None = None
            try:
                asyncio.run(self._run_once(home, run))
            except BaseException as exc:
                error = exc
            with suppress(RuntimeError):  # the process has ended before
                home.call_soon_threadsafe(tell, error)

        threading.Thread(target=work, name="kopf", daemon=True).start()
        return ended

    async def _run_once(self, home: asyncio.AbstractEventLoop, run: _Run) -> None:
        stop = run.stop

        def note(seen: Sighting) -> None:
            if not stop.is_set():
                home.call_soon_threadsafe(self._hand_on, seen)

        async def log_in() -> kopf.AiohttpSession:
            asked = asyncio.run_coroutine_threadsafe(_await(self._login), home)
            return self._connect(await asyncio.wrap_future(asked), list_one_by_one)

        def list_one_by_one() -> None:
            settings.watching.chunk_size = 1

        settings = build_settings(idle=self._idle)
        beating = asyncio.create_task(self._keep_beating(run))
        registry = build_registry(note, log_in)
        own = asyncio.current_task()

        @kopf.on.cleanup(registry=registry)
        async def let_go(**_: Any) -> None:
            # It watches no more; what is left of the run is its end.
            beating.cancel()
            stop.set()
            asyncio.get_running_loop().call_later(URGING, urge)

        def urge() -> None:
            # After a watch of one kind has failed, the other kind's may swallow kopf's only cancellation, and
            # kopf would wait for it for ever.
            for task in asyncio.all_tasks() - {own}:
                task.cancel()
            asyncio.get_running_loop().call_later(URGING, urge)

        try:
            await self._operate(
                registry=registry,
                settings=settings,
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

    def _hand_on(self, seen: Sighting) -> None:
        if not self._is_known(seen):
            self._enqueue(seen.key, seen.priority)

    async def _keep_beating(self, run: _Run) -> None:
        while True:
            await asyncio.sleep(self._beat)
            if run.stop.is_set():
                return  # another run has taken over
            run.seen = self._seen = self._clock()


async def _await(login: Login) -> kopf.ConnectionInfo:
    return await login()
