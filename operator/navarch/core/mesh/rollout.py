"""A mesh's restarts of workloads: what they depend on of the mesh, and what the mesh says of them.

Owns the arrow from ObservedMesh to the room `rollout`, and the verdict on proxies that Navarch rolls. Must
never decide which workload is restarted. Invariant: while the control plane changes, or no pod would be
injected, nothing is restarted.
"""

from __future__ import annotations

from typing import Any

from navarch.api.dataplane import DataPlane
from navarch.core.mesh.census import determine_proxies
from navarch.core.mesh.injection import determine_injection
from navarch.core.mesh.observed import ObservedMesh, is_held
from navarch.core.mesh.rollback import read_return
from navarch.core.mesh.succession import Succession, read_upgrade
from navarch.core.mesh.windows import read_own_windows
from navarch.core.model.conditions import ConditionType, Verdict, find_condition
from navarch.core.model.messages import join
from navarch.core.model.moments import settle_moment
from navarch.core.model.reasons import Reason
from navarch.core.rollout.observed import ObservedRollout
from navarch.core.rollout.plan import Phase, RolloutPlan, plan_rollout, tell_progress
from navarch.core.rollout.questions import Questions, find_questions
from navarch.core.rollout.status import summarise_rollout
from navarch.core.world.proxies import read_pins


def plan_restarts(
    observed: ObservedMesh, succession: Succession | None, *, accepted: bool
) -> RolloutPlan | None:
    """What is to be restarted now; None where the mesh does not ask for it."""
    if observed.workloads is None or observed.deleting:
        return None
    hindrance = _find_hindrance(observed, succession, accepted=accepted)
    return plan_rollout(view_rollout(observed, hindrance=hindrance))


def view_rollout(observed: ObservedMesh, *, hindrance: str = "") -> ObservedRollout:
    """The mesh as its restarts see it."""
    assert observed.workloads is not None
    target = find_target(observed)
    told = (observed.body.get("status") or {}).get("dataPlane") or {}
    same = bool(target) and told.get("target") == target
    return ObservedRollout(
        mesh=observed.parent.uid,
        policy=read_upgrade(observed).data_plane or DataPlane(),
        target=target,
        revision=observed.active,
        now=observed.now,
        pods=observed.census.counted,
        workloads=observed.workloads,
        pins=read_pins(observed.gateways),
        orders=read_orders(observed),
        windows=read_own_windows(observed),
        leaving=frozenset(name for name, ns in observed.namespaces.items() if ns.terminating),
        zones=observed.zones,
        hindrance=hindrance,
        told_wave=int(told.get("wave") or 0) if same else 0,
        told_since=str(told.get("since") or "") if same else "",
        gates=observed.gates,
        returning=is_returning(observed),
    )


def is_returning(observed: ObservedMesh) -> bool:
    """Whether what serves is what was proved before, to which the mesh went back."""
    active = observed.find_revision(observed.active)
    return active is not None and read_return(active) is not None


def ask_gates(observed: ObservedMesh) -> Questions | None:
    """What is to be asked for the mesh's restarts now."""
    if observed.workloads is None or observed.deleting or is_held(observed):
        return None
    parent = observed.parent
    return find_questions(
        view_rollout(observed), mesh=(parent.namespace, parent.name), home=observed.own.home
    )


def read_orders(observed: ObservedMesh) -> dict[str, str]:
    """What is said of the place of namespaces among restarts: by their MeshMember, or before that by the
    annotation, which whoever may change the namespace has written."""
    said = {o["metadata"]["namespace"]: o["spec"].get("restarts") for o in observed.members}
    said |= {name: ns.order for name, ns in observed.namespaces.items() if ns.order}
    return {name: order for name, order in said.items() if order}


def find_target(observed: ObservedMesh) -> str:
    """What the revision that serves stamps on pods now; empty while that is not known."""
    active = observed.find_revision(observed.active)
    return str((active.get("status") or {}).get("proxy", "")) if active is not None else ""


def _find_hindrance(observed: ObservedMesh, succession: Succession | None, *, accepted: bool) -> str:
    """Why no pod is to be made anew now, though it could be."""
    if is_held(observed):
        return "spec.paused is true"
    if not accepted:
        return "the spec was refused: see the condition SpecAccepted"
    if not observed.in_place and succession is not None and succession.is_upgrading:
        return "an upgrade is under way, after which the workloads would be restarted again"
    active = observed.find_revision(observed.active)
    rolling = find_condition(active, ConditionType.PROGRESSING) if active is not None else None
    behind = active is not None and (active.get("status") or {}).get("version") != active["spec"]["version"]
    if rolling is None or rolling["status"] != "False" or behind:
        return "the control plane is being rolled out"
    injection = determine_injection(observed)
    if not injection.is_true:
        return f"it is not proved that pods are injected: {injection.message}"
    return ""


def determine_rolled(observed: ObservedMesh, plan: RolloutPlan | None) -> Verdict:
    """Whether every proxy of the mesh is current; and how far those are that Navarch restarts."""
    seen = determine_proxies(observed)
    if plan is None or plan.phase is Phase.DONE:
        return seen
    busy = plan.phase in (Phase.ROLLING, Phase.SOAKING, Phase.HALTED)
    if not busy and seen.reason is not Reason.PROXIES_OUTDATED:
        return seen
    told = join([tell_progress(plan), *plan.why]) if plan.standings else join(plan.why)
    return Verdict("False", _reason_of(plan), told)


def _reason_of(plan: RolloutPlan) -> Reason:
    if plan.forbidden:
        return Reason.RESTARTS_NOT_PERMITTED
    if plan.phase is Phase.HALTED:
        return Reason.RESTARTS_HALTED
    return Reason.RESTARTS_WAITING if plan.phase in (Phase.WAITING, Phase.PAUSED) else Reason.PROXIES_ROLLING


def summarise_data_plane(observed: ObservedMesh, plan: RolloutPlan | None) -> dict[str, Any]:
    """status.dataPlane; empty where the mesh does not ask for restarts."""
    if plan is None:
        return {}
    target = find_target(observed)
    since = _read_phase_since(observed, plan.phase, target)
    return summarise_rollout(plan, target=target, since=since, gates=observed.gates)


def _read_phase_since(observed: ObservedMesh, phase: Phase, target: str) -> str:
    """Since when the restarts have been in a phase: as status says it of the same one and the same target,
    else since now."""
    told = (observed.body.get("status") or {}).get("dataPlane") or {}
    same = (told.get("phase"), told.get("target")) == (phase.value, target)
    return settle_moment(str(told.get("phaseSince") or "") if same else "", observed.now)
