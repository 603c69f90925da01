"""/livez and /readyz on a port of their own, in plain HTTP and open to all.

Owns what probes are told. Must never do work of its own, nor wait for anything: probes only ask. Invariants:
a replica that stands by is live and ready; nothing about the metrics, their port or their certificate matters
here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from aiohttp import web

from navarch.telemetry.listening import CONNECTION_SECONDS, Answer, Listener

Problems = Callable[[], Iterable[str]]
"""Asked at every probe; yields what is wrong, a sentence each."""


class HealthServer(Listener):
    """Serves the two paths."""

    def __init__(self, *, live: Problems, ready: Problems, seconds: float = CONNECTION_SECONDS) -> None:
        super().__init__({"/livez": _answer(live), "/readyz": _answer(ready)}, seconds=seconds)


def _answer(problems: Problems) -> Answer:
    async def answer(request: web.BaseRequest) -> web.Response:
        found = list(problems())
        return web.Response(text="\n".join(found) if found else "ok", status=503 if found else 200)

    return answer
