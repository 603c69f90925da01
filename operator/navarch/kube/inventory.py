"""Which objects a mesh has, by uid: kept in the cluster, where a restart finds it, outside the mesh.

Owns one ConfigMap for each mesh, in the operator's own namespace: it outlives the mesh, its kind and its
namespace, and only the operator may write it (api/admission/ownership.py). Must never be the only way to find
an object: what is not recorded is still found by label and our Apply entry. Invariants: it is written only
when the set of objects changed; a record is dropped only when the object was seen to be gone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from navarch.core.model.labels import INVENTORY, MANAGED_BY, MESH_NAME, component_of, revision_of
from navarch.core.model.ownership import MANAGER, Inventory, Record, inventory_name
from navarch.core.model.parent import MESH, PARENT_KINDS, Parent, crd_of
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.kube.client import Client
from navarch.kube.errors import NotFound
from navarch.kube.store import Store

CONTENT = "content"
"""Under which name the store keeps what an inventory says: its mesh and itself, None where it is none."""
KEY = "inventory.json"


def build_record(manifest: Manifest, uid: str) -> Record:
    """The record of an object that was applied from `manifest`."""
    return Record(ref_of(manifest), uid, component_of(manifest), revision_of(manifest))


def render_inventory(parent: Parent, inventory: Inventory) -> str:
    """An inventory as text, the same for equal ones. That of a mesh says nothing of its parent's kind."""
    objects = [
        {
            "apiVersion": r.ref.api_version,
            "kind": r.ref.kind,
            "namespace": r.ref.namespace,
            "name": r.ref.name,
            "uid": r.uid,
            "component": r.component,
            "revision": r.revision,
        }
        for _, r in sorted(inventory.records.items())
    ]
    said = {"namespace": parent.namespace, "name": parent.name, "uid": inventory.uid, "kind": inventory.kind}
    said |= {} if parent.kind == MESH else {"of": parent.kind}
    return json.dumps({"mesh": said, "objects": objects}, indent=1)


def read_inventory(text: str) -> tuple[Parent, Inventory]:
    """What an inventory says. Raises ValueError where it is none."""
    try:
        content = json.loads(text)
        said, records = content["mesh"], {}
        for item in content["objects"]:
            # Names differ; the rest is the same in many records, and is kept once.
            version, kind, namespace, component, revision = (
                sys.intern(str(item[key]))
                for key in ("apiVersion", "kind", "namespace", "component", "revision")
            )
            ref = Ref(version, kind, namespace, str(item["name"]))
            records[ref] = Record(ref, str(item["uid"]), component, revision)
        kind, namespace, name, uid = said.get("of", MESH), said["namespace"], said["name"], said["uid"]
        parent = Parent(str(kind), str(namespace), str(name), str(uid))
        return parent, Inventory(parent.uid, str(said["kind"]), records)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no inventory: {error}") from error


def shrink_inventory(data: Mapping[str, Any]) -> tuple[Parent, Inventory] | None:
    """What is kept of an inventory's data: what it says, read once; None where it is none."""
    try:
        return read_inventory(data.get(KEY, ""))
    except ValueError:
        return None


def _by_uid(manifest: Mapping[str, Any]) -> Iterator[str]:
    """The objects that an inventory records."""
    if content := manifest.get(CONTENT):
        yield from (record.uid for record in content[1].records.values())


class Inventories:
    """The inventories of all parents. `store` holds their ConfigMaps, `crds` the cluster's
    CustomResourceDefinitions."""

    def __init__(self, client: Client, store: Store, *, crds: Store, namespace: str) -> None:
        self._client, self._store, self._namespace = client, store, namespace
        self._crds = crds

    def read(self, parent: Parent) -> Inventory:
        """The inventory of a parent; an empty one where there is none yet."""
        content = (self._store.get(self.ref(parent)) or {}).get(CONTENT)
        return content[1] if content else Inventory()

    def find_kind(self, parent: Parent) -> str:
        """The uid of the CustomResourceDefinition of a parent's kind, empty where there is none."""
        kind = self._crds.get(crd_of(parent.kind))
        return str(kind["metadata"]["uid"]) if kind is not None else ""

    def is_of_another(self, parent: Parent, uid: str) -> bool:
        """Whether an object is recorded as another parent's."""
        recorded = (manifest[CONTENT][0] for manifest in self._store.find(_by_uid, uid))
        return any(other.any_uid != parent.any_uid for other in recorded)

    async def update(self, parent: Parent, *, made: Iterable[Record], gone: Iterable[Ref]) -> None:
        """Take in what a plan came to; a kind that has no objects, or whose objects are not recorded, has
        no inventory. Raises KubeError where it
        could not be written."""
        kind_of_parent = PARENT_KINDS.get(parent.kind)
        if kind_of_parent is None or not kind_of_parent.recorded:
            return
        before = self.read(parent)
        records = {ref: record for ref, record in before.records.items() if ref not in {*gone}}
        records |= {record.ref: record for record in made}
        kind = self.find_kind(parent) or before.kind
        after = replace(before, uid=parent.uid or before.uid, kind=kind, records=records)
        if after == before or not (records or before.records):
            return
        written = await self._client.apply(self._build(parent, after), manager=MANAGER, force=True)
        self._store.observe(written)

    async def drop(self, parent: Parent) -> None:
        """The parent is gone, and all of its objects are."""
        ref = self.ref(parent)
        found = self._store.get(ref)
        if found is None:
            return
        uid = found["metadata"]["uid"]
        with suppress(NotFound):
            await self._client.delete(ref, uid=uid)
        self._store.discard(ref, uid)

    def ref(self, parent: Parent) -> Ref:
        """Where a parent's inventory is kept."""
        return Ref("v1", "ConfigMap", self._namespace, inventory_name(parent))

    def _build(self, parent: Parent, inventory: Inventory) -> Manifest:
        # The name's label puts it under the policy on what is ours; without the namespace's it is no object
        # of the mesh.
        labels = {MANAGED_BY: "navarch", MESH_NAME: parent.name, INVENTORY: "true"}
        metadata = {
            "name": inventory_name(parent),
            "namespace": self._namespace,
            "labels": labels,
        }
        data = {KEY: render_inventory(parent, inventory)}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
