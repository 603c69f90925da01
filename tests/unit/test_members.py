"""A MeshMember brings its namespace into a mesh by two labels, and takes them off again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from navarch.api.member import MOST_WORKLOADS
from navarch.core.member.checks import run_checks
from navarch.core.member.observed import ObservedMember
from navarch.core.member.plan import plan_member
from navarch.core.member.status import is_released, summarise_member
from navarch.core.model.claims import Claim, find_claimed, find_copied
from navarch.core.model.naming import hosted_namespace
from navarch.core.model.reasons import Reason
from navarch.gather.excerpts import shrink_proxy_pod

from tests.unit.members import JOINED, a_member, a_proxy, joined, verdicts
from tests.unit.observations import NOW

GONE = replace(a_member(), body=None, spec=None)
"""A namespace without a member."""


def claims_of(observed: ObservedMember) -> tuple[Claim, ...]:
    """The claims for which something is to be written."""
    return tuple(c for c in plan_member(observed, run_checks(observed)).claims if not c.stands)


def with_labels(observed: ObservedMember, **labels: str) -> ObservedMember:
    assert observed.place is not None
    return replace(observed, place=replace(observed.place, labels={**observed.place.labels, **labels}))


def test_a_namespace_joins_by_two_labels_and_then_nothing_is_to_be_done() -> None:
    observed = a_member()
    (claim,) = claims_of(observed)
    assert (dict(claim.labels), claim.uid, claim.ref.name) == (JOINED, "uid-front", "front")
    settled = joined(observed)
    assert claims_of(settled) == ()
    assert verdicts(settled)["Ready"] == ("True", "AsExpected")


def test_a_member_without_injection_belongs_to_the_mesh_and_has_no_tag() -> None:
    (claim,) = claims_of(a_member({"injection": "Disabled"}))
    assert set(claim.labels) == {"mesh.navarch.io/member-of"}
    (claim,) = claims_of(replace(joined(a_member()), spec=a_member({"injection": "Disabled"}).spec))
    assert set(claim.labels) == {"mesh.navarch.io/member-of"}, "the other one is taken off"


def test_a_namespace_that_carries_the_labels_by_anothers_hand_is_claimed() -> None:
    by_hand = with_labels(a_member(), **JOINED)
    (claim,) = claims_of(by_hand)
    assert dict(claim.labels) == JOINED


@pytest.mark.parametrize("how", ["deleted", "gone", "namespace deleted", "mesh gone"])
def test_a_namespace_leaves_by_losing_both(how: str) -> None:
    settled = joined(a_member())
    assert settled.body is not None
    assert settled.place is not None
    body = {**settled.body, "metadata": {**settled.body["metadata"], "deletionTimestamp": NOW}}
    left = {
        "deleted": replace(settled, body=body),
        "gone": replace(settled, body=None, spec=None),
        "namespace deleted": replace(settled, place=replace(settled.place, terminating=True)),
        "mesh gone": replace(settled, mesh=None),
    }[how]
    (claim,) = claims_of(left)
    assert dict(claim.labels) == {}
    assert not is_released(left)
    off = joined(left)
    assert claims_of(off) == ()
    assert is_released(off) is (how == "deleted")


def test_a_namespace_stays_while_its_mesh_is_only_being_deleted_or_its_own_kind_is() -> None:
    settled = joined(a_member())
    assert settled.body is not None
    assert settled.mesh is not None
    going = {"deletionTimestamp": NOW}
    mesh = {**settled.mesh, "metadata": {**settled.mesh["metadata"], **going}}
    assert claims_of(replace(settled, mesh=mesh)) == (), "the deletion may wait, or be of the kind alone"
    body = {**settled.body, "metadata": {**settled.body["metadata"], **going}}
    with_its_kind = replace(settled, body=body, kind_deleted=NOW)
    assert claims_of(with_its_kind) == ()
    assert not is_released(with_its_kind)
    assert verdicts(with_its_kind)["Deleting"] == ("True", "KindDeleted")


def test_a_namespace_that_is_being_deleted_is_held_by_no_pause_and_by_no_refusal_to_unlabel_it() -> None:
    settled = joined(a_member())
    assert settled.body is not None
    assert settled.place is not None
    assert settled.mesh is not None
    body = {**settled.body, "metadata": {**settled.body["metadata"], "deletionTimestamp": NOW}}
    leaving = replace(settled, body=body)
    paused = replace(leaving, mesh={**settled.mesh, "spec": {"paused": True}})
    for observed in (leaving, paused):
        assert not is_released(observed)
        assert is_released(replace(observed, place=replace(settled.place, terminating=True)))


def test_pods_of_a_pinned_gateway_are_current_by_their_pin() -> None:
    pinned = replace(a_proxy("gateway-1", "1.30.8-pin"), gateway="edge")
    settled = replace(joined(a_member()), proxies=(pinned,), pins={("front", "edge"): "1.30.8-pin"})
    assert verdicts(settled)["UpToDate"] == ("True", "AsExpected")


def test_a_label_that_anybody_put_there_goes_with_the_member() -> None:
    gone = with_labels(GONE, **{"mesh.navarch.io/member-of": "shop.mesh"})
    (claim,) = claims_of(gone)
    assert claim.exclusive == {"mesh.navarch.io/member-of"}


def test_a_namespace_that_never_joined_is_not_written_to() -> None:
    assert claims_of(GONE) == ()
    assert claims_of(a_member(mesh=None)) == ()
    assert claims_of(a_member(place=None)) == ()


def test_a_mesh_that_has_no_tag_yet_is_waited_for() -> None:
    observed = a_member()
    assert observed.mesh is not None
    waiting = replace(observed, mesh={**observed.mesh, "status": {}})
    plan = plan_member(waiting, run_checks(waiting))
    assert plan.claims == ()
    assert plan.waiting
    assert verdicts(waiting)["Ready"] == ("False", "Progressing")


def put_out(observed: ObservedMember, *names: str) -> ObservedMember:
    """The same once its mesh names these namespaces as none of its own."""
    assert observed.mesh is not None
    return replace(observed, mesh={**observed.mesh, "spec": {"excludedNamespaces": [*names]}})


def test_a_namespace_that_its_mesh_puts_out_loses_its_labels_and_no_other_does() -> None:
    settled = joined(a_member())
    (claim,) = claims_of(put_out(settled, "front", "back"))
    assert dict(claim.labels) == {}
    assert claims_of(put_out(settled, "back")) == ()
    assert verdicts(put_out(settled, "back"))["Ready"] == ("True", "AsExpected")


@pytest.mark.parametrize(
    ("observed", "reason"),
    [
        (a_member(mesh=None), Reason.MESH_NOT_FOUND),
        (a_member(holds="mesh"), Reason.NAMESPACE_REFUSED),
        (a_member(namespace="kube-tools"), Reason.NAMESPACE_REFUSED),
        (a_member(namespace="openshift-x"), Reason.NAMESPACE_REFUSED),
        (a_member(namespace="navarch-system"), Reason.NAMESPACE_REFUSED),
        (a_member(namespace="navarch-probe"), Reason.NAMESPACE_REFUSED),
        (a_member(namespace=hosted_namespace("shop", "mesh")), Reason.NAMESPACE_REFUSED),
        (put_out(a_member(), "front"), Reason.NAMESPACE_EXCLUDED),
        (replace(a_member(), spec=None, spec_error="spec.injection: no"), Reason.INVALID_SPEC),
    ],
)
def test_what_keeps_a_namespace_out_is_told_with_its_remedy(observed: ObservedMember, reason: Reason) -> None:
    finding = run_checks(observed)[0]
    assert finding.reason is reason
    assert finding.remedy
    assert claims_of(observed) == ()
    assert verdicts(observed)["Ready"] == ("False", reason.value)


def test_a_label_that_istio_takes_first_is_told_and_the_namespace_stays_a_member() -> None:
    settled = with_labels(joined(a_member()), **{"istio-injection": "disabled"})
    assert claims_of(settled) == ()
    assert verdicts(settled)["InjectionReady"] == ("False", "LabelConflict")
    assert verdicts(settled)["Ready"] == ("False", "LabelConflict")


def test_older_proxies_are_counted_and_do_not_make_the_membership_unready() -> None:
    settled = replace(joined(a_member()), proxies=(a_proxy("a"), a_proxy("b", "1.30.1-old")))
    assert verdicts(settled)["UpToDate"] == ("False", "ProxiesOutdated")
    assert verdicts(settled)["Ready"] == ("True", "AsExpected")


def test_while_the_mesh_is_paused_a_member_stays_as_it_is() -> None:
    observed = a_member()
    assert observed.mesh is not None
    held = replace(observed, mesh={**observed.mesh, "spec": {"paused": True}})
    assert verdicts(held)["Reconciled"] == ("Unknown", "Paused")


def test_which_labels_a_claim_holds_is_read_from_managed_fields() -> None:
    labels = {"f:mesh.navarch.io/member-of": {}, "f:istio.io/rev": {}}
    ours = {
        "manager": "navarch-members",
        "operation": "Apply",
        "fieldsV1": {"f:metadata": {"f:labels": labels}},
    }
    others = {
        "manager": "kubectl",
        "operation": "Apply",
        "fieldsV1": {"f:metadata": {"f:labels": {"f:a": {}}}},
    }
    namespace = {"metadata": {"name": "front", "managedFields": [others, ours]}}
    assert find_claimed(namespace) == ("istio.io/rev", "mesh.navarch.io/member-of")
    labels["f:team"] = {}
    assert find_claimed(namespace) == ("istio.io/rev", "mesh.navarch.io/member-of"), "another's in our name"
    assert find_claimed({"metadata": {"name": "front"}}) == ()


def test_what_a_backup_restored_of_a_membership_is_told_from_what_a_user_wrote() -> None:
    def build(manager: str, *keys: str) -> dict[str, Any]:
        fields = {"f:metadata": {"f:labels": {f"f:{key}": {} for key in keys}}}
        return {"manager": manager, "operation": "Update", "fieldsV1": fields}

    of, rev = "mesh.navarch.io/member-of", "istio.io/rev"
    restored = {"metadata": {"name": "front", "managedFields": [build("velero", of, rev, "team")]}}
    assert find_copied(restored) == (rev, of)
    assert find_copied({"metadata": {"name": "front", "managedFields": [build("kubectl", rev)]}}) == ()


# --- what is counted ----------------------------------------------------------------------------------------


def census_of(observed: ObservedMember) -> dict[str, Any]:
    findings = run_checks(observed)
    return dict(summarise_member(observed, findings, plan_member(observed, findings), None)["proxies"])


def test_pods_that_no_rollout_replaces_are_counted_by_what_they_belong_to() -> None:
    old = "1.30.1-old"
    job = replace(a_proxy("report-1", old), job="report")
    pods = (
        job,
        replace(job, name="report-2"),
        replace(a_proxy("shell", old), bare=True),
        a_proxy("web", old),
    )
    current = replace(a_proxy("fine"), bare=True)
    settled = replace(joined(a_member()), proxies=(*pods, current))
    counted = census_of(settled)
    assert counted | {"total": 5, "current": 1, "outdated": 4, "manual": 3, "summary": "1/5"} == counted
    assert counted["manualWorkloads"] == [
        {"kind": "Job", "name": "report", "pods": 2},
        {"kind": "Pod", "name": "shell", "pods": 1},
    ]
    message = tell(settled, "UpToDate")
    assert "rollout restart" in message
    assert "shell" in message
    assert "report" in message


def test_proxies_of_another_control_plane_are_misplaced_and_told_with_what_replaces_them() -> None:
    moved = replace(a_proxy("web"), revision="other-mesh-inplace", bare=True)
    settled = replace(joined(a_member()), of_others=(moved,))
    assert verdicts(settled)["UpToDate"] == ("False", "ProxiesMisplaced")
    counted = census_of(settled)
    assert counted | {"total": 0, "misplaced": 1, "manual": 1} == counted
    assert "rollout restart" not in tell(settled, "UpToDate")


def test_the_list_of_what_is_replaced_by_hand_has_a_bound() -> None:
    pods = tuple(replace(a_proxy(f"p{i:03}", "old"), bare=True) for i in range(100))
    counted = census_of(replace(joined(a_member()), proxies=pods))
    assert (counted["manual"], len(counted["manualWorkloads"])) == (100, MOST_WORKLOADS)


@pytest.mark.parametrize(
    ("owner", "job", "bare"),
    [
        (None, "", True),
        ({"kind": "Job", "name": "report", "controller": True}, "report", False),
        ({"kind": "ReplicaSet", "name": "web-1", "controller": True}, "", False),
        ({"kind": "Job", "name": "report"}, "", True),
    ],
)
def test_what_makes_a_pod_anew_is_its_controller(owner: dict[str, Any] | None, job: str, bare: bool) -> None:
    metadata = {"namespace": "front", "name": "web", "annotations": {"istio.io/rev": "shop-mesh-inplace"}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "ownerReferences": [owner or {}]}}
    if owner is None:
        pod = {**pod, "metadata": metadata}
    proxy = shrink_proxy_pod(pod)["proxy"]
    assert (proxy.job, proxy.bare) == (job, bare)


def tell(observed: ObservedMember, kind: str) -> str:
    findings = run_checks(observed)
    status = summarise_member(observed, findings, plan_member(observed, findings), None)
    return str(next(c["message"] for c in status["conditions"] if c["type"] == kind))


# --- whose labels count -------------------------------------------------------------------------------------


def test_a_namespace_that_another_mesh_takes_by_a_tag_leaves_and_is_told_by_which_label() -> None:
    shared = replace(
        with_labels(joined(a_member({"injection": "Disabled"})), **{"istio.io/rev": "b-mesh"}), taker="b/mesh"
    )
    (finding,) = run_checks(shared)
    assert finding.reason is Reason.NAMESPACE_SHARED
    assert "b/mesh" in finding.message
    assert "istio.io/rev=b-mesh" in finding.message
    assert "kubectl label namespace front istio.io/rev-" in finding.remedy
    (claim,) = claims_of(shared)
    assert dict(claim.labels) == {}, "two control planes never write their roots into it"
    assert plan_member(shared, (finding,)).requeue_after, "no event tells when that mesh is gone"


def test_another_clients_tag_is_told_before_any_write_is_tried() -> None:
    observed = with_labels(a_member(), **{"istio.io/rev": "elsewhere"})
    assert verdicts(observed)["InjectionReady"] == ("False", "LabelConflict")
    assert "istio.io/rev=elsewhere" in tell(observed, "InjectionReady")
