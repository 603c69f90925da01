"""The meshes and revisions that exist, as keys, found by what leads to them.

Owns the index of our own objects, as the reflectors tell of them. Must never keep an object. Invariants: it
names exactly the objects whose last change had a new state; what a question costs follows from how many keys
answer it, not from how many meshes there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeAlias

from navarch.api import authority, dataplane, member, revision, roll
from navarch.api.controlplane import HOSTED
from navarch.core.model.naming import DEFAULT_TAG, hosted_namespace, name_members, revision_name
from navarch.core.model.parent import GATEWAY, MESH, Parent, parent_of
from navarch.core.model.reasons import Reason
from navarch.core.model.scope import asks_for_cluster, reaches_cluster
from navarch.core.model.tags import list_tags, stem_of
from navarch.engine.key import Key

Object: TypeAlias = Mapping[str, Any]
REVISION = revision.KIND


class By(Enum):
    """What keys are found by; the second half of a question is the value."""

    KIND = auto()
    """Objects of a kind."""
    MESH_IN = auto()
    """Meshes in a namespace, or with their control plane in it."""
    REVISION_IN = auto()
    """Revisions in a namespace."""
    LABEL = auto()
    """Meshes that a value of a namespace's labels `istio.io/rev`, `istio-injection` or
    `mesh.navarch.io/member-of` may mean."""
    GATEWAY_IN = auto()
    """Gateways in a namespace."""
    GATEWAY_OF = auto()
    """Gateways of a mesh, `<namespace>/<name>`."""
    TAG = auto()
    """Meshes that have or may get a tag of this stem (core/model/tags.py), or a revision made for one."""
    DEFAULT = auto()
    """Meshes that ask for the tag `default`; the value is empty."""
    CLUSTER = auto()
    """Meshes that ask for every namespace, or may reach them all; the value is empty."""
    VERSION = auto()
    """Revisions of an Istio version."""
    MEMBER_IN = auto()
    """The MeshMember of a namespace."""
    MEMBER_OF = auto()
    """Members of a mesh, `<namespace>/<name>`."""
    ROLL_IN = auto()
    """The MeshMemberRoll of a namespace."""
    ROLL_LISTS = auto()
    """Rolls that name a namespace."""
    ROLL_SELECTS = auto()
    """Rolls that choose namespaces by labels, or all; the value is empty."""
    MANAGED = auto()
    """Meshes that ask for restarts of workloads; the value is empty."""
    INJECTOR = auto()
    """Meshes that have a revision of a name."""


Question: TypeAlias = tuple[By, str]


def find_lane(parent: Parent) -> str:
    """The lane of everything that is done for a parent, wherever its objects lie: the parent's own namespace.
    Its name is no part of it: which of the meshes of a namespace is installed is decided when they are looked
    at, and two that were looked at at the same time could both be."""
    return parent.namespace


def key_of(manifest: Object) -> Key:
    """The key of one of our own objects."""
    metadata = manifest["metadata"]
    # A gateway or member is worked on where it lies, also one that a mesh or roll has made.
    parent = parent_of(manifest) if manifest["kind"] not in (GATEWAY, member.KIND) else None
    lane = find_lane(parent) if parent is not None else ""
    return Key(manifest["kind"], metadata["namespace"], metadata["name"], lane)


def key_of_parent(parent: Parent) -> Key:
    """The key of the object of ours that another one belongs to."""
    return Key(parent.kind, parent.namespace, parent.name, find_lane(parent))


def key_of_revision(parent: Parent, name: str) -> Key:
    """The key of a mesh's revision of that name."""
    return Key(REVISION, parent.namespace, name, find_lane(parent))


def key_of_member(namespace: str) -> Key:
    """The key of a namespace's MeshMember, whether or not there is one."""
    return Key(member.KIND, namespace, member.NAME)


def version_of(manifest: Object) -> int:
    """metadata.resourceVersion as a number; 0 when it is missing."""
    version = str(manifest["metadata"].get("resourceVersion") or "0")
    return int(version) if version.isdigit() else 0


@dataclass(frozen=True, slots=True)
class Sighting:
    """What kopf says of one of our own objects: the version that it saw, or that the object is gone, and how
    urgent its key is if that is new."""

    key: Key
    version: int
    gone: bool
    priority: int


class Known:
    """An index that is told of every change; `objects` are there from the beginning."""

    def __init__(self, objects: Iterable[Object] = ()) -> None:
        self._answers: dict[Question, dict[Key, int]] = {}
        """The keys that answer a question, with the number of objects that say so."""
        self._versions: dict[Key, int] = {}
        self._entries: dict[Key, tuple[tuple[Question, Key], ...]] = {}
        for manifest in objects:
            self.change(None, manifest)

    def change(self, old: Object | None, new: Object | None) -> None:
        """One of our own objects came, changed, or went."""
        about = new or old
        if about is None:
            return
        before = self._entries.pop(key_of(about), ())
        after = tuple(_list_entries(new)) if new is not None else ()
        if new is not None:
            self._entries[key_of(new)] = after
        for question, key in after:
            answers = self._answers.setdefault(question, {})
            answers[key] = answers.get(key, 0) + 1
        for question, key in before:
            answers = self._answers[question]
            answers[key] -= 1
            if not answers[key]:
                del answers[key]
            if not answers:
                del self._answers[question]

    def note_told(self, old: Object | None, new: Object | None) -> None:
        """The keys of such a change are in the queue."""
        if new is not None:
            self._versions[key_of(new)] = version_of(new)
        elif old is not None:
            self._versions.pop(key_of(old), None)

    def has(self, seen: Sighting) -> bool:
        """Whether the reflectors have told of what was seen, or of something younger: then its keys have
        been, or are, in the queue."""
        known = self._versions.get(seen.key)
        return seen.gone if known is None else known >= seen.version

    def find(self, by: By, *values: str) -> Iterator[Key]:
        """The keys that answer to any of the values, each once, in order of first sight."""
        found = (self._answers.get((by, value), {}) for value in values)
        yield from dict.fromkeys(key for keys in found for key in keys)

    def list_stems(self, mesh: Key) -> set[str]:
        """The stems of the tags by which a mesh is meant, by what it says and its revisions."""
        told = (mesh, *self.find(By.REVISION_IN, mesh.namespace))
        entries = (entry for key in told for entry in self._entries.get(key, ()))
        return {stem for (by, stem), key in entries if by is By.TAG and key == mesh}


def _list_entries(manifest: Object) -> Iterator[tuple[Question, Key]]:
    key = key_of(manifest)
    yield (By.KIND, key.kind), key
    yield from _ENTRIES[key.kind](manifest, key) if key.kind in _ENTRIES else ()


def _list_mesh(mesh: Object, key: Key) -> Iterator[tuple[Question, Key]]:
    yield (By.MESH_IN, key.namespace), key
    if (mesh.get("spec") or {}).get("hosting") == HOSTED:
        yield (By.MESH_IN, hosted_namespace(key.namespace, key.name)), key
    for value in _list_label_values(mesh):
        yield (By.LABEL, value), key
    for tag in list_told_tags(mesh):
        yield (By.TAG, stem_of(tag)), key
    if asks_for_default(mesh):
        yield (By.DEFAULT, ""), key
    if asks_for_cluster(mesh):
        yield (By.CLUSTER, ""), key
    if asks_for_rollouts(mesh):
        yield (By.MANAGED, ""), key


def _list_gateway(gateway: Object, key: Key) -> Iterator[tuple[Question, Key]]:
    yield (By.GATEWAY_IN, key.namespace), key
    mesh = (gateway.get("spec") or {}).get("controlPlaneRef") or {}
    yield (By.GATEWAY_OF, f"{mesh.get('namespace') or key.namespace}/{mesh.get('name')}"), key


def _list_member(member: Object, key: Key) -> Iterator[tuple[Question, Key]]:
    yield (By.MEMBER_IN, key.namespace), key
    mesh = (member.get("spec") or {}).get("controlPlaneRef") or {}
    yield (By.MEMBER_OF, f"{mesh.get('namespace')}/{mesh.get('name')}"), key


def _list_roll(manifest: Object, key: Key) -> Iterator[tuple[Question, Key]]:
    yield (By.ROLL_IN, key.namespace), key
    spec = manifest.get("spec") or {}
    names = spec.get("members") or ()
    yield from (((By.ROLL_LISTS, roll.Entry.read(entry).name), key) for entry in names if entry != roll.ALL)
    if spec.get("memberSelectors") or roll.ALL in names:
        yield (By.ROLL_SELECTS, ""), key


def _list_revision(revision: Object, key: Key) -> Iterator[tuple[Question, Key]]:
    yield (By.REVISION_IN, key.namespace), key
    spec = revision.get("spec") or {}
    yield (By.VERSION, str(spec.get("version", ""))), key
    parent = parent_of(revision)
    if parent is not None:
        yield (By.INJECTOR, key.name), key_of_parent(parent)
        if reaches_cluster(revision):
            yield (By.CLUSTER, ""), key_of_parent(parent)
        yield (By.TAG, stem_of(str(spec.get("tag", "")))), key_of_parent(parent)


_ENTRIES: Mapping[str, Callable[[Object, Key], Iterator[tuple[Question, Key]]]] = {
    MESH: _list_mesh,
    GATEWAY: _list_gateway,
    member.KIND: _list_member,
    roll.KIND: _list_roll,
    REVISION: _list_revision,
}
"""Under what an object of ours is found, by its kind."""


def list_told_tags(mesh: Object) -> Iterator[str]:
    """The tags by which a mesh may be meant: what its spec and its status say, else what it may get."""
    told = str((mesh.get("status") or {}).get("tag") or "")
    yield from dict.fromkeys(filter(None, (*list_tags(mesh), told)))


def asks_for_default(mesh: Object) -> bool:
    """Whether a mesh's spec asks for the tag `default`."""
    return (mesh.get("spec") or {}).get("defaultTag") is True


def asks_for_rollouts(mesh: Object) -> bool:
    """Whether a mesh asks for restarts of workloads by Navarch."""
    upgrade = (mesh.get("spec") or {}).get("upgrade") or {}
    return bool((upgrade.get("dataPlane") or {}).get("mode") == dataplane.MANAGED)


def asks_for_authority(mesh: Object) -> bool:
    """Whether a mesh asks for a managed certificate authority, itself or by a profile, or has one; or would
    but for a Secret of another, which would be forgotten with the watch, and the mesh accepted again."""
    spec, status = (mesh.get(part) or {} for part in ("spec", "status"))
    said = ((each.get("certificateAuthority") or {}).get("type") for each in (spec, status))
    told = (each.get("reason") for each in status.get("conditions") or ())
    return authority.MANAGED in said or Reason.FOREIGN_AUTHORITY in told


def _list_label_values(mesh: Object) -> Iterator[str]:
    """Its tag or those it may get, their revisions, what means its default tag, and the label of its
    members."""
    metadata = mesh["metadata"]
    yield name_members(metadata["namespace"], metadata["name"])
    for tag in list_told_tags(mesh):
        yield from (tag, revision_name(tag))
    if asks_for_default(mesh):
        yield from ("enabled", DEFAULT_TAG)
