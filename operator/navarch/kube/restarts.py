"""Carrying out restarts: one annotation on the pod template of workloads of others, or a moment in a Rollout.

Owns the field manager of restarts, and how long a refusal counts. Must never ask for force but for that
moment, of which nobody has any use once it was carried out, nor write to another object than the one that was
seen. Invariants: what another client takes back is not written again for an hour; a workload that cannot be
restarted does not keep others waiting, but one of which nobody knows whether it was restarted keeps its place
in the budget; what was written is in the store when the next look begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping

import structlog

from navarch.core.model.labels import ROLLED_FOR
from navarch.core.model.restarts import ARGO, ROLLER, Restart
from navarch.kube.client import Client, Object
from navarch.kube.errors import Conflict, KubeError, NotFound
from navarch.kube.store import Store

log = structlog.get_logger(__name__)

SHORT, LONG = 60.0, 3600.0
"""Seconds for which a refusal counts: by the API server, and by a client that takes restarts back."""
AGAIN = 1.0
"""Seconds until the next look after a refusal: others may be restarted in its place."""
_UNSURE = (0, 502, 503, 504)
"""Statuses after which a write may be carried out all the same; 0 is no answer."""
_REMEMBERED = 10_000
_MOMENT = ".spec.restartAt:"


class Refusals:
    """Why workloads, by uid, could not be restarted of late. It may be lost: then they are tried again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._of: dict[str, tuple[float, str, bool]] = {}

    def note(self, uid: str, why: str, *, seconds: float, unsure: bool = False) -> None:
        """The workload is left alone for so long; `unsure`: it may have been restarted all the same."""
        if len(self._of) >= _REMEMBERED:
            self._of.clear()
        self._of[uid] = (self._clock() + seconds, why, unsure)

    def read(self, uids: Collection[str]) -> dict[str, str]:
        """The reasons that count still, of these workloads."""
        now = self._clock()
        return {uid: why for uid, (until, why, _) in self._of.items() if uid in uids and now < until}

    def read_unsure(self, uids: Collection[str]) -> frozenset[str]:
        """Those of them that may have been restarted."""
        return frozenset(uid for uid in self.read(uids) if self._of[uid][2])


class Restarter:
    """Carries out restarts. `stores` hold the workloads by kind."""

    def __init__(self, client: Client, stores: Mapping[str, Store], refusals: Refusals) -> None:
        self._client, self._stores, self._refusals = client, stores, refusals
        self._written: dict[str, str] = {}

    async def carry_out(self, restarts: Iterable[Restart]) -> float | None:
        """Write the annotations. Seconds until another look is due where one was refused; None where none
        was."""
        refused = False
        for restart in restarts:
            refused |= not await self._settle(restart)
            if restart.uid in self._refusals.read_unsure({restart.uid}):
                break  # the others are planned anew, by what is known then
        return AGAIN if refused else None

    async def _settle(self, restart: Restart) -> bool:
        if self._written.get(restart.uid) == restart.mark:
            del self._written[restart.uid]
            told = (
                f"another client took Navarch's restart back: let it keep the annotation {ROLLED_FOR} of the "
                "pod template, or restart it yourself"
            )
            self._refusals.note(restart.uid, told, seconds=LONG)
            return False
        try:
            written = await self._apply(restart)
        except (Conflict, NotFound) as error:
            fields = "; ".join(error.fields) if isinstance(error, Conflict) else ""
            told = f"{fields}: Navarch takes no field from another client" if fields else error.message
            self._refusals.note(restart.uid, told, seconds=LONG if fields else SHORT)
            return False
        except KubeError as error:
            self._refusals.note(restart.uid, error.message, seconds=SHORT, unsure=error.status in _UNSURE)
            return False
        log.info("restarted", object=str(restart.ref), mark=restart.mark)
        if len(self._written) >= _REMEMBERED:
            self._written.clear()
        self._written[restart.uid] = restart.mark
        store = self._stores.get(restart.ref.kind)
        if store is not None:  # an empty one counts as false
            store.observe(written)
        return True

    async def _apply(self, restart: Restart) -> Object:
        manifest = build_manifest(restart)
        try:
            return await self._client.apply(manifest, manager=ROLLER)
        except Conflict as error:
            # Whoever asked for a restart before still owns the moment of it, though it has passed.
            if not error.fields or not all(each.startswith(_MOMENT) for each in error.fields):
                raise
        return await self._client.apply(manifest, manager=ROLLER, force=True)


def build_manifest(restart: Restart) -> Object:
    """What is sent: the uid sees to it that nothing is made where the workload is gone."""
    ref, mark = restart.ref, {"annotations": {ROLLED_FOR: restart.mark}}
    metadata: Object = {"namespace": ref.namespace, "name": ref.name, "uid": restart.uid}
    spec: Object = {"template": {"metadata": mark}}
    if ref.kind == ARGO:
        metadata, spec = {**metadata, **mark}, {"restartAt": restart.at}
    return {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata, "spec": spec}
