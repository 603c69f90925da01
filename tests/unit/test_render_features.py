"""One test for each row of the feature table: what the older minor has, and what the newer."""

from __future__ import annotations

import re
from dataclasses import fields, replace

import pytest
from navarch.core.istio.catalog import Features
from navarch.core.istio.roles import istiod_cluster_rules
from navarch.core.model.refs import Manifest
from navarch.core.render.components import istiod, tags
from navarch.core.render.engine import render_text
from navarch.core.render.source import RevisionInput
from navarch.core.render.values import list_gateway_templates
from navarch.core.revision.source import build_revision_input

from tests.golden.rendering import ASSETS, ENVIRONMENT, find_one, injector_of, render_mesh

NEWEST = ASSETS.catalog.minors[-1].features
TESTED = {
    "agentgateway",
    "agentgateway_ca",
    "agentgateway_waypoint",
    "default_tag_webhook_suffixed",
    "fips_godebug",
    "gateway_listener_protocols",
    "go_reads_cpu_limit",
    "listener_sets",
    "otel_resource_attributes",
    "proxy_init_image",
    "x_backends",
}


def without(name: str) -> Features:
    """The newest minor's features but for one."""
    return replace(NEWEST, **{name: False})


def build_input(features: Features, **spec: object) -> RevisionInput:
    """A revision with these features."""
    manifest = find_one(render_mesh(spec), "MeshRevision")
    return replace(build_revision_input(manifest, ASSETS, ENVIRONMENT), features=features)


def sidecar(features: Features) -> str:
    """The sidecar's injection template."""
    return render_text(ASSETS, "injection/sidecar.tpl", features=features)


def resources_of(features: Features) -> set[str]:
    """Everything in Gateway API's groups that istiod may do something with."""
    rules = istiod_cluster_rules(features, ())
    return {r for rule in rules for r in rule["resources"] if "gateway" in rule["apiGroups"][0]}


def test_every_row_of_the_table_has_a_test_here() -> None:
    assert {field.name for field in fields(Features)} == TESTED


def test_minors_have_the_features_that_istios_sources_say() -> None:
    had = {
        minor.name: {f.name for f in fields(Features) if getattr(minor.features, f.name)}
        for minor in ASSETS.catalog.minors
    }
    assert had == {
        "1.29": {"agentgateway"},
        "1.30": {"agentgateway", "agentgateway_ca", "listener_sets", "otel_resource_attributes"},
        "1.31": TESTED - {"go_reads_cpu_limit", "x_backends"},
        "1.32": TESTED,
    }


def test_listener_sets_graduated() -> None:
    assert {"listenersets", "listenersets/status"} <= resources_of(NEWEST)
    assert "xlistenersets" not in resources_of(NEWEST)
    old = resources_of(without("listener_sets"))
    assert {"xlistenersets", "xlistenersets/status"} <= old
    assert "listenersets" not in old


def test_a_template_uses_otel_resource_attributes_only_where_istiod_knows_it() -> None:
    assert "otelResourceAttributes" in sidecar(NEWEST)
    assert "otelResourceAttributes" not in sidecar(without("otel_resource_attributes"))


def test_a_template_reads_proxy_init_image_only_where_istiod_has_it() -> None:
    assert ".ProxyInitImage" in sidecar(NEWEST)
    assert ".ProxyInitImage" not in sidecar(without("proxy_init_image"))


def test_experimental_backends_are_read_and_answered_where_istiod_knows_them() -> None:
    assert {"xbackends", "xbackends/status"} <= resources_of(NEWEST)
    assert "xbackends" not in resources_of(without("x_backends"))


@pytest.mark.parametrize("minor", [minor.name for minor in ASSETS.catalog.minors])
@pytest.mark.parametrize("template", ["sidecar", "gateway", "grpc-agent"])
def test_the_canonical_name_is_trimmed_at_both_ends_for_every_minor(minor: str, template: str) -> None:
    text = injector_of(render_mesh({"version": minor}))["templates"][template]
    assert '$name | trunc 63 | trimAll "-_."' in text
    assert text.index('trimAll "-_."') < text.index("service.istio.io/canonical-name: {{ toJson $name }}")


def test_go_is_told_its_limit_where_it_does_not_read_it_itself() -> None:
    def names(features: Features) -> set[str]:
        deployment = find_one(list(istiod.build_objects(build_input(features), ASSETS)), "Deployment")
        return {v["name"] for v in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}

    assert "GOMAXPROCS" not in names(NEWEST) | {sidecar(NEWEST)}
    assert "GOMAXPROCS" in names(without("go_reads_cpu_limit"))
    assert "GOMAXPROCS" not in sidecar(NEWEST)
    assert "GOMAXPROCS" in sidecar(without("go_reads_cpu_limit"))


def test_an_agentgateway_is_told_of_its_authority_where_the_minor_does_so() -> None:
    def template(features: Features) -> str:
        return render_text(ASSETS, "injection/agentgateway.tpl", features=features, stamp="x")

    own = ("CA_ADDRESS", "/var/run/secrets/istio }", "/var/run/secrets/tokens")
    old = template(without("agentgateway_ca"))
    assert all(text in template(NEWEST) for text in own)
    assert not any(text in old for text in own)
    volumes = ("istiod-ca-cert", "istio-token", "xds-token", "tmp")
    mounted = {name for name in volumes if f"name: {name}, mountPath" in old}
    made = {name for name in volumes if re.search(rf"- {{ name: {name}, (projected|configMap|emptyDir)", old)}
    assert mounted == {"istiod-ca-cert", "xds-token", "tmp"}
    assert "istio-token" not in made


@pytest.mark.parametrize("feature", ["agentgateway", "agentgateway_waypoint"])
def test_a_template_is_there_where_the_minor_deploys_from_it(feature: str) -> None:
    assert feature.replace("_", "-") in list_gateway_templates(NEWEST)
    assert feature.replace("_", "-") not in list_gateway_templates(without(feature))


def test_a_gateways_ports_have_the_protocols_that_istiod_says_where_it_does() -> None:
    def protocol(features: Features) -> str:
        return render_text(ASSETS, "injection/kube-gateway.tpl", features=features, stamp="").partition(
            '"protocol" '
        )[2]

    assert protocol(NEWEST).startswith(".Protocol ")
    assert protocol(without("gateway_listener_protocols")).startswith('"TCP" ')


def test_the_default_tags_webhook_has_the_name_that_the_minor_looks_for() -> None:
    def names(features: Features) -> set[str]:
        objects: list[Manifest] = list(tags.build_objects(build_input(features, defaultTag=True), ASSETS))
        return {o["metadata"]["name"] for o in objects if o["kind"] == "MutatingWebhookConfiguration"}

    assert "istio-revision-tag-default-mesh-a" in names(NEWEST)
    assert "istio-revision-tag-default" in names(without("default_tag_webhook_suffixed"))


@pytest.mark.parametrize(("policy", "expected"), [("fips-140-3", True), ("fips-140-2", False)])
def test_go_is_put_into_fips_mode_where_the_policy_and_the_minor_want_it(policy: str, expected: bool) -> None:
    environment = [{"name": "COMPLIANCE_POLICY", "value": policy}]

    def has_godebug(features: Features) -> bool:
        source = build_input(features, controlPlane={"environment": environment})
        deployment = find_one(list(istiod.build_objects(source, ASSETS)), "Deployment")
        variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        return {"name": "GODEBUG", "value": "fips140=only"} in variables

    assert has_godebug(NEWEST) is expected
    assert not has_godebug(without("fips_godebug"))
    assert "fips140=only" in sidecar(NEWEST)
    assert "fips140=only" not in sidecar(without("fips_godebug"))
