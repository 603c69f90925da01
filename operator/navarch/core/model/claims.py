"""Claims: labels of ours on an object that is another's, such as a namespace.

Owns their form, and how one sees which of an object's labels a claim holds. Must never ask for force: what
another field manager says stands, and is told. Invariant: a claim that is carried out twice writes once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from navarch.core.model.ownership import own_fields
from navarch.core.model.refs import Manifest, Ref

CLAIMER = "navarch-members"
"""The field manager of claims."""


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
    fields = own_fields(manifest, CLAIMER) or {}
    labels = (fields.get("f:metadata") or {}).get("f:labels") or {}
    return tuple(sorted(key.removeprefix("f:") for key in labels))
