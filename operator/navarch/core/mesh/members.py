"""The members of a mesh: the namespaces beside its own, and whether each of them is ready.

Owns what a mesh says of its members. Must never look at more of a MeshMember than its namespace and its
condition Ready. Invariants: no member makes its mesh unready; what is said changes only with a namespace that
comes or goes, and with a member's readiness and its reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from navarch.api.controlplane import MOST_PENDING
from navarch.core.membership.rule import is_member, is_reserved, read_put_out
from navarch.core.mesh.membership import find_effective_membership
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.conditions import ConditionType, Truth, Verdict, find_condition
from navarch.core.model.messages import join
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest


@dataclass(frozen=True, slots=True, order=True)
class MemberView:
    """A member as its mesh sees it; `seen` says whether its status speaks of its present spec."""

    namespace: str
    ready: Truth
    reason: Reason
    seen: bool = True

    def __str__(self) -> str:
        return f"{self.namespace} ({self.reason})"


def view_members(observed: ObservedMesh) -> tuple[MemberView, ...]:
    """Every namespace whose MeshMember names the mesh, unless the mesh has put it out, and those that belong
    to it without one, by name. The platform's, whose pods get no proxy whatever their labels say, are none
    of the latter."""
    out = read_put_out(observed.body)
    named = [o for o in observed.members if o["metadata"]["namespace"] not in out]
    views = {o["metadata"]["namespace"]: _view(o) for o in named}
    mesh = find_effective_membership(observed)
    for name, namespace in observed.namespaces.items():
        if name == mesh.namespace or name in views or is_reserved(name):
            continue
        if is_member(mesh, name, namespace.labels):
            views[name] = MemberView(name, "True", Reason.AS_EXPECTED)
    return tuple(sorted(views.values()))


def _view(member: Manifest) -> MemberView:
    namespace, ready = member["metadata"]["namespace"], find_condition(member, ConditionType.READY)
    if ready is None or ready["observedGeneration"] < member["metadata"].get("generation", 0):
        return MemberView(namespace, "Unknown", Reason.NOT_YET_DETERMINED, seen=False)
    return MemberView(namespace, ready["status"], Reason.read(ready["reason"]))


def determine_members(views: Sequence[MemberView]) -> Verdict:
    """Whether every member is ready; the others are named. One that was made a moment ago, and is about to be
    looked at, changes nothing: each join would turn the condition twice."""
    for status, words in (("False", "not ready"), ("Unknown", "to be determined")):
        pending = [view for view in views if view.seen and view.ready == status]
        if pending:
            message = f"{len(pending)} of {len(views)} members are {words}: {join(pending)}"
            return Verdict("False" if status == "False" else "Unknown", Reason.MEMBERS_NOT_READY, message)
    return Verdict("True", Reason.AS_EXPECTED)


def summarise_members(views: Sequence[MemberView]) -> dict[str, Any]:
    """status.members."""
    pending = [view for view in views if view.ready != "True"]
    ready = len(views) - len(pending)
    listed = [{"namespace": view.namespace, "reason": view.reason.value} for view in pending[:MOST_PENDING]]
    return {
        "total": len(views),
        "ready": ready,
        **({"pending": listed} if listed else {}),
        "summary": f"{ready}/{len(views)}",
    }
