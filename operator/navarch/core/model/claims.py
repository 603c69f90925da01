"""Claims: labels of ours on an object that is another's, such as a namespace.

Owns their form, and how one sees which of an object's labels a claim holds. Must never ask for force: what
another field manager says stands, and is told. Invariant: a claim that is carried out twice writes once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from navarch.core.model.labels import ISTIO_REV, MEMBER_OF
from navarch.core.model.ownership import fields_of, own_fields
from navarch.core.model.refs import Manifest, Ref

CLAIMER = "navarch-members"
"""The field manager of claims."""
CLAIMABLE = frozenset({MEMBER_OF, ISTIO_REV})
"""The labels that claims may hold. What else stands under their manager's name another client wrote there."""


@dataclass(frozen=True, slots=True)
class Claim:
    """That an object has these labels, and none that an earlier claim put on it. `uid` says which object;
    labels in `exclusive` are written by nobody else, and go whoever wrote them. `stands` says that the object
    was seen with them: then nothing is to be written."""

    ref: Ref
    uid: str
    labels: Mapping[str, str]
    exclusive: frozenset[str] = frozenset()
    stands: bool = False


def find_claimed(manifest: Manifest) -> tuple[str, ...]:
    """The keys of an object's labels that a claim holds, sorted."""
    return tuple(sorted(_list_claimable(own_fields(manifest, CLAIMER) or {})))


def find_strays(manifest: Manifest) -> dict[str, dict[str, str]]:
    """Labels and annotations that another client wrote in the name of claims, as they are now. They would go
    with the next claim, and are not ours to remove."""
    metadata = manifest["metadata"]
    entry = (own_fields(manifest, CLAIMER) or {}).get("f:metadata") or {}
    strays: dict[str, dict[str, str]] = {}
    for part in ("labels", "annotations"):
        keys = {key.removeprefix("f:") for key in entry.get(f"f:{part}") or {}} - CLAIMABLE
        there = metadata.get(part) or {}
        if kept := {key: there[key] for key in sorted(keys) if key in there}:
            strays[part] = kept
    return strays


def find_copied(manifest: Manifest) -> tuple[str, ...]:
    """The keys of an object's labels that another client wrote as a claim had them, sorted: only who restores
    objects writes MEMBER_OF, and what it wrote beside that was ours, too."""
    copied: set[str] = set()
    for entry in manifest["metadata"].get("managedFields") or ():
        if entry.get("manager") != CLAIMER and MEMBER_OF in (keys := _list_claimable(fields_of(entry))):
            copied |= keys
    return tuple(sorted(copied))


def _list_claimable(fields: Mapping[str, Any]) -> frozenset[str]:
    labels = (fields.get("f:metadata") or {}).get("f:labels") or {}
    return CLAIMABLE & {key.removeprefix("f:") for key in labels}
