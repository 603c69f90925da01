"""What a mesh shares with others and does not show by a name: reach, labels that do not count, what is asked
for by those that wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from navarch.core.member.checks import run_checks as run_member_checks
from navarch.core.member.plan import plan_member
from navarch.core.mesh.checks import labelled, reach, run_checks, tags
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.reasons import Reason
from navarch.core.world.cluster import ForeignConfig, Namespace, Webhook
from navarch.gather.cluster import read_webhook
from navarch.gather.excerpts import DISCOVERY, shrink_mesh_config
from navarch.triggers.keys import Dependents
from navarch.triggers.known import Known

from tests.support.injection import build_chart_webhook
from tests.unit.members import a_member, joined
from tests.unit.observations import a_mesh, a_spec, an_observed_mesh

MEMBERS = {
    "shop": Namespace("shop", {}),
    "apps": Namespace("apps", {"istio.io/rev": "shop-mesh"}),
    "quiet": Namespace("quiet", {"istio.io/rev": "shop-mesh", "team": "theirs"}),
}
NONE = {"matchLabels": {"a": "b"}}
LATER = "2026-12-01T00:00:00Z"


def foreign(**more: Any) -> Webhook:
    """The webhooks of a foreign Istio in istio-system that is the cluster's default."""
    return read_webhook(build_chart_webhook("default", default=True) | more)


def config(discovery: tuple[Mapping[str, Any], ...] | None, namespace: str = "istio-system") -> ForeignConfig:
    return ForeignConfig(namespace, "istio", "default", discovery)


def a_place(**changes: Any):
    return replace(an_observed_mesh(), namespaces=MEMBERS, **changes)


def find(observed, reason: Reason) -> list[Finding]:
    return [finding for finding in run_checks(observed) if finding.reason is reason]


def test_another_istio_that_keeps_to_itself_is_no_finding() -> None:
    apart = config(({"matchLabels": {"team": "istio"}},))
    assert not run_checks(a_place(webhooks=(foreign(),), foreign_configs=(apart, config(None))))


@pytest.mark.parametrize(
    ("discovery", "seen", "left_out"),
    [
        ((), ("apps", "quiet", "shop"), ()),
        (({"matchLabels": {"team": "theirs"}},), ("quiet",), ("apps", "shop;")),
        (
            ({"matchLabels": {"kubernetes.io/metadata.name": "apps"}}, {"matchLabels": {"a": "b"}}),
            ("apps",),
            ("quiet",),
        ),
    ],
)
def test_an_istiod_that_looks_at_the_meshs_namespaces_is_named_with_them(
    discovery: tuple[Mapping[str, Any], ...], seen: tuple[str, ...], left_out: tuple[str, ...]
) -> None:
    (finding,) = find(a_place(foreign_configs=(config(discovery),)), Reason.ANOTHER_ISTIO_SHARES)
    assert finding.severity is Severity.WARNING
    assert "ConfigMap istio-system/istio" in finding.message
    assert "root certificate" in finding.message
    assert finding.message.endswith(": " + "; ".join(seen))
    assert not [name for name in left_out if name in finding.message.rpartition(": ")[2]]


def test_a_foreign_webhook_that_takes_members_pods_is_named_with_them() -> None:
    everything = read_webhook(build_chart_webhook("canary"))
    entry = replace(everything.entries[0], namespace_selector={"matchLabels": {"team": "theirs"}})
    (finding,) = find(a_place(webhooks=(replace(everything, entries=(entry,)),)), Reason.ANOTHER_ISTIO_SHARES)
    assert "istio-sidecar-injector-canary" in finding.message
    assert finding.message.endswith("namespaces: quiet")


@pytest.mark.parametrize("hosting", ["InNamespace", "Hosted"])
def test_an_istio_in_the_meshs_own_namespace_is_named_once(hosting: str) -> None:
    beside = build_chart_webhook("default", default=True)
    for entry in beside["webhooks"]:
        entry["clientConfig"]["service"]["namespace"] = "shop"
    validator = beside | {"kind": "ValidatingWebhookConfiguration"}
    observed = an_observed_mesh(spec=a_spec(hosting=hosting))
    observed = replace(observed, namespaces=MEMBERS, webhooks=(read_webhook(beside), read_webhook(validator)))
    found = list(reach.check_no_other_istio_is_beside(observed))
    assert [(f.field, f.value, f.severity) for f in found] == [
        ("metadata.namespace", "shop", Severity.WARNING)
    ]
    assert "istio-ca-secret" in found[0].message


def test_of_a_mesh_config_its_selectors_are_kept_and_of_anything_else_nothing() -> None:
    def read(mesh: str) -> Any:
        metadata = {"name": "istio", "namespace": "istio-system", "uid": "u", "resourceVersion": "1"}
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": mesh}}
        shrunk = shrink_mesh_config(manifest)
        assert "data" not in shrunk
        return shrunk[DISCOVERY]

    assert read("discoverySelectors:\n- matchLabels: {a: b}\n") == [{"matchLabels": {"a": "b"}}]
    assert read("trustDomain: x") == []
    for odd in ("", "[", "discoverySelectors: x", "discoverySelectors: [x]", "a: &a [*a]", "x" * 200_000):
        assert read(odd) is None


def test_a_mesh_config_wakes_meshes_only_where_a_foreign_webhook_calls() -> None:
    """Anybody may make such a ConfigMap: a tenant must not have every mesh looked at."""
    meshes = [
        {"kind": "MeshControlPlane", "metadata": {"namespace": n, "name": "mesh", "uid": n}, "spec": {}}
        for n in ("a", "b")
    ]
    dependents = Dependents(
        Known(meshes), find_namespace=lambda _: None, is_called=lambda name: name == "istio-system"
    )
    for namespace, woken in (("istio-system", 2), ("team", 0)):
        manifest = {"metadata": {"name": "istio", "namespace": namespace}}
        assert len({*dependents.keys_for_mesh_config(manifest)}) == woken


def test_a_webhook_wakes_the_members_in_the_namespaces_that_it_calls() -> None:
    members = [
        {"kind": "MeshMember", "metadata": {"namespace": n, "name": "default", "uid": n}, "spec": {}}
        for n in ("apps", "front")
    ]
    dependents = Dependents(Known(members), find_namespace=lambda _: None)
    client = {"service": {"namespace": "apps", "name": "quotas"}}
    webhook = {"metadata": {"name": "quotas"}, "webhooks": [{"name": "a.example", "clientConfig": client}]}
    assert [key.namespace for key in dependents.keys_for_webhook(webhook)] == ["apps"]
    webhook["webhooks"] = [{"name": "a.example", "clientConfig": {"url": "https://a.example"}}]
    assert not list(dependents.keys_for_webhook(webhook))


# --- labels that do not count -------------------------------------------------------------------------------


def label(name: str, **changes: Any):
    labels = {k.replace("__", "/").replace("_", "."): v for k, v in changes.items()}
    labels = {k.replace("istio.injection", "istio-injection"): v for k, v in labels.items()}
    observed = an_observed_mesh()
    return replace(observed, namespaces={**MEMBERS, name: Namespace(name, labels)})


@pytest.mark.parametrize("value", ["enabled", "disabled"])
def test_istio_injection_that_beats_the_tag_is_told_of_the_mesh_that_is_named(value: str) -> None:
    observed = label("beaten", istio_io__rev="shop-mesh", istio_injection=value)
    (finding,) = run_checks(observed)
    assert (finding.reason, finding.severity) == (Reason.LABELS_CONTRADICT, Severity.WARNING)
    assert f"beaten (istio-injection={value})" in finding.message
    default = replace(an_observed_mesh(spec=a_spec(defaultTag=True)), namespaces=observed.namespaces)
    expected = [] if value == "enabled" else [Reason.LABELS_CONTRADICT]
    assert [f.reason for f in labelled.check_labels_agree(default)] == expected, "both mean this mesh"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("kube-tools", "the platform's"),
        ("navarch-system", "Navarch's own"),
        ("bank", "it holds mesh bank/mesh"),
    ],
)
def test_a_tag_on_a_namespace_that_can_never_belong_is_told(name: str, why: str) -> None:
    observed = an_observed_mesh(neighbours=(a_mesh("bank"),))
    labelled_one = Namespace(name, {"istio.io/rev": "shop-mesh"})
    observed = replace(observed, namespaces={**MEMBERS, name: labelled_one})
    (finding,) = find(observed, Reason.LABEL_WITHOUT_EFFECT)
    assert f"{name} (" in finding.message
    assert why in finding.message
    gone = {**MEMBERS, name: replace(labelled_one, terminating=True)}
    assert not find(replace(observed, namespaces=gone), Reason.LABEL_WITHOUT_EFFECT)


def test_a_label_by_hand_that_takes_nothing_into_a_mesh_of_members_is_told() -> None:
    observed = an_observed_mesh(spec=a_spec(scope="Members"))
    own = replace(observed.meshes[0], member_of="shop.mesh")
    member = Namespace("in", {"istio.io/rev": "shop-mesh", "mesh.navarch.io/member-of": "shop.mesh"})
    observed = replace(
        observed, meshes=(own,), namespaces={"shop": MEMBERS["shop"], "apps": MEMBERS["apps"], "in": member}
    )
    (finding,) = find(observed, Reason.LABEL_WITHOUT_EFFECT)
    assert "apps (it has no MeshMember of this mesh" in finding.message
    assert "in (" not in finding.message


# --- named on both sides ------------------------------------------------------------------------------------


def test_a_mesh_names_those_that_wait_for_its_tag_and_they_name_it() -> None:
    own = an_observed_mesh(
        spec=a_spec(tag="blue"), neighbours=(a_mesh("bank", tag="blue", created=LATER, refused=True),)
    )
    (finding,) = run_checks(own)
    assert (finding.reason, finding.severity) == (Reason.TAG_CONTESTED, Severity.INFO)
    assert "mesh bank/mesh" in finding.message
    loser = an_observed_mesh(spec=a_spec(tag="blue"), neighbours=(a_mesh("bank", tag="blue"),))
    assert [f.reason for f in run_checks(loser)] == [Reason.TAG_CONFLICT]


def test_the_owner_of_default_names_those_that_ask_for_it_too() -> None:
    other = a_mesh("bank", created=LATER, asks_default=True)
    own = an_observed_mesh(spec=a_spec(defaultTag=True), neighbours=(other,))
    (finding,) = tags.check_nothing_of_it_is_asked_for(own)
    assert (finding.reason, finding.field) == (Reason.TAG_CONTESTED, "spec.defaultTag")
    older = replace(other, created="2026-01-01T00:00:00Z", default_tag=True)
    loser = an_observed_mesh(spec=a_spec(defaultTag=True), neighbours=(older,))
    assert not list(tags.check_nothing_of_it_is_asked_for(loser))
    assert not list(tags.check_nothing_of_it_is_asked_for(an_observed_mesh(neighbours=(other,))))


# --- webhooks behind a wall ---------------------------------------------------------------------------------


def isolated(**policies: Any):
    revision = {
        "metadata": {"name": "shop-mesh-inplace", "namespace": "shop"},
        "spec": {
            "tag": "shop-mesh",
            "members": {"default": False, "excluded": [], "memberOf": "shop.mesh"},
            "config": {"networkPolicies": {"manage": True, "isolateMembers": True, **policies}},
        },
    }
    return replace(joined(a_member()), revision=revision, webhooks=("ValidatingWebhookConfiguration quotas",))


def test_a_webhook_that_is_served_behind_a_members_policy_is_told_and_keeps_nobody_out() -> None:
    observed = isolated()
    (finding,) = run_member_checks(observed)
    assert (finding.reason, finding.severity) == (Reason.WEBHOOK_CUT_OFF, Severity.WARNING)
    assert "ValidatingWebhookConfiguration quotas" in finding.message
    assert "webhookSources" in finding.remedy
    assert plan_member(observed, (finding,)) == plan_member(observed, ())


@pytest.mark.parametrize(
    "observed",
    [
        isolated(webhookSources=["10.0.0.0/28"]),
        isolated(isolateMembers=False),
        replace(isolated(), webhooks=()),
        replace(isolated(), revision=None),
    ],
    ids=["let in", "not isolated", "no webhook", "nothing known"],
)
def test_of_a_webhook_that_can_be_called_nothing_is_said(observed) -> None:
    assert not run_member_checks(observed)
