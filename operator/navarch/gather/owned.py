"""The objects of one mesh: what the stores and the inventories have, and what the API server has beyond that.

Owns the list of kinds that are searched. Must never count an object as a mesh's by another rule than
model/ownership. Invariants: a recorded object is the mesh's, with any labels; an object that
only claims to be the mesh's is listed where this release could have made it and no other mesh has it
recorded; what find_unseen() returns is in the stores afterwards; nothing of another mesh is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from navarch.core.model.naming import hosted_namespace
from navarch.core.model.ownership import Inventory, claims_parent, find_lost, is_proved, restate
from navarch.core.model.parent import PARENT_KINDS, Parent
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.world.cluster import PeerPolicy
from navarch.gather.excerpts import CLASS
from navarch.gather.neighbours import by_parent
from navarch.gather.policies import POLICY
from navarch.gather.watches import GATEWAYS, MEMBERS, OF_A_MESH, OWNED, ROUTES, Watch
from navarch.kube.client import Client
from navarch.kube.errors import Unserved
from navarch.kube.inventory import Inventories
from navarch.kube.resources import Resource, resource_for, resource_of
from navarch.kube.store import Store
from navarch.kube.weight import build_frame

WATCH_OF = {watch.kind: watch.name for watch in (*OWNED, GATEWAYS, MEMBERS)}
"""The watches of the kinds that parents have objects of, but for MeshRevisions."""
_CRD = ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "")


class OwnedReader:
    """Finds the objects of meshes in `stores`, and at the API server by `client`."""

    def __init__(self, client: Client, stores: Mapping[str, Store], inventories: Inventories) -> None:
        self._client = client
        self._stores = stores
        self.inventories = inventories

    def inventory(self, parent: Parent) -> Inventory:
        """What is recorded of a mesh, but for objects of kinds that the cluster does not have any more."""
        known = self.inventories.read(parent)
        served = {r: x for r, x in known.records.items() if self.is_installed(resource_for(r))}
        return known if len(served) == len(known.records) else replace(known, records=served)

    def objects(self, parent: Parent, inventory: Inventory) -> Iterator[Manifest]:
        """What the mesh with this inventory owns, or claims to, but for its MeshRevisions and Istio's
        CRDs."""
        listed = set()
        for ref, record in inventory.records.items():
            there = self._stores[WATCH_OF[ref.kind]].get(ref) if ref.kind in WATCH_OF else None
            if there is not None and there["metadata"]["uid"] == record.uid:
                listed.add(ref)
                yield restate(there, parent, record)
        named = parent.any_uid
        for name in WATCH_OF.values():
            for manifest in self._stores[name].find(by_parent, named):
                if not claims_parent(manifest, parent) or ref_of(manifest) in listed:
                    continue
                if not self.inventories.is_of_another(parent, manifest["metadata"]["uid"]):
                    yield manifest

    def gateway_defaults(
        self, parent: Parent, home: str, owned: Iterable[Manifest], inventory: Inventory
    ) -> dict[str, str]:
        """ConfigMaps beside the mesh's istiod that it would deploy gateways with, and that are not the
        mesh's: neither recorded nor among the `owned`; `home` is the namespace of the control plane."""
        foreign = self._list_foreign("gateway-defaults", home, owned, inventory)
        return {found["metadata"]["name"]: found[CLASS] for found in foreign}

    def peer_policies(
        self, parent: Parent, owned: Iterable[Manifest], inventory: Inventory
    ) -> tuple[PeerPolicy, ...]:
        """PeerAuthentications in the mesh's namespace that hold for the whole mesh, and are not the
        mesh's."""
        foreign = self._list_foreign("peer-policies", parent.namespace, owned, inventory)
        return tuple(found[POLICY] for found in foreign if found[POLICY] is not None)

    def _list_foreign(
        self, watch: str, place: str, owned: Iterable[Manifest], inventory: Inventory
    ) -> Iterator[Manifest]:
        """Of the namespace `place`, what is neither recorded nor among the `owned`."""
        uids = {record.uid for record in inventory.records.values()}
        ours = uids | {o["metadata"]["uid"] for o in owned}
        found = self._stores[watch].list(place)
        return (manifest for manifest in found if manifest["metadata"]["uid"] not in ours)

    def removable(self, parent: Parent) -> tuple[Manifest, ...]:
        """All that is proved to be a mesh's, out of sight or not."""
        inventory = self.inventory(parent)
        seen = (*self.objects(parent, inventory), *self.revisions(parent))
        proved = (o for o in seen if is_proved(o, parent, inventory))
        return (*proved, *find_lost(parent, inventory, seen))

    def revisions(self, parent: Parent) -> tuple[Manifest, ...]:
        """The mesh's MeshRevisions."""
        return tuple(r for r in self._stores["revisions"].list(parent.namespace) if parent.owns(r))

    async def find_unseen(self, parent: Parent, watches: Iterable[Watch] = OF_A_MESH) -> tuple[Manifest, ...]:
        """What the API server has of a parent beyond what the stores know; written through, so that the next
        look sees it. Of each object the frame is returned, which says whose it is. One request for each
        kind: for the end of a parent only."""
        selector = ",".join(f"{key}={value}" for key, value in parent.identity().items())
        inventory = self.inventory(parent)
        home = Ref("v1", "Namespace", "", hosted_namespace(parent.namespace, parent.name))
        hosted = home in inventory.records or self._stores["homes"].get(home) is not None
        found: list[Manifest] = []
        for watch in watches:
            resource = resource_of(watch.api_version, watch.kind)
            beside = PARENT_KINDS[parent.kind].keeps_beside(watch.kind) and not hosted
            namespace = parent.namespace if resource.namespaced and beside else ""
            store = self._stores[watch.name]

            def keep(manifest: dict[str, Any], store: Store = store) -> dict[str, Any] | None:
                # A frame lacks managedFields, which are part of the proof.
                frame = build_frame(manifest) if is_proved(manifest, parent, inventory) else None
                store.observe(manifest)
                return frame

            try:
                listing = await self._client.list(
                    resource, namespace=namespace, label_selector=selector, limit=watch.page, keep=keep
                )
            except Unserved:
                if self.is_installed(resource):
                    raise
                continue
            found += listing.items
        return tuple(found)

    def is_installed(self, resource: Resource) -> bool:
        """Whether the cluster has a kind, built in or by a CRD: then a 404 does not mean that there are no
        objects. Of a kind that OpenShift serves without a CRD its watch was told last."""
        if resource.kind == ROUTES.kind:
            return self._stores[ROUTES.name].served
        name = f"{resource.plural}.{resource.group}"
        return resource.builtin or self._stores["crds"].get(Ref(*_CRD, name)) is not None
