"""A MeshMember brings its namespace into a mesh by two labels, and takes them off again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from navarch.core.member.checks import run_checks
from navarch.core.member.observed import ObservedMember
from navarch.core.member.plan import plan_member
from navarch.core.member.status import is_released
from navarch.core.model.claims import Claim, find_claimed
from navarch.core.model.naming import hosted_namespace
from navarch.core.model.reasons import Reason

from tests.unit.members import JOINED, a_member, a_proxy, joined, verdicts
from tests.unit.observations import NOW

GONE = replace(a_member(), body=None, spec=None)
"""A namespace without a member."""


def claims_of(observed: ObservedMember) -> tuple[Claim, ...]:
    return plan_member(observed, run_checks(observed)).claims


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
    assert find_claimed({"metadata": {"name": "front"}}) == ()
