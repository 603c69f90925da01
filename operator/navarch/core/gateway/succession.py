"""A workload of a gateway takes over from one of the other kind: both run until the new one's pods are ready.

Owns what stays for so long, and with how many pods a Deployment begins. Must never change the workload that
goes. Invariant: the former workload, its autoscaler and its budget stay until every
pod of the new one is ready; since both kinds' pods are behind the one Service, clients always find some.
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.core.gateway.observed import ObservedGateway
from navarch.core.gateway.teardown import OF_PODS
from navarch.core.model.applied import is_applied
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.render.components.gateway import DEPLOYMENT, workload_of
from navarch.core.render.marks import WORKLOADS
from navarch.core.world.workload import determine_rollout


def find_workload(objects: Iterable[Manifest]) -> Manifest | None:
    """The workload among the objects that a gateway wants."""
    return next((o for o in objects if o["kind"] in WORKLOADS), None)


def find_standing(observed: ObservedGateway, objects: Iterable[Manifest]) -> frozenset[Ref]:
    """What stays though it is not wanted any more: all that makes and counts the former workload's pods."""
    wanted, there = find_workload(objects), observed.workload
    if observed.former is None or wanted is None:
        return frozenset()
    if there is not None and is_applied(there, wanted) and determine_rollout(there).complete:
        return frozenset()
    return frozenset(ref_of(o) for o in observed.owned if o["kind"] in OF_PODS)


def choose_replicas(observed: ObservedGateway) -> int | None:
    """With how many pods a Deployment begins that takes over from a DaemonSet: no fewer than are ready,
    within its autoscaler's bounds. None where there is no such Deployment to be made."""
    spec = observed.spec
    if spec is None or workload_of(spec) != DEPLOYMENT or observed.workload or not observed.former:
        return None
    ready = max(determine_rollout(observed.former).ready, 1)
    bounds = spec.autoscaling
    return min(max(ready, bounds.min_replicas), bounds.max_replicas) if bounds else ready
