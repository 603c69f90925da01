"""The status of a MeshMember, as a pure function of observation, findings, plan and outcome.

Owns the verdict of every condition of a member. Must never remember: what is reported follows from what was
seen now. Invariant: nothing here changes while nothing in the cluster changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from navarch.api.member import KIND
from navarch.core.member.census import count_proxies, summarise_proxies
from navarch.core.member.isolation import find_surplus
from navarch.core.member.observed import ObservedMember, is_held
from navarch.core.member.plan import is_settled
from navarch.core.model.accepted import determine_accepted
from navarch.core.model.actions import Outcome, Plan
from navarch.core.model.conditions import (
    ConditionType,
    Verdict,
    find_condition,
    invert,
    merge_conditions,
    summarise_ready,
)
from navarch.core.model.findings import Finding
from navarch.core.model.labels import FORCE_DELETE, ISTIO_INJECTION, ISTIO_REV
from navarch.core.model.messages import count, join
from navarch.core.model.reasons import Reason
from navarch.core.model.reconciled import determine_reconciled
from navarch.core.model.removal import tell_holders
from navarch.core.model.urgency import Awaited
from navarch.core.world.count import ProxyCount, tell_by_hand

CONDITIONS = (
    ConditionType.READY,
    ConditionType.SPEC_ACCEPTED,
    ConditionType.PROGRESSING,
    ConditionType.RECONCILED,
    ConditionType.INJECTION_READY,
    ConditionType.UP_TO_DATE,
    ConditionType.DELETING,
)
MESH_SAYS = "the mesh says: "
"""How a message begins that repeats what a condition of the mesh says."""
AWAITED = Awaited((ConditionType.READY, ConditionType.SPEC_ACCEPTED, ConditionType.DELETING), reasons=True)


def determine_progressing(plan: Plan) -> Verdict:
    """Whether the namespace is joining, or waits for its mesh."""
    if plan.waiting:
        return Verdict("True", Reason.PROGRESSING, join(w.message for w in plan.waiting))
    return Verdict("False", Reason.SETTLED)


def determine_injection(observed: ObservedMember) -> Verdict:
    """Whether pods of the namespace get a sidecar, where the member asks for it."""
    if observed.spec is not None and observed.spec.injection == "Disabled":
        return Verdict("True", Reason.AS_EXPECTED, "spec.injection is Disabled: pods get no sidecar")
    place = observed.place
    labels = place.labels if place is not None else {}
    if ISTIO_INJECTION in labels:
        label = f"{ISTIO_INJECTION}={labels[ISTIO_INJECTION]}"
        remedy = f"kubectl label namespace {observed.namespace} {ISTIO_INJECTION}-"
        message = f"label {label} of the namespace comes before istio.io/rev, which injects members: {remedy}"
        return Verdict("False", Reason.LABEL_CONFLICT, message)
    if (
        place is not None
        and ISTIO_REV not in place.claimed
        and labels.get(ISTIO_REV, observed.tag) != observed.tag
    ):
        remedy = f"kubectl label namespace {observed.namespace} {ISTIO_REV}-"
        message = f"label {ISTIO_REV}={labels[ISTIO_REV]} of the namespace is another client's: {remedy}"
        return Verdict("False", Reason.LABEL_CONFLICT, message)
    injects = find_condition(observed.mesh or {}, ConditionType.INJECTION_READY)
    if injects is None:
        return Verdict("Unknown", Reason.NOT_YET_DETERMINED, "the mesh does not say whether it injects pods")
    message = "" if injects["status"] == "True" else f"{MESH_SAYS}{injects['message']}"
    return Verdict(injects["status"], Reason.read(injects["reason"]), message)


def determine_up_to_date(observed: ObservedMember) -> Verdict:
    """Whether every proxy in the namespace is the one that the mesh injects now."""
    if not observed.stamp:
        return Verdict("Unknown", Reason.NOT_YET_DETERMINED, "the mesh injects no proxies yet")
    census = count_proxies(observed)
    told = [*_tell_outdated(census), *_tell_misplaced(census)]
    if not told:
        return Verdict("True", Reason.AS_EXPECTED)
    remedies = [
        *_tell_restart(census, observed.namespace),
        *tell_by_hand(census.manual, within=observed.namespace),
    ]
    return Verdict("False", told[0][0], f"{'; '.join(text for _, text in told)}: {'; '.join(remedies)}")


def _tell_outdated(census: ProxyCount) -> Iterator[tuple[Reason, str]]:
    if census.outdated:
        have = count(census.outdated, "pod runs", "pods run")
        yield Reason.PROXIES_OUTDATED, f"{have} an older proxy than the mesh has, until they are replaced"


def _tell_misplaced(census: ProxyCount) -> Iterator[tuple[Reason, str]]:
    if census.misplaced:
        have = count(census.misplaced, "pod runs", "pods run")
        until = "and cannot call the mesh until they are replaced"
        yield Reason.PROXIES_MISPLACED, f"{have} the proxy of another control plane, {until}"


def _tell_restart(census: ProxyCount, namespace: str) -> Iterator[str]:
    if census.replaceable:
        yield f"kubectl -n {namespace} rollout restart deployment"


def determine_deleting(observed: ObservedMember) -> Verdict:
    """Whether the namespace leaves the mesh."""
    if observed.withheld and not observed.deleting:
        message = (
            "the kind itself is being deleted, and this member only with it: its namespace stays in the "
            f"mesh; save this object. To leave all the same, annotate it with {FORCE_DELETE}=true"
        )
        return Verdict("True", Reason.KIND_DELETED, message)
    if not observed.deleting:
        return Verdict("False", Reason.NOT_DELETING)
    if is_held(observed):
        return Verdict("True", Reason.PAUSED, "the namespace leaves once the mesh is no longer paused")
    assert observed.body is not None
    told = "the namespace has left the mesh" if is_settled(observed, {}) else "the namespace leaves the mesh"
    return Verdict("True", Reason.REMOVING, "; ".join(filter(None, (told, tell_holders(observed.body)))))


def summarise_member(
    observed: ObservedMember, findings: Sequence[Finding], plan: Plan, outcome: Outcome | None
) -> dict[str, Any]:
    """The status of a MeshMember."""
    assert observed.body is not None
    verdicts = {
        ConditionType.SPEC_ACCEPTED: determine_accepted(findings),
        ConditionType.PROGRESSING: determine_progressing(plan),
        ConditionType.RECONCILED: determine_reconciled(outcome, paused=is_held(observed)),
        ConditionType.INJECTION_READY: determine_injection(observed),
        ConditionType.UP_TO_DATE: determine_up_to_date(observed),
        ConditionType.DELETING: determine_deleting(observed),
    }
    verdicts[ConditionType.READY] = summarise_ready(
        [
            invert(verdicts[ConditionType.DELETING]),
            verdicts[ConditionType.SPEC_ACCEPTED],
            verdicts[ConditionType.RECONCILED],
            invert(verdicts[ConditionType.PROGRESSING]),
            verdicts[ConditionType.INJECTION_READY],
        ]
    )
    previous = (observed.body.get("status") or {}).get("conditions") or ()
    conditions = merge_conditions(previous, verdicts, generation=observed.generation, now=observed.now)
    status: dict[str, Any] = {"observedGeneration": observed.generation, "conditions": conditions}
    if observed.tag and observed.mesh is not None:
        status["tag"] = observed.tag
    status["proxies"] = summarise_proxies(count_proxies(observed))
    return observed.kinds.fit(KIND, "status", status)


def is_released(observed: ObservedMember) -> bool:
    """Whether the finalizer may go: the member is being deleted, and its namespace carries none of its
    labels and none of its objects, or is gone. A namespace that is being deleted is not held, neither by a
    pause nor by what refuses to have its labels taken off: what remains of them goes with it."""
    if not observed.is_being_deleted or observed.withheld:
        return False
    ending = observed.place is not None and observed.place.terminating
    clean = is_settled(observed, {}) and not find_surplus(observed, joined=False)
    return ending or (clean and not is_held(observed))
