"""Which namespaces may be made members of a mesh by a MeshMember or a MeshMemberRoll: one function.

Owns what is refused by a namespace's name and by what lies in it. Must never look at labels: a namespace is
not refused for what its owner writes on it. Invariant: what is refused here is no member by any object.
"""

from __future__ import annotations

from navarch.core.membership.rule import NEVER_MEMBERS, is_reserved
from navarch.core.model.naming import is_hosting
from navarch.core.world.cluster import Environment


def tell_refusal(name: str, *, environment: Environment, holds: str) -> str:
    """Why no MeshMember makes the namespace `name` a member; empty where one may. `holds` is the name of a
    mesh in it, empty for none."""
    own = (environment.operator_namespace, environment.probe_namespace)
    if name in NEVER_MEMBERS or is_reserved(name) or is_hosting(name) or name in own:
        return "this namespace is the platform's or Navarch's own, and belongs to no mesh"
    if holds:
        return f"this namespace holds mesh {name}/{holds}, and belongs to that one"
    return ""
