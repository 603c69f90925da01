"""Whether OLM may replace this operator now: the condition Upgradeable of its OperatorCondition.

Owns that one condition. Must never hold OLM back for what may last: a rollout that is stuck, a mesh that is
refused. Invariants: it is written only when it would say something else, and only by the replica that leads;
what a leader left behind is put right by the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from navarch.core.model.conditions import ConditionType, find_condition
from navarch.core.model.messages import join
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, Ref
from navarch.engine.result import Fault
from navarch.kube.client import Client

log = structlog.get_logger(__name__)

VARIABLE = "OPERATOR_CONDITION_NAME"
"""In which OLM gives the name of the OperatorCondition."""
RETRY = 5.0
"""Seconds between two attempts while the condition cannot be read or written."""
CONDITION = "operators.coreos.com/v2", "OperatorCondition"
_TYPE = "Upgradeable"


def tell_replaced(revisions: Iterable[Manifest]) -> str:
    """Which MeshRevisions' istiods are being replaced, as a sentence; empty where none is."""
    names = sorted(
        f"{r['metadata']['namespace']}/{r['metadata']['name']}" for r in revisions if is_replaced(r)
    )
    return f"istiod is being replaced: MeshRevision {join(names)}" if names else ""


def is_replaced(revision: Manifest) -> bool:
    """Whether a MeshRevision says that its istiod is being rolled out, and not that it is stuck."""
    found = find_condition(revision, ConditionType.PROGRESSING)
    return found is not None and (found["status"], found["reason"]) == ("True", Reason.ROLLING_OUT)


def build_condition(replaced: str, now: str) -> dict[str, str]:
    """The condition; `replaced` is why an upgrade has to wait, empty where it need not."""
    said = {
        "status": "False",
        "reason": Reason.ROLLING_OUT.value,
        "message": f"{replaced}; upgrades wait for it",
    }
    if not replaced:
        said = {"status": "True", "reason": Reason.SETTLED.value, "message": "no istiod is being replaced"}
    return {"type": _TYPE, **said, "lastTransitionTime": now}


def is_said(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a condition says what is wanted already: without one, OLM takes it that it may."""
    if not found:
        return bool(wanted["status"] == "True")
    return all(found.get(key) == wanted[key] for key in ("status", "message"))


class Upgradeable:
    """Keeps the condition of an OperatorCondition. `list_revisions` gives the MeshRevisions as a watch has
    them; `reader` reads at any time, `writer` writes while this replica leads; `now` is the time as
    Kubernetes writes it. Call `note` when one changed."""

    def __init__(
        self,
        reader: Client,
        writer: Client,
        condition: Ref,
        *,
        leading: asyncio.Event,
        list_revisions: Callable[[], Iterable[Manifest]],
        now: Callable[[], str],
    ) -> None:
        self._reader, self._writer = reader, writer
        self._ref = condition
        self._leading, self._list, self._now = leading, list_revisions, now
        self._changed = asyncio.Event()

    def note(self) -> None:
        """A MeshRevision changed, or was seen for the first time."""
        self._changed.set()

    async def run(self) -> None:
        """Follow them until cancelled."""
        said: str | None = None
        while True:
            await self._leading.wait()
            self._changed.clear()
            wanted = tell_replaced(self._list())
            if wanted != said:
                said = wanted if await self._say(wanted) else None
            if said is None:
                await asyncio.sleep(RETRY)
            else:
                await self._changed.wait()

    async def _say(self, replaced: str) -> bool:
        """Let the condition say it; whether it does now."""
        try:
            live = await self._reader.get(self._ref)
            conditions = list((live.get("spec") or {}).get("conditions") or ())
            found: Mapping[str, Any] = next((c for c in conditions if c["type"] == _TYPE), {})
            condition = build_condition(replaced, self._now())
            if is_said(found, condition):
                return True
            others = [c for c in conditions if c["type"] != _TYPE]
            operation = {"op": "add", "path": "/spec/conditions", "value": [*others, condition]}
            await self._writer.patch(self._ref, [operation])
        except Fault as fault:
            log.warning("OLM was not told whether it may upgrade Navarch", error=str(fault))
            return False
        log.info("OLM was told whether it may upgrade Navarch", upgradeable=not replaced, why=replaced)
        return True
