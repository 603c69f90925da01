"""Whether a mesh is being removed, and in which order its objects go.

Owns the rules of a deletion: a mesh that is deleted only because its kind is deleted stays. Must never wait
for proxies. Invariant: webhooks are removed first.
"""

from __future__ import annotations

from navarch.core.mesh.observed import ObservedMesh, is_held
from navarch.core.model import removal
from navarch.core.model.actions import Plan
from navarch.core.model.refs import Manifest


def is_leaving(observed: ObservedMesh) -> bool:
    """Whether the mesh is to be taken down: it is being deleted, or its namespace is."""
    terminating = observed.namespace is not None and observed.namespace.terminating
    return terminating or (observed.deleting and not is_withheld(observed))


def is_withheld(observed: ObservedMesh) -> bool:
    """Whether a mesh is being deleted only because its kind is: then it stands."""
    return removal.is_withheld(observed.body, observed.kind_deleted)


def plan_teardown(observed: ObservedMesh) -> Plan:
    """Removal of everything of the mesh, webhooks first."""
    return removal.plan_removal(observed.parent, find_removable(observed))


def find_removable(observed: ObservedMesh) -> list[Manifest]:
    """What is proved to be the mesh's, out of sight or not: labels alone do not make an object go."""
    return removal.find_removable(observed.parent, observed.inventory, (*observed.owned, *observed.revisions))


def is_released(observed: ObservedMesh, plan: Plan) -> bool:
    """Whether the finalizer may go: the mesh is being deleted, is not paused, and nothing of it is left."""
    return observed.deleting and not is_withheld(observed) and not is_held(observed) and not plan.prune
