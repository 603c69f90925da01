"""What proves that an object is ours: the uid that we recorded, or our labels and our Apply entry on an
object that this release could have made.

Owns the closed world (which component has which kinds, under which names) and the values of the inventory.
Must never take a label for a proof: with rights on ConfigMaps alone any label, and any field manager's name,
can be written. Invariants: an object whose uid is recorded is ours, with any labels and
managedFields; without a record, nothing outside the closed world is ever removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from navarch.core.model.labels import (
    COMPONENT,
    REVISION,
    TRIAL,
    component_of,
    revision_of,
)
from navarch.core.model.naming import DEFAULT_VALIDATOR, TRIAL_NAMES, hosted_namespace
from navarch.core.model.parent import GATEWAY, MEMBER, MESH, PARENT_KINDS, ROLL, Parent, parent_of
from navarch.core.model.refs import Manifest, Ref, ref_of

MANAGER = "navarch"
"""The field manager of everything that we apply as a whole."""


_INVENTORY = "inventory."


def inventory_name(parent: Parent) -> str:
    """The name of the inventory of a parent's objects. Neither kind nor namespace holds a dot, so that no two
    parents share one."""
    return f"{_prefix(parent.kind)}{parent.namespace}.{parent.name}"


def parent_of_inventory(name: str) -> Parent | None:
    """The parent whose inventory has this name, without its uid; None where it is no inventory's name."""
    for kind in PARENT_KINDS:
        if name.startswith(_prefix(kind)):
            namespace, _, rest = name.removeprefix(_prefix(kind)).partition(".")
            return Parent(kind, namespace, rest) if rest else None
    return None


def _prefix(kind: str) -> str:
    return _INVENTORY if kind == MESH else f"{_INVENTORY[:-1]}-{kind.lower()}."


@dataclass(frozen=True, slots=True)
class Record:
    """An object that we made or adopted: which one (`uid`), and what it is for."""

    ref: Ref
    uid: str
    component: str
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """The objects of one parent. `uid` is the parent's, `kind` that of its CustomResourceDefinition: where it
    differs from the one in the cluster, the parent went with its kind."""

    uid: str = ""
    kind: str = ""
    records: Mapping[Ref, Record] = field(default_factory=dict)

    def has(self, manifest: Manifest) -> bool:
        """Whether this very object is recorded."""
        record = self.records.get(ref_of(manifest))
        return record is not None and record.uid == manifest["metadata"].get("uid")


NOTHING = Inventory()
"""The inventory of a parent of which nothing is recorded."""

_ISTIOD_KINDS = frozenset(
    {
        *("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
        *("ConfigMap", "Service", "Deployment"),
        *("HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"),
    }
)
CLOSED_WORLD: Mapping[str, Mapping[str, frozenset[str]]] = {
    MESH: {
        "istiod": _ISTIOD_KINDS,
        "injection": frozenset({"ConfigMap", "MutatingWebhookConfiguration"}),
        "validation": frozenset({"ValidatingWebhookConfiguration"}),
        "tags": frozenset({"Service", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}),
        "policies": frozenset({"PeerAuthentication"}),
        "hosting": frozenset({"Namespace"}),
        "revision": frozenset({"MeshRevision"}),
        "gateways": frozenset({GATEWAY}),
        TRIAL: frozenset({"ServiceAccount", "Deployment"}),
    },
    GATEWAY: {
        "gateway": frozenset(
            {
                *("ServiceAccount", "RoleBinding", "Service", "Deployment", "DaemonSet"),
                *("HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", "Route"),
            }
        ),
    },
    MEMBER: {"members": frozenset({"NetworkPolicy"})},
    ROLL: {"members": frozenset({MEMBER})},
}
"""Kinds of objects that a component of a kind of parent may have. Istio's CRDs belong to no mesh and are
never removed."""

_BINDINGS = ("ClusterRoleBinding", "RoleBinding")
_OF_REVISION = ("istiod-", "istio-", "values-")
_OF_TAGS = ("istiod-revision-tag-", "istio-revision-tag-")


def is_conceivable(manifest: Manifest) -> bool:
    """Whether this release could have made an object of this kind, component and name for its parent."""
    parent, component = parent_of(manifest), component_of(manifest)
    if parent is None or manifest["kind"] not in CLOSED_WORLD[parent.kind].get(component, ()):
        return False
    return parent.kind != MESH or _is_named_by_mesh(manifest, parent, component)


def _is_named_by_mesh(manifest: Manifest, parent: Parent, component: str) -> bool:
    """Whether a mesh could have an object of this name in a component."""
    name = str(manifest["metadata"]["name"])
    if component == "hosting":
        return name == hosted_namespace(parent.namespace, parent.name)
    if component in ("revision", "gateways"):
        return True
    if component == TRIAL:
        return name.startswith(TRIAL_NAMES)
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


def claims_parent(manifest: Manifest, parent: Parent) -> bool:
    """Whether the labels say that an object belongs to the parent, and it could. Enough to look at it, and to
    take it over where the parent wants an object of this very name; never enough to remove it."""
    return is_named(manifest, parent) and is_conceivable(manifest)


def is_named(manifest: Manifest, parent: Parent) -> bool:
    """Whether an object names the parent, and not by labels alone where it lies in another namespace than the
    parent's, or is one itself, unless a policy guards these labels."""
    beside = manifest["metadata"].get("namespace", parent.namespace) == parent.namespace
    beside = beside and manifest["kind"] != "Namespace"
    guarded = not PARENT_KINDS[parent.kind].recorded
    return parent.owns(manifest) and (beside or guarded or own_fields(manifest) is not None)


def is_proved(manifest: Manifest, parent: Parent, inventory: Inventory) -> bool:
    """Whether an object is ours beyond its labels, and may be removed as the parent's."""
    if inventory.has(manifest):
        return True
    return claims_parent(manifest, parent) and own_fields(manifest) is not None


def restate(manifest: Manifest, parent: Parent, record: Record) -> Manifest:
    """A recorded object with the labels that we gave it, also where they were changed."""
    labels = manifest["metadata"].get("labels") or {}
    if (
        parent.owns(manifest)
        and labels.get(COMPONENT) == record.component
        and labels.get(REVISION, "") == record.revision
    ):
        return manifest
    given = {**parent.identity(), COMPONENT: record.component}
    given |= {REVISION: record.revision} if record.revision else {}
    kept = {key: value for key, value in labels.items() if key != REVISION}
    return {**manifest, "metadata": {**manifest["metadata"], "labels": kept | given}}


def as_manifest(parent: Parent, record: Record) -> Manifest:
    """What is known of a recorded object that is out of sight: that it was made, and what for."""
    ref = record.ref
    metadata = {"name": ref.name, "uid": record.uid} | ({"namespace": ref.namespace} if ref.namespace else {})
    bare = {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata}
    return restate(bare, parent, record)


def find_lost(parent: Parent, inventory: Inventory, seen: Iterable[Manifest]) -> tuple[Manifest, ...]:
    """Recorded objects that are not among those `seen`: they are gone, or another client removed
    the label by which they are watched."""
    known = {ref_of(manifest) for manifest in seen}
    return tuple(as_manifest(parent, r) for ref, r in sorted(inventory.records.items()) if ref not in known)


def is_foreign_label(manifest: Manifest, parent: Parent) -> bool:
    """Whether the labels name another parent."""
    other = parent_of(manifest)
    return other is not None and other.any_uid != parent.any_uid
