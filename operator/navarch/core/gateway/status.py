"""The status of a MeshGateway, as a pure function of observation, findings, plan and outcome.

Owns the verdict of every condition of a gateway. Must never remember: what is reported follows from what was
seen now. Invariant: nothing here changes while nothing in the cluster changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from navarch.api.gateway import KIND
from navarch.core.gateway.address import find_addresses, find_deadline, judge_missing
from navarch.core.gateway.certificates import determine_certificates, summarise_certificates
from navarch.core.gateway.observed import ObservedGateway, has_proved_injection, is_ending, is_held
from navarch.core.gateway.pin import count_outdated, find_pin, tell_version
from navarch.core.gateway.recreation import describe, find_uninjected, read_recreation
from navarch.core.gateway.routes import determine_routes, find_hosts, summarise_routes
from navarch.core.gateway.succession import find_workload
from navarch.core.gateway.teardown import describe_left
from navarch.core.gateway.turn import find_turn
from navarch.core.model.accepted import determine_accepted
from navarch.core.model.actions import Outcome, Plan
from navarch.core.model.applied import is_applied
from navarch.core.model.conditions import (
    ConditionType,
    Verdict,
    invert,
    merge_conditions,
    summarise_ready,
)
from navarch.core.model.findings import Finding, is_accepted
from navarch.core.model.labels import FORCE_DELETE
from navarch.core.model.messages import join
from navarch.core.model.reasons import Reason
from navarch.core.model.reconciled import determine_reconciled
from navarch.core.model.refs import ref_of
from navarch.core.model.urgency import Awaited
from navarch.core.render.marks import WORKLOADS
from navarch.core.world.workload import Rollout, determine_rollout, wants_no_pod

CONDITIONS = (
    ConditionType.READY,
    ConditionType.AVAILABLE,
    ConditionType.PROGRESSING,
    ConditionType.UP_TO_DATE,
    ConditionType.SPEC_ACCEPTED,
    ConditionType.RECONCILED,
    ConditionType.DELETING,
    ConditionType.ROUTES_ADMITTED,
    ConditionType.CERTIFICATES_VALID,
)
AWAITED = Awaited((ConditionType.READY, ConditionType.SPEC_ACCEPTED, ConditionType.DELETING), reasons=True)


def determine_available(observed: ObservedGateway) -> Verdict:
    """Whether pods serve, and clients have an address for them."""
    rollouts = {ref_of(workload): determine_rollout(workload) for workload in observed.workloads}
    service = observed.service
    if not rollouts or service is None:
        return Verdict("False", Reason.NOT_INSTALLED, "the gateway has no pods yet")
    if not any(rollout.available for rollout in rollouts.values()):
        problems = _list_problems(observed, *rollouts.values())
        message = join([*problems, *(f"{ref}: {rollout.message}" for ref, rollout in rollouts.items())])
        return Verdict("False", Reason.NO_REPLICA_AVAILABLE, message)
    if not find_addresses(service):
        return judge_missing(service, find_deadline(service, observed.spec), observed.now)
    return Verdict("True", Reason.AS_EXPECTED)


def _list_problems(observed: ObservedGateway, *rollouts: Rollout) -> list[str]:
    """Why pods are not ready, but for what the rollouts' own messages quote."""
    told = "; ".join(rollout.message for rollout in rollouts)
    return [
        str(problem) for problem in observed.problems if not problem.message or problem.message not in told
    ]


def determine_progressing(observed: ObservedGateway, plan: Plan) -> Verdict:
    """Whether the gateway is being changed, or waits for its mesh."""
    if uninjected := determine_uninjected(observed):
        return Verdict("True", uninjected.reason, uninjected.message)
    if plan.waiting:
        return Verdict("True", Reason.PROGRESSING, join(w.message for w in plan.waiting))
    return _determine_rolling(observed, plan) if find_workload(plan.objects()) else _SETTLED


_SETTLED = Verdict("False", Reason.SETTLED)


def _find_unapplied(observed: ObservedGateway, plan: Plan) -> list[str]:
    """The workload and the Service, as far as what was seen of them is not what is wanted now: what their
    status says is about something else."""
    there = {ref_of(o): o for o in observed.owned}
    wanted = {ref_of(o): o for o in plan.objects() if o["kind"] in (*WORKLOADS, "Service")}
    return [str(ref) for ref, o in wanted.items() if ref not in there or not is_applied(there[ref], o)]


def _determine_rolling(observed: ObservedGateway, plan: Plan) -> Verdict:
    """Whether the workload is being rolled, or takes over from one of the other kind."""
    workload, former = observed.workload, observed.former
    stays = [] if former is None else [f"{ref_of(former)} stays until then"]
    unapplied = _find_unapplied(observed, plan)
    if workload is None or unapplied:
        return Verdict(
            "True", Reason.PROGRESSING, join([f"{ref} is being applied" for ref in unapplied] + stays)
        )
    rollout = determine_rollout(workload)
    if rollout.complete and former is None:
        return _SETTLED
    if rollout.complete and former is not None:
        message = f"{ref_of(former)} goes: the pods of {ref_of(workload)} are ready"
        return Verdict("True", Reason.ROLLING_OUT, message)
    problems = _list_problems(observed, rollout)
    stuck = observed.problems or wants_no_pod(workload)
    reason = Reason.ROLLOUT_STUCK if stuck else Reason.ROLLING_OUT
    return Verdict("True", reason, join([*problems, f"{ref_of(workload)}: {rollout.message}", *stays]))


def determine_uninjected(observed: ObservedGateway) -> Verdict | None:
    """What is said of pods that were made without a proxy; None where there are none."""
    stuck = find_uninjected(observed.workload, observed.pods)
    if not stuck:
        return None
    last = read_recreation(observed.workload)
    message = describe(stuck, last, proved=has_proved_injection(observed))
    return Verdict("False", Reason.GATEWAY_NOT_INJECTED, message)


def determine_up_to_date(observed: ObservedGateway, findings: Sequence[Finding], plan: Plan) -> Verdict:
    """Whether every pod runs the proxy that is asked for now, and the spec in force is the wanted one."""
    if not is_accepted(findings):
        return Verdict("False", Reason.INVALID_SPEC, "the present spec is refused: see SpecAccepted")
    if not observed.workloads:
        return Verdict("Unknown", Reason.NOT_YET_DETERMINED, "the gateway has no pods yet")
    if uninjected := determine_uninjected(observed):
        return uninjected
    if outdated := count_outdated(observed):
        asking = "spec.version asks for" if find_pin(observed) else "the mesh has"
        told = f"{outdated} pods run another proxy than {asking}"
        if (turn := find_turn(observed)) is not None and turn.waits:
            told += f"; they are replaced at {turn.at}, after those of other gateways of the mesh"
        return Verdict("False", Reason.PROXIES_OUTDATED, told)
    behind = [w.message for w in plan.waiting]
    behind += [f"{ref_of(observed.former)} is yet to go"] if observed.former is not None else []
    return (
        Verdict("False", Reason.PROGRESSING, join(behind)) if behind else Verdict("True", Reason.AS_EXPECTED)
    )


_REMEDIES = {
    "provided port is already allocated": "choose another nodePort in spec.service.ports, or leave it out",
    "provided port is not in the valid range": "choose a nodePort of the cluster's range in "
    "spec.service.ports, or leave it out",
    "may not change once set": "set spec.service.type: NodePort, wait until the gateway is Ready, and then "
    "set LoadBalancer with the other class; clients have no load balancer meanwhile",
    "as indicated by `ipFamilies[0]`": "take spec.service.ipFamilies back; make another gateway with the "
    "other family, move clients there, and remove this one",
    "services.loadbalancers": "raise the namespace's quota, or set spec.service.type: NodePort or ClusterIP",
    "scaled to 0 pods": "scale it up with kubectl scale, or set spec.replicas or spec.autoscaling",
    "must be less than or equal to": "the namespace has a LimitRange: set spec.resources within it",
    "usage per Container": "the namespace has a LimitRange: set spec.resources within it",
    "no PriorityClass": "create it, or name another one in spec.placement.priorityClassName",
    "failed calling webhook": "have its owner bring that webhook back, or leave this namespace out of it",
    "field not declared in schema": "correct the name of the field in spec, where this part was written",
    "cannot be both set": "an overlay that takes a field away says null, which kubectl keeps with apply "
    "--server-side, and drops without that flag",
    "not configured for dual-stack": "set spec.service.ipFamilyPolicy: SingleStack or PreferDualStack",
    "not configured on this cluster": "take the family out of spec.service.ipFamilies",
    "exceeded quota": "raise the namespace's quota, or ask for less in spec",
    "denied request": "it is a rule of the cluster: change spec to what it allows, or have the rule changed",
    "denied the request": "it is a rule of the cluster: change spec to what it allows, or have it changed",
}
"""What helps where the API server refused an object or a pod, by words of its answer."""


def add_remedy(verdict: Verdict) -> Verdict:
    """What the API server refused, and what to do about it where that is known."""
    found = next((remedy for words, remedy in _REMEDIES.items() if words in verdict.message), "")
    return replace(verdict, message=f"{verdict.message}; {found}") if found else verdict


def determine_deleting(observed: ObservedGateway, plan: Plan) -> Verdict:
    """Whether the gateway goes away, and what is left of it."""
    if observed.withheld and not observed.deleting:
        message = (
            "the kind itself is being deleted, and this gateway only with it: its pods serve on; save this "
            f"object. To remove the gateway all the same, annotate it with {FORCE_DELETE}=true"
        )
        return Verdict("True", Reason.KIND_DELETED, message)
    if not observed.deleting:
        return Verdict("False", Reason.NOT_DELETING)
    if is_held(observed) and not is_ending(observed):
        return Verdict("True", Reason.PAUSED, "nothing is removed while the mesh is paused")
    return Verdict("True", Reason.REMOVING, describe_left(observed, plan))


def summarise_gateway(
    observed: ObservedGateway, findings: Sequence[Finding], plan: Plan, outcome: Outcome | None
) -> dict[str, Any]:
    """The status of a MeshGateway."""
    verdicts = {
        ConditionType.SPEC_ACCEPTED: determine_accepted(findings),
        ConditionType.AVAILABLE: add_remedy(determine_available(observed)),
        ConditionType.PROGRESSING: add_remedy(determine_progressing(observed, plan)),
        ConditionType.UP_TO_DATE: determine_up_to_date(observed, findings, plan),
        ConditionType.RECONCILED: add_remedy(determine_reconciled(outcome, paused=is_held(observed))),
        ConditionType.DELETING: determine_deleting(observed, plan),
        ConditionType.ROUTES_ADMITTED: determine_routes(observed),
        ConditionType.CERTIFICATES_VALID: determine_certificates(observed),
    }
    verdicts[ConditionType.READY] = summarise_ready(
        [
            invert(verdicts[ConditionType.DELETING]),
            verdicts[ConditionType.SPEC_ACCEPTED],
            verdicts[ConditionType.RECONCILED],
            invert(verdicts[ConditionType.PROGRESSING]),
            verdicts[ConditionType.AVAILABLE],
            verdicts[ConditionType.ROUTES_ADMITTED],
            verdicts[ConditionType.UP_TO_DATE],
        ]
    )
    previous = (observed.body.get("status") or {}).get("conditions") or ()
    conditions = merge_conditions(previous, verdicts, generation=observed.generation, now=observed.now)
    status = {"observedGeneration": observed.generation, "conditions": conditions, **_tell_workload(observed)}
    return observed.kinds.fit(KIND, "status", status)


def _tell_workload(observed: ObservedGateway) -> Mapping[str, Any]:
    """Addresses, pods and version, as far as there is a workload."""
    told: dict[str, Any] = {}
    reached = find_addresses(observed.service) if observed.service is not None else []
    if addresses := [*find_hosts(observed), *reached]:
        told["addresses"] = addresses[:32]
    if routes := summarise_routes(observed):
        told["routes"] = routes
    workload = observed.workload or observed.former
    if workload is not None:
        rollout = determine_rollout(workload)
        told |= {"ready": rollout.ready, "desired": rollout.desired, "outdated": count_outdated(observed)}
        if observed.revision is not None and (observed.revision.get("status") or {}).get("version"):
            told["revision"] = observed.revision["metadata"]["name"]
        told |= tell_version(observed)
        if (turn := find_turn(observed)) is not None:
            told["turn"] = {"proxy": turn.proxy, "at": turn.at}
        if certificates := summarise_certificates(observed):
            told["certificates"] = certificates
    return told


def is_released(observed: ObservedGateway, plan: Plan) -> bool:
    """Whether the finalizer may go: the gateway is being deleted and nothing of it is left. What is in a
    namespace that is being deleted Kubernetes removes, and no pause of a mesh, which may be another team's,
    holds that namespace."""
    going = observed.is_being_deleted and not observed.withheld
    held = is_held(observed) and not is_ending(observed)
    return going and not held and not plan.prune and not plan.waiting
