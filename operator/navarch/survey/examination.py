"""A mesh as a reconcile would see it, without one: gather, check, plan, compare, summarise.

Owns the path of a single mesh, or of a manifest that is to become one. Must never write; where a reconcile
would apply a plan, it is compared with what is there. Invariant: of a mesh that its operator has brought to
rest, the verdicts are those that stand in its status.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from navarch.core.diagnosis.conditions import read_verdicts
from navarch.core.member.checks import run_checks as run_member_checks
from navarch.core.member.observed import is_held as is_member_held
from navarch.core.member.plan import plan_member
from navarch.core.member.status import summarise_member
from navarch.core.mesh.checks import run_checks
from navarch.core.mesh.observed import ObservedMesh, is_held
from navarch.core.mesh.plan import build_wanted_revision, plan_mesh
from navarch.core.mesh.status import determine_dependencies, determine_mesh
from navarch.core.model.actions import Action, ObjectOutcome, Outcome, Plan, Wave
from navarch.core.model.conditions import ConditionType, Verdict, find_condition
from navarch.core.model.findings import Finding, is_accepted
from navarch.core.model.labels import COMPONENT
from navarch.core.model.messages import join
from navarch.core.model.reasons import Reason
from navarch.core.model.reconciled import determine_reconciled
from navarch.core.model.refs import Manifest, ref_of
from navarch.core.offline import build_objects
from navarch.core.revision.observed import is_revision_held
from navarch.core.revision.plan import plan_revision
from navarch.core.revision.status import summarise_revision
from navarch.core.world.probe import ProbeVerdict
from navarch.gather.member import observe_member
from navarch.gather.mesh import gather_mesh, observe_mesh
from navarch.gather.revision import gather_revision
from navarch.gather.world import World
from navarch.kube.apply import Applier

Verdicts = dict[ConditionType, Verdict]


@dataclass(frozen=True, slots=True)
class Examination:
    """What was made of a mesh: the verdicts of its conditions, the findings about its spec, and its revisions
    with their status as it should be. `unproved` tells why injection could not be proved anew."""

    body: Manifest
    findings: tuple[Finding, ...]
    verdicts: Verdicts
    revisions: tuple[Manifest, ...] = ()
    unproved: str = ""


@dataclass(frozen=True, slots=True)
class Examiner:
    """Examines meshes one by one. Raises KubeError where something cannot be read."""

    world: World
    applier: Applier

    async def examine(self, namespace: str, name: str) -> Examination | None:
        """A mesh of the cluster; None when it is gone."""
        observed = await gather_mesh(self.world, namespace, name)
        if observed is None:
            return None
        revisions = tuple([await self._examine_revision(r) for r in observed.revisions])
        observed = replace(observed, revisions=revisions)
        findings = run_checks(observed)
        decision = plan_mesh(observed, findings)
        outcome = await self._compare(decision.plan, observed.body, held=is_held(observed))
        verdicts = determine_mesh(observed, findings, decision, outcome)
        unproved = _tell_unproved(observed)
        if unproved:
            verdicts |= _recall(observed.body, ConditionType.INJECTION_READY)
        return Examination(observed.body, findings, verdicts, revisions, unproved)

    async def examine_member(self, body: Manifest) -> Manifest:
        """A member with the status that it should have, by what was read of it."""
        observed = await observe_member(self.world, body["metadata"]["namespace"], body)
        findings = run_member_checks(observed)
        plan = plan_member(observed, findings)
        outcome = await self._compare(plan, body, held=is_member_held(observed))
        return {**body, "status": summarise_member(observed, findings, plan, outcome)}

    async def examine_manifest(self, body: Manifest) -> Examination:
        """A mesh that is not in the cluster as it is written here: what its conditions would say of the
        spec, of Istio's CRDs, and of objects that stand in its way."""
        observed = await observe_mesh(self.world, body)
        findings = run_checks(observed)
        wanted = build_wanted_revision(observed) if is_accepted(findings) else None
        verdicts: Verdicts = {}
        if observed.crds:
            # No role at all: they may not be listed, or Navarch is not installed, which is said elsewhere.
            revision = wanted if observed.roles else None
            verdicts[ConditionType.DEPENDENCIES_READY] = determine_dependencies(observed, revision)
        if wanted is not None:
            objects = build_objects(observed)
            own = tuple(o for o in objects if o["metadata"].get("labels", {}).get(COMPONENT) != "crds")
            compared = await self.applier.compare(Plan(observed.parent, waves=(Wave("all", own),)))
            if compared.foreign:
                reconciled = determine_reconciled(Outcome(compared.foreign), paused=False)
                verdicts[ConditionType.RECONCILED] = reconciled
        return Examination(observed.body, findings, verdicts)

    async def _examine_revision(self, body: Manifest) -> Manifest:
        """A revision with the status that it should have."""
        metadata = body["metadata"]
        observed = await gather_revision(self.world, metadata["namespace"], metadata["name"])
        if observed is None:
            return body
        decision = plan_revision(observed)
        outcome = await self._compare(decision.plan, observed.body, held=is_revision_held(observed))
        return {**body, "status": summarise_revision(observed, decision, outcome)}

    async def _compare(self, plan: Plan, body: Manifest, *, held: bool) -> Outcome:
        """What would come of a plan. Of what only a write can tell (a quota, a missing permission), the word
        of the operator counts, which has tried."""
        if held:
            return await self.applier.withhold(plan)
        failed = recall_failure(body)
        if failed is not None:
            return Outcome((failed,))
        compared = await self.applier.compare(plan)
        if compared.foreign:
            return Outcome(compared.foreign)
        if compared.pending:
            message = f"not as planned yet: {join(compared.pending)}"
            return Outcome((_fail(body, Reason.PROGRESSING, message),))
        return Outcome()


def recall_failure(body: Manifest) -> ObjectOutcome | None:
    """What the operator failed at in this generation of an object, as it wrote it; None where it did not."""
    said = find_condition(body, ConditionType.RECONCILED)
    generation = body["metadata"].get("generation", 0)
    if said is None or said["status"] != "False" or said["observedGeneration"] != generation:
        return None
    return _fail(body, Reason.read(said["reason"]), said["message"])


def _fail(body: Manifest, reason: Reason, message: str) -> ObjectOutcome:
    return ObjectOutcome(ref_of(body), Action.FAILED, reason, message)


def _tell_unproved(observed: ObservedMesh) -> str:
    """Why the dry-run pod could not be asked for, where that is since the user lacks a right."""
    probe = observed.probe
    return probe.message if probe is not None and probe.verdict is ProbeVerdict.NOT_PERMITTED else ""


def _recall(body: Manifest, kind: ConditionType) -> Verdicts:
    """A verdict as the operator wrote it, if it did."""
    verdict = read_verdicts(body).get(kind)
    return {kind: verdict} if verdict else {}
