"""/metrics on a port of its own: over TLS to those who may read it, or plain to all by a setting.

Owns that port and who gets which status. Must never end the process, nor keep it from starting: what does not
work is told, and tried again. Invariants: metrics are rendered in a thread, once at a time, and not again
within a time that is set; nothing is rendered for a request that was not allowed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import Enum

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from navarch.telemetry import metrics
from navarch.telemetry.certificates import Certificates
from navarch.telemetry.listening import CONNECTION_SECONDS, Listener

log = structlog.get_logger(__name__)

PATH = "/metrics"
LOOK_SECONDS = 10.0
"""Seconds between two looks at the certificate's files, and between two tries to get the port."""


class Verdict(Enum):
    """Whether the bearer of a token may read metrics; the value is the HTTP status of the answer."""

    ALLOWED = 200
    UNKNOWN = 401
    FORBIDDEN = 403
    UNDECIDED = 503


_WHY = {
    Verdict.UNKNOWN: "send a bearer token that the API server knows\n",
    Verdict.FORBIDDEN: "the account lacks the right to get /metrics: ClusterRole navarch-metrics-reader\n",
    Verdict.UNDECIDED: "the API server did not say whether the token may read this\n",
}
Judge = Callable[[str], Awaitable[Verdict]]
"""Gives the verdict on a token."""
Tell = Callable[[str], Awaitable[None]]
"""Tells what is wrong with the certificate, again and again while it is."""


class MetricsServer:
    """Serves what `render` gives; with `judge` to tokens that it allows, with `certificates` over TLS."""

    def __init__(
        self,
        render: Callable[[], bytes],
        *,
        judge: Judge | None = None,
        certificates: Certificates | None = None,
        metrics_seconds: float = 1.0,
        seconds: float = CONNECTION_SECONDS,
    ) -> None:
        self._rendering = Rendering(render, seconds=metrics_seconds)
        self._judge, self._certificates, self._seconds = judge, certificates, seconds
        self._told = ""
        self.port = 0

    async def run(self, host: str, port: int, *, tell: Tell) -> None:
        """Serve until cancelled."""
        listener = Listener(
            {PATH: self._answer},
            seconds=self._seconds,
            context=self._certificates.get_context if self._certificates else None,
        )
        try:
            while True:
                try:
                    await self._look(listener, host, port)
                except OSError as error:
                    log.error("metrics are not served: the port cannot be had", port=port, error=str(error))
                except Exception:
                    log.exception("metrics are not served, or not with a new certificate")
                if self._certificates is not None:
                    await self._tell_problem(self._certificates.problem, tell)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await listener.stop()

    async def _look(self, listener: Listener, host: str, port: int) -> None:
        if self._certificates is not None:
            self._certificates.look()
            _note_validity(self._certificates)
        if not self.port:
            await listener.start(host, port)
            self.port = listener.port

    async def _tell_problem(self, problem: str, tell: Tell) -> None:
        if problem and problem != self._told:
            log.warning("the certificate of the metrics' port is wrong", why=problem)
        elif self._told and not problem:
            log.info("the certificate of the metrics' port is good again")
        self._told = problem
        if problem:
            await tell(problem)

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        verdict = Verdict.ALLOWED
        if self._judge is not None:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            is_token = scheme.lower() == "bearer" and token.strip()
            verdict = await self._judge(token.strip()) if is_token else Verdict.UNKNOWN
        if verdict is Verdict.ALLOWED:
            return await self._rendering.answer()
        challenge = {"WWW-Authenticate": "Bearer"} if verdict is Verdict.UNKNOWN else {}
        return web.Response(status=verdict.value, headers=challenge, text=_WHY[verdict])


def _note_validity(certificates: Certificates) -> None:
    """Put into the metrics from when until when the served certificate is valid."""
    if certificates.validity is not None:
        begins, ends = certificates.validity
        metrics.metrics_certificate_not_before_timestamp_seconds.set(begins.timestamp())
        metrics.metrics_certificate_not_after_timestamp_seconds.set(ends.timestamp())


class Rendering:
    """The metrics as text, shared by all requests of the same time; `seconds` is the age up to which a text
    is served again."""

    def __init__(
        self, render: Callable[[], bytes], *, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._render, self._seconds, self._clock = render, seconds, clock
        self._task: asyncio.Task[bytes] | None = None
        self._begun = 0.0

    async def answer(self) -> web.Response:
        """The text that is rendered now, or was just now."""
        task = self._task
        if task is None or (task.done() and self._clock() - self._begun >= self._seconds):
            self._begun = self._clock()
            # In a thread: of a thousand meshes it takes a large part of a second.
            task = self._task = asyncio.create_task(asyncio.to_thread(self._render))
        # One request that goes away must not take the text from the others.
        body = await asyncio.shield(task)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
