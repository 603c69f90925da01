"""Which tags a mesh has or may get, as far as the mesh itself says.

Owns the reading of spec.tag and status.tag. Must never look at another object, though a tag may also be
recorded in a MeshRevision or a webhook. Invariant: a mesh without a recorded tag gets one of two that follow
from its name.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.core.model.naming import IN_PLACE, effective_tag
from navarch.core.model.refs import Manifest


def read_tag(mesh: Manifest) -> str:
    """The tag that a mesh's spec or status says; empty where neither does."""
    return str((mesh.get("spec") or {}).get("tag") or (mesh.get("status") or {}).get("tag") or "")


def list_tags(mesh: Manifest) -> Iterator[str]:
    """The tag that a mesh says it has; else the two of which it gets one."""
    if written := read_tag(mesh):
        yield written
        return
    metadata = mesh["metadata"]
    first = effective_tag(metadata["namespace"], metadata["name"])
    yield from (first, effective_tag(metadata["namespace"], metadata["name"], taken={first}))


def stem_of(tag: str) -> str:
    """What a tag has in common with the revisions that are named after it: no two meshes may have tags of one
    stem where one of them is the name of a revision of the other."""
    while tag.endswith(IN_PLACE):
        tag = tag.removesuffix(IN_PLACE)
    return tag
