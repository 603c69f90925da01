"""Which meshes are looked at again after a change of another mesh: each of which something else is decided.

Invariants: where a change of an object changes what is decided about a mesh, that mesh's key follows from it;
a mesh that shares nothing with the others wakes none of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, TypeAlias, cast

from hypothesis import example, given, settings
from hypothesis import strategies as st
from navarch.core.mesh.checks import run_checks
from navarch.core.mesh.membership import find_effective_membership
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.plan import plan_mesh
from navarch.core.model.naming import revision_name
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.engine.key import Key
from navarch.gather.mesh import observe_mesh
from navarch.gather.watches import MESHES as MESH_WATCH
from navarch.gather.watches import NAMESPACES as NAMESPACE_WATCH
from navarch.gather.watches import REVISIONS as REVISION_WATCH
from navarch.gather.watches import Watch
from navarch.kube.store import Object
from navarch.triggers.keys import Dependents
from navarch.triggers.known import Known, key_of

from tests.property.test_narrow_looks import (
    HASHED,
    HELD,
    LABELLED,
    MESHES,
    NAMESPACES,
    REVISIONS,
    a_mesh,
    a_revision,
    build_change,
)
from tests.support.memory import Memory, build_namespace

Change: TypeAlias = tuple[Any, ...]
WATCHED = {watch.kind: watch for watch in (MESH_WATCH, REVISION_WATCH, NAMESPACE_WATCH)}
CHANGES = st.one_of(MESHES, REVISIONS, LABELLED)


class Watching:
    """A cluster whose meshes were all looked at once, and what each further change of it asks for."""

    def __init__(self, changes: list[Change]) -> None:
        self.memory = Memory()
        for place in NAMESPACES:
            self.memory.put(build_namespace(place))
        for change in changes:
            self.memory.put(self._build(change))
        for mesh in self.memory.stores["meshes"].list():
            tag = self._observe(mesh).tag
            self.memory.put({**mesh, "status": {**mesh["status"], "tag": tag}})
        self.known = Known([*self.memory.stores["meshes"].list(), *self.memory.stores["revisions"].list()])
        self.dependents = Dependents(self.known, find_namespace=self._find_namespace)

    def _build(self, change: Change) -> Object:
        """The object of a change: a mesh keeps its tag, which never changes, and its revisions have it."""
        manifest = cast(Object, build_change(change))
        names = {mesh["metadata"]["name"]: mesh for mesh in self.memory.stores["meshes"].list(change[1])}
        mesh = names.get(change[2]) if change[0] in ("mesh", "revision") else None
        if mesh is None:
            return manifest
        tag = self._observe(mesh).tag
        if change[0] == "mesh":
            return {**manifest, "spec": {**manifest["spec"], "tag": tag}}
        metadata = {**manifest["metadata"], "name": revision_name(tag)}
        return {**manifest, "metadata": metadata, "spec": {**manifest["spec"], "tag": tag}}

    def _find_namespace(self, name: str) -> Object | None:
        return self.memory.stores["namespaces"].get(Ref("v1", "Namespace", "", name))

    def _observe(self, mesh: Manifest) -> ObservedMesh:
        return asyncio.run(observe_mesh(self.memory.world, mesh))

    def decide(self) -> dict[Key, Any]:
        """What is decided about each mesh now."""
        return {key_of(mesh): self._decide(mesh) for mesh in self.memory.stores["meshes"].list()}

    def _decide(self, mesh: Manifest) -> Any:
        observed = self._observe(mesh)
        findings = run_checks(observed)
        return findings, find_effective_membership(observed), plan_mesh(observed, findings)

    def ask(self, change: Change, *, removes: bool) -> set[Key]:
        """Make a change; the keys that it leads to."""
        manifest = self._build(change)
        ref, watch = ref_of(manifest), WATCHED[manifest["kind"]]
        old = self.memory.stores[watch.name].get(ref)
        if removes and old is not None:
            self.memory.remove(ref)
        elif not removes:
            self.memory.put(manifest)
        asked = self._tell(watch, ref, old)
        mesh = self.memory.stores[watch.name].get(ref)
        if watch is MESH_WATCH and mesh is not None:  # which is looked at: then its status says its tag
            self.memory.put({**mesh, "status": {**mesh["status"], "tag": self._observe(mesh).tag}})
            asked |= self._tell(watch, ref, mesh)
        return asked

    def _tell(self, watch: Watch, ref: Ref, old: Object | None) -> set[Key]:
        new = self.memory.stores[watch.name].get(ref)
        if watch is not NAMESPACE_WATCH:
            self.known.change(old, new)
        return {ask.key for ask in watch.keys(self.dependents, old, new)}


SHARED: tuple[tuple[list[Change], Change, bool], ...] = (
    # A tag, a revision's name, a namespace, the tag `default`, and a namespace that one mesh's labels name.
    ([a_mesh("a", tag="shared"), a_mesh("b", tag="shared")], a_mesh("a", tag="shared"), True),
    ([a_mesh("a"), a_mesh("b", tag="a-demo-inplace")], a_mesh("a"), True),
    ([a_mesh("a"), a_mesh("a", "b-demo")], a_mesh("a"), True),
    ([a_mesh("a", default=True), a_mesh("b", default=True)], a_mesh("a", default=True), True),
    ([a_mesh("b"), ("namespace", "a", "b-demo", "")], a_mesh("a"), False),
    ([a_mesh("b", default=True), ("namespace", "a", "", "enabled")], a_mesh("a"), False),
    ([a_mesh("a"), a_mesh("b")], ("namespace", "a", "b-demo", ""), False),
    ([a_mesh("a", tag="a-b-demo"), a_mesh("a-b")], a_mesh("b", tag=HASHED), False),
    # What a mesh holds: its tag, the tag `default`, and the first revision of any version.
    ([a_mesh("a", tag="shared"), a_mesh("b", tag="shared")], a_revision("b", "shared"), False),
    ([a_mesh("a", default=True), a_mesh("b")], a_revision("b", "b-demo", default=True), False),
    ([a_mesh("a"), a_mesh("b")], a_revision("b", "b-demo"), False),
    ([a_mesh("a"), a_mesh("b"), a_revision("b", "b-demo")], a_revision("b", "b-demo"), True),
    ([a_mesh("a"), a_revision("a-b", "a-demo")], a_mesh("a-b"), False),
    # Every namespace: who asks for them, who has them, and who has anything.
    ([a_mesh("a"), a_mesh("b")], a_mesh("a", scope="Cluster"), False),
    ([a_mesh("a", scope="Cluster"), a_mesh("b")], a_mesh("a", scope="Cluster"), True),
    ([a_mesh("a", scope="Cluster"), a_mesh("b")], a_revision("b", "b-demo", scope="Passed"), False),
    (
        [a_mesh("a", scope="Cluster"), a_mesh("b"), a_revision("b", "b-demo")],
        a_revision("b", "b-demo", scope="Passed"),
        False,
    ),
    ([a_mesh("a"), a_mesh("b", scope="Cluster")], a_revision("b", "b-demo", scope=HELD), False),
    ([a_mesh("a", scope="Cluster")], ("namespace", "web", "", ""), False),
    ([a_mesh("a", scope="Cluster"), ("namespace", "web", "", "")], ("namespace", "web", "", ""), True),
    # A revision that becomes another mesh's.
    (
        [a_mesh("a-b", default=True), a_mesh("a", default=True), a_revision("a", "a-demo", name="b-demo")],
        a_revision("a", "a-demo"),
        False,
    ),
)


def with_examples(test: Any) -> Any:
    for changes, change, removes in SHARED:
        test = example(changes=changes, steps=[(change, removes)])(test)
    return test


@with_examples
@given(
    changes=st.lists(CHANGES, min_size=3, max_size=16),
    steps=st.lists(st.tuples(CHANGES, st.booleans()), min_size=1, max_size=6),
)
@settings(max_examples=150, derandomize=True)
def test_a_mesh_about_which_something_else_is_decided_is_looked_at(
    changes: list[Change], steps: list[tuple[Change, bool]]
) -> None:
    watching = Watching(changes)
    before = watching.decide()
    for change, removes in steps:
        asked = watching.ask(change, removes=removes)
        after = watching.decide()
        missed = {key for key, decided in after.items() if before.get(key) != decided} - asked
        assert missed == set(), f"{change} {'gone' if removes else ''}"
        before = after


def list_apart() -> Iterator[tuple[list[Change], Change]]:
    """Meshes that have nothing in common, and a change of one of them."""
    others = [a_mesh("a"), a_revision("a", "a-demo"), a_mesh("kube-x")]
    yield others, a_mesh("b")
    yield others, a_mesh("b", tag="shared")
    yield others, a_mesh("b", default=True)
    yield others, a_revision("b", "b-demo")
    yield others, ("mesh", "b", "demo", "", False, "b-demo", True, "")


def test_a_mesh_that_shares_nothing_wakes_no_other() -> None:
    for changes, change in list_apart():
        for removes in (False, True):
            watching = Watching([*changes, change] if removes else changes)
            asked = watching.ask(change, removes=removes)
            assert {key.namespace for key in asked} == {"b"}, change
