"""istiod's rights: what its roles hold, which are bound, and in which order they come and go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from navarch.core.istio.roles import (
    Rule,
    build_roles,
    gateway_controller_rules,
    hash_rules,
)
from navarch.core.mesh.checks.rights import check_gateway_controller_is_said_once
from navarch.core.mesh.plan import plan_mesh
from navarch.core.mesh.status import determine_dependencies
from navarch.core.model.actions import Plan
from navarch.core.model.hashing import stable_hash
from navarch.core.model.labels import APPLIED
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, ref_of
from navarch.core.render.values import GATEWAY_CONTROLLER
from navarch.core.revision.observed import ObservedRevision
from navarch.core.revision.plan import plan_revision
from navarch.core.revision.rights import find_bound
from navarch.core.revision.status import determine_rolling

from tests.unit.observations import OURS, PARENT, a_spec, an_observed_mesh, ask, assets, only
from tests.unit.test_planner import an_observed_revision, established, installed, serving, stamped

RBAC = "rbac.authorization.k8s.io"
MINORS = ("1.29", "1.30", "1.31")
Triple = tuple[str, str, str]


def spell(rules: Iterable[Rule]) -> set[Triple]:
    """Rules, one permission at a time."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


# --- what the roles hold


@pytest.mark.parametrize("minor", MINORS)
def test_the_confined_role_lacks_what_the_gateway_controller_needs_and_writing_webhooks(minor: str) -> None:
    roles = build_roles(assets(), minor)
    admission = "admissionregistration.k8s.io"
    full, confined = spell(roles.full.rules), spell(roles.confined.rules)
    assert confined < full
    assert full - confined == {
        # An istiod reads Services in either mode.
        *(row for row in spell(gateway_controller_rules()) if row not in confined),
        (admission, "mutatingwebhookconfigurations", "patch"),
        (admission, "mutatingwebhookconfigurations", "update"),
        (admission, "validatingwebhookconfigurations", "update"),
    }
    writing = {(resource, verb) for _, resource, verb in confined if verb not in ("get", "list", "watch")}
    for resource in ("deployments", "services", "serviceaccounts", "poddisruptionbudgets", "pods", "secrets"):
        assert not {row for row in writing if row[0] == resource}


@pytest.mark.parametrize("minor", MINORS)
def test_secrets_are_written_and_leases_are_held_in_the_meshs_namespace_alone(minor: str) -> None:
    roles = build_roles(assets(), minor)
    everywhere, near = spell(roles.full.rules), spell(roles.namespace.rules)
    assert {verb for _, resource, verb in everywhere if resource == "secrets"} == {"get", "list", "watch"}
    assert not {row for row in everywhere if row[1] == "leases"}
    assert ("", "secrets", "create") in near
    assert ("coordination.k8s.io", "leases", "update") in near


def test_the_roles_of_neighbouring_minors_are_no_supersets_of_each_other_where_a_kind_graduated() -> None:
    """Why both are bound while istiods of both minors run."""
    old, new = (spell(build_roles(assets(), minor).full.rules) for minor in ("1.29", "1.30"))
    assert {row[1] for row in old - new} == {"xlistenersets", "xlistenersets/status"}
    assert {row[1] for row in new - old} == {"listenersets", "listenersets/status", "trafficextensions"}
    assert new == spell(build_roles(assets(), "1.31").full.rules)


def test_a_roles_name_says_minor_and_rules_and_no_two_are_equal() -> None:
    roles = [role for minor in MINORS for role in build_roles(assets(), minor)]
    assert len({role.name for role in roles}) == len(roles) == 9
    for role in roles:
        assert role.name.endswith(f"-{stable_hash(list(role.rules), length=8)}")


# --- in which order they come and go


def names(objects: Iterable[Manifest]) -> set[str]:
    return {f"{o['kind']} {o['metadata']['name']}" for o in objects if o["kind"].endswith("Binding")}


def applied(plan: Plan) -> tuple[Manifest, ...]:
    """What the plan applies, as it stands in the cluster afterwards, with an istiod that serves."""
    return tuple(map(owned, map(stamped, serving(plan))))


def owned(manifest: Manifest) -> Manifest:
    """The object with our entry in managedFields, which proves that we made it."""
    return {**manifest, "metadata": {**manifest["metadata"], "managedFields": OURS}}


def build_older_layout(observed: ObservedRevision) -> tuple[Manifest, ...]:
    """Roles and bindings as releases made them that rendered the roles for each mesh."""
    revision = observed.body["metadata"]["name"]
    labels = PARENT.labels(component="istiod", revision=revision)
    name, place = f"istiod-clusterrole-{revision}-{PARENT.namespace}", {"namespace": PARENT.namespace}

    def build(kind: str, name: str, **more: Any) -> Manifest:
        metadata = {"name": name, "labels": labels, "managedFields": OURS, **more}
        body: dict[str, Any] = {"rules": []}
        if kind.endswith("Binding"):
            body = {"roleRef": {"name": name}}
        return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": metadata, **body}

    return (
        build("ClusterRole", name),
        build("ClusterRoleBinding", name),
        build("Role", f"istiod-{revision}", **place),
        build("RoleBinding", f"istiod-{revision}", **place),
    )


def without_bindings(objects: Iterable[Manifest]) -> tuple[Manifest, ...]:
    return tuple(o for o in objects if not o["kind"].endswith("Binding"))


def test_rights_of_an_older_layout_go_only_after_the_new_bindings_were_seen() -> None:
    observed = an_observed_revision()
    older = build_older_layout(observed)
    running = applied(plan_revision(observed).plan)
    first = plan_revision(replace(observed, owned=(*without_bindings(running), *older))).plan
    assert names(first.objects()) == names(running)
    assert first.prune == ()
    second = plan_revision(replace(observed, owned=(*running, *older))).plan
    assert [ref.kind for ref in second.prune] == ["ClusterRoleBinding", "RoleBinding", "Role", "ClusterRole"]
    assert {ref.name for ref in second.prune} == {o["metadata"]["name"] for o in older}


def an_upgrade(old: str, new: str, **control_plane: Any) -> tuple[ObservedRevision, tuple[Manifest, ...]]:
    """A revision whose spec has just gone from one version to another, and the rights of the older one."""
    specs = (a_spec(version=old), a_spec(version=new, controlPlane=control_plane or None))
    bodies = []
    for spec in specs:
        mesh = plan_mesh(an_observed_mesh(spec=spec), ()).revision
        assert mesh is not None
        bodies.append({**mesh, "metadata": {**mesh["metadata"], "generation": 1}})
    before, after = (an_observed_revision(body=body) for body in bodies)
    return replace(after, owned=applied(plan_revision(before).plan)), before.owned


@pytest.mark.parametrize(
    ("old", "new", "controls"),
    [("1.29", "1.30", {}), ("1.30", "1.31", {}), ("1.31", "1.31", {"gatewayController": False})],
)
def test_an_istiod_of_either_kind_has_its_rights_until_the_older_one_is_gone(
    old: str, new: str, controls: dict[str, Any]
) -> None:
    observed, _ = an_upgrade(old, new, **controls)
    held = {ref for ref in map(ref_of, observed.owned) if ref.kind.endswith("Binding")}
    first = plan_revision(observed).plan
    assert not {ref for ref in first.prune if ref.kind.endswith("Binding")}
    assert names(first.objects()) != names(observed.owned)
    # Both bound; the new Deployment was applied, and its rollout has not begun.
    rolling = [
        {**o, "status": {**o["status"], "updatedReplicas": 0}} if o["kind"] == "Deployment" else o
        for o in applied(first)
    ]
    kept = tuple(o for o in observed.owned if ref_of(o) not in {ref_of(n) for n in rolling})
    assert plan_revision(replace(observed, owned=(*rolling, *kept))).plan.prune == ()
    done = plan_revision(replace(observed, owned=(*applied(first), *kept))).plan
    assert {ref for ref in done.prune if ref.kind == "ClusterRoleBinding"} == {
        ref for ref in held if ref.kind == "ClusterRoleBinding"
    }


@pytest.mark.parametrize(("field", "refused"), [(None, False), (True, True), (False, True)])
def test_the_variable_of_the_gateway_controller_is_refused_beside_the_field(
    field: bool | None, refused: bool
) -> None:
    controls: dict[str, Any] = {"environment": [{"name": GATEWAY_CONTROLLER, "value": "true"}]}
    controls |= {} if field is None else {"gatewayController": field}
    observed = an_observed_mesh(spec=a_spec(controlPlane=controls))
    if refused:
        finding = only(check_gateway_controller_is_said_once, observed)
        assert finding.field == "spec.controlPlane.environment[0].name"
    else:
        assert list(ask(check_gateway_controller_is_said_once, observed)) == []


# --- a role that is missing


def lacking(observed: Any, *, rules: bool = False) -> tuple[Any, str]:
    """The same without a role that it binds, or with one that lacks a rule."""
    body = observed.body if isinstance(observed, ObservedRevision) else plan_mesh(observed, ()).revision
    role = find_bound(body, observed.assets)[0]
    there = {name: hashes for name, hashes in observed.roles.items() if name != role.name}
    if rules:
        there[role.name] = hash_rules(role.rules[1:])
    return replace(observed, roles=there), role.name


@pytest.mark.parametrize("rules", [False, True])
def test_no_istiod_is_started_for_which_a_role_is_missing(rules: bool) -> None:
    observed, role = lacking(an_observed_revision(), rules=rules)
    plan = plan_revision(observed).plan
    assert [wave.name for wave in plan.waves] == ["rbac", "bindings"]
    assert role not in {o["roleRef"]["name"] for o in plan.waves[1].objects}
    assert role in plan.waiting[0].message
    assert "`navarch manifests`" in plan.waiting[0].message
    told = determine_rolling(observed, plan)
    assert told.status == "True"
    assert role in told.message


def test_an_istiod_that_runs_keeps_its_binding_and_is_kept_up_while_its_role_is_missing() -> None:
    whole = an_observed_revision()
    older = build_older_layout(whole)
    running = applied(plan_revision(replace(whole, owned=applied(plan_revision(whole).plan))).plan)
    observed, role = lacking(replace(whole, owned=(*without_bindings(running), *older)))
    plan = plan_revision(observed).plan
    assert [wave.name for wave in plan.waves] == ["rbac", "bindings", "config", "workload", "webhooks"]
    assert role not in {(o.get("roleRef") or {}).get("name") for o in plan.objects()}
    assert plan.prune == ()
    assert plan.waiting


def test_a_mesh_is_not_changed_while_a_role_for_it_is_missing_and_says_so() -> None:
    observed, role = lacking(an_observed_mesh(crds=established(), crd_minors=("1.31",)))
    decision = plan_mesh(observed, ())
    assert [wave.name for wave in decision.plan.waves] == ["crds"]
    assert role in decision.plan.waiting[0].message
    verdict = determine_dependencies(observed, decision.revision)
    assert (verdict.status, verdict.reason) == ("False", Reason.ROLES_MISSING)
    assert role in verdict.message


def test_a_mesh_that_stands_as_wanted_is_kept_up_while_its_role_is_missing() -> None:
    observed = installed(an_observed_mesh(crds=established(), crd_minors=("1.31",)))
    wanted = plan_mesh(observed, ()).revision
    assert wanted is not None
    (there,) = observed.revisions
    there = {**there, "metadata": {**there["metadata"], "annotations": {APPLIED: stable_hash(wanted)}}}
    blind, _ = lacking(replace(observed, revisions=(there,)))
    assert "tags" in [wave.name for wave in plan_mesh(blind, ()).plan.waves]


def test_a_rule_that_an_administrator_adds_to_a_role_is_no_lack() -> None:
    observed = an_observed_revision()
    extended: Mapping[str, frozenset[str]] = {
        name: hashes | {"another"} for name, hashes in observed.roles.items()
    }
    assert plan_revision(replace(observed, roles=extended)).plan == plan_revision(observed).plan
