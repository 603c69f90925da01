"""What proves that an object is ours: the uid that we recorded, or our labels and our Apply entry on an
object that this release could have made.

Owns the closed world (which component has which kinds, under which names) and the values of the inventory.
Must never take a label for a proof: with rights on ConfigMaps alone any label, and any field manager's name,
can be written. Invariants: an object whose uid is recorded is ours whatever became of its labels and
managedFields; without a record, nothing outside the closed world is ever removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from navarch.core.model.labels import (
    COMPONENT,
    MESH_NAME,
    MESH_NAMESPACE,
    REVISION,
    Owner,
    component_of,
    owner_of,
    revision_of,
)
from navarch.core.model.naming import DEFAULT_VALIDATOR
from navarch.core.model.refs import Manifest, Ref, ref_of

MANAGER = "navarch"
"""The field manager of everything that we apply as a whole."""


_INVENTORY = "inventory."


def inventory_name(namespace: str, name: str) -> str:
    """The name of a mesh's inventory. A namespace holds no dot, so that no two meshes share one."""
    return f"{_INVENTORY}{namespace}.{name}"


def mesh_of_inventory(name: str) -> tuple[str, str]:
    """Namespace and name of the mesh whose inventory has this name; empty where it is none."""
    namespace, _, mesh = name.removeprefix(_INVENTORY).partition(".")
    return (namespace, mesh) if name.startswith(_INVENTORY) else ("", "")


@dataclass(frozen=True, slots=True)
class Record:
    """An object that we made or adopted: which one (`uid`), and what it is for."""

    ref: Ref
    uid: str
    component: str
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """The objects of one mesh. `mesh` is the uid of the MeshControlPlane, `kind` that of its
    CustomResourceDefinition: where it differs from the one in the cluster, the mesh went with its kind."""

    mesh: str = ""
    kind: str = ""
    records: Mapping[Ref, Record] = field(default_factory=dict)

    def has(self, manifest: Manifest) -> bool:
        """Whether this very object is recorded."""
        record = self.records.get(ref_of(manifest))
        return record is not None and record.uid == manifest["metadata"].get("uid")


NOTHING = Inventory()
"""The inventory of a mesh of which nothing is recorded."""

_ISTIOD_KINDS = frozenset(
    {
        *("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
        *("ConfigMap", "Service", "Deployment"),
        *("HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"),
    }
)
CLOSED_WORLD: Mapping[str, frozenset[str]] = {
    "istiod": _ISTIOD_KINDS,
    "injection": frozenset({"ConfigMap", "MutatingWebhookConfiguration"}),
    "validation": frozenset({"ValidatingWebhookConfiguration"}),
    "tags": frozenset({"Service", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}),
    "policies": frozenset({"PeerAuthentication"}),
    "revision": frozenset({"MeshRevision"}),
}
"""Kinds that a component of a mesh may have. Istio's CRDs belong to no mesh and are never removed."""

_BINDINGS = ("ClusterRoleBinding", "RoleBinding")
_OF_REVISION = ("istiod-", "istio-", "values-")
_OF_TAGS = ("istiod-revision-tag-", "istio-revision-tag-")


def is_conceivable(manifest: Manifest) -> bool:
    """Whether this release could have made an object of this kind, component and name for a mesh."""
    component, name = component_of(manifest), str(manifest["metadata"]["name"])
    if manifest["kind"] not in CLOSED_WORLD.get(component, ()):
        return False
    if component == "revision":
        return True
    if component == "policies":
        return name == "default"
    if component == "tags":
        return name == DEFAULT_VALIDATOR or name.startswith(_OF_TAGS)
    revision = revision_of(manifest)
    # A binding is named after the installation's role that it binds.
    named = manifest["kind"] in _BINDINGS or name.startswith(_OF_REVISION)
    return bool(revision) and named and revision in name


def is_own_entry(entry: Mapping[str, Any], manager: str = MANAGER) -> bool:
    """Whether an entry of managedFields is the manager's for what it applied as a whole."""
    mine = entry.get("manager") == manager and entry.get("operation") == "Apply"
    return mine and not entry.get("subresource")


def fields_of(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """fieldsV1 of an entry of managedFields: as the API server sends them, or as one text, which is how the
    stores keep them."""
    fields: Mapping[str, Any] | str = entry.get("fieldsV1") or {}
    return json.loads(fields) if isinstance(fields, str) else fields


def own_fields(obj: Mapping[str, Any], manager: str = MANAGER) -> Mapping[str, Any] | None:
    """fieldsV1 of the manager's Apply entry for the main resource; None when it has none."""
    for entry in obj["metadata"].get("managedFields") or ():
        if is_own_entry(entry, manager):
            return fields_of(entry)
    return None


def claims_mesh(manifest: Manifest, owner: Owner) -> bool:
    """Whether the labels say that an object belongs to the mesh, and it could. Enough to look at it, and to
    take it over where the mesh wants an object of this very name; never enough to remove it."""
    return owner.owns(manifest) and is_conceivable(manifest)


def is_proved(manifest: Manifest, owner: Owner, inventory: Inventory) -> bool:
    """Whether an object is ours beyond its labels, and may be removed as the mesh's."""
    if inventory.has(manifest):
        return True
    return claims_mesh(manifest, owner) and own_fields(manifest) is not None


def restate(manifest: Manifest, owner: Owner, record: Record) -> Manifest:
    """A recorded object with the labels that it was given, whatever became of them."""
    labels = manifest["metadata"].get("labels") or {}
    if (
        owner.owns(manifest)
        and labels.get(COMPONENT) == record.component
        and labels.get(REVISION, "") == record.revision
    ):
        return manifest
    given = {MESH_NAMESPACE: owner.namespace, MESH_NAME: owner.name, COMPONENT: record.component}
    given |= {REVISION: record.revision} if record.revision else {}
    kept = {key: value for key, value in labels.items() if key != REVISION}
    return {**manifest, "metadata": {**manifest["metadata"], "labels": kept | given}}


def as_manifest(owner: Owner, record: Record) -> Manifest:
    """What is known of a recorded object that is out of sight: that it was made, and what for."""
    ref = record.ref
    metadata = {"name": ref.name, "uid": record.uid} | ({"namespace": ref.namespace} if ref.namespace else {})
    bare = {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata}
    return restate(bare, owner, record)


def find_lost(owner: Owner, inventory: Inventory, seen: Iterable[Manifest]) -> tuple[Manifest, ...]:
    """Recorded objects that are not among those `seen`: they are gone, or somebody took the label off by
    which they are watched."""
    known = {ref_of(manifest) for manifest in seen}
    return tuple(as_manifest(owner, r) for ref, r in sorted(inventory.records.items()) if ref not in known)


def is_foreign_label(manifest: Manifest, owner: Owner) -> bool:
    """Whether the labels name another mesh."""
    other = owner_of(manifest)
    return other is not None and (other.namespace, other.name) != (owner.namespace, owner.name)
