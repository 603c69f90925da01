"""A mesh to which every namespace belongs: who stands back for whom, what follows, and what is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from navarch.core.mesh.checks.scope import (
    check_cluster_has_no_other_istio,
    check_cluster_is_its_own,
    check_isolation_closes_something,
)
from navarch.core.mesh.members import summarise_members, view_members
from navarch.core.mesh.membership import find_effective_membership
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.plan import plan_mesh
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.naming import hosted_namespace
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, ref_of
from navarch.core.model.scope import (
    has_to_ask,
    holds_anything,
    holds_cluster,
    is_let_pass,
    reaches_cluster,
)
from navarch.core.revision.alone import build_selector, find_rivals, tell_rivals
from navarch.core.world.cluster import Namespace
from navarch.core.world.neighbours import MeshSummary

from tests.unit.observations import PARENT, a_mesh, a_revision, a_spec, a_webhook, an_observed_mesh, only

CLUSTER = a_spec(scope="Cluster")
LATER = "2026-07-01T00:00:00Z"
LABEL = {"mesh.navarch.io/scope": "Cluster"}


def revise(
    *, cluster: bool, reason: str = "Settled", seen: int = 1, labelled: bool | None = None
) -> Manifest:
    """The mesh's MeshRevision, with its condition Progressing of the generation `seen`; without one for 0."""
    revision = a_revision("1.31.1")
    revision["spec"]["members"] |= {"memberOf": "shop.mesh", "cluster": True} if cluster else {}
    revision["metadata"]["labels"] |= LABEL if (cluster if labelled is None else labelled) else {}
    told = {
        "type": "Progressing",
        "status": "True",
        "reason": reason,
        "message": "",
        "observedGeneration": seen,
    }
    return {**revision, "status": {"conditions": [told] if seen else []}}


def judge(observed: ObservedMesh) -> list[Finding]:
    return list(check_cluster_is_its_own(observed))


OLDER, YOUNGER = a_mesh("bank"), a_mesh("bank", created=LATER)
INSTALLED = a_mesh("bank", created=LATER, waiting=False, holds_any=True)
MADE = a_mesh("bank", created=LATER, waiting=False)
"""It has a MeshRevision, which was not let pass."""
HOLDER = replace(INSTALLED, cluster=True, holds_cluster=True)
ASKING = replace(INSTALLED, cluster=True)


@pytest.mark.parametrize(
    ("other", "refused"),
    [
        (OLDER, True),
        (YOUNGER, False),
        (INSTALLED, True),
        (MADE, False),
        (HOLDER, True),
        (replace(OLDER, refused=True), False),
        (replace(YOUNGER, cluster=True), False),
    ],
)
def test_who_asks_for_every_namespace_comes_after_each_that_holds_anything_and_after_older_ones(
    other: MeshSummary, refused: bool
) -> None:
    findings = judge(an_observed_mesh(spec=CLUSTER, neighbours=(other,)))
    assert [f.reason for f in findings] == [Reason.SCOPE_CONFLICT] * refused
    assert all("mesh bank/mesh" in f.message and f.value == "Cluster" for f in findings)


@pytest.mark.parametrize(
    ("other", "refused"),
    [
        (replace(OLDER, cluster=True), True),
        (replace(YOUNGER, cluster=True), False),
        (ASKING, True),
        (HOLDER, True),
        (replace(OLDER, cluster=True, refused=True), False),
        (replace(MADE, cluster=True), False),
        (INSTALLED, False),
    ],
)
def test_who_has_nothing_comes_after_who_has_every_namespace_or_asked_for_them_before(
    other: MeshSummary, refused: bool
) -> None:
    findings = judge(an_observed_mesh(neighbours=(other,)))
    assert [f.reason for f in findings] == [Reason.SCOPE_CONFLICT] * refused
    assert all("mesh bank/mesh" in f.message and f.value == "unset" for f in findings)


def test_who_holds_something_stands_back_from_who_has_every_namespace_and_not_from_who_asks() -> None:
    def installed(other: MeshSummary) -> ObservedMesh:
        return an_observed_mesh(neighbours=(other,), revisions=(revise(cluster=False),))

    assert judge(installed(ASKING)) == []
    assert judge(installed(replace(ASKING, created="2026-01-01T00:00:00Z"))) == []
    assert [f.reason for f in judge(installed(HOLDER))] == [Reason.SCOPE_CONFLICT]


def test_who_has_every_namespace_keeps_them_but_for_an_older_one_that_has_them() -> None:
    def holding(other: MeshSummary) -> ObservedMesh:
        return an_observed_mesh(spec=CLUSTER, neighbours=(other,), revisions=(revise(cluster=True),))

    assert judge(holding(OLDER)) == judge(holding(INSTALLED)) == judge(holding(HOLDER)) == []
    restored = replace(HOLDER, created="2026-01-01T00:00:00Z")
    assert [f.reason for f in judge(holding(restored))] == [Reason.SCOPE_CONFLICT]


@pytest.mark.parametrize("scope", ["", "Cluster"])
def test_who_was_refused_waits_for_an_edit(scope: str) -> None:
    def refused(generation: int) -> ObservedMesh:
        told = {"type": "SpecAccepted", "status": "False", "reason": "ScopeConflict", "message": ""}
        status = {"conditions": [told | {"observedGeneration": generation}]}
        return an_observed_mesh(spec=a_spec(**({"scope": scope} if scope else {})), status=status)

    assert "edit" in only(check_cluster_is_its_own, refused(1)).remedy
    assert judge(refused(0)) == []


@pytest.mark.parametrize("holding", [False, True])
def test_beside_the_istio_of_others_no_mesh_takes_every_namespace_and_one_that_has_them_is_warned(
    holding: bool,
) -> None:
    entries = {"rev.namespace.sidecar-injector.istio.io": {}}
    there = (a_webhook("istio-sidecar-injector", revision="default", entries=entries),)
    revisions = (revise(cluster=True),) if holding else ()
    finding = only(
        check_cluster_has_no_other_istio, an_observed_mesh(spec=CLUSTER, webhooks=there, revisions=revisions)
    )
    assert (finding.reason, finding.field) == (Reason.FOREIGN_ISTIO, "spec.scope")
    assert finding.severity is (Severity.WARNING if holding else Severity.ERROR)
    assert "istio-sidecar-injector" in finding.message
    assert not list(check_cluster_has_no_other_istio(an_observed_mesh(webhooks=there)))
    validator = (a_webhook("istio-validator", revision="default", entries={"rev.validation.istio.io": {}}),)
    assert not list(check_cluster_has_no_other_istio(an_observed_mesh(spec=CLUSTER, webhooks=validator)))


def test_isolation_of_members_is_told_to_close_nothing_where_all_belong_to_the_mesh() -> None:
    policies = {"manage": True, "isolateMembers": True}
    finding = only(
        check_isolation_closes_something, an_observed_mesh(spec=CLUSTER | {"networkPolicies": policies})
    )
    assert (finding.reason, finding.severity) == (Reason.FIELD_WITHOUT_EFFECT, Severity.WARNING)
    of_members = a_spec(scope="Members", networkPolicies=policies)
    assert not list(check_isolation_closes_something(an_observed_mesh(spec=of_members)))


# --- what is decided once more where control planes are made


@pytest.mark.parametrize(
    ("revision", "passed", "holds"),
    [
        (revise(cluster=True), True, True),
        (revise(cluster=True, reason="ScopeConflict"), False, False),
        (revise(cluster=True, reason="InternalError"), False, False),
        (revise(cluster=True, seen=0), False, False),
        (revise(cluster=False, labelled=True, seen=0), False, True),
        (revise(cluster=False), True, False),
    ],
)
def test_a_revision_has_every_namespace_from_when_it_was_let_pass_until_it_gave_them_up(
    revision: Manifest, passed: bool, holds: bool
) -> None:
    assert (is_let_pass(revision), holds_cluster(revision)) == (passed, holds)


def test_a_revision_asks_until_it_was_let_pass_and_one_that_reaches_all_after_each_change() -> None:
    changed, widened = revise(cluster=True, seen=2), revise(cluster=True, reason="ScopeConflict")
    assert has_to_ask(changed)
    assert not has_to_ask(revise(cluster=True))
    assert has_to_ask(revise(cluster=False, seen=0))
    assert has_to_ask(revise(cluster=False, reason="ScopeConflict"))
    assert not has_to_ask(revise(cluster=False, seen=2)), "it stood in the way of all others since"
    served = {**widened, "status": {**widened["status"], "version": "1.31.1"}}
    assert has_to_ask(served)
    assert holds_anything(served), "its istiod runs as before"
    assert not holds_anything(widened)


def of(mesh: str, revision: Manifest) -> Manifest:
    labels = {**revision["metadata"]["labels"], "mesh.navarch.io/mesh-namespace": mesh}
    return {**revision, "metadata": {**revision["metadata"], "namespace": mesh, "labels": labels}}


def test_any_other_revision_stands_in_the_way_of_one_that_reaches_all_and_only_such_a_one_in_others() -> None:
    every, some = revise(cluster=True), revise(cluster=False)
    narrowing = revise(cluster=False, labelled=True)
    others = (of("bank", some), of("lab", narrowing), every)
    assert find_rivals(every, others) == ("mesh bank/mesh", "mesh lab/mesh")
    assert find_rivals(some, (of("bank", every), of("lab", narrowing), of("x", some), some)) == (
        "mesh bank/mesh",
        "mesh lab/mesh",
    )
    assert build_selector(some) == "mesh.navarch.io/scope=Cluster"
    assert build_selector(every) == "", "all of them are looked for"
    assert "mesh bank/mesh" in tell_rivals(every, ("mesh bank/mesh",))


# --- what follows for the mesh


def test_a_revision_says_by_a_label_that_it_reaches_all_until_it_was_rolled_out_without() -> None:
    def wanted(spec: dict[str, Any], *revisions: Manifest) -> Manifest:
        found = plan_mesh(an_observed_mesh(spec=spec, revisions=revisions), ()).revision
        assert found is not None
        return found

    assert reaches_cluster(wanted(CLUSTER))
    assert wanted(CLUSTER)["spec"]["members"]["memberOf"] == "shop.mesh"
    assert not reaches_cluster(wanted(a_spec()))
    before = revise(cluster=True)
    assert (
        wanted(a_spec(), before)["metadata"]["labels"] | LABEL
        == wanted(a_spec(), before)["metadata"]["labels"]
    )
    rolling = revise(cluster=False, labelled=True, reason="RollingOut")
    assert reaches_cluster(wanted(a_spec(), rolling))
    unseen = revise(cluster=False, labelled=True, seen=0)
    assert reaches_cluster(wanted(a_spec(), unseen))
    assert not reaches_cluster(wanted(a_spec(), revise(cluster=False, labelled=True)))


def test_a_mesh_that_has_made_nothing_but_a_revision_takes_it_back_for_the_sake_of_another() -> None:
    found = {"bank": HOLDER}

    def decide(revision: Manifest) -> tuple[Manifest, ...]:
        observed = an_observed_mesh(neighbours=tuple(found.values()), revisions=(revision,))
        return tuple(plan_mesh(observed, judge(observed)).plan.prune)

    held = revise(cluster=False, reason="ScopeConflict")
    assert ref_of(held) in decide(held)
    passed = revise(cluster=False)
    assert decide(passed) == (), "what was let pass stays"
    found.clear()
    assert decide(held) == ()


def test_every_namespace_counts_as_a_member_but_the_platforms_and_navarchs() -> None:
    observed = an_observed_mesh(spec=CLUSTER)
    names = ("apps", "kube-tools", "kube-system", "openshift-x", "navarch-system", "navarch-probe", "theirs")
    labels = {"theirs": {"mesh.navarch.io/member-of": "bank.mesh"}}
    places = {name: Namespace(name, labels.get(name, {})) for name in names}
    observed = replace(observed, namespaces={**observed.namespaces, **places})
    views = view_members(observed)
    assert [view.namespace for view in views] == ["apps"]
    assert summarise_members(views)["summary"] == "1/1"


def test_the_namespace_of_a_hosted_control_plane_stays_outside_and_that_of_a_refused_mesh_inside() -> None:
    home = hosted_namespace(PARENT.namespace, PARENT.name)
    observed = an_observed_mesh(spec=CLUSTER, neighbours=(YOUNGER, replace(INSTALLED, namespace="lab")))
    own = replace(observed.own, hosted=True)
    places = {name: Namespace(name, {}) for name in (home, "bank", "lab")}
    observed = replace(
        observed,
        meshes=tuple(sorted({*observed.meshes} - {observed.own} | {own})),
        namespaces={**observed.namespaces, **places},
    )
    excluded = find_effective_membership(observed).excluded
    assert {home, "lab"} <= {*excluded}
    assert "bank" not in excluded
