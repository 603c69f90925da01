"""The status of a MeshRevision, as a pure function of observation, plan and outcome.

Owns the verdicts on one revision. Must never remember: an earlier fact is kept only where it is still in
force. Invariant: nothing here changes while nothing in the cluster changes.
"""

from __future__ import annotations

from typing import Any

from navarch.api.revision import KIND
from navarch.core.model.actions import Outcome, Plan
from navarch.core.model.applied import is_applied
from navarch.core.model.conditions import (
    ConditionType,
    Truth,
    Verdict,
    invert,
    merge_conditions,
    summarise_ready,
)
from navarch.core.model.labels import component_of
from navarch.core.model.messages import join
from navarch.core.model.reasons import Reason
from navarch.core.model.reconciled import determine_reconciled
from navarch.core.model.refs import Manifest, ref_of
from navarch.core.model.urgency import Awaited
from navarch.core.revision.alone import tell_rivals
from navarch.core.revision.observed import ObservedRevision
from navarch.core.revision.plan import RevisionDecision
from navarch.core.revision.proof import hold_overdue, summarise_proof
from navarch.core.revision.source import find_obstacle
from navarch.core.world.workload import determine_rollout, find_deployment, has_service

CONDITIONS = (
    ConditionType.READY,
    ConditionType.AVAILABLE,
    ConditionType.PROGRESSING,
    ConditionType.RECONCILED,
)
AWAITED = Awaited(CONDITIONS, reasons=True)

PAUSED = "spec.paused is true"


def determine_available(
    deployment: Manifest | None, *, served: bool, reachable: bool, paused: bool
) -> Verdict:
    """Whether an istiod serves, of any generation; `served` says whether one has before, `reachable` whether
    its Service exists, `paused` that nothing missing is made."""
    unmade = f", and nothing makes it: {PAUSED}" if paused else ""
    if deployment is None:
        message = "istiod's Deployment does not exist"
        if served:
            return Verdict("False", Reason.NO_REPLICA_AVAILABLE, f"{message} any more{unmade}")
        return Verdict("False", Reason.NOT_INSTALLED, f"{message} yet{unmade}")
    rollout = determine_rollout(deployment)
    if rollout.available and not reachable:
        message = f"an istiod runs, but its Service {deployment['metadata']['name']} does not exist"
        return Verdict("False", Reason.NO_REPLICA_AVAILABLE, f"{message}{unmade}")
    if rollout.available:
        return Verdict("True", Reason.AS_EXPECTED)
    return Verdict("False", Reason.NO_REPLICA_AVAILABLE, f"{ref_of(deployment)}: {rollout.message}")


def _is_paused(observed: ObservedRevision) -> bool:
    """Whether the revision's mesh is there, and paused."""
    return bool(((observed.mesh or {}).get("spec") or {}).get("paused"))


def _judge_obstacle(observed: ObservedRevision, status: Truth) -> Verdict | None:
    """Why nothing is done about a revision that this release cannot render; None where it can."""
    obstacle = find_obstacle(observed.body, observed.assets)
    if obstacle is None:
        return None
    return Verdict(status, obstacle.reason, f"{obstacle.message}; what runs is left as it is")


def determine_progressing(observed: ObservedRevision, plan: Plan) -> Verdict:
    """Whether the revision is being changed. Whatever else is to be said, that others are in its way is told:
    by this condition the next look knows whether it has to ask for them again."""
    if observed.rivals:
        return Verdict("True", Reason.SCOPE_CONFLICT, tell_rivals(observed.body, observed.rivals))
    return hold_overdue(observed, plan, determine_rolling(observed, plan))


def _tell_unplanned(plan: Plan) -> Verdict:
    """Why a plan has no Deployment."""
    if plan.waiting:
        return Verdict("True", Reason.PROGRESSING, join(w.message for w in plan.waiting))
    message = "nothing is made while the mesh, or its namespace, is being deleted or gone"
    return Verdict("Unknown", Reason.NOT_YET_DETERMINED, message)


def determine_rolling(observed: ObservedRevision, plan: Plan) -> Verdict:
    """Whether the revision is being changed: its Deployment is not yet as planned, or not yet rolled out."""
    if obstacle := _judge_obstacle(observed, "False"):
        return obstacle
    wanted = next((o for o in plan.objects() if o["kind"] == "Deployment"), None)
    if wanted is None:
        return _tell_unplanned(plan)
    deployment = find_deployment(observed.owned, observed.body["metadata"]["name"])
    if deployment is None or not is_applied(deployment, wanted):
        if _is_paused(observed):
            return Verdict("False", Reason.PAUSED, f"{ref_of(wanted)} is not as planned: {PAUSED}")
        return Verdict("True", Reason.PROGRESSING, f"{ref_of(wanted)} is being applied")
    rollout = determine_rollout(deployment)
    if not rollout.complete:
        reason = Reason.ROLLOUT_STUCK if observed.problems else Reason.ROLLING_OUT
        problems = [str(problem) for problem in observed.problems]
        serves = "the older istiod still serves" if rollout.available else "no istiod serves"
        told = [*problems, f"{ref_of(deployment)}: {rollout.message}", *([serves] if problems else [])]
        return Verdict("True", reason, join(told))
    pending = [w.message for w in plan.waiting]
    if not pending and not _is_injector_applied(observed, plan):
        pending = ["the injector's configuration is being applied"]
    return Verdict("True", Reason.PROGRESSING, join(pending)) if pending else Verdict("False", Reason.SETTLED)


def summarise_revision(
    observed: ObservedRevision, decision: RevisionDecision, outcome: Outcome | None
) -> dict[str, Any]:
    """The status of a MeshRevision."""
    plan = decision.plan
    previous = observed.body.get("status") or {}
    paused = _is_paused(observed)
    name = observed.body["metadata"]["name"]
    deployment = find_deployment(observed.owned, name)
    verdicts = {
        ConditionType.AVAILABLE: determine_available(
            deployment,
            served=bool(previous.get("version")),
            reachable=has_service(observed.owned, name),
            paused=paused,
        ),
        ConditionType.PROGRESSING: determine_progressing(observed, plan),
        ConditionType.RECONCILED: determine_reconciled(outcome, paused=paused),
    }
    if obstacle := _judge_obstacle(observed, "Unknown"):
        verdicts[ConditionType.RECONCILED] = obstacle
    verdicts[ConditionType.READY] = summarise_ready(
        [
            verdicts[ConditionType.AVAILABLE],
            invert(verdicts[ConditionType.PROGRESSING]),
            verdicts[ConditionType.RECONCILED],
        ]
    )
    settled = verdicts[ConditionType.PROGRESSING].reason is Reason.SETTLED
    status: dict[str, Any] = {
        "observedGeneration": observed.generation,
        "conditions": merge_conditions(
            previous.get("conditions") or (), verdicts, generation=observed.generation, now=observed.now
        ),
        "components": _summarise_components(observed, deployment),
    }
    version = observed.body["spec"]["version"] if settled else previous.get("version")
    proxy = decision.proxy if _is_injector_applied(observed, plan) else previous.get("proxy")
    status |= ({"version": version} if version else {}) | ({"proxy": proxy} if proxy else {})
    status |= summarise_proof(observed, ready=verdicts[ConditionType.READY])
    return observed.kinds.fit(KIND, "status", status)


def _is_injector_applied(observed: ObservedRevision, plan: Plan) -> bool:
    """Whether the injector's configuration stands in the cluster as planned (istiod takes it up live)."""
    there = {ref_of(o): o for o in observed.owned}
    wanted = [o for o in plan.objects() if component_of(o) == "injection" and o["kind"] == "ConfigMap"]
    return bool(wanted) and all(ref_of(o) in there and is_applied(there[ref_of(o)], o) for o in wanted)


def _summarise_components(observed: ObservedRevision, deployment: Manifest | None) -> list[dict[str, Any]]:
    if deployment is None:
        return []
    rollout = determine_rollout(deployment)
    component = {
        "kind": "Deployment",
        "name": deployment["metadata"]["name"],
        "ready": min(int((deployment.get("status") or {}).get("readyReplicas", 0)), rollout.desired),
        "desired": rollout.desired,
    }
    message = join(map(str, observed.problems)) or rollout.message
    return [component | ({"message": message[:4096]} if message else {})]
