"""What holds for every object of every mesh, with any options."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from navarch.core.grants import list_roles
from navarch.core.mesh.render import build_mesh_waves
from navarch.core.model.parent import MESH, Parent, parent_of
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, ref_of
from navarch.core.offline import build_offline
from navarch.core.render.stages import build_revision_waves
from navarch.core.revision.source import build_revision_input

from tests.golden.rendering import (
    ASSETS,
    ENVIRONMENT,
    NAME,
    NAMESPACE,
    NEWEST,
    REVISION,
    build_mesh,
    find_one,
    injector_of,
    render_mesh,
    walk,
)
from tests.golden.test_golden import CASES, OPTIONS

MINORS = [minor.name for minor in ASSETS.catalog.minors]


@pytest.fixture(params=CASES, ids=[f"{minor}-{option}" for minor, option in CASES], scope="module")
def objects(request: pytest.FixtureRequest) -> list[Manifest]:
    """The objects of one golden mesh."""
    minor, option = request.param
    return render_mesh({"version": minor, **OPTIONS[option]})


def test_nothing_is_null(objects: list[Manifest]) -> None:
    assert not [f"{ref_of(o)}{path}" for o in objects for path, value in walk(o) if value is None]


def test_no_two_objects_have_one_name(objects: list[Manifest]) -> None:
    assert not [ref for ref, count in Counter(map(ref_of, objects)).items() if count > 1]


def test_every_object_carries_the_labels_of_its_mesh(objects: list[Manifest]) -> None:
    assert {parent_of(o) for o in objects} == {Parent(MESH, NAMESPACE, NAME, "0000-1111")}
    assert {o["metadata"]["labels"]["mesh.navarch.io/component"] for o in objects} <= {
        "hosting",
        "revision",
        "istiod",
        "injection",
        "validation",
        "tags",
        "policies",
    }


def test_the_objects_of_a_revision_name_it_and_those_of_the_mesh_do_not(objects: list[Manifest]) -> None:
    shared = {"hosting", "revision", "tags", "policies"}
    for manifest in objects:
        labels = manifest["metadata"]["labels"]
        assert ("mesh.navarch.io/revision" in labels) != (labels["mesh.navarch.io/component"] in shared)


def test_no_role_has_a_star() -> None:
    rules = [rule for role in list_roles(ASSETS) for rule in role["rules"]]
    confined = render_mesh({"controlPlane": {"gatewayController": False}})
    rules += find_one(confined, "ClusterRole")["rules"]
    assert rules
    assert not [rule for rule in rules for words in rule.values() if any("*" in word for word in words)]


def test_istiods_two_fields_of_webhooks_are_left_to_it(objects: list[Manifest]) -> None:
    for manifest in objects:
        for webhook in manifest.get("webhooks", ()):
            assert "caBundle" not in webhook["clientConfig"]
            assert ("failurePolicy" in webhook) == (manifest["kind"] == "MutatingWebhookConfiguration")


def test_webhook_entries_have_names_of_their_own(objects: list[Manifest]) -> None:
    for manifest in objects:
        names = [webhook["name"] for webhook in manifest.get("webhooks", ())]
        assert len(names) == len(set(names))
        assert all(name.endswith(".istio.io") for name in names)


def test_an_autoscaled_deployment_has_no_replicas_of_its_own(objects: list[Manifest]) -> None:
    scaled = any(o["kind"] == "HorizontalPodAutoscaler" for o in objects)
    assert ("replicas" in find_one(objects, "Deployment")["spec"]) != scaled


def test_a_budget_exists_only_where_it_leaves_room_for_a_drain(objects: list[Manifest]) -> None:
    spec = find_one(objects, "Deployment")["spec"]
    scaler = [o for o in objects if o["kind"] == "HorizontalPodAutoscaler"]
    replicas = scaler[0]["spec"]["minReplicas"] if scaler else spec["replicas"]
    budgets = [o for o in objects if o["kind"] == "PodDisruptionBudget"]
    assert bool(budgets) == (replicas > 1)
    assert all(budget["spec"]["minAvailable"] < replicas for budget in budgets)


def test_the_pods_of_istiod_are_selected_by_its_service_and_carry_the_meshs_labels(
    objects: list[Manifest],
) -> None:
    deployment = find_one(objects, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert parent_of(deployment["spec"]["template"]) is not None
    selectors = [deployment["spec"]["selector"]["matchLabels"]]
    selectors += [o["spec"]["selector"] for o in objects if o["kind"] == "Service"]
    assert all(selector.items() <= labels.items() for selector in selectors)
    assert labels["sidecar.istio.io/inject"] == "false"


def test_every_webhook_calls_a_service_that_is_rendered(objects: list[Manifest]) -> None:
    services = {
        (o["metadata"]["namespace"], o["metadata"]["name"]) for o in objects if o["kind"] == "Service"
    }
    calls = [w["clientConfig"]["service"] for o in objects for w in o.get("webhooks", ())]
    assert calls
    assert {(call["namespace"], call["name"]) for call in calls} <= services


def test_every_binding_joins_a_role_of_the_installation_and_an_account_that_is_rendered(
    objects: list[Manifest],
) -> None:
    there = {(o["kind"], o["metadata"]["name"]) for o in (*list_roles(ASSETS), *objects)}
    bindings = [o for o in objects if o["kind"].endswith("Binding")]
    assert bindings
    for binding in bindings:
        assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) in there
        assert all((subject["kind"], subject["name"]) in there for subject in binding["subjects"])


def test_injected_pods_are_stamped_with_version_and_configuration(objects: list[Manifest]) -> None:
    stamp = injector_of(objects)["injectedAnnotations"]["mesh.navarch.io/proxy"]
    assert re.fullmatch(r"1\.(29|30|31|32)\.[0-9]-[0-9a-f]{10}", stamp)


@pytest.mark.parametrize("minor", MINORS)
def test_images_come_from_the_catalog_or_from_the_spec(minor: str) -> None:
    release = ASSETS.catalog.find(minor)
    assert release is not None
    for images, prefix, tag in [
        ({}, release.minor.hub, release.version),
        ({"hub": "mirror.example.org/i", "tag": "x"}, "mirror.example.org/i", "x"),
    ]:
        objects = render_mesh({"version": minor, "images": images})
        found = [value for o in objects for path, value in walk(o) if path.endswith(".image")]
        assert found == [f"{prefix}/pilot:{tag}"]
        values = [o["data"]["values"] for o in objects if "values" in o.get("data", {})]
        assert all(f'"hub": "{prefix}"' in text and f'"tag": "{tag}"' in text for text in values)


@pytest.mark.parametrize("minor", MINORS)
def test_istiods_crds_come_without_a_mesh_and_with_their_minor(minor: str) -> None:
    offline = build_offline(build_mesh({"version": minor}), ASSETS, ENVIRONMENT)
    crds = [o for o in offline.objects if o["kind"] == "CustomResourceDefinition"]
    assert len(crds) == len(ASSETS.crds[minor]) == (14 if minor == "1.29" else 15)
    for crd in crds:
        assert parent_of(crd) is None
        assert crd["metadata"]["labels"]["mesh.navarch.io/istio-minor"] == minor
        assert "status" not in crd


def waves_of(spec: dict[str, Any], *, crd_minor: str | None = "1.31") -> tuple[list[Any], list[Any]]:
    """The waves of a mesh and of its revision."""
    manifest = find_one(render_mesh(spec), "MeshRevision")
    source = build_revision_input(manifest, ASSETS, ENVIRONMENT)
    mesh = build_mesh_waves(manifest, ASSETS, ENVIRONMENT, crd_minor=crd_minor, pointed=manifest)
    return list(mesh), list(build_revision_waves(source, ASSETS))


def test_a_revision_is_applied_in_waves_with_webhooks_last() -> None:
    _, waves = waves_of({})
    assert [wave.name for wave in waves] == ["rbac", "bindings", "config", "workload", "webhooks"]
    kinds = [{o["kind"] for o in wave.objects} for wave in waves]
    assert kinds[1] == {"ClusterRoleBinding", "RoleBinding"}
    assert kinds[2] == {"ConfigMap"}
    assert {"Deployment", "Service"} <= kinds[3]
    assert kinds[4] == {"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}


def test_a_mesh_is_applied_in_waves_with_crds_first() -> None:
    waves, _ = waves_of({"mtls": {"mode": "Strict"}})
    assert [wave.name for wave in waves] == ["crds", "revision", "tags", "policies"]
    assert [o["kind"] for o in waves[3].objects] == ["PeerAuthentication"]


def test_foreign_crds_are_left_out() -> None:
    waves, _ = waves_of({}, crd_minor=None)
    assert waves[0].objects == ()


def test_a_mesh_without_the_default_tag_claims_nothing_cluster_wide() -> None:
    names = {o["metadata"]["name"] for o in render_mesh()}
    assert "istiod-default-validator" not in names
    assert not [name for name in names if "tag-default" in name]


def test_a_mesh_without_an_mtls_mode_makes_no_policy() -> None:
    assert not [o for o in render_mesh() if o["kind"] == "PeerAuthentication"]


def test_a_mesh_may_live_in_istio_system() -> None:
    objects = render_mesh(namespace="istio-system")
    injector = find_one(objects, "MutatingWebhookConfiguration", "injector")
    assert injector["metadata"]["name"] == "istio-sidecar-injector-istio-system-basic-inplace"


def test_an_unknown_version_renders_nothing_and_says_what_is_known() -> None:
    offline = build_offline(build_mesh({"version": "1.20"}), ASSETS, ENVIRONMENT)
    assert offline.objects == ()
    (finding,) = [f for f in offline.findings if f.reason is Reason.UNKNOWN_VERSION]
    assert NEWEST in finding.message


def test_istiod_restarts_when_the_trust_domain_changes_and_not_for_live_configuration() -> None:
    def restart(spec: dict[str, Any]) -> str:
        template = find_one(render_mesh(spec), "Deployment")["spec"]["template"]
        return str(template["metadata"]["annotations"]["mesh.navarch.io/restart"])

    assert restart({"trust": {"domain": "a.b"}}) != restart({})
    assert restart({"meshConfig": {"accessLogFile": "/dev/stdout"}}) == restart({})


def test_the_mesh_config_of_one_mesh_names_its_own_istiod() -> None:
    mesh = find_one(render_mesh(), "ConfigMap", f"istio-{REVISION}")["data"]["mesh"]
    assert f'discoveryAddress: "istiod-{REVISION}.{NAMESPACE}.svc:15012"' in mesh
