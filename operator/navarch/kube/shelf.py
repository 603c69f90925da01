"""Objects in memory, by namespace and name, within a bound in bytes.

Owns the bookkeeping of what each namespace takes, and who gives way where it is too much: the namespace that
takes most, and of its objects the heaviest. A person who can write in one namespace can so push out nothing
but what lies there. An object of the cluster counts as a namespace of its own.
Must never know what an object is for. Pure.
Invariants: after `put` no shelf is over its own bound, nor all shelves of a pool together over the pool's;
every object that is not kept, or not whole, is in `left_out` until it is gone, kept, or listed no more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from navarch.kube.index import Index, Name, Object
from navarch.kube.weight import reduce_object, weigh

MIB = 1024 * 1024
MOST_NAMED = 1000
"""Objects that one shelf names as left out; further ones are counted in the log alone."""
_SLOT = 400
"""Bytes for an object's place in the maps, its name and its namespace."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Bytes: of one object, and of all objects of one watch."""

    object: int = 256 * 1024
    watch: int = 32 * MIB


@dataclass(slots=True)
class Pool:
    """All shelves of a process, which together hold at most `most` bytes."""

    most: int = 160 * MIB
    shelves: list[Shelf] = field(default_factory=list)
    total: int = 0

    def find_heaviest(self) -> tuple[Shelf, str]:
        """The shelf and the holder on it that takes most."""
        candidates = [(shelf, *shelf.find_heaviest()) for shelf in self.shelves if len(shelf)]
        shelf, holder, _ = max(candidates, key=lambda found: found[2])
        return shelf, holder


@dataclass(slots=True)
class _Kept:
    object: Object
    weight: int
    round: int


class Shelf:
    """The objects of one watch. `on_evict` is told of an object that gave way."""

    def __init__(self, bound: Bound, pool: Pool, *, on_evict: Callable[[Object], None]) -> None:
        self._bound, self._pool, self._on_evict = bound, pool, on_evict
        self._namespaces: defaultdict[str, dict[str, _Kept]] = defaultdict(dict)
        self._weights: defaultdict[str, int] = defaultdict(int)
        self.total = 0
        self.round = 0
        """Number of the listing that goes on; objects bear that in which they were seen last."""
        self.left_out: dict[Name, int] = {}
        """Objects that are not kept, or not whole, by the listing in which they were seen last."""
        self._indexes: list[Index] = []
        pool.shelves.append(self)

    def __len__(self) -> int:
        return sum(map(len, self._namespaces.values()))

    def get(self, name: Name) -> Object | None:
        """The object of a namespace and name."""
        kept = self._namespaces.get(name[0], {}).get(name[1])
        return None if kept is None else kept.object

    def walk(self, namespace: str | None = None) -> Iterator[Object]:
        """All objects, or those of one namespace, in order of first sight."""
        places = self._namespaces.values() if namespace is None else [self._namespaces.get(namespace, {})]
        for place in places:
            yield from (kept.object for kept in place.values())

    def add(self, index: Index) -> None:
        """Keep an index of the objects from now on."""
        for obj in self.walk():
            index.put(name_of(obj), obj)
        self._indexes.append(index)

    def fit(self, obj: Object) -> tuple[Object, int]:
        """The object as it may be kept, whole or reduced to what one object may weigh, and what it weighs."""
        weight = weigh(obj)
        if weight <= self._bound.object:
            self.left_out.pop(name_of(obj), None)
            return obj, weight
        self.leave_out(name_of(obj))
        reduced = reduce_object(obj, self._bound.object)
        return reduced, weigh(reduced)

    def leave_out(self, name: Name) -> None:
        """Note that an object is not there, or not whole."""
        if name in self.left_out or len(self.left_out) < MOST_NAMED:
            self.left_out[name] = self.round

    def mark(self, name: Name) -> None:
        """Note that the listing that goes on has the object."""
        kept = self._namespaces.get(name[0], {}).get(name[1])
        if kept is not None:
            kept.round = self.round
        if name in self.left_out:
            self.left_out[name] = self.round

    def find_unmarked(self) -> list[Object]:
        """Objects that the listing did not have."""
        self.left_out = {name: seen for name, seen in self.left_out.items() if seen == self.round}
        places = self._namespaces.values()
        return [kept.object for place in places for kept in place.values() if kept.round != self.round]

    def put(self, obj: Object, weight: int) -> bool:
        """Keep an object that went through `fit`, and make room for it. False where it found none itself."""
        namespace, name = name_of(obj)
        place, weight = self._namespaces[namespace], weight + _SLOT
        before = place.get(name)
        place[name] = _Kept(obj, weight, self.round)
        self._add((namespace, name), weight - (before.weight if before else 0))
        for index in self._indexes:
            index.put((namespace, name), obj)
        while self.total > self._bound.watch:
            self._evict(self.find_heaviest()[0])
        while self._pool.total > self._pool.most:
            shelf, holder = self._pool.find_heaviest()
            shelf._evict(holder)
        return self.get((namespace, name)) is obj

    def drop(self, name: Name) -> None:
        """Let go of an object that is gone."""
        self.left_out.pop(name, None)
        self._take(name)

    def find_heaviest(self) -> tuple[str, int]:
        """The holder that takes most, and its bytes."""
        return max(self._weights.items(), key=lambda item: item[1])

    def _take(self, name: Name) -> None:
        place = self._namespaces.get(name[0])
        kept = None if place is None else place.pop(name[1], None)
        if kept is None or place is None:
            return
        if not place:
            del self._namespaces[name[0]]
        self._add(name, -kept.weight)
        for index in self._indexes:
            index.drop(name)

    def _add(self, name: Name, weight: int) -> None:
        holder = _holder(name)
        self._weights[holder] += weight
        if not self._weights[holder]:
            del self._weights[holder]
        self.total += weight
        self._pool.total += weight

    def _evict(self, holder: str) -> None:
        if holder.startswith("/"):
            name: Name = ("", holder[1:])
        else:
            place = self._namespaces[holder]
            name = (holder, max(place, key=lambda key: place[key].weight))
        obj = self.get(name)
        self._take(name)
        self.leave_out(name)
        if obj is not None:
            self._on_evict(obj)


def _holder(name: Name) -> str:
    return name[0] or f"/{name[1]}"


def name_of(obj: Mapping[str, Any]) -> Name:
    """Namespace and name of an object."""
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
