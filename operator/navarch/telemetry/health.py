"""/livez, /readyz and /metrics on one port.

Owns the HTTP server. Must never do work of its own: probes only ask. Invariant: a replica that stands by is
live and ready; one whose watch streams died, or whose queue stopped moving, is not live.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

Problems = Callable[[], Iterable[str]]
"""Asked at every probe; yields what is wrong, a sentence each."""


class HealthServer:
    """Serves the three paths on host and port; port 0 picks a free one, known after start()."""

    def __init__(self, registry: CollectorRegistry, *, live: Problems, ready: Problems) -> None:
        app = web.Application()
        app.router.add_get("/livez", _answer(live))
        app.router.add_get("/readyz", _answer(ready))

        async def metrics(_: web.Request) -> web.Response:
            return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

        app.router.add_get("/metrics", metrics)
        self._runner = web.AppRunner(app, access_log=None)
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Begin to listen. Raises OSError when the port is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening and end open connections."""
        await self._runner.cleanup()


def _answer(problems: Problems) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        found = list(problems())
        return web.Response(text="\n".join(found) if found else "ok", status=503 if found else 200)

    return answer
