"""report(): status when it differs, Events for its transitions, metrics.

Owns the last step of every reconcile. Must never write a status that says what the present one says.
Invariants: reporting the same status twice writes once, also where another client has added to it; what a
client may be waiting for is written at once, progress and numbers at the pace of controllers/pace.py; of one
generation of an object no two crashes are reported within that pace either, also with different messages and
with other reports between them, because a report is an event, and would start the next try at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from navarch.controllers.kind import Kinds
from navarch.controllers.pace import Pace
from navarch.core.model.actions import WRITES, Outcome, find_drift, tell_removed
from navarch.core.model.conditions import (
    ConditionType,
    Transition,
    describe_alike,
    find_transitions,
    find_upgrade,
    group_alike,
)
from navarch.core.model.parent import identify, parent_of
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest
from navarch.core.model.urgency import is_urgent
from navarch.engine.key import Key
from navarch.kube.client import Client
from navarch.kube.events import Recorder
from navarch.kube.parents import apply_status
from navarch.kube.store import Store
from navarch.telemetry import metrics

log = structlog.get_logger(__name__)

NEUTRAL = frozenset({ConditionType.PROGRESSING, ConditionType.DELETING, ConditionType.PAUSED})
"""Conditions that say what goes on, which is neither good nor bad."""


class Reporter:
    """Reports on objects of our `kinds`. `stores` holds them by the names of their watches, and gets what was
    written."""

    def __init__(
        self, client: Client, recorder: Recorder, stores: Mapping[str, Store], *, kinds: Kinds
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._kinds = kinds
        self._stores = {name: stores[kind.watch.name] for name, kind in kinds.items()}
        self._pace = Pace()
        self._crashes = Pace()
        self._held: set[tuple[str, str, str]] = set()
        self._added: dict[tuple[str, str, str], tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
        metrics.statuses_held_back.set_function(lambda: len(self._held))

    async def report(
        self,
        body: Manifest,
        *,
        status: Mapping[str, Any],
        outcome: Outcome | None,
        mesh: Manifest | None = None,
    ) -> float | None:
        """Tell what was seen of `body`: in its status, in Events, in metrics. Where the status is held back,
        after how many seconds it may be written. Removals are told on `mesh` where it is another object."""
        kind, metadata, previous = self._kinds[body["kind"]], body["metadata"], body.get("status") or {}
        if outcome is not None:
            await self._tell_outcome(body, outcome)
            await self.tell_removals(mesh or body, outcome)
        name = body["kind"], metadata["namespace"], metadata["name"]
        metrics.set_conditions(*name, status)
        self._held.discard(name)
        if previous == status or self._added.get(name) == (status, previous):
            return None
        if not is_urgent(kind.awaited, previous, status):
            if wait := self._pace.find_wait(metadata["uid"]):
                self._held.add(name)
                return wait
            self._pace.note(metadata["uid"])
        written = await apply_status(self._client, body, status)
        self._stores[body["kind"]].observe(written, own=True)
        self._note_added(name, status, written.get("status") or {})
        if kind.has_events:
            await self._tell(body, find_transitions(previous.get("conditions") or (), status["conditions"]))
            if upgrade := find_upgrade(previous, status):
                await self._recorder.record(body, reason=Reason.UPGRADED, message=upgrade)
        return None

    def _note_added(
        self, name: tuple[str, str, str], status: Mapping[str, Any], there: Mapping[str, Any]
    ) -> None:
        """Remember what others have in a status beside what was written: writing it again changes nothing."""
        if there == status:
            self._added.pop(name, None)
        else:
            self._added[name] = status, there

    def forget(self, key: Key) -> None:
        """Drop what is known of an object that is gone."""
        name = key.kind, key.namespace, key.name
        self._held.discard(name)
        self._added.pop(name, None)
        metrics.forget(key.kind, key.namespace, key.name)

    async def report_crash(self, body: Manifest, *, status: Mapping[str, Any], message: str) -> None:
        """Report that a reconcile of `body` ended in an unexpected exception; if a crash was reported just
        before, the next try reports it."""
        metadata = body["metadata"]
        told = f"{metadata['uid']}/{metadata.get('generation', 0)}"
        if self._crashes.find_wait(told) is not None:
            return
        self._crashes.note(told)
        await self._recorder.record(body, reason=Reason.INTERNAL_ERROR, message=message, type="Warning")
        if (body.get("status") or {}) != status:
            written = await apply_status(self._client, body, status)
            self._stores[body["kind"]].observe(written, own=True)
        metrics.set_conditions(body["kind"], metadata["namespace"], metadata["name"], status)

    async def tell_removals(self, mesh: Manifest, outcome: Outcome) -> None:
        """Every object that was removed, named in an Event on its mesh."""
        for message in tell_removed(outcome):
            await self._recorder.record(mesh, reason=Reason.OBJECT_REMOVED, message=message)

    async def _tell_outcome(self, body: Manifest, outcome: Outcome) -> None:
        """Tell first what was written: it would be forgotten if the status could not be."""
        written = [f"{r.ref} {r.action}" for r in outcome.results if r.action in WRITES]
        if written:
            log.info("written", objects=written)
        for drift in find_drift(outcome):
            message = f"{drift} was put back"
            await self._recorder.record(body, reason=Reason.DRIFT_REPAIRED, message=message, topic=message)
        parent = parent_of(body)
        beside = parent is not None and parent.namespace == body["metadata"]["namespace"]
        whose = parent if parent is not None and beside else identify(body)
        metrics.count_outcome(whose.kind, body["metadata"]["namespace"], whose.name, outcome)

    async def _tell(self, body: Manifest, transitions: Sequence[Transition]) -> None:
        """Transitions that say the same are one Event; of each condition its last word is not repeated."""
        news = [
            t
            for t in transitions
            if self._recorder.is_news(body, topic=t.type, reason=t.reason, message=f"{t.after}: {t.message}")
        ]
        for group in group_alike(news):
            await self._recorder.write(
                body,
                reason=Reason(group[0].reason),
                message=describe_alike(group),
                type="Normal" if all(map(_is_fine, group)) else "Warning",
            )


def _is_fine(transition: Transition) -> bool:
    return transition.after == "True" or transition.type in NEUTRAL
