"""The status of a MeshControlPlane, as a pure function of observation, findings, plan and outcome.

Owns the verdict of every condition of a mesh. Must never remember: what is reported follows from what was
seen now. Invariant: nothing here changes while nothing in the cluster changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from navarch.api.controlplane import KIND
from navarch.core.mesh.approval import tell_hold
from navarch.core.mesh.authority import determine_authority, summarise_authority
from navarch.core.mesh.census import count_proxies, is_of_own_gateway
from navarch.core.mesh.checks.version import find_release
from navarch.core.mesh.crds import find_wanted_crds
from navarch.core.mesh.gateways import determine_gateways, summarise_gateways, view_gateways
from navarch.core.mesh.injection import determine_injection
from navarch.core.mesh.members import determine_members, summarise_members, view_members
from navarch.core.mesh.observed import ObservedMesh, is_held
from navarch.core.mesh.plan import MeshDecision
from navarch.core.mesh.proof import find_candidate
from navarch.core.mesh.rollback import tell_return
from navarch.core.mesh.rollout import determine_rolled, summarise_data_plane
from navarch.core.mesh.succession import Succession
from navarch.core.mesh.teardown import is_leaving
from navarch.core.mesh.upgrade import summarise_upgrade, tell_phase, tell_upgrade
from navarch.core.model.accepted import determine_accepted
from navarch.core.model.actions import Outcome
from navarch.core.model.applied import is_applied
from navarch.core.model.conditions import (
    ConditionType,
    Verdict,
    find_condition,
    invert,
    merge_conditions,
    summarise_ready,
)
from navarch.core.model.findings import Finding
from navarch.core.model.labels import FORCE_DELETE, component_of
from navarch.core.model.messages import join
from navarch.core.model.parent import find_home
from navarch.core.model.reasons import Reason
from navarch.core.model.reconciled import determine_reconciled
from navarch.core.model.refs import Manifest, find_holders, ref_of
from navarch.core.model.removal import tell_holders
from navarch.core.model.urgency import Awaited
from navarch.core.revision.manifest import is_hosted
from navarch.core.revision.rights import find_missing
from navarch.core.revision.source import is_renderable
from navarch.core.world.cluster import CRD, CRDOwner
from navarch.core.world.kinds import REMEDY

CONDITIONS = (
    ConditionType.READY,
    ConditionType.AVAILABLE,
    ConditionType.PROGRESSING,
    ConditionType.UP_TO_DATE,
    ConditionType.SPEC_ACCEPTED,
    ConditionType.RECONCILED,
    ConditionType.INJECTION_READY,
    ConditionType.CERTIFICATE_AUTHORITY_HEALTHY,
    ConditionType.DEPENDENCIES_READY,
    ConditionType.GATEWAYS_READY,
    ConditionType.MEMBERS_READY,
    ConditionType.PAUSED,
    ConditionType.DELETING,
)
AWAITED = Awaited(
    (
        ConditionType.READY,
        ConditionType.SPEC_ACCEPTED,
        ConditionType.CERTIFICATE_AUTHORITY_HEALTHY,
        ConditionType.DEPENDENCIES_READY,
        ConditionType.DELETING,
        ConditionType.PAUSED,
    )
)

_NO_CRDS = (
    "Istio's CRDs follow from the version, and no version that this release of Navarch knows was accepted"
)


def determine_dependencies(observed: ObservedMesh, revision: Manifest | None) -> Verdict:
    """Whether the roles that `revision` binds are there, and Istio's CRDs: there, established, and with what
    the wanted version needs. That Navarch's own are older keeps nothing from working, and is told."""
    if revision is not None and is_renderable(revision, observed.assets):
        roles = [waiting.message for waiting in find_missing(revision, observed.assets, observed.roles)]
        if roles:
            return Verdict("False", Reason.ROLES_MISSING, join(roles))
    wanted = find_wanted_crds(observed, revision)
    foreign = [crd for crd in observed.crds if crd.owner is CRDOwner.FOREIGN]
    unmet = _find_lacking(observed, wanted, foreign) if foreign else _find_pending(observed, wanted)
    if unmet is not None:
        return unmet
    if observed.kinds.lacks:
        message = f"{join(observed.kinds.lacks)}: what has no field there is left out; {REMEDY}"
        return Verdict("True", Reason.NAVARCH_CRDS_OUTDATED, message)
    if foreign:
        names = join(crd.name for crd in foreign)
        return Verdict(
            "True", Reason.CRDS_FOREIGN, f"left untouched, and sufficient: {names}{_tell_newer(foreign)}"
        )
    return Verdict("True", Reason.DEPENDENCIES_MET)


def _find_lacking(observed: ObservedMesh, wanted: Iterable[str], foreign: Iterable[CRD]) -> Verdict | None:
    """What another client's CRDs of Istio lack; None where they suffice."""
    lacking = [f"CustomResourceDefinition {crd.name} lacks {crd.lacks}" for crd in foreign if crd.lacks]
    missing = sorted({*wanted} - {crd.name for crd in observed.crds})
    lacking += [f"CustomResourceDefinition {name} does not exist" for name in missing]
    if not lacking:
        return None
    remedy = "upgrade them with the tool that installed them, or label them as Navarch's to hand them over"
    return Verdict("False", Reason.CRDS_OUTDATED, f"{join(lacking)}; {remedy}{_tell_newer(foreign)}")


def _tell_newer(crds: Iterable[CRD]) -> str:
    """Why CRDs that carry our label are not taken over."""
    newer = [f"{crd.name} has {crd.beyond}" for crd in crds if crd.beyond]
    why = "which Navarch's own of this version lack, and what is stored by it would be lost"
    return f"; those labelled as Navarch's are not taken over: {join(newer)}, {why}" if newer else ""


def _find_pending(observed: ObservedMesh, wanted: Collection[str]) -> Verdict | None:
    """Which of our CRDs of Istio are not there yet; None where all are."""
    if not wanted:
        return Verdict("Unknown", Reason.NOT_YET_DETERMINED, _NO_CRDS)
    pending = sorted({*wanted} - {crd.name for crd in observed.crds if crd.established})
    if not pending:
        return None
    return Verdict("False", Reason.CRDS_PENDING, f"not established yet: {join(pending)}")


def _part_of_revision(observed: ObservedMesh, kind: ConditionType) -> Verdict:
    """A condition of the mesh's revision, as far as it speaks of the revision's present generation."""
    return _read_part(observed.revision, kind)


def _read_part(manifest: Manifest | None, kind: ConditionType) -> Verdict:
    condition = find_condition(manifest, kind) if manifest is not None else None
    if manifest is None or condition is None:
        return Verdict("Unknown", Reason.NOT_YET_DETERMINED, "nothing is known of the revision yet")
    current = condition["observedGeneration"] >= manifest["metadata"].get("generation", 0)
    if not current and kind is not ConditionType.AVAILABLE:
        return Verdict("Unknown", Reason.NOT_YET_DETERMINED, "the revision has not looked at its spec yet")
    return Verdict(condition["status"], Reason.read(condition["reason"]), condition["message"])


def determine_progressing(observed: ObservedMesh, decision: MeshDecision) -> Verdict:
    """Whether anything of the mesh is being changed."""
    if decision.revision is None:
        return Verdict("False", Reason.SETTLED)
    if is_held(observed):
        return Verdict("False", Reason.PAUSED, "nothing is changed while spec.paused is true")
    existing = next((r for r in observed.revisions if ref_of(r) == ref_of(decision.revision)), None)
    if decision.plan.waves and (existing is None or not is_applied(existing, decision.revision)):
        applied = any(ref_of(o) == ref_of(decision.revision) for w in decision.plan.waves for o in w.objects)
        message = f"{ref_of(decision.revision)} is being applied"
        waits = "" if applied else join(w.message for w in decision.plan.waiting)
        return Verdict("True", Reason.PROGRESSING, waits or message)
    upgrading = tell_upgrade(observed, decision.succession)
    rolling = _part_of_revision(observed, ConditionType.PROGRESSING)
    for part in (_part_of_revision(observed, ConditionType.RECONCILED), rolling):
        if part.reason in (Reason.INTERNAL_ERROR, Reason.ROLLOUT_STUCK, Reason.UPGRADE_HELD):
            return part
    if decision.plan.waiting and upgrading is None:
        return Verdict("True", Reason.PROGRESSING, join(w.message for w in decision.plan.waiting))
    known = rolling if rolling.status != "Unknown" else Verdict("True", Reason.PROGRESSING, rolling.message)
    return upgrading or known


def determine_up_to_date(
    observed: ObservedMesh,
    decision: MeshDecision,
    *,
    accepted: Verdict,
    progressing: Verdict,
    reconciled: Verdict,
) -> Verdict:
    """Whether everything, proxies included, runs the desired version and configuration."""
    if not _is_told(observed):
        return _tell_unrevised(observed)
    if (kept := _tell_kept(observed, decision, accepted)) is not None:
        return kept
    wanted = decision.revision
    if wanted is not None and not any(is_applied(r, wanted) for r in observed.revisions):
        return Verdict("False", Reason.VERSION_PENDING, f"{ref_of(wanted)} is not yet as the spec asks")
    if is_held(observed):
        return Verdict("Unknown", Reason.PAUSED, reconciled.message)
    if progressing.is_true:
        held = progressing.reason is Reason.UPGRADE_HELD
        return Verdict("False", Reason.UPGRADE_HELD if held else Reason.VERSION_PENDING, progressing.message)
    return determine_rolled(observed, decision.rollout)


def _tell_kept(observed: ObservedMesh, decision: MeshDecision, accepted: Verdict) -> Verdict | None:
    """Why what was accepted last is in force still, and not what the spec asks for; None where it is."""
    if accepted.status == "False":
        message = f"the spec was refused, and what was accepted last is in force: {accepted.message}"
        return Verdict("False", accepted.reason, message)
    if decision.hold is not None:
        return Verdict("False", Reason.APPROVAL_PENDING, tell_hold(observed, decision.hold))
    return _tell_returned(observed, decision)


def _tell_returned(observed: ObservedMesh, decision: MeshDecision) -> Verdict | None:
    """That what was proved before is in force; None where it is not."""
    made, revision = decision.returned, decision.revision
    if made is None or revision is None:
        return None
    return Verdict("False", Reason.ROLLED_BACK, tell_return(observed, made, revision))


def _is_told(observed: ObservedMesh) -> bool:
    """Whether a MeshRevision speaks of the mesh: one that was just made, of a mesh that has no istiod, is no
    news yet."""
    if any(find_condition(revision, ConditionType.AVAILABLE) for revision in observed.revisions):
        return True
    made = {record.component for record in observed.inventory.records.values()}
    made |= {*map(component_of, observed.owned)}
    return bool(observed.revisions) and "istiod" in made


def _tell_unrevised(observed: ObservedMesh) -> Verdict:
    """What is known of a mesh without a MeshRevision: that it is not installed, or, where an istiod was made,
    nothing."""
    if any(record.component == "istiod" for record in observed.inventory.records.values()):
        message = "the mesh's MeshRevision is missing, and what its istiod does is not known without it"
        return Verdict("Unknown", Reason.NOT_YET_DETERMINED, message)
    why = ", and is not while spec.paused is true" if is_held(observed) else ""
    return Verdict("False", Reason.NOT_INSTALLED, f"the control plane has not been installed yet{why}")


def _tell_left(manifest: Manifest) -> str:
    held = find_holders(manifest)
    return f"{ref_of(manifest)}" + (f" (held by the finalizer {join(held)})" if held else "")


def determine_deleting(observed: ObservedMesh) -> Verdict:
    """Whether and how far the mesh is being removed."""
    if observed.deleting and not is_leaving(observed):
        message = (
            "the kind itself is being deleted, and this mesh only with it: everything is left in place; save "
            "this object, and see docs/how-to/back-up-and-restore.md. To remove the mesh all the same, "
            f"annotate it with {FORCE_DELETE}=true"
        )
        return Verdict("True", Reason.KIND_DELETED, message)
    if not is_leaving(observed):
        return Verdict("False", Reason.NOT_DELETING)
    if is_held(observed):
        return Verdict("True", Reason.PAUSED, "remove spec.paused to let the removal go on")
    left = [_tell_left(o) for o in (*observed.owned, *observed.revisions)]
    message = f"{len(left)} objects left: {join(left)}" if left else "everything is removed"
    message = "; ".join(filter(None, (message, tell_holders(observed.body))))
    if behind := [proxy for proxy in observed.census.counted if not is_of_own_gateway(observed, proxy)]:
        pods = join(f"{p.namespace}/{p.name}" for p in behind)
        return Verdict("True", Reason.PODS_LEFT_BEHIND, f"{message}; pods that keep their proxy: {pods}")
    if observed.namespace is not None and observed.namespace.terminating:
        return Verdict("True", Reason.NAMESPACE_TERMINATING, f"the namespace is being deleted; {message}")
    return Verdict("True", Reason.REMOVING, message)


def determine_mesh(
    observed: ObservedMesh, findings: Sequence[Finding], decision: MeshDecision, outcome: Outcome | None
) -> dict[ConditionType, Verdict]:
    """Every condition of a mesh."""
    paused = is_held(observed)
    progressing = determine_progressing(observed, decision)
    reconciled = determine_reconciled(outcome, paused=paused)
    part = _part_of_revision(observed, ConditionType.RECONCILED)
    if part.is_true and (candidate := find_candidate(observed)) is not None:
        part = _read_part(candidate, ConditionType.RECONCILED)
    if (reconciled.is_true and not is_leaving(observed)) or _has_more_to_say(outcome, part, paused=paused):
        reconciled = part
    available = _part_of_revision(observed, ConditionType.AVAILABLE)
    if not _is_told(observed):
        available = _tell_unrevised(observed)
    accepted = determine_accepted(findings)
    injection = determine_injection(observed)
    dependencies = determine_dependencies(observed, decision.revision)
    deleting = determine_deleting(observed)
    gateways = view_gateways(observed, decision.gateways)
    verdicts = {
        ConditionType.SPEC_ACCEPTED: accepted,
        ConditionType.RECONCILED: reconciled,
        ConditionType.AVAILABLE: available,
        ConditionType.PROGRESSING: progressing,
        ConditionType.UP_TO_DATE: determine_up_to_date(
            observed, decision, accepted=accepted, progressing=progressing, reconciled=reconciled
        ),
        ConditionType.INJECTION_READY: injection,
        ConditionType.CERTIFICATE_AUTHORITY_HEALTHY: determine_authority(
            observed, decision.revision, decision.authority
        ),
        ConditionType.DEPENDENCIES_READY: dependencies,
        ConditionType.GATEWAYS_READY: determine_gateways(gateways),
        ConditionType.MEMBERS_READY: determine_members(view_members(observed)),
        ConditionType.PAUSED: Verdict("True", Reason.PAUSED, "nothing but status and Events is written")
        if paused
        else Verdict("False", Reason.NOT_PAUSED),
        ConditionType.DELETING: deleting,
    }
    causes = _causes(available, progressing, reconciled)
    own = determine_gateways(view for view in gateways if view.inline)
    returned = filter(None, [_tell_returned(observed, decision)])
    verdicts[ConditionType.READY] = summarise_ready(
        [invert(deleting), accepted, dependencies, *causes, *returned, injection, own]
    )
    return verdicts


def _has_more_to_say(outcome: Outcome | None, part: Verdict, *, paused: bool) -> bool:
    """Whether of a paused mesh only the revision's objects may be other than planned."""
    return paused and part.reason is Reason.PAUSED and not (outcome and outcome.withheld)


def _causes(available: Verdict, progressing: Verdict, reconciled: Verdict) -> list[Verdict]:
    """Three verdicts, the most specific cause first: an object that the API server refused, or a pod that
    does not start, is why no istiod is available, and not the other way round."""
    rolling = invert(progressing)
    if reconciled.status == "False":
        return [reconciled, available, rolling]
    if progressing.reason in (Reason.ROLLOUT_STUCK, Reason.UPGRADE_HELD):
        return [rolling, available, reconciled]
    return [available, rolling, reconciled]


def summarise_mesh(
    observed: ObservedMesh, findings: Sequence[Finding], decision: MeshDecision, outcome: Outcome | None
) -> dict[str, Any]:
    """The status of a MeshControlPlane."""
    previous = observed.body.get("status") or {}
    verdicts = determine_mesh(observed, findings, decision, outcome)
    status: dict[str, Any] = {
        "observedGeneration": observed.generation,
        "conditions": merge_conditions(
            previous.get("conditions") or (), verdicts, generation=observed.generation, now=observed.now
        ),
        "proxies": count_proxies(observed),
        "members": summarise_members(view_members(observed)),
        "revisions": [
            _summarise_revision_of_mesh(observed, r, decision.succession)
            for r in sorted(observed.revisions, key=lambda r: str(r["metadata"]["name"]))
        ],
        "components": [
            c for r in observed.revisions for c in ((r.get("status") or {}).get("components") or ())
        ],
    }
    if gateways := summarise_gateways(view_gateways(observed, decision.gateways)):
        status["gateways"] = gateways
    version: dict[str, str] = {}
    if decision.revision is not None:
        version["desired"] = _find_desired(observed, decision, decision.revision)
        status["tag"] = decision.revision["spec"]["tag"]
        if is_hosted(decision.revision):
            status["controlPlaneNamespace"] = find_home(observed.parent, hosted=True)
    if authority := summarise_authority(observed, decision.revision, decision.authority):
        status["certificateAuthority"] = authority
    if decision.hold is not None:
        status["plan"] = decision.hold.to_json()
    active = observed.find_revision(observed.active)
    if active is not None and (active.get("status") or {}).get("version"):
        version["active"] = active["status"]["version"]
        status["activeRevision"] = active["metadata"]["name"]
    if upgrade := summarise_upgrade(observed, decision.succession):
        status["upgrade"] = upgrade
        version["upgradeTo"] = version["desired"]
    if data_plane := summarise_data_plane(observed, decision.rollout):
        status["dataPlane"] = data_plane
    status |= {"version": version} if version else {}
    return observed.kinds.fit(KIND, "status", status)


def _find_desired(observed: ObservedMesh, decision: MeshDecision, revision: Manifest) -> str:
    """The version that the spec resolves to, whether or not it is in force."""
    if decision.hold is not None:
        return decision.hold.wanted
    release = find_release(observed) if decision.returned is not None else None
    return release.version if release is not None else str(revision["spec"]["version"])


def _summarise_revision_of_mesh(
    observed: ObservedMesh, manifest: Manifest, succession: Succession | None
) -> dict[str, Any]:
    name = manifest["metadata"]["name"]
    ready = find_condition(manifest, ConditionType.READY)
    return {
        **tell_phase(observed, succession, name),
        "name": name,
        "version": manifest["spec"]["version"],
        "ready": ready is not None and ready["status"] == "True",
        "proxies": sum(p.revision == name for p in observed.census.counted),
    }
