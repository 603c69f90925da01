"""The status of a MeshMemberRoll, as a pure function of observation, findings, plan and outcome.

Owns the verdict of every condition of a roll. Must never remember: what is reported follows from what was
seen now. Invariants: nothing here changes while nothing in the cluster changes; its size has a bound, however
many namespaces there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from navarch.api.roll import KIND, MOST_PENDING
from navarch.core.model.accepted import determine_accepted
from navarch.core.model.actions import Action, ObjectOutcome, Outcome, Plan
from navarch.core.model.conditions import (
    ConditionType,
    Verdict,
    invert,
    merge_conditions,
    summarise_ready,
)
from navarch.core.model.findings import Finding
from navarch.core.model.labels import FORCE_DELETE
from navarch.core.model.messages import count, join, shorten
from navarch.core.model.reasons import Reason
from navarch.core.model.reconciled import determine_reconciled
from navarch.core.model.urgency import Awaited
from navarch.core.roll.observed import ObservedRoll, is_held
from navarch.core.roll.places import Candidate, list_candidates

CONDITIONS = (
    ConditionType.READY,
    ConditionType.SPEC_ACCEPTED,
    ConditionType.PROGRESSING,
    ConditionType.RECONCILED,
    ConditionType.MEMBERS_READY,
    ConditionType.DELETING,
)
AWAITED = Awaited((ConditionType.READY, ConditionType.SPEC_ACCEPTED, ConditionType.DELETING), reasons=True)
LONGEST_MESSAGE = 500
"""Characters of why a namespace is pending."""
_OF_NAMESPACES = frozenset({Reason.NAMESPACE_NOT_FOUND, Reason.NAMESPACE_TERMINATING})


def overlook_vanished(outcome: Outcome) -> Outcome:
    """The outcome without namespaces that went while their MeshMember was being made: the next look sees
    that, and says it of the namespace."""
    return replace(outcome, results=tuple(r for r in outcome.results if not _has_vanished(r)))


def _has_vanished(result: ObjectOutcome) -> bool:
    return result.action is Action.FAILED and result.reason in _OF_NAMESPACES


def determine_progressing(candidates: Sequence[Candidate], plan: Plan) -> Verdict:
    """Whether namespaces are joining or leaving right now."""
    joining = [each.namespace for each in candidates if each.reason is Reason.PROGRESSING]
    parts = []
    if joining:
        parts.append(f"{count(len(joining), 'namespace joins', 'namespaces join')}: {join(joining)}")
    if plan.prune:
        parts.append(count(len(plan.prune), "namespace leaves", "namespaces leave"))
    return Verdict(
        "True" if parts else "False", Reason.PROGRESSING if parts else Reason.SETTLED, "; ".join(parts)
    )


def determine_members(candidates: Sequence[Candidate]) -> Verdict:
    """Whether all namespaces of the roll are members of the mesh."""
    pending = [each for each in candidates if each.reason is not None]
    if not pending:
        return Verdict("True", Reason.AS_EXPECTED)
    told = join(f"{each.namespace} ({each.reason})" for each in pending)
    message = (
        f"{len(pending)} of {len(candidates)} namespaces are no members yet: {told}; status.pending says why"
    )
    return Verdict("False", Reason.NAMESPACES_PENDING, message)


def determine_deleting(observed: ObservedRoll) -> Verdict:
    """Whether the namespaces are being released."""
    if observed.is_being_deleted and observed.withheld:
        message = (
            "the kind itself is being deleted, and this roll only with it: its MeshMembers stay; save this "
            f"object. To remove them all the same, annotate it with {FORCE_DELETE}=true"
        )
        return Verdict("True", Reason.KIND_DELETED, message)
    if not observed.is_being_deleted:
        return Verdict("False", Reason.NOT_DELETING)
    if is_held(observed):
        return Verdict("True", Reason.PAUSED, "MeshMembers are removed once the mesh is no longer paused")
    return Verdict("True", Reason.REMOVING, "the MeshMembers that the roll has made are removed")


def summarise_roll(
    observed: ObservedRoll, findings: Sequence[Finding], plan: Plan, outcome: Outcome | None
) -> dict[str, Any]:
    """The status of a MeshMemberRoll."""
    candidates = list_candidates(observed)
    reconciled = determine_reconciled(outcome, paused=is_held(observed))
    theirs = [each.namespace for each in candidates if each.is_self_joined]
    if theirs and reconciled.is_true:
        have = count(len(theirs), "namespace has a MeshMember", "namespaces have MeshMembers")
        told = f"{have} that the roll did not make, which stay when it goes: {join(theirs)}"
        reconciled = replace(reconciled, message=told)
    verdicts = {
        ConditionType.SPEC_ACCEPTED: determine_accepted(findings),
        ConditionType.PROGRESSING: determine_progressing(candidates, plan),
        ConditionType.RECONCILED: reconciled,
        ConditionType.MEMBERS_READY: determine_members(candidates),
        ConditionType.DELETING: determine_deleting(observed),
    }
    verdicts[ConditionType.READY] = summarise_ready(
        [
            invert(verdicts[ConditionType.DELETING]),
            verdicts[ConditionType.SPEC_ACCEPTED],
            verdicts[ConditionType.RECONCILED],
            verdicts[ConditionType.MEMBERS_READY],
        ]
    )
    previous = (observed.body.get("status") or {}).get("conditions") or ()
    conditions = merge_conditions(previous, verdicts, generation=observed.generation, now=observed.now)
    status: dict[str, Any] = {"observedGeneration": observed.generation, "conditions": conditions}
    if observed.mesh is not None:
        status["mesh"] = observed.mesh["metadata"]["name"]
    status |= _count(candidates)
    return observed.kinds.fit(KIND, "status", status)


def _count(candidates: Sequence[Candidate]) -> dict[str, Any]:
    pending = [(each, each.reason) for each in candidates if each.reason is not None]
    ready = len(candidates) - len(pending)
    members = {
        "total": len(candidates),
        "ready": ready,
        "pending": len(pending),
        "selfJoined": sum(each.is_self_joined for each in candidates),
        "summary": f"{ready}/{len(candidates)}",
    }
    told = [
        {
            "namespace": each.namespace,
            "reason": reason.value,
            "message": shorten(each.message, LONGEST_MESSAGE),
        }
        for each, reason in pending[:MOST_PENDING]
    ]
    return {"members": members, "pending": told} if told else {"members": members}


def is_released(observed: ObservedRoll) -> bool:
    """Whether the finalizer may go: every MeshMember that the roll made is gone, or has been asked to go.
    None is waited for: a finalizer that a team puts on one would hold the roll and the mesh's namespace."""
    left = any("deletionTimestamp" not in member["metadata"] for member in observed.own)
    return observed.deleting and not is_held(observed) and not left
