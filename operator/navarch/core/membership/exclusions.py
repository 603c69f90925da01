"""Which namespaces stay outside of a mesh by name: the one list in what follows from membership.

Owns its content and its bound. Must never grow with what tenants name or label: beside fixed names, and those
that the mesh's own spec gives, it holds only namespaces of other meshes' control planes, and of those no more
than a MeshRevision can name. Invariant: equal input gives the same sorted names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from navarch.api.revision import MOST_EXCLUDED
from navarch.core.membership.rule import NEVER_MEMBERS, Membership, is_member
from navarch.core.world.cluster import Namespace
from navarch.core.world.neighbours import MeshSummary


def exclude(
    mesh: Membership,
    *,
    operator_namespace: str,
    meshes: Iterable[MeshSummary],
    namespaces: Mapping[str, Namespace],
    home: str = "",
    put_out: Iterable[str] = (),
) -> Membership:
    """The mesh's membership without the cluster's own namespaces, the operator's, those that the mesh's spec
    keeps out (`put_out`), that of its own control plane (`home`) where that is another than its own, and
    those of other meshes' control planes that would belong to it. Of the latter as many as there is room for,
    installed and old meshes first, so that no later mesh changes what an earlier one had. To a mesh that
    takes every namespace, one that holds nothing counts for nothing: whoever may make a mesh would change
    what the other one reaches."""
    fixed = {*NEVER_MEMBERS, operator_namespace, *put_out}
    if mesh.cluster and home not in ("", mesh.namespace):
        fixed.add(home)
    counted = (other for other in sorted(meshes) if not (mesh.cluster and other.waiting))
    others = dict.fromkeys(place for other in counted for place in (other.namespace, other.home))
    claimed = [
        name
        for name in others
        if name not in fixed
        and name != mesh.namespace
        and name in namespaces
        and is_member(mesh, name, namespaces[name].labels)
    ]
    return replace(mesh, excluded=tuple(sorted({*fixed, *claimed[: MOST_EXCLUDED - len(fixed)]})))
