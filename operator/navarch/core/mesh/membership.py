"""Which namespaces belong to an observed mesh, and which stay outside.

Owns the question as asked of an observation. Must never restate the rules of core/membership. Invariant: the
same observation gives the same membership.
"""

from __future__ import annotations

from navarch.core.membership.exclusions import exclude
from navarch.core.membership.rule import Membership, build_membership, read_put_out
from navarch.core.mesh.observed import ObservedMesh


def find_effective_membership(observed: ObservedMesh) -> Membership:
    """What makes a namespace the mesh's, with every exclusion."""
    default = bool((observed.body.get("spec") or {}).get("defaultTag"))
    probe = observed.environment.probe_namespace
    return exclude(
        build_membership(
            observed.parent.namespace,
            observed.tag,
            default=default,
            probe=probe,
            member_of=observed.own.member_of,
            cluster=observed.own.cluster,
            in_place=observed.own.in_place,
        ),
        operator_namespace=observed.environment.operator_namespace,
        meshes=observed.meshes,
        namespaces=observed.namespaces,
        home=observed.own.home,
        put_out=read_put_out(observed.body),
    )
