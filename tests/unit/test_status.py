"""What is said of a mesh, from what was seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from navarch.api.member import MOST_WORKLOADS
from navarch.core.mesh import status as mesh_status
from navarch.core.mesh.census import count_proxies
from navarch.core.mesh.injection import compute_evidence, determine_injection, is_probe_due
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.plan import build_wanted_revision, plan_mesh
from navarch.core.mesh.status import determine_mesh, summarise_mesh
from navarch.core.model.actions import Action, ObjectOutcome, Outcome, find_drift
from navarch.core.model.conditions import ConditionType, Verdict
from navarch.core.model.hashing import stable_hash
from navarch.core.model.labels import APPLIED
from navarch.core.model.ownership import Inventory, Record
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.revision import status as revision_status
from navarch.core.revision.plan import plan_revision
from navarch.core.revision.status import summarise_revision
from navarch.core.world.probe import Probe, ProbeVerdict
from navarch.core.world.proxies import Census, ProxyPod
from navarch.core.world.workload import PodProblem

from tests.golden.rendering import NEWEST
from tests.unit.observations import PARENT, a_webhook
from tests.unit.test_planner import (
    ERROR,
    an_observed_mesh,
    an_observed_revision,
    established,
    leaving,
    serving,
    stamped,
)

REF = Ref("v1", "Service", "shop", "istiod")
FINE = Outcome((ObjectOutcome(REF, Action.UNCHANGED),))


def a_condition(kind: str, status: str, reason: str = "AsExpected") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": "", "observedGeneration": 1}


def settled(**changes: Any) -> ObservedMesh:
    """A mesh of which everything is as it should be."""
    observed = an_observed_mesh(crds=established())
    revision = build_wanted_revision(observed)
    assert revision is not None
    name = revision["metadata"]["name"]
    metadata = {**revision["metadata"], "generation": 1, "annotations": {APPLIED: stable_hash(revision)}}
    conditions = [
        a_condition("Available", "True"),
        a_condition("Progressing", "False", "Settled"),
        a_condition("Reconciled", "True", "Reconciled"),
        a_condition("Ready", "True"),
    ]
    status = {"conditions": conditions, "version": NEWEST, "proxy": "1.31.1-abc", "components": []}
    trusted = [
        a_webhook("tag", tag="shop-mesh", revision=name, parent=PARENT, entries={"a": {}}),
        a_webhook(
            "v", kind="ValidatingWebhookConfiguration", revision=name, parent=PARENT, entries={"v": {}}
        ),
    ]
    base = replace(
        observed,
        revisions=({**revision, "metadata": metadata, "status": status},),
        webhooks=tuple(
            replace(w, entries=tuple(replace(e, ca_bundle="root") for e in w.entries)) for w in trusted
        ),
        root="root",
        probe=Probe(ProbeVerdict.INJECTED, revision=name),
    )
    return replace(base, **changes)


def judge(
    observed: ObservedMesh, outcome: Outcome | None = FINE, findings: Any = ()
) -> dict[ConditionType, Verdict]:
    return determine_mesh(observed, findings, plan_mesh(observed, findings), outcome)


def test_a_settled_mesh_is_ready_in_every_respect() -> None:
    verdicts = judge(settled())
    assert set(verdicts) == set(mesh_status.CONDITIONS)
    good_when_false = {ConditionType.PROGRESSING, ConditionType.PAUSED, ConditionType.DELETING}
    not_ours = {ConditionType.CERTIFICATE_AUTHORITY_HEALTHY}
    assert {k for k, v in verdicts.items() if not v.is_true} == good_when_false | not_ours


def test_the_status_of_a_settled_mesh_does_not_change_when_it_is_written_again() -> None:
    observed = settled()
    status = summarise_mesh(observed, (), plan_mesh(observed, ()), FINE)
    again = replace(observed, body={**observed.body, "status": status}, now="later")
    assert summarise_mesh(again, (), plan_mesh(again, ()), FINE) == status


def test_an_edit_makes_the_mesh_progress_before_anything_was_stamped() -> None:
    observed = settled()
    wanted = observed.revisions[0]
    edited = {**wanted, "metadata": {**wanted["metadata"], "annotations": {APPLIED: "other"}}}
    verdicts = judge(replace(observed, revisions=(edited,)))
    assert verdicts[ConditionType.READY].status == "False"
    assert verdicts[ConditionType.AVAILABLE].is_true
    assert verdicts[ConditionType.UP_TO_DATE].reason is Reason.VERSION_PENDING


def test_a_revision_that_has_not_looked_at_its_generation_yet_is_progressing() -> None:
    observed = settled()
    revision = observed.revisions[0]
    newer = {**revision, "metadata": {**revision["metadata"], "generation": 2}}
    verdicts = judge(replace(observed, revisions=(newer,)))
    assert verdicts[ConditionType.PROGRESSING].is_true
    assert verdicts[ConditionType.AVAILABLE].is_true


def test_a_refused_spec_is_told_and_what_runs_stays_available() -> None:
    verdicts = judge(settled(), findings=(ERROR,))
    assert verdicts[ConditionType.SPEC_ACCEPTED].reason is Reason.UNKNOWN_VERSION
    assert "spec.version" in verdicts[ConditionType.SPEC_ACCEPTED].message
    assert verdicts[ConditionType.READY].reason is Reason.UNKNOWN_VERSION
    assert verdicts[ConditionType.AVAILABLE].is_true


def test_a_mesh_that_was_never_accepted_is_not_called_reconciled() -> None:
    verdicts = judge(an_observed_mesh(), Outcome(), (ERROR,))
    assert verdicts[ConditionType.RECONCILED].status == "Unknown"
    assert verdicts[ConditionType.AVAILABLE].reason is Reason.NOT_INSTALLED


def test_of_a_mesh_that_lost_its_revision_nothing_is_said_that_is_not_known() -> None:
    ref = Ref("apps/v1", "Deployment", "shop", "istiod")
    inventory = Inventory("u", "", {ref: Record(ref, "1", "istiod", "shop-mesh-inplace")})
    verdicts = judge(replace(an_observed_mesh(), inventory=inventory), Outcome())
    for kind in (ConditionType.AVAILABLE, ConditionType.UP_TO_DATE):
        assert (verdicts[kind].status, verdicts[kind].reason) == ("Unknown", Reason.NOT_YET_DETERMINED)
        assert "MeshRevision is missing" in verdicts[kind].message


def test_a_revision_that_was_just_made_is_no_news_of_its_mesh() -> None:
    """Each change of a condition is a status write and an Event, and one to Unknown would say nothing."""
    ready = settled()
    silent = tuple({**revision, "status": {}} for revision in ready.revisions)
    made = replace(ready, revisions=silent, webhooks=(), root="", probe=None)
    before = replace(made, revisions=())

    def tell(observed: ObservedMesh) -> dict[ConditionType, tuple[str, Reason]]:
        return {kind: (v.status, v.reason) for kind, v in judge(observed, Outcome()).items()}

    assert tell(made) == tell(before)
    assert tell(made)[ConditionType.AVAILABLE] == ("False", Reason.NOT_INSTALLED)


def test_a_restored_mesh_whose_revision_says_nothing_yet_is_not_called_uninstalled() -> None:
    ready = settled()
    silent = tuple({**revision, "status": {}} for revision in ready.revisions)
    ref = Ref("apps/v1", "Deployment", "shop", "istiod")
    recorded = Inventory("u", "", {ref: Record(ref, "1", "istiod", "shop-mesh-inplace")})
    labels = PARENT.labels(component="istiod", revision="shop-mesh-inplace")
    metadata = {"namespace": "shop", "name": "istiod", "uid": "1", "labels": labels}
    istiod = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {}, "status": {}}
    for known in ({"inventory": recorded}, {"owned": (istiod,)}):
        available = judge(replace(ready, revisions=silent, **known), Outcome())[ConditionType.AVAILABLE]
        assert (available.status, available.reason) == ("Unknown", Reason.NOT_YET_DETERMINED)


def test_a_failure_names_the_object_and_the_reason() -> None:
    failed = ObjectOutcome(REF, Action.FOREIGN, Reason.FOREIGN_OBJECT, f"{REF} exists and is not ours")
    verdict = judge(settled(), Outcome((failed,)))[ConditionType.RECONCILED]
    assert (verdict.status, verdict.reason) == ("False", Reason.FOREIGN_OBJECT)
    assert "Service shop/istiod" in verdict.message


def test_paused_says_that_nothing_is_written() -> None:
    observed = settled()
    paused = replace(observed, body={**observed.body, "spec": {**observed.body["spec"], "paused": True}})
    verdicts = judge(paused, None)
    assert verdicts[ConditionType.PAUSED].is_true
    assert verdicts[ConditionType.RECONCILED].reason is Reason.PAUSED
    assert verdicts[ConditionType.READY].status == "Unknown"
    assert judge(leaving(paused), None)[ConditionType.DELETING].reason is Reason.PAUSED


def test_a_mesh_that_goes_names_what_is_left_and_whose_proxies_stay() -> None:
    pod = ProxyPod("app", "web-1", "shop-mesh-inplace", "x")
    deleting = judge(leaving(settled()))[ConditionType.DELETING]
    assert deleting.reason is Reason.REMOVING
    assert "MeshRevision" in deleting.message
    left = judge(leaving(settled(census=Census((pod,)))))[ConditionType.DELETING]
    assert left.reason is Reason.PODS_LEFT_BEHIND
    assert "app/web-1" in left.message


def test_a_mesh_that_goes_with_its_namespace_says_so() -> None:
    observed = settled()
    going = {name: replace(namespace, terminating=True) for name, namespace in observed.namespaces.items()}
    verdict = judge(replace(observed, namespaces=going))[ConditionType.DELETING]
    assert (verdict.status, verdict.reason) == ("True", Reason.NAMESPACE_TERMINATING)


def test_a_paused_mesh_names_what_is_not_as_planned_its_own_objects_first() -> None:
    observed = settled()
    body = {**observed.body, "spec": {**observed.body["spec"], "paused": True}}
    said = Verdict("Unknown", Reason.PAUSED, "not as planned: Deployment shop/istiod")
    revision = observed.revisions[0]
    conditions = [
        {**c, "status": said.status, "reason": said.reason.value, "message": said.message}
        if c["type"] == "Reconciled"
        else c
        for c in revision["status"]["conditions"]
    ]
    revision = {**revision, "status": {**revision["status"], "conditions": conditions}}
    paused = replace(observed, body=body, revisions=(revision,))
    for outcome, words in (
        (Outcome(), "Deployment shop/istiod"),
        (Outcome(withheld=(Ref("v1", "Service", "shop", "tag"),)), "not as planned: Service shop/tag"),
    ):
        verdicts = judge(paused, outcome)
        for kind in (ConditionType.RECONCILED, ConditionType.UP_TO_DATE):
            assert (verdicts[kind].status, verdicts[kind].reason) == ("Unknown", Reason.PAUSED)
            assert words in verdicts[kind].message


def test_an_edit_of_a_paused_mesh_is_not_called_up_to_date() -> None:
    observed = settled()
    paused = replace(observed, body={**observed.body, "spec": {**observed.body["spec"], "paused": True}})
    assert judge(paused, None)[ConditionType.UP_TO_DATE].reason is Reason.PAUSED
    wanted = observed.revisions[0]
    stale = {**wanted, "metadata": {**wanted["metadata"], "annotations": {APPLIED: "other"}}}
    verdict = judge(replace(paused, revisions=(stale,)), None)[ConditionType.UP_TO_DATE]
    assert (verdict.status, verdict.reason) == ("False", Reason.VERSION_PENDING)


def test_a_revision_of_a_version_that_left_the_catalog_is_left_as_it_is_and_says_so() -> None:
    observed = settled()
    revision = observed.revisions[0]
    forgotten = {**revision, "spec": {**revision["spec"], "version": "1.2.3"}}
    decision = plan_mesh(replace(observed, revisions=(forgotten,)), (ERROR,))
    assert (decision.plan.waves, decision.plan.prune) == ((), ())
    known = an_observed_revision()
    unknown = replace(known, body={**known.body, "spec": {**known.body["spec"], "version": "1.2.3"}})
    plan = plan_revision(unknown)
    assert (plan.plan.waves, plan.plan.prune) == ((), ())
    status = summarise_revision(unknown, plan, Outcome())
    by_type = {c["type"]: c for c in status["conditions"]}
    assert by_type["Reconciled"]["reason"] == by_type["Progressing"]["reason"] == "UnknownVersion"
    assert "1.2.3" in by_type["Reconciled"]["message"]
    assert "version" not in status


def test_the_census_tells_current_from_outdated_by_the_stamp() -> None:
    name = "shop-mesh-inplace"
    pods = (
        ProxyPod("app", "new", name, "1.31.1-abc"),
        ProxyPod("app", "old", name, "1.31.0-abc"),
        ProxyPod("app", "bare", name, ""),
    )
    observed = settled(census=Census(tuple(pods)))
    assert count_proxies(observed) == {
        "total": 3,
        "current": 1,
        "outdated": 2,
        "misplaced": 0,
        "manual": 0,
        "summary": "1/3",
    }
    verdicts = judge(observed)
    assert verdicts[ConditionType.UP_TO_DATE].reason is Reason.PROXIES_OUTDATED
    assert verdicts[ConditionType.READY].is_true


def test_what_nothing_rolls_is_counted_with_the_names_of_what_it_belongs_to() -> None:
    old = ProxyPod("app", "web", "shop-mesh-inplace", "1.31.0-abc")
    job, bare = replace(old, name="report-1", job="report"), replace(old, name="shell", bare=True)
    foreign = replace(bare, namespace="front", revision="a-mesh-inplace")
    fresh = replace(bare, name="new", proxy="1.31.1-abc")
    elsewhere = replace(bare, namespace="far", name="forged")
    census = Census((old, job, replace(job, name="report-2"), bare, fresh), (elsewhere,), (foreign,))
    observed = settled(census=census)
    counted = count_proxies(observed)
    assert counted | {"total": 5, "current": 1, "outdated": 4, "misplaced": 2, "manual": 4} == counted
    assert counted["manualWorkloads"] == [
        {"namespace": "app", "kind": "Job", "name": "report", "pods": 2},
        {"namespace": "app", "kind": "Pod", "name": "shell", "pods": 1},
        {"namespace": "front", "kind": "Pod", "name": "shell", "pods": 1},
    ]
    message = judge(observed)[ConditionType.UP_TO_DATE].message
    assert "app/shell" in message
    assert "app/report" in message
    assert "forged" not in str(counted) + message
    by_hand = judge(settled(census=Census((bare,))))[ConditionType.UP_TO_DATE].message
    assert "restart the workloads" not in by_hand


def test_the_list_of_what_nothing_rolls_has_a_bound_and_the_number_has_none() -> None:
    old = ProxyPod("app", "p", "shop-mesh-inplace", "1.31.0-abc", bare=True)
    census = Census(tuple(replace(old, name=f"p{i:03}") for i in range(200)))
    counted = count_proxies(settled(census=census))
    assert (counted["manual"], len(counted["manualWorkloads"])) == (200, MOST_WORKLOADS)


def test_proxies_of_another_control_plane_in_the_mesh_s_namespaces_are_named_with_the_restart() -> None:
    moved = ProxyPod("apps", "web-1", "a-mesh-inplace", "1.31.1-abc")
    observed = settled(census=Census(of_others=(moved,)))
    verdict = judge(observed)[ConditionType.UP_TO_DATE]
    assert (verdict.status, verdict.reason) == ("False", Reason.PROXIES_MISPLACED)
    assert "apps/web-1" in verdict.message
    assert "a-mesh-inplace" in verdict.message
    assert "kubectl -n apps rollout restart deployment" in verdict.message
    assert count_proxies(observed)["misplaced"] == 1


def test_a_pod_outside_of_the_mesh_is_told_and_changes_no_verdict() -> None:
    left = ProxyPod("apps", "web-1", "shop-mesh-inplace", "1.31.1-abc")
    observed = settled(census=Census(outside=(left,)))
    verdict = judge(observed)[ConditionType.UP_TO_DATE]
    assert (verdict.status, verdict.reason) == ("True", Reason.AS_EXPECTED)
    assert "apps/web-1" in verdict.message
    assert count_proxies(observed)["total"] == 0


def without_bundles(observed: ObservedMesh, bundle: str) -> ObservedMesh:
    webhooks = tuple(
        replace(w, entries=tuple(replace(e, ca_bundle=bundle) for e in w.entries)) for w in observed.webhooks
    )
    return replace(observed, webhooks=webhooks)


@pytest.mark.parametrize(
    ("observed", "status", "reason"),
    [
        (settled(), "True", Reason.INJECTION_PROVED),
        (settled(webhooks=()), "False", Reason.WEBHOOK_MISSING),
        (without_bundles(settled(), ""), "False", Reason.CA_BUNDLE_MISSING),
        (without_bundles(settled(), "other"), "False", Reason.CA_BUNDLE_MISMATCH),
        (settled(root=""), "Unknown", Reason.NOT_YET_DETERMINED),
        (settled(probe=None), "Unknown", Reason.NOT_YET_DETERMINED),
        (settled(probe=Probe(ProbeVerdict.INJECTED, revision="x")), "False", Reason.WRONG_REVISION),
        (settled(probe=Probe(ProbeVerdict.NOT_INJECTED)), "False", Reason.NOT_INJECTED),
        (settled(probe=Probe(ProbeVerdict.WEBHOOK_FAILED, message="x509")), "False", Reason.INJECTION_FAILED),
        (settled(probe=Probe(ProbeVerdict.MADE_INVALID, message="x")), "False", Reason.INJECTION_FAILED),
        (settled(probe=Probe(ProbeVerdict.DENIED, message="quota")), "Unknown", Reason.PROBE_DENIED),
        (settled(probe=Probe(ProbeVerdict.UNREACHABLE)), "Unknown", Reason.NOT_YET_DETERMINED),
    ],
)
def test_injection_is_ready_only_with_all_three_proofs(
    observed: ObservedMesh, status: str, reason: Reason
) -> None:
    verdict = determine_injection(observed)
    assert (verdict.status, verdict.reason) == (status, reason)


def test_a_new_root_or_selector_calls_for_a_new_dry_run() -> None:
    observed = settled()
    evidence = compute_evidence(observed)
    assert is_probe_due(observed)
    assert compute_evidence(replace(observed, now="later", probe=None)) == evidence
    assert compute_evidence(without_bundles(replace(observed, root="b"), "b")) != evidence
    assert not is_probe_due(replace(observed, root="b"))


def test_a_revision_that_is_rolled_out_and_as_planned_is_ready() -> None:
    plan = plan_revision(an_observed_revision()).plan
    there = tuple(stamped(o) for o in serving(plan))
    observed = an_observed_revision(owned=there, now="t")
    decision = plan_revision(observed)
    status = summarise_revision(observed, decision, FINE)
    assert {c["type"] for c in status["conditions"]} == {str(c) for c in revision_status.CONDITIONS}
    assert {c["type"]: c["status"] for c in status["conditions"]}["Ready"] == "True"
    assert status["version"] == NEWEST
    assert status["proxy"] == decision.proxy
    assert status["components"][0] == {
        "kind": "Deployment",
        "name": there_name(there),
        "ready": 1,
        "desired": 1,
    }


def test_a_stuck_rollout_quotes_the_pods() -> None:
    plan = plan_revision(an_observed_revision()).plan
    there = tuple(stamped(_unfinished(o)) for o in serving(plan))
    problem = PodProblem("istiod-2", "FailedScheduling", "0/1 nodes are available")
    observed = an_observed_revision(owned=there, problems=(problem,), now="t")
    status = summarise_revision(observed, plan_revision(observed), FINE)
    by_type = {c["type"]: c for c in status["conditions"]}
    assert by_type["Progressing"]["reason"] == "RolloutStuck"
    assert "0/1 nodes are available" in by_type["Progressing"]["message"]
    assert by_type["Available"]["status"] == "True"
    assert "version" not in status


def there_name(objects: tuple[Manifest, ...]) -> str:
    return next(str(o["metadata"]["name"]) for o in objects if o["kind"] == "Deployment")


def _unfinished(manifest: Manifest) -> Manifest:
    if manifest["kind"] != "Deployment":
        return manifest
    return {**manifest, "status": {**manifest["status"], "updatedReplicas": 0}}


def test_only_a_repaired_edit_is_drift() -> None:
    results = (
        ObjectOutcome(REF, Action.CONFIGURED, drift=True),
        ObjectOutcome(REF, Action.CONFIGURED),
        ObjectOutcome(REF, Action.CREATED),
    )
    assert find_drift(Outcome(results)) == ["Service shop/istiod"]


def test_a_revision_claims_nothing_of_what_becomes_of_a_mesh_that_is_being_deleted() -> None:
    mesh = an_observed_revision().mesh
    assert mesh is not None
    going = {**mesh, "metadata": {**mesh["metadata"], "deletionTimestamp": "2026-10-01T11:00:00Z"}}
    observed = an_observed_revision(mesh=going)
    status = summarise_revision(observed, plan_revision(observed), None)
    (progressing,) = (c for c in status["conditions"] if c["type"] == "Progressing")
    assert (progressing["status"], progressing["reason"]) == ("Unknown", "NotYetDetermined")
    assert (
        progressing["message"] == "nothing is made while the mesh, or its namespace, is being deleted or gone"
    )


@pytest.mark.parametrize(
    ("served", "reason"), [({"version": NEWEST}, Reason.NO_REPLICA_AVAILABLE), ({}, Reason.NOT_INSTALLED)]
)
@pytest.mark.parametrize("paused", [False, True])
def test_of_a_missing_istiod_a_paused_mesh_says_that_nothing_makes_it(
    served: dict[str, Any], reason: Reason, paused: bool
) -> None:
    base = an_observed_revision()
    assert base.mesh is not None
    mesh = {**base.mesh, "spec": {**base.mesh["spec"], "paused": paused}}
    observed = replace(base, body={**base.body, "status": served}, mesh=mesh)
    status = summarise_revision(observed, plan_revision(observed), FINE)
    by_type = {c["type"]: c for c in status["conditions"]}
    assert by_type["Available"]["reason"] == reason
    assert ("nothing makes it: spec.paused is true" in by_type["Available"]["message"]) is paused
    assert (by_type["Progressing"]["reason"] == Reason.PAUSED) is paused


def test_what_holds_a_removal_up_is_named_with_what_is_left() -> None:
    left = settled()
    body = {**left.body, "metadata": {**left.body["metadata"], "deletionTimestamp": "2026-11-01T00:00:00Z"}}
    (first,) = left.revisions
    marks = {"deletionTimestamp": "2026-11-01T00:00:00Z", "finalizers": ["theirs.example/hold", "orphan"]}
    held = {**first, "metadata": {**first["metadata"], **marks}}
    leaving = replace(left, body=body, revisions=(held,))
    message = judge(leaving, Outcome())[ConditionType.DELETING].message
    assert f"{ref_of(first)} (held by the finalizer theirs.example/hold)" in message
    assert message.count("held by") == 1
