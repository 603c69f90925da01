"""Whether a revision may be rolled out beside others, where one of them reaches every namespace.

Owns the last word on that, which needs no order of looks and no watch that is on time. Each revision stands
in the API server, with its scope, before the API server is asked for the others; so of two that exclude each
other at least the later one sees the other. Must never judge by what is kept in memory. Invariant
(tests/unit): of two revisions of which one reaches every namespace, at most one is ever let pass.
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.core.model.messages import join
from navarch.core.model.parent import parent_of
from navarch.core.model.refs import Manifest
from navarch.core.model.scope import OF_CLUSTER, is_of_cluster, reaches_cluster


def build_selector(revision: Manifest) -> str:
    """What selects the revisions that may stand in a revision's way: all, or those that may reach every
    namespace."""
    return "" if is_of_cluster(revision) else ",".join(f"{k}={v}" for k, v in OF_CLUSTER.items())


def find_rivals(revision: Manifest, others: Iterable[Manifest]) -> tuple[str, ...]:
    """The meshes whose revisions keep this one from being rolled out: all others where it is to reach every
    namespace, else those that may reach them all. `others` are as the API server has them now."""
    own = parent_of(revision)
    rivals = {
        f"mesh {parent.namespace}/{parent.name}"
        for other in others
        if (parent := parent_of(other)) is not None
        and (own is None or parent.any_uid != own.any_uid)
        and (is_of_cluster(revision) or reaches_cluster(other))
    }
    return tuple(sorted(rivals))


def tell_rivals(revision: Manifest, rivals: Iterable[str]) -> str:
    """Why a revision waits."""
    if is_of_cluster(revision):
        return f"every namespace is to belong to the mesh, and beside it there are still {join(rivals)}"
    return f"every namespace belongs to {join(rivals)}, and beside it no control plane is made"
