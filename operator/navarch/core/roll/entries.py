"""The entries of a roll's spec.members, and which namespace each of them means.

Owns that a name with a uid means one namespace and no other. Must never remember a namespace: the uid is in
the spec, where a policy has asked who wrote it there. Invariant: whoever makes a namespace anew is joined by
no entry that was written for the one before.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api.roll import ALL, Entry, MeshMemberRollSpec
from navarch.core.roll.observed import ObservedRoll


def asks_for_all(spec: MeshMemberRollSpec) -> bool:
    """Whether every namespace is asked for that may belong to the mesh."""
    return ALL in (spec.members or ())


def list_entries(spec: MeshMemberRollSpec | None) -> Iterator[Entry]:
    """The entries that name a namespace."""
    texts = (spec.members if spec is not None else None) or ()
    yield from (Entry.read(text) for text in texts if text != ALL)


def is_meant(observed: ObservedRoll, entry: Entry) -> bool:
    """Whether an entry means the namespace that has its name now, or has it later."""
    namespace = observed.namespaces.get(entry.name)
    return not entry.uid or (namespace is not None and namespace.uid == entry.uid)


def find_replaced(observed: ObservedRoll) -> Iterator[Entry]:
    """Entries that mean a namespace which is gone."""
    yield from (entry for entry in list_entries(observed.spec) if not is_meant(observed, entry))


def tell_replaced(observed: ObservedRoll, name: str) -> str:
    """What has become of the namespace that an entry with this name and a uid means."""
    if name in observed.namespaces:
        return f"the namespace of this uid is gone; the one that has the name {name} now does not join by it"
    return f"the namespace of this uid is gone; another that gets the name {name} does not join by it"
