"""What is said about a mesh and a revision: status as a pure function of observation and outcome.

Owns every condition's verdict. Must never remember: what is reported follows from what was seen now, except
that an earlier fact is kept where the present one is Unknown for the same evidence. Invariant: nothing here
changes while nothing in the cluster changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from navarch.api import revision
from navarch.core.actions import Outcome, Plan
from navarch.core.conditions import (
    ConditionType,
    Truth,
    Verdict,
    find_condition,
    merge_conditions,
    summarise_ready,
)
from navarch.core.findings import Finding, Severity
from navarch.core.injection import determine_injection
from navarch.core.labels import FORCE_DELETE, component_of
from navarch.core.observed import CRDOwner, ObservedMesh, ObservedRevision
from navarch.core.planner import (
    MeshDecision,
    RevisionDecision,
    find_deployment,
    find_wanted_crds,
    is_applied,
    is_held,
    is_leaving,
    is_renderable,
)
from navarch.core.reasons import Reason
from navarch.core.refs import Manifest, ref_of
from navarch.core.workloads import determine_rollout

LISTED = 5
"""How many objects a message names before it counts the rest."""


def join(items: Iterable[object]) -> str:
    """Texts in one message: the first few, and how many more there are."""
    texts = [str(item) for item in items]
    rest = len(texts) - LISTED
    return "; ".join(texts[:LISTED]) + (f"; and {rest} more" if rest > 0 else "")


def _tell_all(status: Truth, told: Sequence[tuple[Reason, str]]) -> Verdict:
    """Several things in one condition. Its reason is the first one's; the others' stand before their texts,
    so that each is found by its own word."""
    reason = told[0][0]
    return Verdict(status, reason, join(text if why is reason else f"{why}: {text}" for why, text in told))


# --- a revision
# ----------------------------------------------------------------------------------------------


def determine_reconciled(outcome: Outcome | None, *, paused: bool) -> Verdict:
    """Whether every object is as planned. `outcome` is None when nothing could be applied."""
    if paused:
        return Verdict("Unknown", Reason.PAUSED, "nothing is written while spec.paused is true")
    if outcome is None:
        return Verdict("Unknown", Reason.NOT_YET_DETERMINED, "nothing has been applied yet")
    if outcome.failures:
        return _tell_all("False", [(Reason(f.reason), f.message) for f in outcome.failures])
    return Verdict("True", Reason.RECONCILED)


def determine_available(deployment: Manifest | None) -> Verdict:
    """Whether an istiod serves, of whatever generation."""
    if deployment is None:
        return Verdict("False", Reason.NOT_INSTALLED, "istiod's Deployment does not exist yet")
    rollout = determine_rollout(deployment)
    if rollout.available:
        return Verdict("True", Reason.AS_EXPECTED)
    return Verdict("False", Reason.NO_REPLICA_AVAILABLE, f"{ref_of(deployment)}: {rollout.message}")


def _tell_unknown(observed: ObservedRevision) -> str:
    """Why nothing is done about a revision whose version has left the catalog."""
    version = observed.body["spec"]["version"]
    return f"this release of Navarch does not know Istio {version}; what runs is left as it is"


def determine_rolling(observed: ObservedRevision, plan: Plan) -> Verdict:
    """Whether the revision is being changed: its Deployment is not yet as planned, or not yet rolled out."""
    if not is_renderable(observed.body, observed.assets):
        return Verdict("False", Reason.UNKNOWN_VERSION, _tell_unknown(observed))
    wanted = next((o for o in plan.objects() if o["kind"] == "Deployment"), None)
    if wanted is None:
        message = "nothing is made while the mesh, or its namespace, is being deleted or gone"
        return Verdict("Unknown", Reason.NOT_YET_DETERMINED, message)
    deployment = find_deployment(observed.owned, observed.body["metadata"]["name"])
    if deployment is None or not is_applied(deployment, wanted):
        return Verdict("True", Reason.PROGRESSING, f"{ref_of(wanted)} is being applied")
    rollout = determine_rollout(deployment)
    if not rollout.complete:
        reason = Reason.ROLLOUT_STUCK if observed.problems else Reason.ROLLING_OUT
        problems = (f"pod {p.pod}: {p.reason}: {p.message}" for p in observed.problems)
        return Verdict("True", reason, join([f"{ref_of(deployment)}: {rollout.message}", *problems]))
    if plan.waiting:
        return Verdict("True", Reason.PROGRESSING, join(w.message for w in plan.waiting))
    return Verdict("False", Reason.SETTLED)


def summarise_revision(
    observed: ObservedRevision, decision: RevisionDecision, outcome: Outcome | None
) -> dict[str, Any]:
    """The status of a MeshRevision."""
    plan = decision.plan
    paused = bool((observed.mesh or {}).get("spec", {}).get("paused"))
    deployment = find_deployment(observed.owned, observed.body["metadata"]["name"])
    verdicts = {
        ConditionType.AVAILABLE: determine_available(deployment),
        ConditionType.PROGRESSING: determine_rolling(observed, plan),
        ConditionType.RECONCILED: determine_reconciled(outcome, paused=paused),
    }
    if not is_renderable(observed.body, observed.assets):
        verdicts[ConditionType.RECONCILED] = Verdict(
            "Unknown", Reason.UNKNOWN_VERSION, _tell_unknown(observed)
        )
    verdicts[ConditionType.READY] = summarise_ready(
        [
            verdicts[ConditionType.AVAILABLE],
            _invert(verdicts[ConditionType.PROGRESSING]),
            verdicts[ConditionType.RECONCILED],
        ]
    )
    previous = observed.body.get("status") or {}
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
    return status | ({"version": version} if version else {}) | ({"proxy": proxy} if proxy else {})


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
    message = join(f"pod {p.pod}: {p.reason}: {p.message}" for p in observed.problems) or rollout.message
    return [component | ({"message": message[:4096]} if message else {})]


def _invert(verdict: Verdict) -> Verdict:
    """Progressing or Deleting as a part of Ready: while it holds, the whole is not ready."""
    if verdict.status == "Unknown":
        return verdict
    return Verdict("False" if verdict.is_true else "True", verdict.reason, verdict.message)


# --- a mesh
# --------------------------------------------------------------------------------------------------


def determine_accepted(findings: Sequence[Finding]) -> Verdict:
    """Whether the spec is valid; warnings are told without refusing it."""
    if not findings:
        return Verdict("True", Reason.AS_EXPECTED)
    worst_first = sorted(findings, key=lambda f: f.severity is not Severity.ERROR)
    refused = worst_first[0].severity is Severity.ERROR
    return _tell_all("False" if refused else "True", [(f.reason, str(f)) for f in worst_first])


def determine_dependencies(observed: ObservedMesh) -> Verdict:
    """Whether Istio's CRDs are there, established, and have what the wanted version needs."""
    wanted = find_wanted_crds(observed)
    foreign = [crd for crd in observed.crds if crd.owner is CRDOwner.FOREIGN]
    lacking = [f"CustomResourceDefinition {crd.name} lacks {crd.lacks}" for crd in foreign if crd.lacks]
    if foreign:
        missing = sorted({*wanted} - {crd.name for crd in observed.crds})
        lacking += [f"CustomResourceDefinition {name} does not exist" for name in missing]
    if lacking:
        remedy = "upgrade them with whatever installed them, or label them as Navarch's to hand them over"
        return Verdict("False", Reason.CRDS_OUTDATED, f"{join(lacking)}; {remedy}")
    if foreign:
        names = join(crd.name for crd in foreign)
        return Verdict("True", Reason.CRDS_FOREIGN, f"left untouched, and sufficient: {names}")
    pending = sorted({*wanted} - {crd.name for crd in observed.crds if crd.established})
    if pending or not wanted:
        return Verdict("False", Reason.CRDS_PENDING, f"not established yet: {join(pending)}")
    return Verdict("True", Reason.DEPENDENCIES_MET)


def _part_of_revision(observed: ObservedMesh, kind: ConditionType) -> Verdict:
    """A condition of the mesh's revision, as far as it speaks of the revision's present generation."""
    manifest = observed.revision
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
        return Verdict("True", Reason.PROGRESSING, f"{ref_of(decision.revision)} is being applied")
    rolling = _part_of_revision(observed, ConditionType.PROGRESSING)
    for part in (_part_of_revision(observed, ConditionType.RECONCILED), rolling):
        if part.reason in (Reason.INTERNAL_ERROR, Reason.ROLLOUT_STUCK):
            return part
    if decision.plan.waiting:
        return Verdict("True", Reason.PROGRESSING, join(w.message for w in decision.plan.waiting))
    return rolling if rolling.status != "Unknown" else Verdict("True", Reason.PROGRESSING, rolling.message)


def determine_up_to_date(
    observed: ObservedMesh, decision: MeshDecision, progressing: Verdict, *, outdated: int
) -> Verdict:
    """Whether everything, proxies included, runs the desired version and configuration."""
    if not observed.revisions:
        return Verdict("False", Reason.NOT_INSTALLED, "the control plane has not been installed yet")
    wanted = decision.revision
    if wanted is not None and not any(is_applied(r, wanted) for r in observed.revisions):
        return Verdict("False", Reason.VERSION_PENDING, f"{ref_of(wanted)} is not yet as the spec asks")
    if progressing.is_true:
        return Verdict("False", Reason.VERSION_PENDING, progressing.message)
    if outdated:
        message = f"{outdated} pods run an older proxy; restart their workloads to bring them up to date"
        return Verdict("False", Reason.PROXIES_OUTDATED, message)
    return Verdict("True", Reason.AS_EXPECTED)


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
        return Verdict("True", Reason.PAUSED, "removal waits until spec.paused is taken away")
    left = [ref_of(o) for o in (*observed.owned, *observed.revisions)]
    message = f"{len(left)} objects left: {join(left)}" if left else "everything is removed"
    if observed.proxies:
        pods = join(f"{p.namespace}/{p.name}" for p in observed.proxies)
        return Verdict("True", Reason.PODS_LEFT_BEHIND, f"{message}; pods that keep their proxy: {pods}")
    if observed.namespace is not None and observed.namespace.terminating:
        return Verdict("True", Reason.NAMESPACE_TERMINATING, f"the namespace is being deleted; {message}")
    return Verdict("True", Reason.REMOVING, message)


def count_proxies(observed: ObservedMesh) -> dict[str, Any]:
    """The census of the mesh's proxies, from the pods' own annotations."""
    stamps = {r["metadata"]["name"]: (r.get("status") or {}).get("proxy", "") for r in observed.revisions}
    current = sum(bool(p.proxy) and stamps.get(p.revision) == p.proxy for p in observed.proxies)
    total = len(observed.proxies)
    return {"total": total, "current": current, "outdated": total - current, "summary": f"{current}/{total}"}


def determine_mesh(
    observed: ObservedMesh, findings: Sequence[Finding], decision: MeshDecision, outcome: Outcome | None
) -> dict[ConditionType, Verdict]:
    """Every condition of a mesh."""
    paused = is_held(observed)
    progressing = determine_progressing(observed, decision)
    reconciled = determine_reconciled(outcome, paused=paused)
    if reconciled.is_true and not is_leaving(observed):
        reconciled = _part_of_revision(observed, ConditionType.RECONCILED)
    available = _part_of_revision(observed, ConditionType.AVAILABLE)
    if not observed.revisions:
        available = Verdict("False", Reason.NOT_INSTALLED, "the control plane has not been installed yet")
    accepted = determine_accepted(findings)
    injection = determine_injection(observed)
    dependencies = determine_dependencies(observed)
    deleting = determine_deleting(observed)
    verdicts = {
        ConditionType.SPEC_ACCEPTED: accepted,
        ConditionType.RECONCILED: reconciled,
        ConditionType.AVAILABLE: available,
        ConditionType.PROGRESSING: progressing,
        ConditionType.UP_TO_DATE: determine_up_to_date(
            observed, decision, progressing, outdated=count_proxies(observed)["outdated"]
        ),
        ConditionType.INJECTION_READY: injection,
        ConditionType.DEPENDENCIES_READY: dependencies,
        ConditionType.PAUSED: Verdict("True", Reason.PAUSED, "nothing but status and Events is written")
        if paused
        else Verdict("False", Reason.NOT_PAUSED),
        ConditionType.DELETING: deleting,
    }
    parts = [
        _invert(deleting),
        accepted,
        dependencies,
        available,
        _invert(progressing),
        reconciled,
        injection,
    ]
    verdicts[ConditionType.READY] = summarise_ready(parts)
    return verdicts


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
        "revisions": [
            _summarise_revision_of_mesh(observed, r)
            for r in sorted(observed.revisions, key=lambda r: str(r["metadata"]["name"]))
        ],
        "components": [
            c for r in observed.revisions for c in ((r.get("status") or {}).get("components") or ())
        ],
    }
    version: dict[str, str] = {}
    if decision.revision is not None:
        version["desired"] = decision.revision["spec"]["version"]
        status["tag"] = decision.revision["spec"]["tag"]
    active = observed.revision
    if active is not None and (active.get("status") or {}).get("version"):
        version["active"] = active["status"]["version"]
        status["activeRevision"] = active["metadata"]["name"]
    return status | ({"version": version} if version else {})


def _summarise_revision_of_mesh(observed: ObservedMesh, manifest: Manifest) -> dict[str, Any]:
    name = manifest["metadata"]["name"]
    ready = find_condition(manifest, ConditionType.READY)
    return {
        "name": name,
        "version": manifest["spec"]["version"],
        "ready": ready is not None and ready["status"] == "True",
        "proxies": sum(p.revision == name for p in observed.proxies),
    }


_NEWS = tuple(map(ConditionType, ("Ready", "SpecAccepted", "DependenciesReady", "Deleting", "Paused")))
"""Conditions of a mesh by whose status somebody may be waiting; the others show progress towards them."""


def is_news(kind: str, previous: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """Whether somebody may be waiting for what this status says, and the previous one does not: that it is
    ready or not, that an edit was looked at, what pods are stamped with, whether there are any (the policy
    that guards a mesh with proxies from deletion reads it), and every condition of a revision. All else is
    progress and numbers."""

    def headlines(told: Mapping[str, Any]) -> list[Any]:
        conditions = {c["type"]: c for c in told.get("conditions") or ()}
        if kind == revision.KIND:
            words: list[Any] = [(name, c["status"], c["reason"]) for name, c in sorted(conditions.items())]
        else:
            words = [conditions[name]["status"] for name in _NEWS if name in conditions]
        populated = bool((told.get("proxies") or {}).get("total"))
        return [told.get("observedGeneration"), told.get("proxy"), populated, *words]

    return headlines(previous) != headlines(status)


def find_drift(outcome: Outcome) -> list[str]:
    """Objects that somebody else changed and that were put back, as texts for an Event."""
    return [str(r.ref) for r in outcome.results if r.drift]
