"""The evidence that an object is as it was applied, and the memory of it.

Owns three looks at an object: the hash of what was applied, our entry in managedFields, and the values. Must
never need a request, nor be needed to find an object: all that is remembered here can be lost and costs one
look. Invariants: an object that was not written since it was last found to be as wanted is not looked into
again; a value that the API server spells in its own way causes one apply that writes nothing, and none after
it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from navarch.core.model.hashing import stable_hash
from navarch.core.model.labels import APPLIED
from navarch.core.model.ownership import MANAGER
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.kube.coverage import find_uncovered
from navarch.kube.intruders import find_intruders
from navarch.kube.store import Store
from navarch.kube.values import Difference, find_differences

REMEMBERED = 20_000

_CRD = "CustomResourceDefinition"


def applied_of(current: Mapping[str, Any]) -> str:
    """The hash of what an object was last applied from, as its annotation says."""
    annotations: dict[str, str] = current["metadata"].get("annotations") or {}
    return annotations.get(APPLIED, "")


def find_deviations(manifest: Manifest, current: Mapping[str, Any]) -> Iterator[Difference]:
    """Everything by which an object is not as wanted: intruders first, then other values, then what we do
    not own. Of CRDs, which are kept as metadata, only the last."""
    if manifest["kind"] != _CRD:
        yield from find_intruders(manifest, current)
        yield from find_differences(manifest, current)
    yield from (Difference(path, None) for path in find_uncovered(manifest, current, MANAGER))


class Evidence:
    """What is known of the objects that we keep as they are wanted."""

    def __init__(self) -> None:
        self._settled: dict[str, tuple[str, str]] = {}
        self._stood: dict[Ref, str] = {}
        self._spelled: dict[str, str] = {}
        self._foreign: set[Ref] = set()

    def is_settled(self, current: Mapping[str, Any], manifest: Manifest, desired: str) -> bool:
        """Whether an object is as wanted; `desired` is the hash of `manifest`."""
        if applied_of(current) != desired:
            return False
        metadata = current["metadata"]
        if self._settled.get(metadata["uid"]) == (metadata["resourceVersion"], desired):
            return True
        deviations = list(find_deviations(manifest, current))
        if deviations and self._spelled.get(metadata["uid"]) != _sign(desired, deviations):
            return False
        self.remember(ref_of(manifest), current, desired)
        return True

    def remember(self, ref: Ref, current: Mapping[str, Any], desired: str) -> None:
        """This very state of an object is as wanted."""
        if len(self._settled) >= REMEMBERED:
            self._settled.clear()
            self._stood.clear()
            self._spelled.clear()
            self._foreign.clear()
        self._stood[ref] = desired
        self._settled[current["metadata"]["uid"]] = (current["metadata"]["resourceVersion"], desired)

    def tolerate(self, current: Mapping[str, Any], manifest: Manifest, desired: str) -> None:
        """Putting the object right changed nothing: what it says is how the API server spells what is
        wanted."""
        deviations = list(find_deviations(manifest, current))
        if deviations:
            self._spelled[current["metadata"]["uid"]] = _sign(desired, deviations)

    def knows(self, current: Mapping[str, Any]) -> bool:
        """Whether this process has written, or found as wanted, the very object."""
        return current["metadata"].get("uid") in self._settled

    def stood(self, ref: Ref, desired: str) -> bool:
        """Whether an object of this name was as wanted when it was last seen."""
        return self._stood.get(ref) == desired

    def is_free(self, ref: Ref, store: Store) -> bool:
        """Whether nothing is known to stand under this name."""
        return ref not in self._foreign and store.is_whole(ref) and store.get(ref) is None

    def note_owner(self, ref: Ref, *, is_foreign: bool) -> None:
        """Whether the object of this name was foreign when it was last seen: then it is read first."""
        if is_foreign:
            self._foreign.add(ref)
        else:
            self._foreign.discard(ref)

    def forget(self, ref: Ref) -> None:
        """The object was removed by us."""
        self._stood.pop(ref, None)


def _sign(desired: str, deviations: list[Difference]) -> str:
    return stable_hash([desired, [[d.path, d.live] for d in deviations]], length=64)
