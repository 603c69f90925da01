"""Rules about other meshes and other Istios: namespace, tag, default tag, webhooks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from navarch.core.mesh.checks import foreign, neighbours, tags
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.naming import hosted_namespace, revision_name
from navarch.core.model.parent import MESH, Parent
from navarch.core.model.reasons import Reason
from navarch.core.world.cluster import PeerPolicy
from navarch.gather.policies import POLICY, shrink_peer_policy

from tests.unit.observations import (
    PARENT,
    VALIDATING,
    a_mesh,
    a_revision,
    a_spec,
    a_webhook,
    an_observed_mesh,
    only,
)

LATER = "2026-09-01T00:00:00Z"
ENABLED = {"matchLabels": {"istio-injection": "enabled"}}


@pytest.mark.parametrize(
    "namespace",
    [
        *("navarch-system", "navarch-probe", "kube-system", "kube-flannel", "openshift-operators"),
        hosted_namespace("shop", "mesh"),
    ],
)
def test_a_namespace_of_the_operator_or_the_cluster_holds_no_mesh(namespace: str) -> None:
    observed = an_observed_mesh(parent=replace(PARENT, namespace=namespace))
    finding = only(neighbours.check_namespace_may_hold_a_mesh, observed)
    assert (finding.reason, finding.value) == (Reason.NAMESPACE_REFUSED, namespace)


@pytest.mark.parametrize("namespace", ["shop", "kubernetes", "openshift", "istio-system", "default"])
def test_any_other_namespace_may_hold_a_mesh(namespace: str) -> None:
    observed = an_observed_mesh(parent=replace(PARENT, namespace=namespace))
    assert not list(neighbours.check_namespace_may_hold_a_mesh(observed))


def test_the_younger_of_two_meshes_in_a_namespace_is_refused_and_names_the_older() -> None:
    older = a_mesh("shop", "first")
    finding = only(neighbours.check_oldest_in_namespace, an_observed_mesh(neighbours=(older,)))
    assert finding.reason is Reason.NOT_THE_OLDEST
    assert "shop/first" in finding.message
    assert "delete first" in finding.remedy


def test_the_oldest_mesh_of_a_namespace_is_not_disturbed_by_younger_ones() -> None:
    younger = a_mesh("shop", "second", created=LATER)
    assert not list(neighbours.check_oldest_in_namespace(an_observed_mesh(neighbours=(younger,))))


def test_a_mesh_that_stood_back_behind_an_older_one_is_promoted_by_an_edit_only() -> None:
    def observe(generation: int) -> ObservedMesh:
        condition = {
            "type": "SpecAccepted",
            "status": "False",
            "reason": "NotTheOldest",
            "observedGeneration": generation,
        }
        return an_observed_mesh(status={"conditions": [condition]})

    finding = only(neighbours.check_oldest_in_namespace, observe(1))
    assert finding.reason is Reason.NOT_THE_OLDEST
    assert "edit its spec" in finding.remedy
    assert not list(neighbours.check_oldest_in_namespace(observe(0)))


def test_of_meshes_of_the_same_second_the_smaller_uid_wins() -> None:
    created = "2026-06-01T00:00:00Z"
    smaller, larger = (a_mesh("shop", "other", created=created, uid=uid) for uid in ("a", "z"))
    assert list(neighbours.check_oldest_in_namespace(an_observed_mesh(neighbours=(smaller,))))
    assert not list(neighbours.check_oldest_in_namespace(an_observed_mesh(neighbours=(larger,))))


@pytest.mark.parametrize(
    ("tag", "other"),
    [("blue", "blue"), (revision_name("blue"), "blue"), ("blue", revision_name("blue"))],
    ids=["same tag", "tag is the other's revision", "own revision is the other's tag"],
)
def test_a_tag_that_an_older_mesh_has_is_refused_and_the_mesh_named(tag: str, other: str) -> None:
    observed = an_observed_mesh(spec=a_spec(tag=tag), neighbours=(a_mesh("bank", tag=other),))
    finding = only(tags.check_tag_is_free, observed)
    assert (finding.reason, finding.field, finding.value) == (Reason.TAG_CONFLICT, "spec.tag", tag)
    assert "bank/mesh" in finding.message


def test_a_tag_that_a_younger_mesh_has_too_is_kept() -> None:
    observed = an_observed_mesh(
        spec=a_spec(tag="blue"), neighbours=(a_mesh("bank", tag="blue", created=LATER),)
    )
    assert not list(tags.check_tag_is_free(observed))


def the_default(*, other_created: str, holder: Parent | None = None) -> ObservedMesh:
    other = a_mesh("bank", created=other_created, default_tag=True)
    held = (a_webhook("istio-revision-tag-default", tag="default", parent=holder),) if holder else ()
    return an_observed_mesh(spec=a_spec(defaultTag=True), neighbours=(other,), webhooks=held)


def test_the_default_tag_goes_to_the_older_mesh() -> None:
    finding = only(tags.check_default_tag_has_one_owner, the_default(other_created="2026-01-01T00:00:00Z"))
    assert (finding.reason, finding.field, finding.value) == (
        Reason.DEFAULT_TAG_CONFLICT,
        "spec.defaultTag",
        "true",
    )
    assert "bank/mesh" in finding.message
    assert not list(tags.check_default_tag_has_one_owner(the_default(other_created=LATER)))


def test_the_default_tag_stays_with_the_mesh_that_has_it() -> None:
    observed = the_default(other_created=LATER, holder=Parent(MESH, "bank", "mesh", "uid-bank-mesh"))
    assert "bank/mesh" in only(tags.check_default_tag_has_one_owner, observed).message
    kept = the_default(other_created="2026-01-01T00:00:00Z", holder=PARENT)
    assert not list(tags.check_default_tag_has_one_owner(kept))


def test_a_mesh_without_default_tag_does_not_care_who_owns_it() -> None:
    observed = an_observed_mesh(neighbours=(a_mesh("bank", default_tag=True),))
    assert not list(tags.check_default_tag_has_one_owner(observed))


def test_a_foreign_istio_of_the_same_revision_is_named() -> None:
    webhook = a_webhook("istio-sidecar-injector-x", revision=revision_name("shop-mesh"))
    finding = only(foreign.check_foreign_istio, an_observed_mesh(webhooks=(webhook,)))
    assert (finding.reason, finding.value) == (Reason.FOREIGN_ISTIO, "shop-mesh")
    assert "MutatingWebhookConfiguration istio-sidecar-injector-x" in finding.message


def test_a_tag_that_is_a_foreign_revision_is_a_conflict() -> None:
    webhook = a_webhook("istio-sidecar-injector-blue", revision="blue")
    finding = only(
        foreign.check_foreign_istio, an_observed_mesh(spec=a_spec(tag="blue"), webhooks=(webhook,))
    )
    assert (finding.reason, finding.value) == (Reason.FOREIGN_ISTIO, "blue")


@pytest.mark.parametrize("tag", ["blue", revision_name("blue")])
def test_a_foreign_istio_of_the_same_tag_is_named(tag: str) -> None:
    webhook = a_webhook("istio-revision-tag-blue", revision="1-31", tag=tag)
    finding = only(
        foreign.check_foreign_istio, an_observed_mesh(spec=a_spec(tag="blue"), webhooks=(webhook,))
    )
    assert (finding.reason, finding.value) == (Reason.FOREIGN_ISTIO, "blue")


@pytest.mark.parametrize("name", ["istio-sidecar-injector-blue-inplace-shop", "istio-revision-tag-blue"])
def test_a_foreign_webhook_of_the_same_name_is_named(name: str) -> None:
    webhook = a_webhook(name, revision="default")
    finding = only(
        foreign.check_foreign_istio, an_observed_mesh(spec=a_spec(tag="blue"), webhooks=(webhook,))
    )
    assert finding.reason is Reason.FOREIGN_ISTIO
    assert name in finding.message


def test_webhooks_of_navarch_and_of_other_istios_are_no_conflict() -> None:
    ours = a_webhook(
        "istio-revision-tag-blue-shop", revision=revision_name("blue"), tag="blue", parent=PARENT
    )
    other = a_webhook("istio-sidecar-injector", revision="default")
    policies = a_webhook("policies", entries={"validate.policies.example.com": {}})
    observed = an_observed_mesh(spec=a_spec(tag="blue"), webhooks=(ours, other, policies))
    assert not list(foreign.check_foreign_istio(observed))


FOREIGN_DEFAULTS = {
    "the tag": a_webhook("istio-revision-tag-default", revision="1-31", tag="default"),
    "the selector": a_webhook(
        "istio-sidecar-injector", revision="default", entries={"namespace.sidecar-injector.istio.io": ENABLED}
    ),
    "an unlabelled selector": a_webhook("old", entries={"namespace.sidecar-injector.istio.io": ENABLED}),
    "the validator": a_webhook(
        "istiod-default-validator", kind=VALIDATING, entries={"validation.istio.io": {}}
    ),
}


@pytest.mark.parametrize("webhook", FOREIGN_DEFAULTS.values(), ids=FOREIGN_DEFAULTS.keys())
def test_a_foreign_default_istio_keeps_a_mesh_from_the_default_tag_and_is_named(webhook) -> None:
    finding = only(
        foreign.check_foreign_default, an_observed_mesh(spec=a_spec(defaultTag=True), webhooks=(webhook,))
    )
    assert finding.reason is Reason.FOREIGN_ISTIO
    assert webhook.ref.name in finding.message
    assert not list(foreign.check_foreign_default(an_observed_mesh(webhooks=(webhook,))))


NOT_DEFAULT = {
    "neutered": {"matchLabels": {"istio.io/deactivated": "never-match"}},
    "by revision": {
        "matchExpressions": [
            {"key": "istio.io/rev", "operator": "In", "values": ["1-31"]},
            {"key": "istio-injection", "operator": "DoesNotExist"},
        ]
    },
}


@pytest.mark.parametrize("selector", NOT_DEFAULT.values(), ids=NOT_DEFAULT.keys())
def test_an_istio_that_is_not_the_default_leaves_the_default_tag_free(selector) -> None:
    webhook = a_webhook(
        "istio-sidecar-injector", revision="1-31", entries={"x.sidecar-injector.istio.io": selector}
    )
    ours = a_webhook(
        "istio-revision-tag-default", tag="default", parent=PARENT, entries={"x.istio.io": ENABLED}
    )
    everything = a_webhook("policies", entries={"mutate.policies.example.com": {}})
    selective = a_webhook("mutator", entries={"mutate.policies.example.com": ENABLED})
    observed = an_observed_mesh(spec=a_spec(defaultTag=True), webhooks=(webhook, ours, everything, selective))
    assert not list(foreign.check_foreign_default(observed))


def test_a_tag_of_a_revisions_form_is_refused() -> None:
    assert (
        only(tags.check_tag_is_no_revision, an_observed_mesh(spec=a_spec(tag="blue-inplace"))).value
        == "blue-inplace"
    )
    assert (
        only(tags.check_tag_is_no_revision, an_observed_mesh(spec=a_spec(tag="blue-1-31-1"))).value
        == "blue-1-31-1"
    )
    assert not list(tags.check_tag_is_no_revision(an_observed_mesh(spec=a_spec(tag="blue-1-31"))))


def test_the_tag_default_is_refused_in_favour_of_the_field_for_it() -> None:
    finding = only(tags.check_tag_is_no_revision, an_observed_mesh(spec=a_spec(tag="default")))
    assert (finding.reason, finding.value) == (Reason.TAG_CONFLICT, "default")
    assert "spec.defaultTag" in finding.remedy


def test_a_name_that_does_not_fit_into_a_label_is_refused_with_both_lengths() -> None:
    name = "m" * 64
    finding = only(tags.check_names_fit, an_observed_mesh(parent=replace(PARENT, name=name), tag="blue"))
    assert (finding.reason, finding.field, finding.value) == (Reason.NAME_TOO_LONG, "metadata.name", name)
    assert "64 of at most 63 characters" in finding.message


def test_a_tag_that_makes_too_long_a_name_is_refused() -> None:
    observed = an_observed_mesh(tag="t" * 60)
    findings = list(tags.check_names_fit(observed))
    assert {(f.reason, f.field, f.value) for f in findings} == {(Reason.NAME_TOO_LONG, "spec.tag", "t" * 60)}
    assert any("Service istiod-revision-tag-" in f.message for f in findings)


def test_names_of_the_greatest_length_that_the_schema_allows_fit() -> None:
    parent = replace(PARENT, namespace="n" * 63, name="m" * 63)
    assert not list(tags.check_names_fit(an_observed_mesh(parent=parent, spec=a_spec(tag="t" * 40))))


def test_a_mesh_that_is_installed_keeps_its_namespace_and_tag_against_an_older_one() -> None:
    older = a_mesh("shop", "squatter", created="2020-01-01T00:00:00Z", tag="shop-mesh")
    installed = an_observed_mesh(neighbours=(older,), revisions=(a_revision("1.31.1"),))
    assert not list(neighbours.check_oldest_in_namespace(installed))
    assert not list(tags.check_tag_is_free(installed))


def test_a_younger_mesh_that_is_installed_wins_against_one_that_waits() -> None:
    younger = a_mesh("bank", created=LATER, tag="shop-mesh", waiting=False)
    assert "bank/mesh" in only(tags.check_tag_is_free, an_observed_mesh(neighbours=(younger,))).message


def test_a_mesh_that_was_refused_and_holds_nothing_claims_nothing() -> None:
    squatter = a_mesh("bank", tag="shop-mesh", default_tag=True, refused=True)
    observed = an_observed_mesh(spec=a_spec(defaultTag=True), neighbours=(squatter,))
    assert not list(tags.check_tag_is_free(observed))
    assert not list(tags.check_default_tag_has_one_owner(observed))


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (tags.check_tag_is_free, Reason.TAG_CONFLICT),
        (tags.check_default_tag_has_one_owner, Reason.DEFAULT_TAG_CONFLICT),
        (neighbours.check_oldest_in_namespace, Reason.NOT_THE_OLDEST),
    ],
)
def test_who_was_refused_for_another_mesh_s_sake_waits_for_an_edit_when_that_is_gone(check, reason) -> None:
    def refused(generation: int, **changes: Any) -> ObservedMesh:
        condition = {"type": "SpecAccepted", "status": "False", "reason": reason.value, "message": ""}
        status = {"conditions": [condition | {"observedGeneration": generation}]}
        return an_observed_mesh(spec=a_spec(defaultTag=True), status=status, **changes)

    finding = only(check, refused(1))
    assert finding.reason is reason
    assert "edit" in finding.remedy
    assert not list(check(refused(0))), "an edit was made since"
    installed = refused(1, revisions=(a_revision("1.31.1"),))
    inherits_no_default = reason is Reason.DEFAULT_TAG_CONFLICT
    assert bool(list(check(installed))) is inherits_no_default, "what is installed stays, and gains nothing"


# --- mesh-wide PeerAuthentications of others ---------------------------------------------------------------

OWN_POLICY = {
    "kind": "PeerAuthentication",
    "metadata": {"name": "default", "creationTimestamp": "2026-06-01T00:00:00Z"},
}


def a_policy(name: str = "aaa", created: str = "2026-05-01T00:00:00Z", **more: Any) -> PeerPolicy:
    return PeerPolicy(**{"name": name, "created": created, "mode": "DISABLE", "revision": None} | more)


STRICT = a_spec(mtls={"mode": "Strict"})


@pytest.mark.parametrize(
    "policy",
    [
        a_policy(),
        a_policy("zzz"),
        a_policy("aaa", created="2026-06-01T00:00:00Z"),
        a_policy(revision="shop-mesh-inplace"),
    ],
    ids=["older", "older, and later by name", "of the same second, and first by name", "of our revision"],
)
def test_a_mesh_wide_policy_that_istio_takes_before_the_mesh_s_own_is_named_with_the_command(policy) -> None:
    observed = an_observed_mesh(spec=STRICT, owned=(OWN_POLICY,), peer_policies=(policy,))
    finding = only(foreign.check_policy_is_in_force, observed)
    assert (finding.reason, finding.severity) == (Reason.POLICY_OVERRULED, "warning")
    assert (finding.field, finding.value) == ("spec.mtls.mode", "Strict")
    assert f"PeerAuthentication shop/{policy.name}, mode DISABLE" in finding.message
    assert f"kubectl delete peerauthentication {policy.name} -n shop" in finding.remedy


@pytest.mark.parametrize(
    "policy",
    [
        a_policy(created="2026-07-01T00:00:00Z"),
        a_policy("zzz", created="2026-06-01T00:00:00Z"),
        a_policy(revision="other"),
        a_policy(revision=""),
    ],
    ids=["younger", "of the same second, and later by name", "of another revision", "of an empty revision"],
)
def test_a_mesh_wide_policy_that_does_not_rule_is_not_told(policy) -> None:
    observed = an_observed_mesh(spec=STRICT, owned=(OWN_POLICY,), peer_policies=(policy,))
    assert not list(foreign.check_policy_is_in_force(observed))


def test_of_several_policies_the_one_that_rules_is_named() -> None:
    policies = (a_policy("second", created="2026-04-01T00:00:00Z"), a_policy("first", "2026-03-01T00:00:00Z"))
    observed = an_observed_mesh(spec=STRICT, owned=(OWN_POLICY,), peer_policies=policies)
    assert "shop/first" in only(foreign.check_policy_is_in_force, observed).message


def test_before_the_mesh_s_own_policy_is_made_any_other_is_older() -> None:
    observed = an_observed_mesh(spec=STRICT, peer_policies=(a_policy(created=LATER, mode=""),))
    assert "UNSET, which means PERMISSIVE" in only(foreign.check_policy_is_in_force, observed).message


def test_in_the_namespace_of_another_mesh_its_policy_is_not_told_to_be_deleted() -> None:
    policy, first = a_policy("default", mode="STRICT"), a_mesh("shop", "first")
    observed = an_observed_mesh(spec=STRICT, peer_policies=(policy,), neighbours=(first,))
    assert not list(foreign.check_policy_is_in_force(observed))


def test_where_the_mesh_asks_for_no_mode_a_policy_of_others_is_the_user_s_own_choice() -> None:
    assert not list(foreign.check_policy_is_in_force(an_observed_mesh(peer_policies=(a_policy(),))))


@pytest.mark.parametrize(
    ("selector", "rules"),
    [
        ({}, True),
        ({"selector": {}}, True),
        ({"selector": {"matchLabels": {}}}, True),
        ({"selector": {"matchLabels": {"app": "web"}}}, False),
    ],
)
def test_a_policy_rules_a_mesh_where_its_selector_is_empty(selector: dict[str, Any], rules: bool) -> None:
    metadata = {"name": "aaa", "namespace": "shop", "uid": "1", "creationTimestamp": LATER}
    manifest = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": metadata,
        "spec": {"mtls": {"mode": "STRICT"}, **selector},
    }
    policy = shrink_peer_policy(manifest)[POLICY]
    assert policy == (PeerPolicy("aaa", LATER, "STRICT", None) if rules else None)
