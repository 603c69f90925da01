"""In which order a gateway goes: first its pods, which drain, and when they have ended what leads to them.

Owns the two stages of a removal and what is said meanwhile. Must never wait for a pod on a node that does not
answer any more. Invariant: while a pod still serves connections, its Service, its policy and its rights stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from navarch.core.gateway.observed import ObservedGateway
from navarch.core.model.actions import Plan, Waiting
from navarch.core.model.messages import join
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.model.removal import plan_removal, tell_holders
from navarch.core.world.workload import find_running

OF_PODS = frozenset({"Deployment", "DaemonSet", "HorizontalPodAutoscaler", "PodDisruptionBudget"})
"""Kinds that go first: they make pods, or decide how many there are."""
DRAIN_REQUEUE = 10.0
"""Seconds after which pods that drain are looked at again even if no event came."""


def plan_teardown(observed: ObservedGateway, removable: Sequence[Manifest]) -> Plan:
    """Removal of what is left of a gateway."""
    if first := [o for o in removable if o["kind"] in OF_PODS]:
        return plan_removal(observed.parent, first)
    if waiting := tuple(_find_draining(observed)):
        return Plan(observed.parent, waiting=waiting, requeue_after=DRAIN_REQUEUE)
    return plan_removal(observed.parent, removable)


def _find_draining(observed: ObservedGateway) -> Iterator[Waiting]:
    for pod in find_running(observed.pods, now=observed.now):
        until = f", until {pod.deadline} at the latest" if pod.deadline else ""
        ref = Ref("v1", "Pod", observed.parent.namespace, pod.name)
        yield Waiting(ref, f"{ref} still drains{until}")


def describe_left(observed: ObservedGateway, plan: Plan) -> str:
    """What a removal waits for, and what is left."""
    waiting = [w.message for w in plan.waiting]
    held = [
        f"{ref_of(o)} is held by its finalizers {', '.join(finalizers)}, which others take off"
        for o in observed.owned
        if "deletionTimestamp" in o["metadata"] and (finalizers := o["metadata"].get("finalizers"))
    ]
    left = f"left: {join(ref_of(o) for o in observed.owned)}" if observed.owned else "everything is removed"
    return "; ".join(filter(None, [*waiting, *held, left, tell_holders(observed.body)]))
