"""Which namespaces belong to an observed mesh, and which stay outside.

Owns the question as asked of an observation. Must never restate the rule of membership/rule.py.
Invariant: the same observation gives the same sorted names.
"""

from __future__ import annotations

from dataclasses import replace

from navarch.core.membership.rule import (
    NEVER_MEMBERS,
    Membership,
    build_membership,
    is_member,
    is_never_member,
)
from navarch.core.mesh.observed import ObservedMesh


def find_membership(observed: ObservedMesh) -> Membership:
    """What makes a namespace the mesh's, before any exclusion but that of the cluster's own."""
    default = bool((observed.body.get("spec") or {}).get("defaultTag"))
    probe = observed.environment.probe_namespace
    return build_membership(observed.owner.namespace, observed.tag, default=default, probe=probe)


def find_excluded(observed: ObservedMesh, membership: Membership) -> tuple[str, ...]:
    """Namespaces that stay outside whatever their labels: the cluster's own, the operator's, and those of the
    never members and of other meshes' control planes that carry labels by which they would belong to this
    mesh."""
    others = {mesh.namespace for mesh in observed.meshes} - {observed.owner.namespace}
    claimed = {
        name
        for name, namespace in observed.namespaces.items()
        if (is_never_member(name) or name in others) and is_member(membership, name, namespace.labels)
    }
    return tuple(sorted({*NEVER_MEMBERS, observed.environment.operator_namespace, *claimed}))


def find_effective_membership(observed: ObservedMesh) -> Membership:
    """What makes a namespace the mesh's, with every exclusion."""
    membership = find_membership(observed)
    return replace(membership, excluded=find_excluded(observed, membership))
