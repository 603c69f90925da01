"""What we last saw of a kind: a map of objects that never goes backwards.

Owns the objects that gather() reads. Must never be written by anybody but its reflector and, through
`observe`, by whoever just got an answer to a write of ours. Objects are shared, not copied: nobody may
change one.
Invariants: after `replace` exactly the listed objects are in it, save those written since the listing began
and those that cannot be taken in; an object is never replaced by an older version of itself, nor comes back
after it was deleted; an object that a callback cannot cope with reaches no other object.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import structlog

from navarch.core.model.ownership import is_own_entry
from navarch.core.model.refs import Ref
from navarch.kube.resources import Resource
from navarch.kube.shared_fields import find_shared

log = structlog.get_logger(__name__)

Object: TypeAlias = dict[str, Any]
Change: TypeAlias = Callable[[Object | None, Object | None], None]
"""Called with the old and the new object: None before the first sight, None after the removal."""
_Name: TypeAlias = tuple[str, str]

_REMEMBERED = 1000


def version_of(obj: Mapping[str, Any]) -> int:
    """metadata.resourceVersion as a number; 0 when it is missing.

    Comparable within one kind: by contract since Kubernetes 1.35, and in fact for everything in etcd before.
    """
    version = obj["metadata"].get("resourceVersion") or "0"
    return int(version) if version.isdigit() else 0


def without_foreign_fields(obj: Object) -> Object:
    """Drop all of managedFields but our own Apply entry, and of the others' what they share with it: half of
    an object's memory, and nothing else of it is read."""
    entries = obj["metadata"].get("managedFields")
    if entries:
        ours = [entry for entry in entries if is_own_entry(entry)]
        obj["metadata"]["managedFields"] = [*ours, *find_shared(obj)]
    return obj


class Store:
    """The objects of one kind.

    `metadata_only` keeps nothing but metadata, `transform` may shrink an object before it is kept, and
    `on_change` is told of every change. An object whose `transform` raises is not kept: to readers it is not
    there, so they ask the API server.
    """

    def __init__(
        self,
        resource: Resource,
        *,
        metadata_only: bool = False,
        transform: Callable[[Object], Object] | None = None,
        on_change: Change | None = None,
    ) -> None:
        self.resource = resource
        self._metadata_only = metadata_only
        self._transform = transform
        self._on_change = on_change
        self._namespaces: defaultdict[str, dict[str, Object]] = defaultdict(dict)
        self._written: dict[_Name, int] | None = None
        self._deleted: dict[_Name, str] = {}
        self._at = 0
        self._reported: set[str] = set()

    def get(self, ref: Ref) -> Object | None:
        """The object of that namespace and name; None when there is none."""
        return self._namespaces.get(ref.namespace, {}).get(ref.name)

    def list(self, namespace: str | None = None) -> tuple[Object, ...]:
        """All objects, or those of one namespace, in order of first sight."""
        if namespace is not None:
            return tuple(self._namespaces.get(namespace, {}).values())
        return tuple(obj for objects in self._namespaces.values() for obj in objects.values())

    def __len__(self) -> int:
        return sum(map(len, self._namespaces.values()))

    def observe(self, obj: Object) -> None:
        """Take in the answer to a write of ours, so that the next reconcile sees it before the watch does.

        An answer that is no newer than what the watch has told comes too late: either a younger version is
        here already, or the object is gone, and no further event would ever take it out.
        """
        if version_of(obj) <= self._at:
            return
        if self._put(obj) and self._written is not None:
            self._written[_name(obj)] = version_of(obj)

    def discard(self, ref: Ref, uid: str) -> None:
        """Take out an object that we deleted; events of that very object are ignored from now on."""
        current = self.get(ref)
        if current is not None and current["metadata"]["uid"] == uid:
            self._deleted[ref.namespace, ref.name] = uid
            self._drop(current)

    # --- for the reflector -----------------------------------------------------------------------

    def begin(self) -> None:
        """A listing starts: what is written from now on may be missing in it."""
        self._written = {}

    def shrink(self, obj: Object) -> Object | None:
        """What is kept of an object; None where it cannot be taken in."""
        try:
            shrunk = without_foreign_fields(obj)
            if self._metadata_only:
                shrunk = {key: shrunk[key] for key in ("apiVersion", "kind", "metadata")}
            return shrunk if self._transform is None else self._transform(shrunk)
        except Exception as exc:
            self._report(obj, "not kept", exc)
            return None

    def replace(self, items: Iterable[Object], resource_version: str) -> None:
        """Take over a whole listing of objects that went through `shrink`; what is not in it is gone."""
        listed = {_name(obj): obj for obj in items}
        self._deleted = {name: uid for name, uid in self._deleted.items() if name in listed}
        self._at = at = int(resource_version) if resource_version.isdigit() else 0
        written, self._written = self._written or {}, None
        for old in self.list():
            name = _name(old)
            if name not in listed and written.get(name, 0) <= at:
                self._drop(old)
        for name, obj in listed.items():
            if written.get(name, 0) <= version_of(obj):
                # Versions may have gone back: etcd was restored from a backup.
                self._keep(obj, force=True)

    def change(self, obj: Object) -> None:
        """An ADDED or MODIFIED event."""
        self._at = max(self._at, version_of(obj))
        self._put(obj)

    def remove(self, obj: Object) -> None:
        """A DELETED event; ignored when a younger object of that name is known."""
        self._at = max(self._at, version_of(obj))
        name = _name(obj)
        if self._deleted.get(name) == obj["metadata"].get("uid"):
            del self._deleted[name]
        old = self._namespaces.get(name[0], {}).get(name[1])
        if old is not None and version_of(old) <= version_of(obj):
            self._drop(old)

    def _put(self, obj: Object) -> bool:
        if not self._is_news(obj):
            return False
        shrunk = self.shrink(obj)
        if shrunk is not None:
            return self._keep(shrunk)
        namespace, name = _name(obj)
        if (old := self._namespaces.get(namespace, {}).get(name)) is not None:
            self._drop(old)
        return False

    def _is_news(self, obj: Object, *, force: bool = False) -> bool:
        namespace, name = _name(obj)
        if self._deleted.get((namespace, name)) == obj["metadata"].get("uid"):
            return False
        old = self._namespaces.get(namespace, {}).get(name)
        if old is None:
            return True
        same = obj["metadata"].get("resourceVersion") == old["metadata"].get("resourceVersion")
        return not same and (version_of(obj) >= version_of(old) or force)

    def _keep(self, obj: Object, *, force: bool = False) -> bool:
        if not self._is_news(obj, force=force):
            return False
        namespace, name = _name(obj)
        old = self._namespaces[namespace].get(name)
        self._namespaces[namespace][name] = obj
        self._tell(old, obj)
        return True

    def _tell(self, old: Object | None, new: Object | None) -> None:
        if self._on_change is None:
            return
        try:
            self._on_change(old, new)
        except Exception as exc:
            # Raised further, it would end the watch of all objects of the kind.
            self._report(new or old or {}, "kept, but its change was not told", exc)

    def _report(self, obj: Object, what: str, exc: Exception) -> None:
        uid = obj["metadata"].get("uid", "")
        if uid in self._reported:
            return
        if len(self._reported) >= _REMEMBERED:
            self._reported.clear()
        self._reported.add(uid)
        namespace, name = _name(obj)
        log.error(
            f"object {what}",
            kind=self.resource.kind,
            namespace=namespace,
            name=name,
            uid=uid,
            error=f"{type(exc).__name__}: {exc}",
            exc_info=exc,
        )

    def _drop(self, old: Object) -> None:
        namespace, name = _name(old)
        objects = self._namespaces[namespace]
        objects.pop(name, None)
        if not objects:
            del self._namespaces[namespace]
        self._tell(old, None)


Stores: TypeAlias = Mapping[tuple[str, str], Store]
"""Stores by (API group, kind)."""


def _name(obj: Mapping[str, Any]) -> _Name:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
