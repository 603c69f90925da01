"""The arithmetic of permissions, and what the operator's own come to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navarch.api.rbac import (
    OPERATOR_USES,
    PROBE_USES,
    ROOT_USES,
    SYSTEM_USES,
    build_bind_rule,
    build_cluster_role,
    collect_grants,
    merge_rules,
)
from navarch.assets import load_assets
from navarch.core.grants import build_grants, list_roles

Rule = dict[str, Any]
Triple = tuple[str, str, str, str]

_words = st.sampled_from(["a", "b", "c"])
_some = st.lists(_words, min_size=1, max_size=3, unique=True)
_rules = st.lists(
    st.fixed_dictionaries(
        {
            "apiGroups": _some,
            "resources": _some,
            "verbs": st.lists(st.sampled_from(["get", "list", "update", "approve"]), min_size=1),
        },
        optional={"resourceNames": _some},
    ),
    max_size=5,
)


def allowed(rules: list[Rule]) -> set[Triple]:
    """What rules allow, spelled out over every name that occurs and one that does not."""
    names = {"a", "b", "c", "another"}
    return {
        (group, resource, name, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in (rule.get("resourceNames") or names)
        for verb in rule["verbs"]
    }


@given(_rules)
def test_merged_rules_allow_exactly_what_the_single_ones_did(rules: list[Rule]) -> None:
    assert allowed(merge_rules(rules)) == allowed(rules)


@given(_rules, st.randoms())
def test_the_order_of_rules_does_not_matter(rules: list[Rule], random: Any) -> None:
    shuffled = list(rules)
    random.shuffle(shuffled)
    assert merge_rules(shuffled) == merge_rules(rules)
    assert merge_rules(merge_rules(rules)) == merge_rules(rules)


def test_a_rule_on_named_objects_vanishes_in_one_on_all() -> None:
    everywhere = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    named = everywhere | {"resourceNames": ["a"], "verbs": ["get", "patch"]}
    assert merge_rules([named, everywhere]) == [
        everywhere,
        everywhere | {"resourceNames": ["a"], "verbs": ["patch"]},
    ]


def test_rules_on_urls_are_kept_apart() -> None:
    url = {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}
    assert merge_rules([url, url]) == [url]


@pytest.mark.parametrize(
    "change",
    [
        {"verbs": ["*"]},
        {"resources": ["*"]},
        {"resources": ["*/status"]},
        {"apiGroups": ["*"]},
        {"verbs": ["escalate"]},
        {"verbs": ["bind"]},
        {"verbs": ["impersonate"]},
    ],
)
def test_wildcards_and_verbs_that_lift_their_holder_are_refused(change: Rule) -> None:
    with pytest.raises(ValueError, match="must be spelled out"):
        merge_rules([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]} | change])


def build_own_role() -> Rule:
    assets = load_assets()
    names = [role["metadata"]["name"] for role in list_roles(assets)]
    return build_cluster_role(OPERATOR_USES, build_grants(assets), roles=names)


def test_the_operator_holds_every_rule_of_every_role_that_it_makes() -> None:
    grants = build_grants(load_assets())
    assert grants
    assert allowed(grants) <= allowed(build_own_role()["rules"])


def test_the_operator_holds_nothing_for_being_allowed_to_bind_it() -> None:
    held = {(group, resource, verb) for group, resource, _, verb in allowed(build_own_role()["rules"])}
    uses = {(u.group, r, verb) for u in OPERATOR_USES for r in u.resources for verb in u.verbs}
    admission = "admissionregistration.k8s.io"
    assert held - uses == {
        ("rbac.authorization.k8s.io", "clusterroles", "bind"),
        (admission, "mutatingwebhookconfigurations", "update"),
        (admission, "validatingwebhookconfigurations", "update"),
    }
    assert not {row for row in held if row[1] == "nodes"}
    # Of Secrets two names, and of these only the one that Navarch makes is written.
    secrets = [rule for rule in build_own_role()["rules"] if "secrets" in rule["resources"]]
    assert {rule["resourceNames"][0]: {*rule["verbs"]} for rule in secrets} == {
        "cacerts": {"list", "watch", "create", "patch"},
        "istio-ca-secret": {"get"},
    }
    assert all(len(rule["resourceNames"]) == 1 for rule in secrets)
    # Of Leases in the whole cluster one name may be listed, and nothing be written.
    leases = [rule for rule in build_own_role()["rules"] if "leases" in rule["resources"]]
    assert [(rule["resourceNames"], rule["verbs"]) for rule in leases] == [(["navarch"], ["list"])]


def test_bind_stands_in_one_rule_that_names_every_role_of_istiod_and_gateways_and_no_other() -> None:
    (rule,) = (rule for rule in build_own_role()["rules"] if "bind" in rule["verbs"])
    assert rule["verbs"] == ["bind"]
    assert rule["resources"] == ["clusterroles"]
    minors = [minor.name for minor in load_assets().catalog.minors]
    kinds = ("istiod", "istiod-confined", "istiod-namespace")
    expected = {f"navarch-{kind}-{minor}" for kind in kinds for minor in minors} | {"navarch-gateway"}
    assert {name.rpartition("-")[0] for name in rule["resourceNames"]} == expected
    assert len(rule["resourceNames"]) == len(expected)


@pytest.mark.parametrize("names", [[], [""], ["a", ""]])
def test_a_rule_that_would_bind_every_role_cannot_be_built(names: list[str]) -> None:
    with pytest.raises(ValueError, match="must name the roles"):
        build_bind_rule(names)


def test_grants_come_from_roles_alone() -> None:
    rule = {"apiGroups": ["g"], "resources": ["r"], "verbs": ["get"]}
    manifests = [
        {"kind": "Role", "rules": [rule]},
        {"kind": "ClusterRole", "rules": [rule | {"verbs": ["list"]}]},
        {"kind": "ConfigMap", "rules": [rule | {"verbs": ["delete"]}]},
    ]
    assert collect_grants(manifests) == [rule | {"verbs": ["get", "list"]}]


def test_every_use_has_a_reason_of_its_own_and_no_verb_twice() -> None:
    for uses in (OPERATOR_USES, SYSTEM_USES, ROOT_USES, PROBE_USES):
        seen = [
            (use.group, resource, verb) for use in uses for resource in use.resources for verb in use.verbs
        ]
        assert len(seen) == len(set(seen))
        assert all(use.why for use in uses)


def test_the_operator_writes_neither_specs_nor_pods_nor_secrets_but_of_one_name_for_its_own_use() -> None:
    own = {
        (use.group, resource, verb)
        for use in OPERATOR_USES
        for resource in use.resources
        for verb in use.verbs
    }
    writing = {(resource, verb) for _, resource, verb in own if verb not in ("get", "list", "watch")}
    assert not {row for row in writing if row[0] == "pods"}
    named = [use for use in OPERATOR_USES if "secrets" in use.resources]
    assert {name for use in named for name in use.names} == {"cacerts", "istio-ca-secret"}
    assert all(use.names for use in named)
    # Labels of membership, and homes of hosted control planes: two policies keep it to these.
    assert {verb for resource, verb in writing if resource == "namespaces"} == {"create", "delete", "patch"}
    assert ("customresourcedefinitions", "delete") not in writing
    # Which no request has: OpenShift asks for it where a Route's host changes.
    assert {row for row in writing if row[1] in ("update", "deletecollection")} == {
        ("routes/custom-host", "update")
    }
