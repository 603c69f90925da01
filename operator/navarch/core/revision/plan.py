"""From an observed revision to its plan: everything but webhooks at once, those when an istiod serves.

Owns the order of things inside a revision. Must never act or look anything up. Invariants: the injector's
configuration follows istiod and never leads; rights come before an istiod that needs them, and go after one
that needed them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from navarch.core.model.actions import Plan, Waiting, Wave
from navarch.core.model.applied import is_applied
from navarch.core.model.labels import MESH_COMPONENTS, component_of, revision_of
from navarch.core.model.ordering import order_for_removal
from navarch.core.model.ownership import find_lost, is_proved
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.model.requeue import RIVAL_REQUEUE, SAFETY_REQUEUE
from navarch.core.revision.alone import tell_rivals
from navarch.core.revision.observed import ObservedRevision
from navarch.core.revision.proof import find_time_left
from navarch.core.revision.render import render
from navarch.core.revision.rights import RIGHTS, find_missing, may_lose_rights, withhold
from navarch.core.revision.route import determine_route, read_route, redirect
from navarch.core.revision.source import is_renderable
from navarch.core.world.workload import (
    WorkloadPod,
    determine_rollout,
    find_deployment,
    find_outdated_pods,
    has_service,
    is_replaced,
)


@dataclass(frozen=True, slots=True)
class RevisionDecision:
    """What a revision wants: `plan` is what is to be done now, `proxy` what the injector will stamp on
    pods."""

    plan: Plan
    proxy: str


def plan_revision(observed: ObservedRevision) -> RevisionDecision:
    """The plan of a revision: everything but webhooks at once, those when an istiod serves."""
    if is_abandoned(observed) or not is_renderable(observed.body, observed.assets):
        return RevisionDecision(Plan(observed.parent), "")
    if observed.rivals:
        message = tell_rivals(observed.body, observed.rivals)
        held = (Waiting(ref_of(observed.body), message),)
        return RevisionDecision(Plan(observed.parent, waiting=held, requeue_after=RIVAL_REQUEUE), "")
    if observed.home is not None and (obstacle := observed.home.obstacle):
        return RevisionDecision(Plan(observed.parent, waiting=(obstacle,), requeue_after=SAFETY_REQUEUE), "")
    name = observed.body["metadata"]["name"]
    rendered = render(observed.body, observed.assets, observed.environment)
    waves = rendered.waves
    kept = {ref_of(o) for wave in waves for o in wave.objects}
    surplus = [ref_of(o) for o in _find_removable(observed) if ref_of(o) not in kept]
    deployment = find_deployment(observed.owned, name)
    wanted = next(o for wave in waves for o in wave.objects if o["kind"] == "Deployment")
    outdated = find_outdated_pods(observed.pods, wanted, now=observed.now)
    replaced = deployment is None or is_replaced(deployment, wanted)
    settled = deployment is None or (replaced and not outdated)
    if not may_lose_rights(waves, observed.owned, settled=settled):
        surplus = [ref for ref in surplus if ref.kind not in RIGHTS]
    waiting = find_missing(observed.body, observed.assets, observed.roles)
    waves = withhold(waves, waiting, settled=deployment is not None and is_applied(deployment, wanted))
    serves = deployment is not None and determine_rollout(deployment).available
    if not serves or not has_service(observed.owned, name):
        waiting = (*waiting, Waiting(ref_of(wanted), "no istiod is available yet"))
        waves = tuple(wave for wave in waves if wave.name != "webhooks")
    if not settled:
        waves = tuple(_without_injector(wave, observed.owned) for wave in waves)
    if replaced and deployment is not None:
        waiting = (*waiting, *(_wait_for_end(pod, ref_of(wanted)) for pod in outdated))
    route, wait = determine_route(read_route(observed.owned, name), observed.pods, now=observed.now)
    waves = redirect(waves, route)
    pauses = (SAFETY_REQUEUE if waiting else None, wait, find_time_left(observed) or None)
    requeue = min((s for s in pauses if s is not None), default=None)
    plan = Plan(observed.parent, waves, tuple(order_for_removal(surplus)), waiting, requeue)
    return RevisionDecision(plan, rendered.proxy)


def _wait_for_end(pod: WorkloadPod, ref: Ref) -> Waiting:
    when = f" (until {pod.deadline})" if pod.deadline else ""
    message = f"pod {pod.name} of an older template has not ended{when}"
    return Waiting(ref, f"{message}; the injector's configuration waits for it")


def _find_removable(observed: ObservedRevision) -> Iterator[Manifest]:
    """What is proved to be the revision's, out of sight or not; of the mesh's own objects nothing."""
    name = observed.body["metadata"]["name"]
    for manifest in (*observed.owned, *find_lost(observed.parent, observed.inventory, observed.owned)):
        mine = revision_of(manifest) == name and component_of(manifest) not in MESH_COMPONENTS
        if mine and is_proved(manifest, observed.parent, observed.inventory):
            yield manifest


def is_abandoned(observed: ObservedRevision) -> bool:
    """Whether nothing may be made for a revision any more: its mesh, or their namespace, is going or gone."""
    mesh, namespace = observed.mesh, observed.namespace
    leaving = mesh is None or "deletionTimestamp" in mesh["metadata"]
    return leaving or (namespace is not None and namespace.terminating)


def _without_injector(wave: Wave, owned: Iterable[Manifest]) -> Wave:
    """The wave without the injector's configuration, where that exists: it follows istiod and never leads.

    An istiod of the older minor could not evaluate a newer template, and all of its injections would fail;
    and new pods would get a proxy whose istiod, or whose image, was not proved yet.
    """
    there = {ref_of(o) for o in owned}
    return Wave(
        wave.name,
        tuple(
            o
            for o in wave.objects
            if component_of(o) != "injection" or o["kind"] != "ConfigMap" or ref_of(o) not in there
        ),
    )
