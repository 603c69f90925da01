"""What is left of meshes and gateways that went without having been removed in order.

Owns which of them this process has seen, with which CustomResourceDefinition, and since when they are gone.
Must never call an object an orphan whose parent was never seen, by this process or by the one that wrote its
inventory: a backup may restore objects before their parent.
Invariant: what went with its kind is no orphan.
"""

from __future__ import annotations

from collections.abc import Callable

from navarch.api.meta import API_VERSION
from navarch.core.model.parent import Parent, crd_of
from navarch.core.model.refs import Manifest
from navarch.gather.owned import OwnedReader
from navarch.kube.client import Client
from navarch.kube.errors import NotFound


class OrphanFinder:
    """Remembers the parents that were seen, without their uids. `seconds` is how long the objects of one that
    is gone are kept for a restore."""

    def __init__(
        self,
        client: Client,
        owned: OwnedReader,
        *,
        seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._client, self._owned = client, owned
        self._seconds, self._clock = seconds, clock
        self._seen: dict[Parent, str] = {}
        self._lost: dict[Parent, float] = {}
        """Both by the parent without its uid."""

    def remember(self, parent: Parent) -> None:
        """A parent is there."""
        self._seen[parent] = self._owned.inventories.find_kind(parent)
        self._lost.pop(parent, None)

    async def find(self, parent: Parent) -> tuple[Manifest, ...]:
        """What is left of a parent that is gone, and that this process saw or another one recorded."""
        kind = self._seen.get(parent) or self._owned.inventories.read(parent).kind
        orphans = self._owned.removable(parent) if kind else ()
        if not orphans or not await self._is_kind_as_it_was(parent.kind, kind):
            self._seen.pop(parent, None)
            self._lost.pop(parent, None)
            return ()
        return orphans

    async def close(self, parent: Parent) -> None:
        """Nothing is left of a parent: its inventory goes too. What went with its kind keeps it."""
        kind = self._owned.inventories.read(parent).kind
        if kind and await self._is_kind_as_it_was(parent.kind, kind):
            await self._owned.inventories.drop(parent)

    def describe(self, parent: Parent) -> Manifest:
        """A parent that is gone, as Events name it."""
        uid = self._owned.inventories.read(parent).uid
        metadata = {"namespace": parent.namespace, "name": parent.name, "uid": uid}
        return {"apiVersion": API_VERSION, "kind": parent.kind, "metadata": metadata}

    def grace(self, parent: Parent) -> float:
        """For how many seconds more the objects of a parent that is gone are kept for a restore."""
        now = self._clock()
        return self._lost.setdefault(parent, now) + self._seconds - now

    async def find_kind_deletion(self, body: Manifest) -> str:
        """When the deletion of the kind itself was asked for; empty where it was not, or where `body` is not
        being deleted. Read fresh, since the watch may tell of it after it told of the object."""
        if not deletion_of(body):
            return ""
        crd = await self._read_crd(body["kind"])
        return deletion_of(crd) if crd is not None else ""

    async def _read_crd(self, kind: str) -> Manifest | None:
        try:
            return await self._client.get(crd_of(kind), metadata_only=True)
        except NotFound:
            return None

    async def _is_kind_as_it_was(self, kind: str, uid: str) -> bool:
        crd = await self._read_crd(kind)
        return crd is not None and crd["metadata"]["uid"] == uid and not deletion_of(crd)


def deletion_of(manifest: Manifest) -> str:
    """metadata.deletionTimestamp; empty where the object is not being deleted."""
    return str(manifest["metadata"].get("deletionTimestamp") or "")
