"""Carries out a Plan: server-side apply in waves, then prune (kube/removal.py); and says what became of each
object.

Owns the decision whether an object has to be written, and whether it may be. Must never decide what is
desired, wait for readiness, or touch an object that is not the mesh's.
Invariants: what is as desired costs no request; a foreign object is never written, nor anything that stood
unseen where an object was to be created; one bad object does not keep the others of its wave from being
applied, and keeps later waves and the prune from starting; every object that was made, taken over or removed
is in the mesh's inventory when apply() returns.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from navarch.core.model.actions import Action, ObjectOutcome, Outcome, Plan
from navarch.core.model.claims import Claim
from navarch.core.model.hashing import hash_rendered, stable_hash
from navarch.core.model.labels import APPLIED, COMPONENT, MANAGED_BY, MESH_UID
from navarch.core.model.ownership import MANAGER, Inventory, Record, is_foreign_label, is_named
from navarch.core.model.parent import Parent
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.kube.claims import Claims
from navarch.kube.client import Client, Object
from navarch.kube.collisions import build_removal, find_obstacles
from navarch.kube.contest import Contests
from navarch.kube.errors import Conflict, Invalid, KubeError, NotFound, Unserved
from navarch.kube.evidence import Evidence, applied_of, find_deviations
from navarch.kube.fate import (
    Fate,
    contested,
    describe_owner,
    failed,
    foreign,
    leaving,
    removed_again,
    sum_up,
)
from navarch.kube.handover import (
    REPLICAS_MANAGER,
    Floors,
    build_floor,
    build_handover,
    find_floors,
)
from navarch.kube.inventory import Inventories, build_record
from navarch.kube.removal import Remover
from navarch.kube.shared_fields import build_release, find_shared
from navarch.kube.store import Store, Stores
from navarch.kube.together import do_together
from navarch.kube.witness import find_writers, tell_contest

NEVER = "1"
"""A resourceVersion that no object has: etcd's first write has 2. An apply with it creates an object, or is a
conflict; one without a version would change a foreign object that our watches do not see."""

_SHARED = "crds"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The cluster against a plan: `foreign` objects stand in its way, `pending` ones are yet to be written or
    removed."""

    foreign: tuple[ObjectOutcome, ...]
    pending: tuple[Ref, ...]


@dataclass(frozen=True, slots=True)
class _Job:
    """One plan's: the mesh, what is recorded of it, and the least replicas of autoscaled Deployments."""

    parent: Parent
    inventory: Inventory
    floors: Floors


class Applier:
    """Applies plans. `stores` hold what the reflectors saw, at least of every kind in the plans. Without
    `inventories` nothing is recorded, without `contests` nothing is put off."""

    def __init__(
        self,
        client: Client,
        stores: Stores,
        *,
        inventories: Inventories | None = None,
        contests: Contests | None = None,
    ) -> None:
        self._client = client
        self._stores = stores
        self._inventories = inventories
        self._contests = contests or Contests(at_once=None)
        self._claims = Claims(client, self._contests)
        self._evidence = Evidence()
        self._remover = Remover(client, stores, self._evidence)
        self._hashes: dict[int, tuple[Manifest, str]] = {}
        self._turns: defaultdict[Ref, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def apply(self, plan: Plan) -> Outcome:
        """Carry out `plan`. Failures are in the outcome; raises only NotLeading, and bugs."""
        job = self._begin(plan)
        fates: list[Fate] = []
        made: list[Record] = []
        gone: list[Ref] = []
        for wave in plan.waves:
            wave_fates = await self._apply_wave(job, wave.objects)
            fates += wave_fates
            made += _find_made(wave.objects, wave_fates)
            if not plan.independent and any(fate.bad for fate in wave_fates):
                break
        else:
            for claim in plan.claims:
                fates.append(await self._claim(claim))
            fates += await self._remover.prune(job.parent, job.inventory, plan.prune, gone)
        fates += await self._record(job.parent, made, gone)
        return sum_up(fates)

    async def compare(self, plan: Plan) -> Comparison:
        """What apply() would find, without a write: the objects of `plan` that are not ours, and those that
        are not as desired. Raises KubeError where an object cannot be read."""
        job = self._begin(plan)
        in_the_way: list[ObjectOutcome] = []
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
            whose = self._find_other_owner(current, manifest, job) if current else ""
            if whose:
                in_the_way.append(foreign(ref, whose, job.parent).outcome)
            elif current is None or not self._evidence.is_settled(current, manifest, desired):
                pending.append(ref)
        pending += [claim.ref for claim in plan.claims if not claim.stands]
        return Comparison(tuple(in_the_way), (*pending, *plan.prune))

    async def withhold(self, plan: Plan) -> Outcome:
        """What of `plan` would be written, and is not. Raises KubeError as compare() does."""
        return Outcome(withheld=(await self.compare(plan)).pending)

    async def _claim(self, claim: Claim) -> Fate:
        fate, written = await self._claims.settle(claim)
        if written is not None:
            self._observe(claim.ref, written)
        return fate

    def _begin(self, plan: Plan) -> _Job:
        parent = plan.parent
        known = self._inventories.read(parent) if self._inventories else Inventory()
        return _Job(parent, known, find_floors(plan.objects()))

    async def _record(self, parent: Parent, made: Sequence[Record], gone: Sequence[Ref]) -> list[Fate]:
        if self._inventories is None:
            return []
        try:
            await self._inventories.update(parent, made=made, gone=gone)
        except KubeError as error:
            return [failed(self._inventories.ref(parent), error)]
        return []

    async def _apply_wave(self, job: _Job, manifests: Sequence[Manifest]) -> list[Fate]:
        async def apply_one(manifest: Manifest) -> Fate:
            try:
                return await self._settle_shared(job, manifest)
            except KubeError as error:
                return failed(ref_of(manifest), error)

        return await do_together(apply_one, manifests)

    async def _settle_shared(self, job: _Job, manifest: Manifest) -> Fate:
        """What all meshes want is looked at by one of them at a time: the first one's write settles it for
        all."""
        if not _is_shared(manifest):
            return await self._settle(job, manifest)
        async with self._turns[ref_of(manifest)]:
            return await self._settle(job, manifest)

    async def _settle(self, job: _Job, manifest: Manifest) -> Fate:
        ref, desired = ref_of(manifest), self._hash(manifest)
        current = await self._find_or_create(job, ref, manifest, desired)
        if isinstance(current, Fate):
            return current
        whose = self._find_other_owner(current, manifest, job)
        self._evidence.note_owner(ref, is_foreign=bool(whose))
        if whose:
            return foreign(ref, whose, job.parent)
        if current["metadata"].get("deletionTimestamp"):
            return leaving(ref, current)
        floor = build_floor(manifest, current, job.floors)
        if floor is None and self._evidence.is_settled(current, manifest, desired):
            return self._as_wanted(ref, current)
        if applied_of(current) == desired and (wait := self._contests.find_wait(ref)) > 0:
            return contested(ref, await self._tell_contest(manifest, ref), after=wait)
        return await self._configure(current, manifest, desired, floor=floor)

    async def _find_or_create(self, job: _Job, ref: Ref, manifest: Manifest, desired: str) -> Object | Fate:
        """The object that stands under this name. Where nothing was ever known to stand there it is created
        without a look: only if that is refused is there something to look at. One that is recorded and out of
        sight was removed, or lost the labels by which the watches see it, and is asked for."""
        store = self._store(ref)
        if store is not None and (kept := store.get_whole(ref)) is not None:
            return kept
        refused: KubeError | None = None
        recorded = ref in job.inventory.records
        if store is not None and not recorded and self._evidence.is_free(ref, store):
            try:
                return await self._create(manifest, desired)
            except (Conflict, Invalid) as error:
                refused = error
        found = await self._read(ref)
        if found is not None:
            return found
        if refused is not None:
            raise refused
        return await self._create(manifest, desired)

    def _as_wanted(self, ref: Ref, current: Object) -> Fate:
        uid = current["metadata"]["uid"]
        rest = self._contests.find_rest(ref)
        if rest and (told := self._contests.told(ref)):
            return contested(ref, told, after=rest, uid=uid)
        return Fate(ObjectOutcome(ref, Action.UNCHANGED), uid=uid)

    async def _tell_contest(self, manifest: Manifest, ref: Ref) -> str:
        """Who changes what, in words; looked up once while the contest lasts."""
        told = self._contests.told(ref)
        if not told:
            current = await self._client.get(ref)
            deviations = list(find_deviations(manifest, current))
            told = tell_contest(ref, deviations, find_writers(current, deviations))
            self._contests.tell(ref, told)
        return told

    async def _create(self, manifest: Manifest, desired: str) -> Fate:
        """Raises Conflict where there is one of this name."""
        ref = ref_of(manifest)
        drift = self._evidence.stood(ref, desired)  # it was there as desired: another client removed it
        if drift and (wait := self._contests.find_wait(ref)) > 0:
            return removed_again(ref, after=wait)
        written = await self._write(manifest, desired, current=None)
        if drift:
            self._contests.note(ref)
        return Fate(ObjectOutcome(ref, Action.CREATED, drift=drift), uid=written["metadata"]["uid"])

    async def _configure(
        self, current: Object, manifest: Manifest, desired: str, *, floor: Manifest | None
    ) -> Fate:
        ref = ref_of(manifest)
        drift = applied_of(current) == desired
        written = await self._put_right(current, manifest, desired, floor=floor)
        uid = written["metadata"]["uid"]
        if written["metadata"]["resourceVersion"] == current["metadata"]["resourceVersion"]:
            self._evidence.tolerate(current, manifest, desired)
            return Fate(ObjectOutcome(ref, Action.UNCHANGED), uid=uid)
        if drift:
            self._contests.note(ref)
        if drift and (told := self._contests.told(ref)) and (rest := self._contests.find_rest(ref)):
            return contested(ref, told, after=rest, drift=True, uid=uid)
        return Fate(ObjectOutcome(ref, Action.CONFIGURED, drift=drift), uid=uid)

    async def _put_right(
        self, current: Object, manifest: Manifest, desired: str, *, floor: Manifest | None
    ) -> Object:
        """Everything that it takes to make an object say what is wanted: mostly one write."""
        ref = ref_of(manifest)
        if floor is not None:
            current = await self._client.apply(floor, manager=REPLICAS_MANAGER, force=True)
            if self._evidence.is_settled(current, manifest, desired):
                self._observe(ref, current)
                return current
        handover = build_handover(manifest, current, MANAGER)
        if handover is not None:
            await self._client.apply(handover, manager=REPLICAS_MANAGER)
        if any(find_shared(current)):
            # What others own as well would stay when we leave it out.
            current = await self._client.patch(ref, build_release(await self._client.get(ref)))
        if any(d.pointer for d in find_deviations(manifest, current)):
            try:
                current = await self._remove_intruders(ref, manifest)
            except Invalid:  # nothing would be left of a list that must not be empty: ours goes in first
                await self._write(manifest, desired, current=current)
                cleaned = await self._remove_intruders(ref, manifest)
                self._evidence.remember(ref, cleaned, desired)
                self._observe(ref, cleaned)
                return cleaned
        try:
            return await self._write(manifest, desired, current=current)
        except Invalid as invalid:
            if invalid.immutable and manifest["kind"] == "ConfigMap":
                return await self._make_anew(manifest, desired, current)
            obstacles = [*find_obstacles(manifest, current, invalid.message)]
            if not obstacles:
                raise
            current = await self._client.patch(ref, build_removal(obstacles))
            return await self._write(manifest, desired, current=current)

    async def _remove_intruders(self, ref: Ref, manifest: Manifest) -> Object:
        """Take out what others added, from the object as it is now: places in lists move."""
        fresh = await self._client.get(ref)
        intruders = [d for d in find_deviations(manifest, fresh) if d.pointer]
        if not intruders:
            return fresh
        # Each is tested by its content: the object's version also moves with every status.
        return await self._client.patch(ref, build_removal([(d.pointer, d.live) for d in intruders]))

    async def _make_anew(self, manifest: Manifest, desired: str, current: Object) -> Object:
        """Replace an object of ours that another client made immutable."""
        ref, uid = ref_of(manifest), current["metadata"]["uid"]
        await self._client.delete(ref, uid=uid)
        store = self._store(ref)
        if store is not None:
            store.discard(ref, uid)
        return await self._write(manifest, desired, current=None)

    async def _write(self, manifest: Manifest, desired: str, *, current: Object | None) -> Object:
        metadata = manifest["metadata"]
        metadata = {**metadata, "annotations": {**(metadata.get("annotations") or {}), APPLIED: desired}}
        if current is None:
            metadata["resourceVersion"] = NEVER
        else:
            # Force is for this very object, not for one that another client put in its place meanwhile.
            metadata["uid"] = current["metadata"]["uid"]
        body = {**manifest, "metadata": metadata}
        ref = ref_of(manifest)
        written = await self._client.apply(body, manager=MANAGER, force=current is not None)
        if any(find_shared(written)):
            with suppress(Conflict):  # it was written again meanwhile: our next write comes back to it
                written = await self._client.patch(ref, build_release(written))
        self._evidence.remember(ref, written, desired)
        self._observe(ref, written)
        return written

    def _observe(self, ref: Ref, written: Object) -> None:
        store = self._store(ref)
        if store is not None:
            store.observe(written)

    def _hash(self, manifest: Manifest) -> str:
        if not _is_shared(manifest):
            return hash_rendered(manifest)
        # CRDs are huge and come from one frozen asset: one dictionary, one hash.
        known = self._hashes.get(id(manifest))
        if known is None or known[0] is not manifest:
            if len(self._hashes) >= 256:
                self._hashes.clear()
            known = self._hashes[id(manifest)] = (manifest, stable_hash(manifest))
        return known[1]

    def _find_other_owner(self, current: Object, manifest: Manifest, job: _Job) -> str:
        """Whose the object is, in words, when it is not ours; empty when it is.

        It is ours by the uid that we recorded, whatever else was changed. One without a record is taken
        over where its labels name the mesh (restored from a backup, made from what `navarch render` prints):
        a policy lets only us and holders of `host` write those. A field manager's name proves nothing.
        """
        if job.inventory.has(current):
            return ""
        if self._evidence.knows(current) and not is_foreign_label(current, job.parent):
            return ""
        labels = current["metadata"].get("labels") or {}
        shared = _is_shared(manifest)
        if is_named(current, job.parent) or (shared and labels.get(MANAGED_BY) == "navarch"):
            return ""
        if job.parent.uid and labels.get(MESH_UID) == job.parent.uid and current["kind"] != "Namespace":
            return ""
        return describe_owner(current)

    async def _read(self, ref: Ref) -> Object | None:
        try:
            return await self._client.get(ref)
        except NotFound:
            return None

    def _store(self, ref: Ref) -> Store | None:
        return self._stores.get((ref.group, ref.kind))


def _find_made(manifests: Iterable[Manifest], fates: Sequence[Fate]) -> Iterable[Record]:
    """Records of those objects that stand as wanted. Istio's CRDs are no mesh's."""
    uids: Mapping[Ref, str] = {fate.outcome.ref: fate.uid for fate in fates if fate.uid}
    for manifest in manifests:
        uid = uids.get(ref_of(manifest))
        if uid and not _is_shared(manifest):
            yield build_record(manifest, uid)


def _is_shared(manifest: Manifest) -> bool:
    return bool(manifest["metadata"].get("labels", {}).get(COMPONENT) == _SHARED)
