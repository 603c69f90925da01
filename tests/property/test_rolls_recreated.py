"""Namespaces that different people make, delete and make again under one name, while entries come into a roll
and leave it, and the operator is away for any part of it.

Judged at every look: who is in the mesh by the roll is there by an entry that was written by somebody who had
the right in that very namespace, or in the whole cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from navarch.api.roll import Entry
from navarch.core.world.cluster import Namespace

from tests.unit.rolls import OURS, READY, a_member, a_roll, pending, plan

NAMES = ("x", "y")
TENANT, STRANGER, WIDE = "tenant", "stranger", "wide"
people = st.sampled_from((TENANT, STRANGER, WIDE))
names = st.sampled_from(NAMES)
DONE = ("make", "make", "write", "write", "delete", "look", "write-plain", "write-old", "take-out", "join")
steps = st.tuples(st.sampled_from(DONE), names, people)


@dataclass
class Cluster:
    """Namespaces by name, with their uid and who made them; a roll's entries; and MeshMembers, which go with
    their namespace. `rightful` are the uids for which an entry was taken, `wide` the names that who may
    update all pods has written."""

    places: dict[str, tuple[str, str]] = field(default_factory=dict)
    members: dict[str, dict[str, Any]] = field(default_factory=dict)
    entries: list[str] = field(default_factory=list)
    rightful: set[str] = field(default_factory=set)
    wide: set[str] = field(default_factory=set)
    uids: list[str] = field(default_factory=list)
    numbers: Any = field(default_factory=lambda: count(1))

    def make(self, name: str, person: str) -> None:
        if name not in self.places:
            self.uids.append(str(UUID(int=next(self.numbers))))
            self.places[name] = (self.uids[-1], person)

    def delete(self, name: str, person: str) -> None:
        if name in self.places and person in (self.places[name][1], WIDE):
            del self.places[name]
            self.members.pop(name, None)

    def write(self, name: str, person: str, uid: str | None = None) -> None:
        """An entry, as the policy takes it: tests/cluster/test_roll_rights.py holds the policy to this."""
        there, owner = self.places.get(name, ("", ""))
        entry = str(Entry(name, there if uid is None else uid))
        if entry in self.entries or not (person == WIDE or ("@" in entry and person == owner)):
            return
        self.entries.append(entry)
        if "@" not in entry:
            self.wide.add(name)
        elif entry.endswith(there):
            self.rightful.add(there)

    def take_out(self, name: str) -> None:
        self.entries = [entry for entry in self.entries if Entry.read(entry).name != name]
        self.wide.discard(name)

    def join(self, name: str, person: str) -> None:
        if self.places.get(name, ("", ""))[1] == person and name not in self.members:
            self.members[name] = a_member(name)

    def observe(self) -> Any:
        places = [Namespace(name, {}, uid=uid) for name, (uid, _) in self.places.items()]
        return a_roll(*self.entries, namespaces=places, members=[*self.members.values()])

    def look(self) -> None:
        """The operator's, until nothing is left to do; and then what is there is judged."""
        for _ in range(3):
            todo = plan(self.observe())
            for ref in todo.prune:
                del self.members[ref.namespace]
            for wanted in todo.objects():
                self.apply(wanted)
        self.judge()

    def apply(self, wanted: Mapping[str, Any]) -> None:
        made = {"uid": "made", "generation": 1, "managedFields": [OURS]}
        self.members[wanted["metadata"]["namespace"]] = {
            **wanted, "metadata": {**wanted["metadata"], **made}, "status": {"conditions": [READY]}
        }  # fmt: skip

    def judge(self) -> None:
        told = pending(self.observe())
        named = {Entry.read(entry).name for entry in self.entries}
        for name, (uid, _) in self.places.items():
            joined = name in self.members
            by_roll = joined and bool(self.members[name]["metadata"]["managedFields"])
            means = name in self.wide or f"{name}@{uid}" in self.entries
            assert joined or not means, "who has the right is served"
            assert not by_roll or (means and (name in self.wide or uid in self.rightful))
            assert (told.get(name) == "NamespaceReplaced") == (name in named and not joined)
        assert all(told.get(name) for name in named - {*self.places})


@given(st.lists(steps, min_size=20, max_size=60))
def test_nobodys_namespace_is_joined_by_an_entry_that_was_written_before_it_was_there(
    sequence: list[tuple[str, str, str]],
) -> None:
    cluster = Cluster()
    for what, name, person in sequence:
        match what:
            case "make":
                cluster.make(name, person)
            case "delete":
                cluster.delete(name, person)
            case "write":
                cluster.write(name, person)
            case "write-plain":
                cluster.write(name, person, "")
            case "write-old" if cluster.uids:
                cluster.write(name, person, cluster.uids[0])
            case "take-out":
                cluster.take_out(name)
            case "join":
                cluster.join(name, person)
            case "look":
                cluster.look()
    cluster.look()
