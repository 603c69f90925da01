"""Rules about the free-form fields: meshConfig, values, istiod's environment, overlays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from navarch.api.refused import (
    REFUSED_ENVIRONMENT,
    REFUSED_MESH_CONFIG,
    REFUSED_PATCH,
    REFUSED_VALUES,
    Path,
    list_spellings,
)
from navarch.core.mesh.checks import (
    CHECKS_OF_PLACE,
    CHECKS_OF_SPEC,
    meshconfig,
    overlays,
    power,
    run_checks,
    schema,
)
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.messages import SHOWN
from navarch.core.model.reasons import Reason
from navarch.core.render.values import OWN_ENVIRONMENT, OWN_MESH_CONFIG, OWN_VALUES

from tests.unit.observations import a_spec, an_observed_mesh, ask, only


def with_values(tree: Mapping[str, Any]) -> ObservedMesh:
    return an_observed_mesh(spec=a_spec(values=tree))


def with_mesh_config(tree: Mapping[str, Any]) -> ObservedMesh:
    return an_observed_mesh(spec=a_spec(meshConfig=tree))


def build_tree(path: Path, value: Any) -> dict[str, Any]:
    """The tree that has only `value` at `path`."""
    for step in reversed(path):
        value = {step: value}
    return dict(value)


def written(*tables: Any) -> list[Path]:
    """Every spelling of the paths of a table of api/refused.py, or of dotted paths."""
    paths = [tuple(path.split(".")) if isinstance(path, str) else path for table in tables for path in table]
    return sorted({spelling for path in paths for spelling in list_spellings(path)})


@pytest.mark.parametrize("path", written(REFUSED_MESH_CONFIG, OWN_MESH_CONFIG), ids=".".join)
def test_a_key_of_mesh_config_that_is_navarchs_own_is_refused_in_every_spelling(path: Path) -> None:
    finding = only(power.check_mesh_config_keys, with_mesh_config(build_tree(path, "elsewhere")))
    assert (finding.reason, finding.field) == (Reason.FIELD_REFUSED, f"spec.meshConfig.{'.'.join(path)}")
    assert (finding.value, finding.severity) == ("elsewhere", Severity.ERROR)


@pytest.mark.parametrize("path", written(REFUSED_VALUES, OWN_VALUES), ids=".".join)
def test_a_key_of_values_that_is_navarchs_own_is_refused_in_every_spelling(path: Path) -> None:
    finding = only(power.check_values_keys, with_values(build_tree(path, "elsewhere")))
    assert (finding.reason, finding.field) == (Reason.FIELD_REFUSED, f"spec.values.{'.'.join(path)}")
    assert (finding.value, finding.severity) == ("elsewhere", Severity.ERROR)


@pytest.mark.parametrize("name", sorted({*REFUSED_ENVIRONMENT, *OWN_ENVIRONMENT}))
def test_a_variable_of_istiod_that_is_navarchs_own_is_refused(name: str) -> None:
    environment = [{"name": "PILOT_TRACE_SAMPLING", "value": "1"}, {"name": name, "value": "x"}]
    observed = an_observed_mesh(spec=a_spec(controlPlane={"environment": environment}))
    finding = only(power.check_environment_names, observed)
    assert (finding.reason, finding.value) == (Reason.FIELD_REFUSED, name)
    assert finding.field == "spec.controlPlane.environment[1].name"


def test_an_empty_value_at_a_refused_path_is_refused_all_the_same() -> None:
    assert only(power.check_mesh_config_keys, with_mesh_config({"rootNamespace": None})).value == "None"


def test_a_refused_value_is_shown_shortened() -> None:
    finding = only(power.check_mesh_config_keys, with_mesh_config({"caCertificates": ["x" * 5000]}))
    assert len(finding.value) <= SHOWN + 1


def test_what_a_users_profile_sets_is_not_judged() -> None:
    profile = {"values": {"global": {"proxy": {"privileged": True}}}, "meshConfig": {"rootNamespace": "x"}}
    observed = an_observed_mesh(spec=a_spec(profiles=["trusted"]), profiles={"trusted": profile})
    for check in (power.check_mesh_config_keys, power.check_values_keys, power.check_environment_names):
        assert not list(ask(check, observed))


SERVICE = "istiod-shop-mesh-inplace"


def overlay(kind: str, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
    return {"target": {"kind": kind, "name": name}, "patch": patch}


def with_overlays(*items: dict[str, Any], **fields: Any) -> ObservedMesh:
    return an_observed_mesh(spec=a_spec(overlays=list(items), **fields))


OVERLAY_CHECKS = (overlays.check_overlay_kinds, overlays.check_overlay_patches, overlays.check_overlays_apply)


def check_overlays(observed: ObservedMesh) -> Iterator[Finding]:
    for check in OVERLAY_CHECKS:
        yield from ask(check, observed)


@pytest.mark.parametrize(
    "item",
    [
        overlay("Service", SERVICE, {"spec": {"ipFamilyPolicy": "PreferDualStack"}}),
        overlay("Service", SERVICE, {"metadata": {"annotations": {"example.com/owner": "shop"}}}),
        overlay("Deployment", SERVICE, {"spec": {"template": {"spec": {"dnsPolicy": "Default"}}}}),
        overlay("ConfigMap", "values-shop-mesh-inplace", {"data": {"note": "seen"}}),
    ],
)
def test_an_overlay_on_a_rendered_object_of_the_namespace_is_accepted(item: dict[str, Any]) -> None:
    assert not list(ask(check_overlays, with_overlays(item)))


def test_an_overlay_that_matches_nothing_is_refused_by_its_place_in_the_list() -> None:
    good = overlay("Service", SERVICE, {})
    finding = only(check_overlays, with_overlays(good, overlay("Service", "istiod", {})))
    assert (finding.reason, finding.field) == (Reason.OVERLAY_UNMATCHED, "spec.overlays[1].target")
    assert finding.value == "Service istiod"


def test_an_overlay_of_a_profile_is_not_counted_among_the_specs_own() -> None:
    profile = {"overlays": [overlay("Service", "istiod", {})]}
    unmatched = overlay("Service", "other", {})
    observed = an_observed_mesh(spec=a_spec(profiles=["a"], overlays=[unmatched]), profiles={"a": profile})
    of_profile, own = ask(check_overlays, observed)
    assert (of_profile.field, of_profile.value) == ("spec.profiles", "Service istiod")
    assert (own.field, own.value) == ("spec.overlays[0].target", "Service other")


@pytest.mark.parametrize(
    "kind", ["ClusterRole", "MutatingWebhookConfiguration", "Role", "RoleBinding", "Secret"]
)
def test_an_overlay_on_a_kind_outside_the_namespace_or_with_rights_is_refused(kind: str) -> None:
    finding = only(check_overlays, with_overlays(overlay(kind, "x", {})))
    assert (finding.reason, finding.field) == (Reason.OVERLAY_REFUSED, "spec.overlays[0].target.kind")
    assert finding.value == kind


@pytest.mark.parametrize("path", sorted(REFUSED_PATCH), ids=".".join)
def test_a_patch_of_a_guarded_field_is_refused(path: Path) -> None:
    finding = only(
        check_overlays, with_overlays(overlay("ConfigMap", "istio-shop-mesh-inplace", build_tree(path, "x")))
    )
    assert (finding.reason, finding.value) == (Reason.OVERLAY_REFUSED, "x")
    assert finding.field == f"spec.overlays[0].patch.{'.'.join(path)}"


@pytest.mark.parametrize(
    "patch",
    [{"metadata": None}, {"metadata": {"labels": None}}, {"metadata": {"annotations": []}}, {"data": None}],
    ids=str,
)
def test_a_patch_that_would_replace_a_map_with_guarded_content_is_refused(patch: dict[str, Any]) -> None:
    finding = only(check_overlays, with_overlays(overlay("ConfigMap", "istio-shop-mesh-inplace", patch)))
    assert finding.reason is Reason.OVERLAY_REFUSED
    assert "replace the whole map" in finding.message


def test_a_patch_of_navarchs_own_labels_is_refused() -> None:
    patch = {"metadata": {"labels": {"mesh.navarch.io/mesh-name": "other"}}}
    finding = only(check_overlays, with_overlays(overlay("Service", SERVICE, patch)))
    assert (finding.reason, finding.field) == (Reason.OVERLAY_REFUSED, "spec.overlays[0].patch")
    assert "mesh.navarch.io/mesh-name" in finding.message


GOOD_MESH_CONFIG = {
    "accessLogFile": "/dev/stdout",
    "defaultConfig": {
        "holdApplicationUntilProxyStarts": True,
        "drainDuration": "30s",
        "proxyMetadata": {"A": "b"},
    },
    "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
    "enable_auto_mtls": True,
    "extensionProviders": [{"name": "otel", "opentelemetry": {"service": "otel.o11y.svc", "port": 4317}}],
}


@pytest.mark.parametrize("version", ["1.29", "1.30", "1.31"])
def test_a_good_mesh_config_is_accepted(version: str) -> None:
    observed = an_observed_mesh(spec=a_spec(version=version, meshConfig=GOOD_MESH_CONFIG))
    for check in (
        meshconfig.check_mesh_config_types,
        meshconfig.check_mesh_config_is_known,
        power.check_mesh_config_keys,
    ):
        assert not list(ask(check, observed))


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        ({"accessLogFile": {"path": "x"}}, "accessLogFile"),
        ({"enableAutoMtls": "yes"}, "enableAutoMtls"),
        ({"outboundTrafficPolicy": {"mode": "SOMETIMES"}}, "outboundTrafficPolicy.mode"),
        ({"defaultConfig": "x"}, "defaultConfig"),
        ({"defaultConfig": {"drainDuration": "soon"}}, "defaultConfig.drainDuration"),
        ({"extensionProviders": [{"name": 5}]}, "extensionProviders[0].name"),
    ],
)
def test_a_mesh_config_of_the_wrong_type_is_refused_by_path(tree: dict[str, Any], path: str) -> None:
    finding = only(meshconfig.check_mesh_config_types, with_mesh_config(tree))
    assert (finding.reason, finding.severity) == (Reason.MESH_CONFIG_INVALID, Severity.ERROR)
    assert finding.field == f"spec.meshConfig.{path}"
    assert not list(ask(meshconfig.check_mesh_config_is_known, with_mesh_config(tree)))


@pytest.mark.parametrize(
    ("tree", "path", "remedy"),
    [
        ({"accesLogFile": "x"}, "accesLogFile", "did you mean accessLogFile?"),
        ({"defaultConfig": {"concurency": 2}}, "defaultConfig.concurency", "did you mean concurrency?"),
        ({"zzzzzz": 1}, "zzzzzz", "remove it"),
    ],
)
def test_an_unknown_field_of_mesh_config_is_a_warning(tree: dict[str, Any], path: str, remedy: str) -> None:
    finding = only(meshconfig.check_mesh_config_is_known, with_mesh_config(tree))
    assert (finding.reason, finding.severity) == (Reason.UNKNOWN_FIELD, Severity.WARNING)
    assert (finding.field, finding.remedy) == (f"spec.meshConfig.{path}", remedy)
    assert not list(ask(meshconfig.check_mesh_config_types, with_mesh_config(tree)))


def test_a_profiles_mesh_config_is_told_of_the_profile() -> None:
    profile = {"meshConfig": {"enableAutoMtls": "yes"}}
    observed = an_observed_mesh(spec=a_spec(profiles=["a"]), profiles={"a": profile})
    finding = only(meshconfig.check_mesh_config_types, observed)
    assert finding.field == "spec.profiles"
    assert "meshConfig.enableAutoMtls of a profile" in finding.message


WORDS = sorted(
    {
        step
        for table in (REFUSED_MESH_CONFIG, REFUSED_VALUES, REFUSED_PATCH)
        for path in table
        for step in path
    }
)
KEYS = st.sampled_from(
    [*WORDS, "labels", "annotations", "extensionProviders", "resources", "spec", ""]
) | st.text(max_size=5)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
TREES = st.dictionaries(KEYS, ANYTHING, max_size=4)


CHEAP = [check for check in (*CHECKS_OF_PLACE, *CHECKS_OF_SPEC) if check is not overlays.check_overlays_apply]


@settings(max_examples=100)
@given(mesh_config=TREES, tree=TREES, patch=TREES, profile=TREES)
def test_no_rule_fails_whatever_the_free_form_fields_hold(
    mesh_config: dict[str, Any], tree: dict[str, Any], patch: dict[str, Any], profile: dict[str, Any]
) -> None:
    items = [overlay("Service", SERVICE, patch)]
    spec = a_spec(profiles=["a"], meshConfig=mesh_config, values=tree, overlays=items)
    for profiles in ({"a": profile}, {"a": {"values": profile, "meshConfig": tree}}):
        observed = an_observed_mesh(spec=spec, profiles=profiles)
        findings = [finding for check in CHEAP for finding in ask(check, observed)]
        assert all(finding.field and finding.message and finding.remedy for finding in findings)


@pytest.mark.parametrize(
    "tree", [{"global": []}, {"sidecarInjectorWebhook": []}, {"global": {"proxy": 1}}], ids=str
)
def test_overlays_are_judged_though_values_could_not_be_rendered(tree: dict[str, Any]) -> None:
    observed = with_overlays(overlay("Service", "none", {}), values=tree)
    assert [finding.reason for finding in run_checks(observed)] == [
        Reason.VALUES_INVALID,
        Reason.OVERLAY_UNMATCHED,
    ]


def nested(levels: int) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for _ in range(levels):
        tree = {"a": tree}
    return tree


def test_a_field_nested_too_deep_to_be_read_is_refused_before_anything_reads_it() -> None:
    (finding,) = run_checks(with_values(nested(500)))
    assert (finding.reason, finding.field) == (Reason.INVALID_SPEC, "spec.values")
    assert "64 levels" in finding.message


def test_nesting_as_istio_has_it_is_accepted() -> None:
    assert not list(schema.check_nesting(with_values(nested(schema.DEPTH - 1))))
    assert list(schema.check_nesting(with_values(nested(schema.DEPTH))))
