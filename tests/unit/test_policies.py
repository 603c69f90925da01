"""The admission policies as manifests; what they do is shown on a real API server (tests/cluster)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from navarch.api.admission import build_policies
from navarch.api.admission.cel import name_variable
from navarch.api.export import build_crds
from navarch.api.refused import (
    REFUSED_ENVIRONMENT,
    REFUSED_MESH_CONFIG,
    REFUSED_PATCH,
    REFUSED_VALUES,
    Path,
    find_refused,
    list_spellings,
)
from navarch.gather.watches import GATEWAYS, OWNED_KINDS, ROUTES, WEBHOOK_KINDS
from navarch.kube.resources import resource_of

BUILT = build_policies(
    operator="system:serviceaccount:here:navarch", reserved=("here", "there"), probe="there"
)
POLICIES = {m["metadata"]["name"]: m for m in BUILT if m["kind"] == "ValidatingAdmissionPolicy"}
BINDINGS = {m["metadata"]["name"]: m for m in BUILT if m["kind"] == "ValidatingAdmissionPolicyBinding"}
TABLES: list[Mapping[Path, str]] = [REFUSED_MESH_CONFIG, REFUSED_VALUES, REFUSED_PATCH]


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_fails_closed_and_denies(name: str) -> None:
    assert POLICIES[name]["spec"]["failurePolicy"] == "Fail"
    binding = dict(BINDINGS[name]["spec"])
    assert ("paramRef" in binding) is ("paramKind" in POLICIES[name]["spec"])
    binding.pop("paramRef", None)
    assert binding == {"policyName": name, "validationActions": ["Deny"]}


@pytest.mark.parametrize("name", POLICIES)
def test_an_expression_asks_the_authorizer_twice_at_most(name: str) -> None:
    spec = POLICIES[name]["spec"]
    for entry in (*spec["validations"], *spec.get("variables", ())):
        assert entry["expression"].count(".check(") <= 2


@pytest.mark.parametrize("name", POLICIES)
def test_every_refusal_says_what_to_do(name: str) -> None:
    for validation in POLICIES[name]["spec"]["validations"]:
        assert validation["messageExpression"]
        assert "; " in validation["message"]


@pytest.mark.parametrize("name", POLICIES)
def test_a_write_that_changes_no_spec_is_judged_by_its_writer_only(name: str) -> None:
    """Finalizers can be written whatever an old object contains."""
    spec = POLICIES[name]["spec"]
    rule = spec["matchConstraints"]["resourceRules"][0]
    of_metadata = {"finalizer.mesh.navarch.io": "finalizers", "force-delete.mesh.navarch.io": "annotations"}
    if name in of_metadata:
        changed = f"oldObject.metadata.?{of_metadata[name]}"
        assert changed in spec["matchConditions"][-1]["expression"]
    elif "meshcontrolplanes" in rule["resources"] and "UPDATE" in rule["operations"]:
        assert "oldObject.spec" in spec["matchConditions"][0]["expression"]


def test_every_refused_path_is_in_the_policy_in_both_spellings() -> None:
    variables = {v["name"]: v["expression"] for v in POLICIES["refused.mesh.navarch.io"]["spec"]["variables"]}
    for table, field in ((REFUSED_MESH_CONFIG, "meshConfig"), (REFUSED_VALUES, "values")):
        for path in table:
            known = name_variable(field, (*path[:-1], "refused"))
            for *at, key in list_spellings(path):
                for end in range(1, len(at) + 1):
                    above = f"variables.{name_variable(field, tuple(at[: end - 1]))}"
                    assert f"{above}.?{at[end - 1]}." in variables[name_variable(field, tuple(at[:end]))]
                assert f"'{key}': ['{'.'.join(('spec', field, *path))}', " in variables[known]
                found = f"variables.{name_variable(field, tuple(at))}"
                assert f"variables.{known}.filter(key, key in {found})" in variables["keys"]


def test_what_is_refused_is_evaluated_once_for_each_field_and_not_for_each_key() -> None:
    """The API server evaluates every rule and every message of a policy at each write."""
    assert len(POLICIES["refused.mesh.navarch.io"]["spec"]["validations"]) == 3


def test_no_refused_path_lies_under_another() -> None:
    for table in TABLES:
        for path in table:
            assert not any(path[:end] in table for end in range(1, len(path)))


@pytest.mark.parametrize(
    "why", sorted({w for table in TABLES for w in table.values()} | {*REFUSED_ENVIRONMENT.values()})
)
def test_every_reason_names_the_remedy_after_a_semicolon(why: str) -> None:
    reason, _, remedy = why.rpartition("; ")
    assert reason
    assert remedy
    assert not why.endswith(".")


@pytest.mark.parametrize(
    ("tree", "found"),
    [
        ({"rootNamespace": "x"}, [("rootNamespace",)]),
        ({"root_namespace": None}, [("root_namespace",)]),
        ({"default_config": {"discoveryAddress": ""}}, [("default_config", "discoveryAddress")]),
        ({"defaultConfig": {"discovery_address": {}}}, [("defaultConfig", "discovery_address")]),
        ({"defaultConfig": "no map"}, []),
        ({"accessLogFile": "/dev/stdout", "defaultConfig": {"tracing": {}}}, []),
    ],
)
def test_refused_keys_are_found_however_they_are_spelled(tree: Mapping[str, Any], found: list[Path]) -> None:
    assert [path for path, _, _ in find_refused(tree, REFUSED_MESH_CONFIG)] == found


def test_spellings_leave_names_of_variables_alone() -> None:
    assert list_spellings(("proxyMetadata", "CA_ADDR")) == [
        ("proxyMetadata", "CA_ADDR"),
        ("proxy_metadata", "CA_ADDR"),
    ]
    assert list_spellings(("proxy_init", "image")) == [("proxy_init", "image")]


@pytest.mark.parametrize("name", ["ownership", "pods", "gateway-defaults"])
def test_a_policy_on_common_kinds_is_asked_only_about_objects_with_the_label(name: str) -> None:
    """Unrelated writes of the cluster never reach an expression."""
    constraints = POLICIES[f"{name}.mesh.navarch.io"]["spec"]["matchConstraints"]
    (expression,) = constraints["objectSelector"]["matchExpressions"]
    assert expression["operator"] == "Exists"


def test_the_policy_on_kinds_is_asked_about_our_own_and_no_other() -> None:
    (rule,) = POLICIES["kinds.mesh.navarch.io"]["spec"]["matchConstraints"]["resourceRules"]
    assert rule["resourceNames"] == sorted(crd["metadata"]["name"] for crd in build_crds())
    assert (rule["apiGroups"], rule["resources"]) == (["apiextensions.k8s.io"], ["customresourcedefinitions"])
    assert rule["scope"] == "Cluster"


def test_every_kind_of_a_mesh_s_objects_is_under_the_policy_on_ownership() -> None:
    rules = POLICIES["ownership.mesh.navarch.io"]["spec"]["matchConstraints"]["resourceRules"]
    guarded = {(rule["apiGroups"][0], resource) for rule in rules for resource in rule["resources"]}
    kinds = [
        *OWNED_KINDS,
        (ROUTES.api_version, ROUTES.kind),
        *(("admissionregistration.k8s.io/v1", kind) for kind in WEBHOOK_KINDS),
    ]
    secrets = ("v1", "Secret")  # of a certificate authority; they are kept when the mesh goes
    owned = [resource_of(*row) for row in (*kinds, (GATEWAYS.api_version, GATEWAYS.kind), secrets)]
    assert guarded == {(resource.group, resource.plural) for resource in owned}
    assert all({*rule["operations"]} == {"CREATE", "UPDATE", "DELETE"} for rule in rules)


def test_everything_that_makes_pods_by_the_platforms_own_controllers_is_under_the_policies_on_templates() -> (
    None
):
    rules = [
        rule
        for name in ("templates", "cron-templates")
        for rule in POLICIES[f"{name}.mesh.navarch.io"]["spec"]["matchConstraints"]["resourceRules"]
    ]
    made = {(group, kind) for rule in rules for group in rule["apiGroups"] for kind in rule["resources"]}
    assert made == {
        ("", "replicationcontrollers"),
        *(("apps", kind) for kind in ("daemonsets", "deployments", "replicasets", "statefulsets")),
        ("apps.openshift.io", "deploymentconfigs"),
        ("batch", "cronjobs"),
        ("batch", "jobs"),
    }
