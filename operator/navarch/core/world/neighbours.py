"""The other meshes of the cluster, as one mesh sees them.

Owns the record of a neighbour. Must never decide who wins a conflict: the checks do. Invariant: the records
of the same meshes are equal, and sort by age.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class MeshSummary:
    """A mesh as its neighbours see it. `tag` is the effective one; `created` is
    metadata.creationTimestamp."""

    created: str
    uid: str
    namespace: str
    name: str
    tag: str
    default_tag: bool = False
