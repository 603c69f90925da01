"""The parent of an object: which object of ours it was made for, as its labels say.

Owns the table of kinds that have objects: by which labels these name their parent, and where they may lie.
Must never take a label for a proof (core/model/ownership.py). Invariant: labels that name a parent whose
objects could not lie there name none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from navarch.api import controlplane, gateway, member, roll
from navarch.api.export import RESOURCES
from navarch.core.model.labels import (
    COMPONENT,
    GATEWAY_NAME,
    GATEWAY_NAMESPACE,
    GATEWAY_UID,
    GROUP,
    MANAGED_BY,
    MEMBER_NAME,
    MEMBER_NAMESPACE,
    MEMBER_UID,
    MESH_NAME,
    MESH_NAMESPACE,
    MESH_UID,
    REVISION,
    ROLL_NAME,
    ROLL_NAMESPACE,
    ROLL_UID,
)
from navarch.core.model.naming import hosted_namespace
from navarch.core.model.refs import Manifest, Ref

MESH = controlplane.KIND
GATEWAY = gateway.KIND
ROLL = roll.KIND
MEMBER = member.KIND


class Place(Enum):
    """Where the namespaced objects of a parent may lie."""

    ITS_NAMESPACE = auto()
    """In the parent's own namespace, a mesh's also in the one where it is hosted. The same labels elsewhere
    are forged: otherwise a right to write in one namespace would be enough to have objects counted, or
    removed, as those of a parent in another."""
    ANY_NAMESPACE = auto()
    """In any: only the operator's Apply entry, or the inventory, tells them from forged ones."""


@dataclass(frozen=True, slots=True)
class ParentKind:
    """A kind that has objects: the keys of the labels by which they name it, their place, and its plural;
    objects of the kinds `elsewhere` may lie in any namespace. Those of a kind that is not `recorded` have no
    inventory, since there may be thousands: a policy lets only the operator write their labels. `only` is the
    one name that such parents have, empty where they have any."""

    namespace: str
    name: str
    uid: str
    place: Place = Place.ITS_NAMESPACE
    plural: str = ""
    elsewhere: frozenset[str] = frozenset()
    recorded: bool = True
    only: str = ""

    def keeps_beside(self, kind: str) -> bool:
        """Whether objects of a kind lie in the parent's own namespace only."""
        return self.place is Place.ITS_NAMESPACE and kind not in self.elsewhere


PARENT_KINDS: Mapping[str, ParentKind] = {
    GATEWAY: ParentKind(GATEWAY_NAMESPACE, GATEWAY_NAME, GATEWAY_UID, plural=gateway.PLURAL),
    MEMBER: ParentKind(MEMBER_NAMESPACE, MEMBER_NAME, MEMBER_UID, plural=member.PLURAL, only=member.NAME),
    MESH: ParentKind(
        MESH_NAMESPACE, MESH_NAME, MESH_UID, plural=controlplane.PLURAL, elsewhere=frozenset({GATEWAY})
    ),
    ROLL: ParentKind(
        ROLL_NAMESPACE,
        ROLL_NAME,
        ROLL_UID,
        plural=roll.PLURAL,
        elsewhere=frozenset({member.KIND}),
        recorded=False,
    ),
}
"""Rows by the name of the kind. A MeshRevision is none: its objects are its mesh's, and name it by a label of
their own. An object with the labels of several is the first row's."""


_PLURALS = {resource.kind: resource.plural for resource in RESOURCES}


def crd_of(kind: str) -> Ref:
    """The CustomResourceDefinition of a kind of ours."""
    plural = PARENT_KINDS[kind].plural if kind in PARENT_KINDS else _PLURALS[kind]
    name = f"{plural}.{GROUP}"
    return Ref("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", name)


@dataclass(frozen=True, slots=True, order=True)
class Parent:
    """The object of ours that others belong to. `namespace` is empty for a cluster-scoped one, `uid` where it
    is not known: rendered offline, or gone. `mesh` are namespace and name of the mesh that it serves, where
    it is none itself: its objects carry that mesh's labels, too, by which they are watched and guarded."""

    kind: str
    namespace: str
    name: str
    uid: str = ""
    mesh: tuple[str, str] | None = field(default=None, compare=False)

    def labels(self, *, component: str, revision: str = "") -> dict[str, str]:
        """The labels of an object of this parent; `revision` only where it belongs to one revision."""
        keys = PARENT_KINDS[self.kind]
        labels = {
            MANAGED_BY: "navarch",
            **_name_mesh(self.mesh),
            **self.identity(),
            keys.uid: self.uid,
            COMPONENT: component,
        }
        return labels | {REVISION: revision} if revision else labels

    @property
    def any_uid(self) -> Parent:
        """The parent of this name, whichever uid it has: after a restore it has another."""
        return Parent(self.kind, self.namespace, self.name, mesh=self.mesh)

    def identity(self) -> dict[str, str]:
        """The labels that name this parent, whichever uid it has."""
        keys = PARENT_KINDS[self.kind]
        return {keys.namespace: self.namespace, keys.name: self.name}

    def owns(self, manifest: Manifest) -> bool:
        """Whether the object's labels name this parent. Another uid than ours is that of a dead one."""
        named = parent_of(manifest)
        own = (self.kind, self.namespace, self.name)
        return named is not None and (named.kind, named.namespace, named.name) == own


def find_home(mesh: Parent, *, hosted: bool) -> str:
    """The namespace of a mesh's control plane."""
    return hosted_namespace(mesh.namespace, mesh.name) if hosted else mesh.namespace


def _name_mesh(mesh: tuple[str, str] | None) -> dict[str, str]:
    return {} if mesh is None else {MESH_NAMESPACE: mesh[0], MESH_NAME: mesh[1]}


def identify(body: Manifest) -> Parent:
    """An object of ours as the parent of others."""
    metadata = body["metadata"]
    return Parent(body["kind"], metadata.get("namespace", ""), metadata["name"], metadata.get("uid", ""))


def parent_of(manifest: Manifest) -> Parent | None:
    """The parent that the object's labels name, or None for an object that is not ours."""
    metadata = manifest.get("metadata", {})
    labels = metadata.get("labels") or {}
    for kind, keys in PARENT_KINDS.items():
        if keys.namespace not in labels or keys.name not in labels:
            continue
        namespace, name = labels[keys.namespace], labels[keys.name]
        if keys.only not in ("", name):
            return None
        place = metadata.get("namespace") or namespace
        # Only the operator, and who may enter every namespace, can write where a mesh is hosted.
        beside = place == namespace or (kind == MESH and place == hosted_namespace(namespace, name))
        if beside or not keys.keeps_beside(str(manifest.get("kind", ""))):
            return Parent(kind, namespace, name, labels.get(keys.uid, ""))
        return None
    return None
