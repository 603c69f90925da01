"""Which rolls a change of a MeshMember or of a namespace concerns.

Owns what rolls depend on of both. Must never look at a selector: a roll that chooses by labels is concerned
by every namespace. Invariant: that a namespace joins or leaves a mesh asks for a look by what its MeshMember
says, and not by its labels as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from navarch.core.model.conditions import ConditionType, find_condition
from navarch.core.model.labels import MEMBER_OF
from navarch.core.model.parent import parent_of
from navarch.engine.key import Key
from navarch.triggers.edits import read_edited
from navarch.triggers.known import By, Known, Object, key_of_parent


def find_rolls(known: Known, namespace: str) -> Iterator[Key]:
    """The rolls that name a namespace, or may choose it."""
    yield from known.find(By.ROLL_LISTS, namespace)
    yield from known.find(By.ROLL_SELECTS, "")


def keys_for_rolls_of_member(known: Known, old: Object | None, new: Object | None) -> Iterator[Key]:
    """The roll that made a member, and those that ask for its namespace, after a change of what they see."""
    manifest = new or old
    if manifest is None or _seen_of_member(old) == _seen_of_member(new):
        return
    parents = {parent.any_uid for state in (old, new) if state and (parent := parent_of(state))}
    keys = {key_of_parent(parent) for parent in parents}
    yield from sorted(keys | {*find_rolls(known, manifest["metadata"]["namespace"])})


def keys_for_rolls_of_namespace(known: Known, old: Object | None, new: Object | None) -> Iterator[Key]:
    """The rolls that ask for a namespace when it came, went, is being deleted, or has other labels than that
    of its membership."""
    manifest = new or old
    if manifest is not None and _seen_of_namespace(old) != _seen_of_namespace(new):
        yield from dict.fromkeys(find_rolls(known, manifest["metadata"]["name"]))


def _seen_of_member(member: Object | None) -> Any:
    if member is None:
        return None
    ready = find_condition(member, ConditionType.READY) or {}
    told = tuple(ready.get(key) for key in ("status", "reason", "message", "observedGeneration"))
    return read_edited(member), told


def _seen_of_namespace(namespace: Object | None) -> Any:
    if namespace is None:
        return None
    metadata = namespace["metadata"]
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != MEMBER_OF}
    return "deletionTimestamp" in metadata, metadata.get("uid"), labels
