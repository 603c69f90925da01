"""What we last saw of a kind: a map of objects that never goes backwards.

Owns the objects that gather() reads. Only its reflector writes it and, through `observe`, the code that just
got an answer to a write of ours. Objects are shared, not copied: they must not be changed.
Invariants: after a listing exactly the listed objects are in it, save those written since the listing began
and those that cannot be taken in; an object is never replaced by an older version of itself, nor comes back
after it was deleted; an object that a callback cannot cope with reaches no other object; what does not fit
into the bounds of kube.shelf is left out, also while a listing goes on, and counted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import Any, TypeAlias

import structlog

from navarch.core.model.claims import CLAIMER
from navarch.core.model.compact import compact
from navarch.core.model.ownership import is_own_entry
from navarch.core.model.refs import Ref
from navarch.kube.index import Index, Name, Read
from navarch.kube.resources import Resource
from navarch.kube.shared_fields import find_shared
from navarch.kube.shelf import Bound, Pool, Shelf, name_of

log = structlog.get_logger(__name__)

Object: TypeAlias = dict[str, Any]
Change: TypeAlias = Callable[[Object | None, Object | None], None]
"""Called with the old and the new object: None before the first sight, None after the removal."""

_REMEMBERED = 1000


def version_of(obj: Mapping[str, Any]) -> int:
    """metadata.resourceVersion as a number; 0 when it is missing.

    Comparable within one kind: by contract since Kubernetes 1.35, and in fact for everything in etcd before.
    """
    version = obj["metadata"].get("resourceVersion") or "0"
    return int(version) if version.isdigit() else 0


def without_foreign_fields(obj: Object) -> Object:
    """Drop all of managedFields but our own Apply entries, and of the others' what they share with them: half
    of an object's memory, and nothing else of it is read."""
    entries = obj["metadata"].get("managedFields")
    if entries:
        ours = [entry for entry in entries if is_own_entry(entry) or is_own_entry(entry, CLAIMER)]
        obj["metadata"]["managedFields"] = [*map(_as_text, (*ours, *find_shared(obj)))]
    return obj


def _as_text(entry: Object) -> Object:
    """An entry of managedFields with fieldsV1 as one text, which is the same for every mesh: it is read after
    a change only (core/model/ownership.py), and as a tree takes half of an object's memory."""
    if isinstance(entry.get("fieldsV1"), str):  # it was in a store before
        return entry
    text = json.dumps(entry.get("fieldsV1") or {}, separators=(",", ":"))
    return {**entry, "fieldsV1": sys.intern(text)}


class Store:
    """The objects of one kind.

    `metadata_only` keeps nothing but metadata, `transform` may shrink an object before it is kept, and
    `on_change` is told of every change; in its place `on_own_change` is of one that the look at the very
    object has read or made. An object whose `transform` raises is not kept: to readers it is not there, so
    they ask the API server. `bound` limits what is kept, and `pool` all stores that share it.
    """

    def __init__(
        self,
        resource: Resource,
        *,
        metadata_only: bool = False,
        transform: Callable[[Object], Object] | None = None,
        on_change: Change | None = None,
        on_own_change: Change | None = None,
        bound: Bound | None = None,
        pool: Pool | None = None,
    ) -> None:
        self.resource = resource
        self.served = False
        """Whether the API server had the kind when it was last asked: False before the first listing."""
        self.refused = ""
        """Why the API server did not let it be listed, of a kind that need not be; empty where it did."""
        self._metadata_only = metadata_only
        self._transform = transform
        self._on_change = on_change
        self._on_own_change = on_own_change or on_change
        self._shelf = Shelf(bound or Bound(), pool or Pool(), on_evict=self._lose)
        self._written: dict[Name, int] | None = None
        self._deleted: dict[Name, str] = {}
        self._still: set[Name] = set()
        self._indexes: dict[Read, Index] = {}
        self._at = 0
        self._reported: set[str] = set()
        self._warned = -1

    def get(self, ref: Ref) -> Object | None:
        """The object of that namespace and name; None when there is none."""
        return self._shelf.get((ref.namespace, ref.name))

    def list(self, namespace: str | None = None) -> tuple[Object, ...]:
        """All objects, or those of one namespace, in order of first sight."""
        return tuple(self._shelf.walk(namespace))

    def find(self, read: Read, *values: Hashable) -> tuple[Object, ...]:
        """The objects for which `read` gives one of the values, each once, without a look at any other."""
        names = self._index(read).find(values)
        return tuple(obj for obj in map(self._shelf.get, names) if obj is not None)

    def values(self, read: Read) -> Collection[Hashable]:
        """All values that `read` gives for some object."""
        return self._index(read).values()

    def _index(self, read: Read) -> Index:
        index = self._indexes.get(read)
        if index is None:
            index = Index(read, on_error=lambda obj, exc: self._report(obj, "kept, but not indexed", exc))
            self._indexes[read] = index
            self._shelf.add(index)
        return index

    def __len__(self) -> int:
        return len(self._shelf)

    def get_whole(self, ref: Ref) -> Object | None:
        """The object, unless it was too large to be kept as it is: then the API server has to be asked."""
        return self.get(ref) if self.is_whole(ref) else None

    def is_whole(self, ref: Ref) -> bool:
        """Whether what the store says of an object, be it that there is none, is all that was seen."""
        return (ref.namespace, ref.name) not in self._shelf.left_out

    @property
    def bytes(self) -> int:
        """About what the objects take in memory."""
        return self._shelf.total

    @property
    def left_out(self) -> tuple[Name, ...]:
        """Namespaces and names of objects that are not kept, or not whole, for their size; at most 1,000."""
        return tuple(self._shelf.left_out)

    def observe(self, obj: Object, *, own: bool = False) -> None:
        """Take in the answer to a request of ours, so that the next reconcile sees it before the watch does;
        `own` where the look at this very object has asked.

        An answer that is no newer than what the watch has told comes too late: either a younger version is
        here already, or the object is gone, and no further event would ever take it out.
        """
        if version_of(obj) <= self._at:
            return
        if self._put(obj, own=own) and self._written is not None:
            self._written[name_of(obj)] = version_of(obj)

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
        self._still = set()
        self._shelf.round += 1

    def stage(self, obj: Object) -> None:
        """Take in an object of the listing that goes on."""
        name = name_of(obj)
        self._shelf.mark(name)
        if name in self._deleted:
            self._still.add(name)
        if (self._written or {}).get(name, 0) <= version_of(obj):
            # Versions may have gone back: etcd was restored from a backup.
            self._put(obj, force=True)
        self._shelf.mark(name)

    def commit(self, resource_version: str) -> None:
        """The listing is complete: what it did not have is gone."""
        self._deleted = {name: uid for name, uid in self._deleted.items() if name in self._still}
        self._at = at = int(resource_version) if resource_version.isdigit() else 0
        written, self._written = self._written or {}, None
        for old in self._shelf.find_unmarked():
            if written.get(name_of(old), 0) <= at:
                self._drop(old)

    def _shrink(self, obj: Object) -> tuple[Object, int] | None:
        """What is kept of an object, and what it weighs; None where it cannot be taken in."""
        try:
            shrunk = obj
            if self._metadata_only:
                shrunk = {key: obj[key] for key in ("apiVersion", "kind", "metadata")}
            shrunk = shrunk if self._transform is None else self._transform(shrunk)
            fitted, weight = self._shelf.fit(without_foreign_fields(shrunk))
            return compact(fitted), weight
        except Exception as exc:
            self._report(obj, "not kept", exc)
            return None

    def replace(self, items: Iterable[Object], resource_version: str) -> None:
        """Take over a whole listing; what is not in it is gone."""
        if self._written is None:
            self.begin()
        for obj in items:
            self.stage(obj)
        self.commit(resource_version)

    def change(self, obj: Object) -> None:
        """An ADDED or MODIFIED event."""
        self._at = max(self._at, version_of(obj))
        self._put(obj)

    def remove(self, obj: Object) -> None:
        """A DELETED event; ignored when a younger object of that name is known."""
        self._at = max(self._at, version_of(obj))
        name = name_of(obj)
        if self._deleted.get(name) == obj["metadata"].get("uid"):
            del self._deleted[name]
        old = self._shelf.get(name)
        if old is None:
            self._shelf.drop(name)
        elif version_of(old) <= version_of(obj):
            self._drop(old)

    def _put(self, obj: Object, *, force: bool = False, own: bool = False) -> bool:
        if not self._is_news(obj, force=force):
            return False
        old = self._shelf.get(name_of(obj))
        shrunk = self._shrink(obj)
        self._warn()
        if shrunk is None:
            if old is not None:
                self._drop(old)
            return False
        kept, weight = shrunk
        if not self._shelf.put(kept, weight):
            return False  # it gave way itself, which has been told
        self._tell(old, kept, self._on_own_change if own else self._on_change)
        return True

    def _is_news(self, obj: Object, *, force: bool = False) -> bool:
        name = name_of(obj)
        if self._deleted.get(name) == obj["metadata"].get("uid"):
            return False
        old = self._shelf.get(name)
        if old is None:
            return True
        same = obj["metadata"].get("resourceVersion") == old["metadata"].get("resourceVersion")
        return not same and (version_of(obj) >= version_of(old) or force)

    def _lose(self, obj: Object) -> None:
        """An object that gave way to others is, to readers, not there."""
        self._warn()
        self._tell(obj, None, self._on_change)

    def _warn(self) -> None:
        """Log once for each listing that something was left out; metrics and `navarch check` say the rest."""
        if not self._shelf.left_out or self._warned == self._shelf.round:
            return
        self._warned = self._shelf.round
        namespace, name = next(reversed(self._shelf.left_out))
        log.warning(
            "an object is too large to be kept whole",
            kind=self.resource.kind,
            namespace=namespace,
            name=name,
            left_out=len(self._shelf.left_out),
        )

    def _tell(self, old: Object | None, new: Object | None, listener: Change | None) -> None:
        if listener is None:
            return
        try:
            listener(old, new)
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
        namespace, name = name_of(obj)
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
        self._shelf.drop(name_of(old))
        self._tell(old, None, self._on_change)


Stores: TypeAlias = Mapping[tuple[str, str], Store]
"""Stores by (API group, kind)."""
