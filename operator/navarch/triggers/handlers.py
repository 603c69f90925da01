"""kopf's handlers: an event of one of our kinds becomes a sighting.

Owns the registration with kopf. Must never do more than hand on: kopf runs handlers in the object's own
sequence, and a returned value would be written into status. Invariant: every event of an object of our kinds
is handed on exactly once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import kopf

from navarch.api.export import RESOURCES
from navarch.api.meta import GROUP
from navarch.engine.key import Key
from navarch.engine.queue import BACKGROUND, EDIT
from navarch.triggers.known import Sighting, key_of, version_of

CHUNK = 10
"""Objects of a page of kopf's own listings, and one where ten were too large."""
Enqueue = Callable[[Key, int], None]
Login = Callable[[], Awaitable[kopf.ConnectionInfo]]
Connect = Callable[[kopf.ConnectionInfo, Callable[[], None]], kopf.AiohttpSession]
"""A session of kopf's loop from what was logged in with; it calls where a page is too large."""


def build_registry(
    note: Callable[[Sighting], None], login: Callable[[], Awaitable[kopf.AiohttpSession]]
) -> kopf.OperatorRegistry:
    """A fresh registry; kopf needs one for each run."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def log_in(**_: Any) -> kopf.AiohttpSession:
        return await login()

    for resource in RESOURCES:

        @kopf.on.event(GROUP, resource.plural, registry=registry, id=resource.plural)
        async def see(type: str | None, body: kopf.Body, **_: Any) -> None:
            # Asynchronous for want of a thread: kopf would run it in one of its own.
            # An object of a listing has no type: it has not changed just now.
            priority = BACKGROUND if type is None else EDIT
            note(Sighting(key_of(body), version_of(body), type == "DELETED", priority))

    return registry


class _NoDiffBase(kopf.DiffBaseStorage):
    """Keeps nothing: no handler of ours asks what changed."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None


def build_settings(*, idle: float) -> kopf.OperatorSettings:
    """kopf as a shell: no peering, no posting, nothing written into our objects.

    `idle` is after how many seconds without a word a watch is started anew.
    """
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.queueing.idle_timeout = 0.5
    settings.queueing.exit_timeout = 2
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.watching.server_timeout = 290
    # Without it, kopf would read the list of a kind whole.
    settings.watching.chunk_size = CHUNK
    settings.watching.inactivity_timeout = idle
    settings.persistence.finalizer = f"{GROUP}/unused"
    settings.persistence.diffbase_storage = _NoDiffBase()
    # It would be a SIGKILL, and not to kopf's thread alone: the kubelet decides, by /livez.
    settings.process.ultimate_exiting_timeout = None
    return settings
