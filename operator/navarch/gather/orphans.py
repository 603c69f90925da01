"""What is left of meshes that went without having been removed in order.

Owns which meshes this process has seen, with which CustomResourceDefinition, and since when they are gone.
Must never call an object an orphan whose mesh was never seen, by this process or by the one that wrote its
inventory: a backup may restore objects before their mesh.
Invariant: what went with its kind is no orphan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from navarch.api import controlplane
from navarch.api.meta import API_VERSION, GROUP
from navarch.core.model.parent import Parent
from navarch.core.model.refs import Manifest, Ref
from navarch.gather.owned import OwnedReader
from navarch.kube.client import Client
from navarch.kube.errors import NotFound
from navarch.kube.store import Store

KIND_REF = Ref(
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
    "",
    f"{controlplane.PLURAL}.{GROUP}",
)


class OrphanFinder:
    """Remembers the meshes that were seen, as parents without a uid. `seconds` is how long the objects of a
    mesh that is gone are kept for a restore."""

    def __init__(
        self,
        client: Client,
        stores: Mapping[str, Store],
        owned: OwnedReader,
        *,
        seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._client, self._stores, self._owned = client, stores, owned
        self._seconds, self._clock = seconds, clock
        self._seen: dict[Parent, str] = {}
        self._lost: dict[Parent, float] = {}
        """Both by the parent without its uid."""

    def remember(self, mesh: Parent) -> None:
        """A mesh is there."""
        stored = self._stores["crds"].get(KIND_REF)
        self._seen[mesh] = str(stored["metadata"]["uid"]) if stored is not None else ""
        self._lost.pop(mesh, None)

    async def find(self, mesh: Parent) -> tuple[Manifest, ...]:
        """What is left of a mesh that is gone, and that this process saw or another one recorded."""
        kind = self._seen.get(mesh) or self._owned.inventories.read(mesh).kind
        orphans = self._owned.removable(mesh) if kind else ()
        if not orphans or not await self._is_kind_as_it_was(kind):
            self._seen.pop(mesh, None)
            self._lost.pop(mesh, None)
            return ()
        return orphans

    async def close(self, mesh: Parent) -> None:
        """Nothing is left of a mesh: its inventory goes too. What went with its kind keeps it."""
        kind = self._owned.inventories.read(mesh).kind
        if kind and await self._is_kind_as_it_was(kind):
            await self._owned.inventories.drop(mesh)

    def describe(self, mesh: Parent) -> Manifest:
        """A mesh that is gone, as Events name it."""
        uid = self._owned.inventories.read(mesh).uid
        metadata = {"namespace": mesh.namespace, "name": mesh.name, "uid": uid}
        return {"apiVersion": API_VERSION, "kind": mesh.kind, "metadata": metadata}

    def grace(self, mesh: Parent) -> float:
        """For how many seconds more the objects of a mesh that is gone are kept for a restore."""
        now = self._clock()
        return self._lost.setdefault(mesh, now) + self._seconds - now

    async def find_kind_deletion(self, body: Manifest) -> str:
        """When the deletion of the kind itself was asked for; empty where it was not, or where `body` is not
        being deleted. Read fresh, since the watch may tell of it after it told of the mesh."""
        if not deletion_of(body):
            return ""
        kind = await self._read_kind()
        return deletion_of(kind) if kind is not None else ""

    async def _read_kind(self) -> Manifest | None:
        try:
            return await self._client.get(KIND_REF, metadata_only=True)
        except NotFound:
            return None

    async def _is_kind_as_it_was(self, uid: str) -> bool:
        kind = await self._read_kind()
        return kind is not None and kind["metadata"]["uid"] == uid and not deletion_of(kind)


def deletion_of(manifest: Manifest) -> str:
    """metadata.deletionTimestamp; empty where the object is not being deleted."""
    return str(manifest["metadata"].get("deletionTimestamp") or "")
