"""From a change of a mesh or its revision to the other meshes whose decisions depend on it.

Owns the rule, the mirror of what gather/neighbours.py reads for a mesh. Must never lead to a mesh only
because it exists: of many that are installed at once each would be looked at as often as there are others.
Invariant (tests/property): where a change of one mesh changes what is decided about another, it leads there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from navarch.core.model.conditions import ConditionType, find_condition
from navarch.core.model.labels import ISTIO_INJECTION, ISTIO_REV, MEMBER_OF
from navarch.core.model.parent import MESH, parent_of
from navarch.core.model.scope import (
    asks_for_cluster,
    holds_anything,
    holds_cluster,
    reaches_cluster,
    read_members,
)
from navarch.core.model.tags import stem_of
from navarch.engine.key import Key
from navarch.triggers.known import (
    By,
    Known,
    Object,
    asks_for_default,
    key_of,
    key_of_parent,
    list_told_tags,
)


class Neighbours:
    """Finds them among what is `known`; `find_namespace` returns one namespace by its name."""

    def __init__(self, known: Known, find_namespace: Callable[[str], Object | None]) -> None:
        self._known, self._find_namespace = known, find_namespace

    def of_mesh(self, old: Object | None, new: Object | None) -> Iterator[Key]:
        """The meshes that see a difference between two states of a mesh."""
        if _read_claims(old) == _read_claims(new):
            return
        states = [state for state in (old, new) if state is not None]
        # A mesh that was restored or is taken away also counts by what its revisions hold.
        key = key_of(states[0])
        stems = self._known.list_stems(key)
        stems = stems.union(*({stem_of(tag) for tag in list_told_tags(state)} for state in states))
        holds = any(self._known.find(By.REVISION_IN, key.namespace))
        default = holds or any(map(asks_for_default, states))
        yield from self._find(states[0]["metadata"]["namespace"], stems, default=default)
        yield from self._find_by_scope(any(map(asks_for_cluster, states)))

    def of_revision(self, old: Object | None, new: Object | None) -> Iterator[Key]:
        """The meshes that see a difference between two states of a MeshRevision: all of them where no other
        revision is of its Istio version, since Istio's CRDs follow the newest that any mesh has."""
        if _read_hold(old) == _read_hold(new):
            return
        states = [state for state in (old, new) if state is not None]
        specs = [state.get("spec") or {} for state in states]
        # A mesh that asks for `default` and holds anything comes before those that hold nothing.
        asking = {*self._known.find(By.DEFAULT, "")}
        holders = {key_of_parent(parent) for parent in map(parent_of, states) if parent is not None}
        stems = {stem_of(str(spec.get("tag", ""))) for spec in specs}
        stems = stems.union(*map(self._known.list_stems, holders))
        default = any(bool(read_members(state).get("default")) for state in states)
        default = default or bool(asking & holders)
        yield from self._find(states[0]["metadata"]["namespace"], stems, default=default)
        yield from self._find_by_scope(any(map(reaches_cluster, states)))
        versions = {str(spec.get("version", "")) for spec in specs}
        others = (set(self._known.find(By.VERSION, version)) - {key_of(states[0])} for version in versions)
        if (len(states) == 1 or len(versions) == 2) and not all(others):
            yield from self._known.find(By.KIND, MESH)

    def _find_by_scope(self, cluster: bool) -> Iterator[Key]:
        """Those that want every namespace, which is asked of all other meshes; with `cluster` every mesh."""
        yield from self._known.find(By.KIND, MESH) if cluster else self._known.find(By.CLUSTER, "")

    def _find(self, namespace: str, stems: Iterable[str], *, default: bool) -> Iterator[Key]:
        """The meshes in a namespace, those whose members its labels say it is of, those with a tag of the
        same stem, and with `default` those that ask for that tag."""
        yield from self._known.find(By.MESH_IN, namespace)
        yield from self._known.find(By.TAG, *stems)
        labels = read_istio_labels(self._find_namespace(namespace))
        yield from self._known.find(By.LABEL, *filter(None, labels))
        if default:
            yield from self._known.find(By.DEFAULT, "")


def _read_claims(mesh: Object | None) -> Any:
    """What of a mesh others depend on."""
    if mesh is None:
        return None
    verdict = find_condition(mesh, ConditionType.SPEC_ACCEPTED) or {}
    refused = verdict.get("status") == "False", verdict.get("observedGeneration")
    generation = mesh["metadata"].get("generation", 0)
    asked = asks_for_default(mesh), asks_for_cluster(mesh)
    return {*list_told_tags(mesh)}, asked, refused == (True, generation)


def _read_hold(revision: Object | None) -> Any:
    """What of a revision others depend on: what a mesh was accepted for, and which."""
    if revision is None:
        return None
    spec = revision.get("spec") or {}
    default = bool(read_members(revision).get("default"))
    held = default, reaches_cluster(revision), holds_cluster(revision), holds_anything(revision)
    return parent_of(revision), spec.get("tag"), spec.get("version"), held


def read_istio_labels(namespace: Object | None) -> tuple[str, ...]:
    """The values by which a namespace names meshes."""
    labels = (namespace["metadata"].get("labels") or {}) if namespace is not None else {}
    return tuple(labels.get(key, "") for key in (ISTIO_REV, ISTIO_INJECTION, MEMBER_OF))
