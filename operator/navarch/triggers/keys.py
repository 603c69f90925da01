"""From a changed object to the keys of what depends on it.

Owns the map of dependencies between kinds. Must never look at what changed beyond whether a key
depends on it, and must never do work. Invariant: a change of anything that gather() reads leads to a key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

from navarch.core.model.conditions import ConditionType, find_condition
from navarch.core.model.labels import (
    GATEWAY_API,
    GROUP,
    ISTIO_REV,
    ISTIO_TAG,
    MEMBER_OF,
    MESH_COMPONENTS,
    component_of,
    revision_of,
)
from navarch.core.model.naming import DEFAULT_TAG, IN_PLACE
from navarch.core.model.ownership import parent_of_inventory
from navarch.core.model.parent import GATEWAY, MESH, parent_of
from navarch.core.model.removal import is_torn_down
from navarch.engine.key import Key
from navarch.triggers.edits import is_edit, read_edited
from navarch.triggers.known import (
    REVISION,
    By,
    Known,
    Object,
    key_of,
    key_of_member,
    key_of_parent,
    key_of_revision,
)
from navarch.triggers.neighbours import Neighbours, read_istio_labels
from navarch.triggers.rolls import find_rolls, keys_for_rolls_of_member, keys_for_rolls_of_namespace

CENSUS_DELAY = 1.0
"""Seconds by which a pod's change is gathered with others before its mesh counts proxies again."""

GATEWAY_DELAY = 1.0
"""Seconds by which a change of a gateway's status is gathered with others before its mesh looks at it."""

MEMBER_DELAY = 1.0
"""Seconds by which a change of a member's status is gathered with others before its mesh counts them."""


ROLL_DELAY = 1.0
"""Seconds by which a change of a member or namespace is gathered with others before its roll looks at
it."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A key to enqueue, after so many seconds."""

    key: Key
    after: float = 0.0


def is_near(key: Key, manifest: Object) -> bool:
    """Whether a key lies where the object does, or where the mesh does whose labels it carries. To the others
    that it concerns it is a neighbour's affair, and can wait."""
    parent = parent_of(manifest)
    metadata = manifest["metadata"]
    place = metadata.get("namespace") or (parent.namespace if parent else metadata["name"])
    return bool(place == key.namespace)


def keys_for_owned(manifest: Object) -> Iterator[Key]:
    """The revision, or else the parent, whose labels an object carries."""
    parent = parent_of(manifest)
    if parent is None:
        return
    revision = revision_of(manifest)
    if revision and component_of(manifest) not in MESH_COMPONENTS:
        yield key_of_revision(parent, revision)
    else:
        yield key_of_parent(parent)


def asks_for_routes(gateway: Object) -> bool:
    """Whether a gateway asks for Routes of OpenShift."""
    return bool(((gateway.get("spec") or {}).get("openshift") or {}).get("routes"))


def starts(asks: Callable[[Any], bool], old: Object | None, new: Object | None) -> bool:
    """Whether an object asks for what it did not ask for before."""
    return new is not None and asks(new) and not (old is not None and asks(old))


def keys_for_inventory(manifest: Object) -> Iterator[Key]:
    """The parent whose objects an inventory names: it may be gone without having been cleaned up after."""
    if parent := parent_of_inventory(manifest["metadata"]["name"]):
        yield key_of_parent(parent)


def read_services(webhook: Object) -> set[str]:
    """The namespaces of the Services that a webhook configuration calls."""
    clients = (entry.get("clientConfig") or {} for entry in webhook.get("webhooks") or ())
    return {str(client["service"].get("namespace", "")) for client in clients if client.get("service")} - {""}


class Dependents:
    """Keys for objects whose dependents can only be found by looking at what exists.

    `known` are our own objects now, `find_namespace` returns one namespace by its name, and `is_called` says
    whether a webhook that is not Navarch's calls a Service there.
    """

    def __init__(
        self,
        known: Known,
        *,
        find_namespace: Callable[[str], Object | None],
        is_called: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.known = known
        self._find_namespace, self._is_called = find_namespace, is_called
        self._neighbours = Neighbours(known, find_namespace)

    def all_meshes(self, _: Object | None = None) -> Iterator[Key]:
        """Every mesh: for what all of them read."""
        yield from self.known.find(By.KIND, MESH)

    def all_gateways(self) -> Iterator[Key]:
        """Every gateway: when the API of a kind that some ask for has come, or gone."""
        yield from self.known.find(By.KIND, GATEWAY)

    def keys_for_catalog(self, _: Object) -> Iterator[Key]:
        """Every mesh, revision and gateway: their versions and images follow it."""
        yield from self.known.find(By.KIND, MESH, REVISION, GATEWAY)

    def keys_for_mesh(self, old: Object | None, new: Object | None) -> Iterator[Key]:
        """A mesh; its revisions after an edit, since they read no status of it; its gateways and its
        neighbours when it came, went, or changed what they see of it."""
        manifest = new or old
        if manifest is None:
            return
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        yield key_of(manifest)
        if is_edit(old, new):
            yield from self.known.find(By.REVISION_IN, namespace)
        if _seen_by_gateways(old) != _seen_by_gateways(new):
            yield from self.known.find(By.GATEWAY_OF, f"{namespace}/{name}")
        if _seen_by_members(old) != _seen_by_members(new):
            yield from self.known.find(By.MEMBER_OF, f"{namespace}/{name}")
            yield from self.known.find(By.ROLL_IN, namespace)
        if (old is None) != (new is None):
            yield from self.known.find(By.MEMBER_IN, namespace)
            yield from find_rolls(self.known, namespace)
        yield from self._neighbours.of_mesh(old, new)

    def keys_for_revision(self, old: Object | None, new: Object | None) -> Iterator[Key]:
        """A revision, the mesh whose status it is part of, the gateways that follow it, the members when they
        see a difference, and so its mesh's neighbours."""
        for state in (old, new):
            if state is None:
                continue
            yield key_of(state)
            parent = parent_of(state)
            if parent is not None:
                yield key_of_parent(parent)
                yield from self.known.find(By.GATEWAY_OF, f"{parent.namespace}/{parent.name}")
                if _seen_of_revision(old) != _seen_of_revision(new):
                    yield from self.known.find(By.MEMBER_OF, f"{parent.namespace}/{parent.name}")
        yield from self._neighbours.of_revision(old, new)

    def asks_for_gateway(self, old: Object | None, new: Object | None) -> Iterator[Ask]:
        """A gateway; and its mesh: at once after an edit of one that the mesh has made, a little later after
        a change of what the mesh says of it, which many gateways have at the same time."""
        manifest = new or old
        if manifest is None:
            return
        yield Ask(key_of(manifest))
        mesh = (manifest.get("spec") or {}).get("controlPlaneRef") or {}
        namespace = mesh.get("namespace") or manifest["metadata"]["namespace"]
        parents = {parent.any_uid for state in (old, new) if state and (parent := parent_of(state))}
        makers = {key_of_parent(parent) for parent in parents}
        if is_edit(old, new):
            yield from map(Ask, sorted(makers))
        if _seen_by_mesh(old) != _seen_by_mesh(new):
            keys = makers | {Key(MESH, namespace, str(mesh.get("name", "")))}
            yield from (Ask(key, GATEWAY_DELAY) for key in sorted(keys))

    def asks_for_member(self, old: Object | None, new: Object | None) -> Iterator[Ask]:
        """A member; its mesh, after a change of what the mesh says of it; and the rolls that are concerned.
        Both a little later, since many members change at the same time."""
        manifest = new or old
        if manifest is None:
            return
        yield Ask(key_of(manifest))
        yield from (Ask(key, ROLL_DELAY) for key in keys_for_rolls_of_member(self.known, old, new))
        if _seen_by_mesh_of_member(old) == _seen_by_mesh_of_member(new):
            return
        mesh = (manifest.get("spec") or {}).get("controlPlaneRef") or {}
        for key in self.known.find(By.MESH_IN, str(mesh.get("namespace", ""))):
            if key.name == mesh.get("name"):
                yield Ask(key, MEMBER_DELAY)

    def keys_for_roll(self, old: Object | None, new: Object | None) -> Iterator[Key]:
        """A roll."""
        manifest = new or old
        if manifest is not None:
            yield key_of(manifest)

    def asks_for_namespace(self, old: Object | None, new: Object | None) -> Iterator[Ask]:
        """What follows from its labels; and, a little later, the rolls that ask for it, and a mesh to which
        every namespace belongs."""
        yield from map(Ask, self.keys_for_namespace(old, new))
        if (old is None) != (new is None) or read_istio_labels(old) != read_istio_labels(new):
            yield from (Ask(key, MEMBER_DELAY) for key in self.known.find(By.CLUSTER, ""))
        yield from (Ask(key, ROLL_DELAY) for key in keys_for_rolls_of_namespace(self.known, old, new))
        said = ("order", "windows")
        if new is not None and old is not None and any(old.get(key) != new.get(key) for key in said):
            yield from self._find_managing(new["metadata"]["name"], new)

    def keys_for_role(self, _: Object) -> Iterator[Key]:
        """Every mesh, revision and gateway: which of them bind a role of the installation, or want to, is not
        looked at."""
        yield from self.known.find(By.KIND, MESH, REVISION, GATEWAY)

    def keys_for_webhook(self, manifest: Object) -> Iterator[Key]:
        """Its revision and mesh; every mesh for a foreign one of Istio's, and for the owner of the tag
        `default`; and the members in the namespaces of the Services that it calls."""
        parent = parent_of(manifest)
        labels = manifest["metadata"].get("labels") or {}
        if parent is not None:
            yield from keys_for_owned(manifest)
            yield key_of_parent(parent)
        is_istio = any(str(e.get("name", "")).endswith(".istio.io") for e in manifest.get("webhooks") or ())
        foreign = parent is None and (is_istio or ISTIO_REV in labels or ISTIO_TAG in labels)
        if foreign or labels.get(ISTIO_TAG) == DEFAULT_TAG:
            yield from self.all_meshes()
        if parent is None:
            yield from self.known.find(By.MEMBER_IN, *read_services(manifest))

    def keys_for_mesh_config(self, manifest: Object) -> Iterator[Key]:
        """Every mesh, when it is beside an istiod of others that a webhook calls: elsewhere anybody may make
        one, and it counts for nothing."""
        if self._is_called(manifest["metadata"]["namespace"]):
            yield from self.all_meshes()

    def keys_for_crd(self, manifest: Object) -> Iterator[Key]:
        """Every mesh, when the CRD is one of Istio's, of Gateway API's, or our own."""
        if manifest["metadata"]["name"].endswith((".istio.io", f".{GATEWAY_API}", f".{GROUP}")):
            yield from self.all_meshes()

    def keys_for_namespace(self, old: Object | None, new: Object | None) -> Iterator[Key]:
        """The mesh inside; after a change of its labels the meshes that they name or named, and the gateways
        inside."""
        manifest = new or old
        if manifest is None:
            return
        name = manifest["metadata"]["name"]
        yield from self.known.find(By.MESH_IN, name)
        yield from self.known.find(By.MEMBER_IN, name)
        before, after = read_istio_labels(old), read_istio_labels(new)
        if before == after:
            return
        if any(MEMBER_OF in (state["metadata"].get("labels") or {}) for state in (old, new) if state):
            yield key_of_member(name)
        yield from self.known.find(By.GATEWAY_IN, name)
        yield from self.known.find(By.LABEL, *before, *after)

    def keys_for_home(self, manifest: Object) -> Iterator[Key]:
        """The mesh whose control plane a namespace is for, and its revisions."""
        parent = parent_of(manifest)
        if parent is not None:
            yield key_of_parent(parent)
            yield from self.known.find(By.REVISION_IN, parent.namespace)

    def keys_for_namespaced(self, manifest: Object) -> Iterator[Key]:
        """The mesh in the object's namespace (root ConfigMaps)."""
        yield from self.known.find(By.MESH_IN, manifest["metadata"]["namespace"])

    def asks_for_proxy(self, manifest: Object) -> Iterator[Ask]:
        """The mesh whose revision injected the pod, and the one that the pod's namespace names, a little
        later."""
        proxy = manifest.get("proxy")
        if proxy is None:
            return
        named = read_istio_labels(self._find_namespace(proxy.namespace))
        concerned = chain(
            self.known.find(By.LABEL, *named),
            self.known.find(By.INJECTOR, proxy.revision),
            self.known.find(By.MEMBER_IN, proxy.namespace),
            self.known.find(By.CLUSTER, ""),
        )
        yield from (Ask(key, CENSUS_DELAY) for key in dict.fromkeys(concerned))

    def asks_for_workload(self, manifest: Object) -> Iterator[Ask]:
        """The meshes to which the namespace of a workload belongs, of those that ask for restarts, a little
        later."""
        namespace = manifest["metadata"]["namespace"]
        yield from self._find_managing(namespace, self._find_namespace(namespace))

    def _find_managing(self, name: str, namespace: Object | None) -> Iterator[Ask]:
        named = read_istio_labels(namespace)
        concerned = chain(
            self.known.find(By.LABEL, *named),
            self.known.find(By.MESH_IN, name),
            self.known.find(By.CLUSTER, ""),
        )
        managing = {*self.known.find(By.MANAGED, "")}
        yield from (Ask(key, CENSUS_DELAY) for key in dict.fromkeys(concerned) if key in managing)


def _seen_by_members(mesh: Object | None) -> Any:
    """What of a mesh its members depend on."""
    if mesh is None or is_torn_down(mesh):
        return None
    spec, status = mesh.get("spec") or {}, mesh.get("status") or {}
    injects = find_condition(mesh, ConditionType.INJECTION_READY) or {}
    told = injects.get("status"), injects.get("reason"), injects.get("message")
    active = str(status.get("activeRevision") or "")
    serving = "" if active.endswith(IN_PLACE) else active  # in place it follows from the tag
    windows = ((spec.get("upgrade") or {}).get("dataPlane") or {}).get("windows")
    return status.get("tag"), serving, spec.get("paused"), spec.get("excludedNamespaces"), told, windows


def _seen_of_revision(revision: Object | None) -> Any:
    """What of a revision the members of its mesh depend on: which namespaces belong to the mesh, what
    isolates them, and what its injector stamps. Of thousands of members none is looked at for less."""
    if revision is None:
        return None
    spec, status = revision.get("spec") or {}, revision.get("status") or {}
    policies = (spec.get("config") or {}).get("networkPolicies")
    return parent_of(revision), spec.get("tag"), spec.get("members"), policies, status.get("proxy")


def _seen_by_gateways(mesh: Object | None) -> Any:
    """What of a mesh its gateways depend on: everything but what it says of them, which would go round in a
    circle, and when something changed."""
    if mesh is None:
        return None
    status = mesh.get("status") or {}
    conditions = status.get("conditions") or ()
    told = [(c["type"], c["status"], c["reason"]) for c in conditions if c["type"] not in _OF_GATEWAYS]
    kept = {key: value for key, value in status.items() if key not in _NOT_FOR_GATEWAYS}
    return read_edited(mesh), kept, told


_OF_GATEWAYS = (
    ConditionType.READY,
    ConditionType.GATEWAYS_READY,
    ConditionType.MEMBERS_READY,
    ConditionType.UP_TO_DATE,
)
_NOT_FOR_GATEWAYS = ("conditions", "gateways", "members", "proxies", "revisions", "upgrade")
"""Of a mesh's status, what follows from its gateways, its members and their pods."""


def _seen_by_mesh(gateway: Object | None) -> Any:
    """What of a gateway its mesh depends on (core/mesh/gateways.py and census.py)."""
    if gateway is None:
        return None
    metadata, status = gateway["metadata"], gateway.get("status") or {}
    ready = next((c for c in status.get("conditions") or () if c["type"] == ConditionType.READY), None)
    verdict = (ready["status"], ready["reason"], ready["observedGeneration"]) if ready else None
    generation, deleted = metadata.get("generation"), "deletionTimestamp" in metadata
    address = next(iter(status.get("addresses") or ()), "")
    return generation, deleted, verdict, address, status.get("proxy")


def _seen_by_mesh_of_member(member: Object | None) -> Any:
    """What of a member its mesh depends on (core/mesh/members.py)."""
    if member is None:
        return None
    ready = find_condition(member, ConditionType.READY)
    verdict = (ready["status"], ready["reason"], ready["observedGeneration"]) if ready else None
    return member["metadata"].get("generation"), verdict


Mapper: TypeAlias = Callable[[Dependents, Object | None, Object | None], Iterator[Ask]]
"""What a change of an object, from its old to its new state, asks for."""


def but_itself(mapper: Mapper) -> Mapper:
    """The mapper for what the look at an object has itself read or written of it: its status asks for no
    other look at the same object. An edit that came along does, since no event may tell of it any more."""

    def ask(dependents: Dependents, old: Object | None, new: Object | None) -> Iterator[Ask]:
        itself = key_of(new) if old is not None and new is not None and not is_edit(old, new) else None
        yield from (found for found in mapper(dependents, old, new) if found.key != itself)

    return ask


def by_change(find: Callable[[Dependents, Object | None, Object | None], Iterable[Key]]) -> Mapper:
    """The mapper of a kind whose keys follow from what has changed."""

    def ask(dependents: Dependents, old: Object | None, new: Object | None) -> Iterator[Ask]:
        yield from map(Ask, find(dependents, old, new))

    return ask


def by_state(find: Callable[[Dependents, Object], Iterable[Key | Ask]]) -> Mapper:
    """The mapper of a kind whose keys follow from what an object says. Both states count: a label that was
    taken off leads to its dependents only by the old one."""

    def ask(dependents: Dependents, old: Object | None, new: Object | None) -> Iterator[Ask]:
        for state in (old, new):
            for found in find(dependents, state) if state is not None else ():
                yield found if isinstance(found, Ask) else Ask(found)

    return ask
