"""Events on the users' objects.

Owns what is sent to events.k8s.io. Must never fail, or hold up, a reconcile: an Event that cannot be written
is logged and forgotten. Invariant: on one topic of an object the same thing is not said twice in a row within
`SILENCE` seconds; a recovery is always told.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import structlog

from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest
from navarch.engine.result import Cause, Fault
from navarch.kube.client import Client

log = structlog.get_logger(__name__)

SILENCE = 600.0
LONGEST_NOTE = 1024
"""The API's own limit on an Event's note, in bytes."""
CONTROLLER = "mesh.navarch.io/operator"
_REMEMBERED = 4096


class Recorder:
    """Writes Events. `instance` names this replica, `now` gives UTC time, `ids` unique name suffixes."""

    def __init__(
        self,
        client: Client,
        *,
        instance: str,
        now: Callable[[], datetime],
        ids: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._instance = instance[:128]
        self._now, self._ids, self._clock = now, ids, clock
        self._said: OrderedDict[tuple[str, str], tuple[str, str, float]] = OrderedDict()

    async def record(
        self,
        about: Manifest,
        *,
        reason: Reason,
        message: str,
        type: Literal["Normal", "Warning"] = "Normal",
        action: str = "Reconcile",
        topic: str = "",
    ) -> None:
        """Say `message` about an object that was read from the API server (its uid is needed). `topic` is
        what it speaks of, such as a condition's type (default: the reason): what is said on one topic is
        silenced only where it repeats the last word on it."""
        if self.is_news(about, topic=topic or reason, reason=reason, message=message):
            await self.write(about, reason=reason, message=message, type=type, action=action)

    async def write(
        self,
        about: Manifest,
        *,
        reason: Reason,
        message: str,
        type: Literal["Normal", "Warning"] = "Normal",
        action: str = "Reconcile",
    ) -> None:
        """Say what is_news() has let through."""
        try:
            await self._client.create(self._build(about, reason, message, type, action))
        except Fault as fault:
            # A namespace on its way out takes no Events; that is no news.
            tell = log.debug if fault.cause is Cause.NAMESPACE_TERMINATING else log.warning
            tell("an Event was not written", reason=str(reason), error=str(fault))

    def is_news(self, about: Manifest, *, topic: str, reason: str, message: str) -> bool:
        """Whether this is not the last word on a topic of an object; from now on it is."""
        now, what = self._clock(), (about["metadata"]["uid"], topic)
        last = self._said.pop(what, None)
        repeats = last is not None and last[:2] == (reason, message) and now - last[2] < SILENCE
        self._said[what] = last if last is not None and repeats else (reason, message, now)
        while len(self._said) > _REMEMBERED:
            self._said.popitem(last=False)
        return not repeats

    def _build(self, about: Manifest, reason: Reason, message: str, kind: str, action: str) -> dict[str, Any]:
        metadata = about["metadata"]
        regarding = {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "namespace": metadata.get("namespace", ""),
            "name": metadata["name"],
            "uid": metadata["uid"],
        }
        # Events of cluster-scoped objects live in the namespace default.
        name = f"{metadata['name'][:200]}.{self._ids()}"
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"namespace": metadata.get("namespace") or "default", "name": name},
            "eventTime": self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
            "action": action,
            "reason": str(reason),
            "regarding": regarding,
            "note": message.encode()[:LONGEST_NOTE].decode(errors="ignore"),
            "type": kind,
        }
