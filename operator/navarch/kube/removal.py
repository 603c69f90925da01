"""Removes objects of a parent, in the order that a plan gives them.

Owns the decision whether an object may be removed. Must never decide what is to go. Invariants: what is not
proved to be the parent's is left alone, and what is removed is removed by its uid; kinds go one after the
other, objects of one kind side by side, and no kind goes while one before it could not be removed.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from navarch.core.model.actions import Action, ObjectOutcome
from navarch.core.model.ownership import Inventory, is_proved
from navarch.core.model.parent import Parent
from navarch.core.model.refs import Ref
from navarch.kube.client import Client, Object
from navarch.kube.errors import KubeError, NotFound
from navarch.kube.evidence import Evidence
from navarch.kube.fate import Fate, describe_owner, failed, foreign
from navarch.kube.store import Stores
from navarch.kube.together import do_together


class Remover:
    """Removes by plans. `stores` hold what the reflectors saw, `evidence` what this process has applied."""

    def __init__(self, client: Client, stores: Stores, evidence: Evidence) -> None:
        self._client, self._stores, self._evidence = client, stores, evidence

    async def prune(
        self, parent: Parent, inventory: Inventory, refs: Iterable[Ref], gone: list[Ref]
    ) -> list[Fate]:
        """Remove `refs`; `gone` gets those that are no longer there."""

        async def remove_one(ref: Ref) -> list[Fate]:
            try:
                return await self._remove(parent, inventory, ref, gone)
            except KubeError as error:
                return [failed(ref, error)]

        fates: list[Fate] = []
        for _, group in groupby(refs, key=lambda ref: ref.kind):
            removed = await do_together(remove_one, group)
            fates += [fate for of_one in removed for fate in of_one]
            if any(fate.bad for fate in fates):
                # The order is a promise: what a webhook needs must not go before the webhook.
                break
        return fates

    async def _remove(self, parent: Parent, inventory: Inventory, ref: Ref, gone: list[Ref]) -> list[Fate]:
        store = self._stores.get((ref.group, ref.kind))
        current = store.get(ref) if store is not None else None
        if current is None:
            current = await self._read_metadata(ref)
        if current is None:
            gone.append(ref)
            return []
        if not (self._evidence.knows(current) or is_proved(current, parent, inventory)):
            gone.append(ref)  # what we made is gone, and this came in its place
            return [] if ref in inventory.records else [foreign(ref, describe_owner(current), parent)]
        if current["metadata"].get("deletionTimestamp"):
            return []
        uid = current["metadata"]["uid"]
        self._evidence.forget(ref)
        try:
            left = await self._client.delete(ref, uid=uid)
        except NotFound:
            left = {}
        if left.get("metadata", {}).get("deletionTimestamp"):
            if store is not None:
                store.observe(left)
        else:
            gone.append(ref)
            if store is not None:
                store.discard(ref, uid)
        return [Fate(ObjectOutcome(ref, Action.PRUNED))]

    async def _read_metadata(self, ref: Ref) -> Object | None:
        try:
            return await self._client.get(ref, metadata_only=True)
        except NotFound:
            return None
