"""Whether a mesh is being removed, and in which order its objects go.

Owns the rules of a deletion: a mesh that is deleted only because its kind is deleted stays. Must never wait
for proxies. Invariant: webhooks are removed first.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from navarch.core.mesh.observed import ObservedMesh, is_held
from navarch.core.model import removal
from navarch.core.model.actions import Plan
from navarch.core.model.labels import FORCE_DELETE
from navarch.core.model.refs import Manifest

CLOCK_SLACK = timedelta(seconds=10)
"""By how much the clocks of two API servers may differ, which stamped a mesh's deletion and its kind's."""


def is_leaving(observed: ObservedMesh) -> bool:
    """Whether the mesh is to be taken down: it is being deleted, or its namespace is."""
    terminating = observed.namespace is not None and observed.namespace.terminating
    return terminating or (observed.deleting and not is_withheld(observed))


def is_withheld(observed: ObservedMesh) -> bool:
    """Whether a mesh is being deleted only because its kind is: then it stands, unless somebody insists.
    Nobody who deletes a CustomResourceDefinition means to cut the traffic of every mesh in the cluster.
    """
    metadata = observed.body["metadata"]
    insists = (metadata.get("annotations") or {}).get(FORCE_DELETE) == "true"
    return _is_caused_by_kind(metadata.get("deletionTimestamp", ""), observed.kind_deleted) and not insists


def _is_caused_by_kind(deleted: str, kind_deleted: str) -> bool:
    """Whether a mesh's deletion is no older than its kind's, as far as clocks can tell. In doubt it is
    taken for caused: what stands can still be removed. Both are RFC 3339, or empty."""
    if not deleted or not kind_deleted:
        return False
    return datetime.fromisoformat(deleted) >= datetime.fromisoformat(kind_deleted) - CLOCK_SLACK


def plan_teardown(observed: ObservedMesh) -> Plan:
    """Removal of everything of the mesh, webhooks first."""
    return removal.plan_removal(observed.parent, find_removable(observed))


def find_removable(observed: ObservedMesh) -> list[Manifest]:
    """What is proved to be the mesh's, out of sight or not: labels alone do not make an object go."""
    return removal.find_removable(observed.parent, observed.inventory, (*observed.owned, *observed.revisions))


def is_released(observed: ObservedMesh, plan: Plan) -> bool:
    """Whether the finalizer may go: the mesh is being deleted, is not paused, and nothing of it is left."""
    return observed.deleting and not is_withheld(observed) and not is_held(observed) and not plan.prune
