"""Carries out a Plan: server-side apply in waves, then prune; and says what became of each object.

Owns the decision whether an object has to be written, and whether it may be. Must never decide what is
desired, wait for readiness, or touch an object that is not the mesh's.
Invariants: what is as desired costs no request; a foreign object is read and never written; one bad object
does not keep the others of its wave from being applied, and keeps later waves and the prune from starting.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from navarch.core.model.actions import Action, ObjectOutcome, Outcome, Plan
from navarch.core.model.hashing import stable_hash
from navarch.core.model.labels import APPLIED, COMPONENT, MANAGED_BY, MESH_UID, Owner, owner_of
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.engine.result import Cause, Retry, classify
from navarch.kube.client import Client, Object
from navarch.kube.collisions import find_collisions
from navarch.kube.coverage import is_covered, own_fields
from navarch.kube.errors import Conflict, Denial, Forbidden, Invalid, KubeError, NotFound, Unserved
from navarch.kube.handover import REPLICAS_MANAGER, build_handover
from navarch.kube.store import MANAGER, Store, Stores

SIDE_BY_SIDE = 8
"""Objects of one wave that are written at the same time."""
DEFAULT_RETRY = 10.0
"""Seconds until a failure is worth another look where nothing says otherwise."""
FOREIGN_RETRY = 60.0
"""Seconds until a foreign object is looked at again: nothing tells us when it goes."""
REFUSED_RETRY = 60.0
"""Seconds until a refused object is tried again: mostly only another manifest helps, but a CRD, a default or
the API server may change too."""

_SHARED = "crds"
_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class _Fate:
    """An object's outcome, and after how many seconds a failure may have passed by itself."""

    outcome: ObjectOutcome
    retry_after: float | None = None

    @property
    def bad(self) -> bool:
        return self.outcome.action in (Action.FAILED, Action.FOREIGN)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The cluster against a plan: `foreign` objects stand in its way, `pending` ones are yet to be written or
    removed."""

    foreign: tuple[ObjectOutcome, ...]
    pending: tuple[Ref, ...]


class Applier:
    """Applies plans. `stores` hold what the reflectors saw, at least of every kind in the plans."""

    def __init__(self, client: Client, stores: Stores) -> None:
        self._client = client
        self._stores = stores
        self._settled: dict[str, tuple[str, str]] = {}
        self._stood: dict[Ref, str] = {}
        self._hashes: dict[int, tuple[Manifest, str]] = {}
        self._turns: defaultdict[Ref, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def apply(self, plan: Plan) -> Outcome:
        """Carry out `plan`. Failures are in the outcome; raises only NotLeading, and bugs."""
        fates: list[_Fate] = []
        for wave in plan.waves:
            wave_fates = await self._apply_wave(plan.owner, wave.objects)
            fates += wave_fates
            if any(fate.bad for fate in wave_fates):
                return _sum_up(fates)
        fates += await self._prune(plan.owner, plan.prune)
        return _sum_up(fates)

    async def compare(self, plan: Plan) -> Comparison:
        """What apply() would find, without a write: the objects of `plan` that are somebody else's, and those
        that are not as desired. Raises KubeError where an object cannot be read."""
        foreign: list[ObjectOutcome] = []
        pending: list[Ref] = []
        for manifest in plan.objects():
            ref, desired = ref_of(manifest), self._hash(manifest)
            store = self._store(ref)
            current = store.get_whole(ref) if store is not None else None
            if current is None:
                try:
                    current = await self._read(ref)
                except Unserved:  # nothing of a kind stands in the way before the kind itself is there
                    current = None
            stranger = _find_stranger(current, manifest, plan.owner) if current else ""
            if stranger:
                foreign.append(_foreign(ref, stranger).outcome)
            elif current is None or not self._is_settled(current, manifest, desired):
                pending.append(ref)
        return Comparison(tuple(foreign), (*pending, *plan.prune))

    async def _apply_wave(self, owner: Owner, manifests: Sequence[Manifest]) -> list[_Fate]:
        slots = asyncio.Semaphore(SIDE_BY_SIDE)

        async def apply_one(manifest: Manifest) -> _Fate:
            async with slots:
                try:
                    return await self._settle_shared(owner, manifest)
                except KubeError as error:
                    return _failed(ref_of(manifest), error)

        ended = await asyncio.gather(*map(apply_one, manifests), return_exceptions=True)
        fates = [fate for fate in ended if isinstance(fate, _Fate)]
        for fate in ended:
            if isinstance(fate, BaseException):
                raise fate  # NotLeading or a bug; the others of the wave have been awaited
        return fates

    async def _settle_shared(self, owner: Owner, manifest: Manifest) -> _Fate:
        """What all meshes want is looked at by one of them at a time: the first one's write settles it for
        all."""
        if not _is_shared(manifest):
            return await self._settle(owner, manifest)
        async with self._turns[ref_of(manifest)]:
            return await self._settle(owner, manifest)

    async def _settle(self, owner: Owner, manifest: Manifest) -> _Fate:
        ref = ref_of(manifest)
        desired = self._hash(manifest)
        store = self._store(ref)
        current = store.get_whole(ref) if store is not None else None
        if current is None:
            current = await self._read(ref)
        if current is None:
            return await self._create(manifest, desired)
        stranger = _find_stranger(current, manifest, owner)
        if stranger:
            return _foreign(ref, stranger)
        if current["metadata"].get("deletionTimestamp"):
            message = f"{ref} is being deleted; it is created again as soon as it is gone"
            return _Fate(ObjectOutcome(ref, Action.FAILED, Reason.APPLY_FAILED, message), DEFAULT_RETRY)
        if self._is_settled(current, manifest, desired):
            return _Fate(ObjectOutcome(ref, Action.UNCHANGED))
        return await self._configure(current, manifest, desired)

    async def _create(self, manifest: Manifest, desired: str) -> _Fate:
        ref = ref_of(manifest)
        drift = self._stood.get(ref) == desired  # it was there as desired: somebody removed it
        try:
            await self._write(manifest, desired, current=None)
        except Conflict as conflict:
            if conflict.fields:  # somebody created it between our look and our write
                return _foreign(ref, "; ".join(conflict.fields))
            raise
        return _Fate(ObjectOutcome(ref, Action.CREATED, drift=drift))

    async def _configure(self, current: Object, manifest: Manifest, desired: str) -> _Fate:
        ref = ref_of(manifest)
        drift = _applied(current) == desired
        handover = build_handover(manifest, current, MANAGER)
        if handover is not None:
            await self._client.apply(handover, manager=REPLICAS_MANAGER)
        try:
            written = await self._write(manifest, desired, current=current)
        except Invalid:
            collisions = [*find_collisions(manifest, current)]
            if not collisions:
                raise
            current = await self._client.patch(ref, _removal(collisions))
            written = await self._write(manifest, desired, current=current)
        if written["metadata"]["resourceVersion"] == current["metadata"]["resourceVersion"]:
            return _Fate(ObjectOutcome(ref, Action.UNCHANGED))
        return _Fate(ObjectOutcome(ref, Action.CONFIGURED, drift=drift))

    async def _write(self, manifest: Manifest, desired: str, *, current: Object | None) -> Object:
        metadata = manifest["metadata"]
        metadata = {**metadata, "annotations": {**(metadata.get("annotations") or {}), APPLIED: desired}}
        if current is not None:
            # Force is for this very object, not for one that a stranger put in its place meanwhile.
            metadata["uid"] = current["metadata"]["uid"]
        body = {**manifest, "metadata": metadata}
        written = await self._client.apply(body, manager=MANAGER, force=current is not None)
        self._remember(ref_of(manifest), written, desired)
        store = self._store(ref_of(manifest))
        if store is not None:
            store.observe(written)
        return written

    def _is_settled(self, current: Object, manifest: Manifest, desired: str) -> bool:
        if _applied(current) != desired:
            return False
        metadata = current["metadata"]
        if self._settled.get(metadata["uid"]) == (metadata["resourceVersion"], desired):
            return True
        if not is_covered(manifest, current, MANAGER):
            return False
        self._remember(ref_of(manifest), current, desired)
        return True

    def _remember(self, ref: Ref, current: Object, desired: str) -> None:
        if len(self._settled) >= _REMEMBERED:
            self._settled.clear()
            self._stood.clear()
        self._stood[ref] = desired
        self._settled[current["metadata"]["uid"]] = (current["metadata"]["resourceVersion"], desired)

    def _hash(self, manifest: Manifest) -> str:
        if not _is_shared(manifest):
            return stable_hash(manifest)
        # CRDs are huge and come from one frozen asset: one dictionary, one hash.
        known = self._hashes.get(id(manifest))
        if known is None or known[0] is not manifest:
            if len(self._hashes) >= 256:
                self._hashes.clear()
            known = self._hashes[id(manifest)] = (manifest, stable_hash(manifest))
        return known[1]

    # --- removal ---------------------------------------------------------------------------------

    async def _prune(self, owner: Owner, refs: Iterable[Ref]) -> list[_Fate]:
        fates: list[_Fate] = []
        for _, group in groupby(refs, key=lambda ref: ref.kind):
            for ref in group:
                try:
                    fates += await self._remove(owner, ref)
                except KubeError as error:
                    fates.append(_failed(ref, error))
            if any(fate.bad for fate in fates):
                # The order is a promise: what a webhook needs must not go before the webhook.
                break
        return fates

    async def _remove(self, owner: Owner, ref: Ref) -> list[_Fate]:
        store = self._store(ref)
        current = store.get(ref) if store is not None else None
        if current is None:
            current = await self._read(ref, metadata_only=True)
        if current is None or current["metadata"].get("deletionTimestamp"):
            return []
        if not owner.owns(current):
            return [_foreign(ref, _describe_owner(current))]
        uid = current["metadata"]["uid"]
        self._stood.pop(ref, None)
        try:
            left = await self._client.delete(ref, uid=uid)
        except NotFound:
            left = {}
        if store is not None:
            if left.get("metadata", {}).get("deletionTimestamp"):
                store.observe(left)
            else:
                store.discard(ref, uid)
        return [_Fate(ObjectOutcome(ref, Action.PRUNED))]

    async def _read(self, ref: Ref, *, metadata_only: bool = False) -> Object | None:
        try:
            return await self._client.get(ref, metadata_only=metadata_only)
        except NotFound:
            return None

    def _store(self, ref: Ref) -> Store | None:
        return self._stores.get((ref.group, ref.kind))


def _removal(collisions: Iterable[tuple[str, object]]) -> list[dict[str, object]]:
    operations: list[dict[str, object]] = []
    for pointer, item in collisions:
        operations += [{"op": "test", "path": pointer, "value": item}, {"op": "remove", "path": pointer}]
    return operations


def _is_shared(manifest: Manifest) -> bool:
    return bool(manifest["metadata"].get("labels", {}).get(COMPONENT) == _SHARED)


def _applied(current: Object) -> str:
    annotations: dict[str, str] = current["metadata"].get("annotations") or {}
    return annotations.get(APPLIED, "")


def _find_stranger(current: Object, manifest: Manifest, owner: Owner) -> str:
    """Whose the object is, in words, when it is not ours; empty when it is.

    An object whose labels were edited still has our uid, and one whose labels were taken off our entry in
    managedFields: that is drift, not a stranger.
    """
    labels = current["metadata"].get("labels") or {}
    shared = _is_shared(manifest)
    if owner.owns(current) or (shared and labels.get(MANAGED_BY) == "navarch"):
        return ""
    if owner.uid and labels.get(MESH_UID) == owner.uid:
        return ""
    if owner_of(current) is None and own_fields(current, MANAGER) is not None:
        return ""
    return _describe_owner(current)


def _describe_owner(current: Object) -> str:
    other = owner_of(current)
    if other is not None:
        return f"it belongs to mesh {other.namespace}/{other.name}"
    manager = (current["metadata"].get("labels") or {}).get(MANAGED_BY)
    return f"it is managed by {manager}" if manager else "it carries no label of a mesh"


def _foreign(ref: Ref, whose: str) -> _Fate:
    message = f"{ref} exists and {whose}; it was left untouched: remove or rename it"
    return _Fate(ObjectOutcome(ref, Action.FOREIGN, Reason.FOREIGN_OBJECT, message), FOREIGN_RETRY)


def _failed(ref: Ref, error: KubeError) -> _Fate:
    match classify(error):
        case _ if error.cause is Cause.REFUSED:
            retry_after = REFUSED_RETRY
        case Retry(after=float(after)):
            retry_after = after
        case _:
            retry_after = DEFAULT_RETRY
    message = f"{ref}: {error.message}"
    return _Fate(ObjectOutcome(ref, Action.FAILED, _reason_of(error), message), retry_after)


def _reason_of(error: KubeError) -> Reason:
    match error:
        case Forbidden(denial=Denial.NAMESPACE_TERMINATING):
            return Reason.NAMESPACE_TERMINATING
        case Forbidden(denial=Denial.PERMISSION):
            return Reason.MISSING_PERMISSION
        case Forbidden():
            return Reason.ADMISSION_DENIED
        case Invalid(immutable=True):
            return Reason.IMMUTABLE_FIELD
        case _ if error.cause in (Cause.UNREACHABLE, Cause.THROTTLED):
            return Reason.API_UNAVAILABLE
        case _:
            return Reason.APPLY_FAILED


def _sum_up(fates: Sequence[_Fate]) -> Outcome:
    waits = [fate.retry_after for fate in fates if fate.retry_after is not None]
    return Outcome(tuple(fate.outcome for fate in fates), retry_after=min(waits, default=None))
