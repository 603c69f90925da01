"""Rules about values: whether istiod can read them, knows their names, and has a use for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from navarch.core.istio.definitions import VALUES, Kind, find_problems, load_definition
from navarch.core.mesh.checks import values
from navarch.core.mesh.checks.power import check_values_keys
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.findings import Severity
from navarch.core.model.reasons import Reason

from lab.builds import ISTIO_LINES, pinned
from tests.unit.observations import a_spec, an_observed_mesh, ask, assets, content_of, only

CHECKS = (values.check_values_shapes, values.check_values_are_known, values.check_values_are_read)


def with_values(tree: Mapping[str, Any]) -> ObservedMesh:
    return an_observed_mesh(spec=a_spec(values=tree))


def test_every_default_value_may_be_written_down_but_those_that_are_navarchs_own() -> None:
    observed = with_values(values.build_default_values(content_of(an_observed_mesh())))
    assert [finding for check in CHECKS for finding in ask(check, observed)] == []


WRONG_SHAPES = [
    ({"global": []}, "spec.values.global", "a map"),
    ({"global": {"proxy": "x"}}, "spec.values.global.proxy", "a map"),
    ({"global": {"imagePullSecrets": "a"}}, "spec.values.global.imagePullSecrets", "a list"),
    ({"global": {"logAsJson": "false"}}, "spec.values.global.logAsJson", "true or false"),
    ({"global": {"meshID": 5}}, "spec.values.global.meshID", "a text (in quotes)"),
    ({"global": {"meshID": {}}}, "spec.values.global.meshID", "a text (in quotes)"),
    ({"global": {"proxy": {"statusPort": True}}}, "spec.values.global.proxy.statusPort", "a whole number"),
    # What has no default, or the kind of its default, is held against Istio's definition.
    ({"global": {"proxy": {"statusPort": -1}}}, "spec.values.global.proxy.statusPort", "a whole number"),
    ({"global": {"proxy": {"tracer": "x"}}}, "spec.values.global.proxy.tracer", "one of zipkin, lightstep"),
    ({"pilot": {"autoscaleMin": "x"}}, "spec.values.pilot.autoscaleMin", "a whole number from 0"),
    ({"pilot": {"cpu": 80}}, "spec.values.pilot.cpu", "a map of TargetUtilizationConfig's fields"),
    (
        {"cni": {"rollingMaxUnavailable": {}}},
        "spec.values.cni.rollingMaxUnavailable",
        "a whole number or a text",
    ),
    (
        {"global": {"waypoint": {"resources": {"limits": {"cpu": 2}}}}},
        "spec.values.global.waypoint.resources.limits",
        "a map whose values are each a text",
    ),
    ({"telemetry": {"enabled": "yes"}}, "spec.values.telemetry.enabled", "true or false"),
]


@pytest.mark.parametrize(("tree", "path", "wanted"), WRONG_SHAPES, ids=[shape[1] for shape in WRONG_SHAPES])
def test_a_value_of_another_kind_than_its_default_is_refused(
    tree: dict[str, Any], path: str, wanted: str
) -> None:
    finding = only(values.check_values_shapes, with_values(tree))
    assert (finding.reason, finding.field) == (Reason.VALUES_INVALID, path)
    assert wanted in finding.remedy


def test_null_takes_a_profiles_value_away_and_is_no_value_itself() -> None:
    profile = {"values": {"global": {"meshID": "west", "logAsJson": True}}}
    values_ = {"global": {"meshID": None, "proxy": None}}
    observed = an_observed_mesh(spec=a_spec(profiles=["a"], values=values_), profiles={"a": profile})
    assert not list(ask(values.check_values_shapes, observed))


def test_a_profiles_value_of_another_kind_is_told_of_the_profile() -> None:
    profile = {"values": {"global": {"meshID": 5, "zzz": 1}}}
    observed = an_observed_mesh(spec=a_spec(profiles=["a"]), profiles={"a": profile})
    for check in (values.check_values_shapes, values.check_values_are_known):
        finding = only(check, observed)
        assert finding.field == "spec.profiles"
        assert "values.global." in finding.message


def test_an_unknown_value_is_a_warning_with_the_nearest_known_one() -> None:
    finding = only(values.check_values_are_known, with_values({"global": {"proxy": {"loglevel": "debug"}}}))
    assert (finding.reason, finding.severity) == (Reason.UNKNOWN_FIELD, Severity.WARNING)
    assert (finding.field, finding.value) == ("spec.values.global.proxy.loglevel", "debug")
    assert finding.remedy == "did you mean logLevel?"


def test_an_unknown_value_like_no_other_is_a_warning_too() -> None:
    assert "remove it" in only(values.check_values_are_known, with_values({"zzz": 1})).remedy


def test_maps_without_a_default_content_are_free_form() -> None:
    lifecycle = {"preStop": {"exec": {"command": ["sleep", "5"]}}}
    observed = with_values({"global": {"proxy": {"lifecycle": lifecycle}}})
    assert [finding for check in CHECKS for finding in ask(check, observed)] == []


def test_values_of_an_unknown_version_are_not_compared() -> None:
    observed = an_observed_mesh(spec=a_spec(version="9.9", values={"zzz": 1, "global": [], "cni": {}}))
    assert [finding for check in CHECKS for finding in ask(check, observed)] == []


WELL_FORMED = [
    {
        "global": {
            name: {"resources": {"limits": {"memory": "1Gi", "x/y": "1"}}} for name in ("proxy", "waypoint")
        }
    },
    {"pilot": {"keepaliveMaxServerConnectionAge": "30m", "rollingMaxSurge": "25%", "cpu": None}},
    {"pilot": {"rollingMaxSurge": 1, "env": {"A": "b", "C": 1}, "tag": 1.31, "traceSampling": 1.5}},
    {"gateways": {"istio-ingressgateway": {"labels": {"a": "b"}, "ports": [{"port": 80, "name": "http"}]}}},
    {"gateways": {"istio_ingressgateway": {"autoscaleMax": "5"}}, "istio_cni": {"enabled": True}},
    {"ztunnel": {"anything": ["goes"]}, "gatewayClasses": {"istio": {"service": {"spec": {}}}}},
    {"global": {"resourceScope": "cluster", "meshNetworks": {"a": {"endpoints": []}}}},
]


@pytest.mark.parametrize("tree", WELL_FORMED, ids="-".join)
def test_what_istio_reads_and_knows_is_neither_refused_nor_unknown(tree: dict[str, Any]) -> None:
    observed = with_values(tree)
    assert not list(ask(values.check_values_shapes, observed))
    assert not list(ask(values.check_values_are_known, observed))


@pytest.mark.parametrize(
    ("tree", "path", "nearest"),
    [
        ({"gloabl": {"proxy": {}}}, "gloabl", "global"),
        ({"global": {"meshId": "x"}}, "global.meshId", "meshID"),
        ({"pilot": {"autoscaleMinn": 1}}, "pilot.autoscaleMinn", "autoscaleMin"),
        ({"gateways": {"istio-ingresgateway": {}}}, "gateways.istio-ingresgateway", "istio-ingressgateway"),
        (
            {"gateways": {"istio-egressgateway": {"ports": [{"prt": 1}]}}},
            "gateways.istio-egressgateway.ports[0].prt",
            "port",
        ),
        ({"global": {"proxy_innit": {}}}, "global.proxy_innit", "proxy_init"),
    ],
)
def test_a_name_that_istio_lacks_is_told_with_the_nearest_that_it_has(
    tree: dict[str, Any], path: str, nearest: str
) -> None:
    finding = only(values.check_values_are_known, with_values(tree))
    assert (finding.field, finding.remedy) == (f"spec.values.{path}", f"did you mean {nearest}?")
    assert not list(ask(values.check_values_shapes, with_values(tree)))


@pytest.mark.parametrize("version", ["1.30", "1.31"])
def test_names_are_the_same_for_every_minor(version: str) -> None:
    observed = an_observed_mesh(spec=a_spec(version=version, values={"global": {"meshIDD": "x"}}))
    assert only(values.check_values_are_known, observed).remedy == "did you mean meshID?"


def test_a_name_that_templates_read_and_istios_definition_lacks_is_known() -> None:
    lacking = {"global": {"proxy_init": {"forceApplyIptables": True}}}
    (problem,) = find_problems(lacking, assets().values_descriptors["1.31"], VALUES)
    assert problem.kind is Kind.UNKNOWN
    observed = with_values(lacking)
    assert [finding for check in CHECKS for finding in ask(check, observed)] == []


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        ({"pilot": {"autoscaleMin": 2}}, "pilot.autoscaleMin"),
        ({"cni": {"enabled": True, "chained": False}}, "cni"),
        ({"global": {"defaultResources": {"requests": {}}}}, "global.defaultResources"),
    ],
)
def test_a_value_that_nothing_reads_is_a_warning(tree: dict[str, Any], path: str) -> None:
    finding = only(values.check_values_are_read, with_values(tree))
    assert (finding.reason, finding.severity) == (Reason.VALUE_UNREAD, Severity.WARNING)
    assert finding.field == f"spec.values.{path}"
    assert not list(ask(values.check_values_are_known, with_values(tree)))


def test_defaults_of_gateway_classes_are_told_to_have_no_effect_in_a_hosted_mesh() -> None:
    tree = {"gatewayClasses": {"istio": {"deployment": {"spec": {"replicas": 2}}}}}
    spec = {"version": "1.31", "values": tree, "hosting": "Hosted"}
    finding = only(values.check_gateway_classes_are_read, an_observed_mesh(spec=a_spec(**spec)))
    assert (finding.reason, finding.severity) == (Reason.VALUE_UNREAD, Severity.WARNING)
    assert finding.field == "spec.values.gatewayClasses"
    assert "parametersRef" in finding.remedy
    assert not list(ask(values.check_gateway_classes_are_read, with_values(tree)))


def test_a_value_that_is_refused_is_not_told_twice() -> None:
    tree = {
        "revisionTags": ["a"],
        "meshConfig": {"zzz": 1},
        "global": {"trustDomain": "x", "remotePilotAddress": "y"},
    }
    observed = with_values(tree)
    assert not list(ask(values.check_values_are_known, observed))
    assert not list(ask(values.check_values_are_read, observed))


def test_a_profiles_value_that_the_spec_adds_to_is_told_of_whom_it_is() -> None:
    profile = {"values": {"zzz": {"a": 1}, "yyy": 1}}
    observed = an_observed_mesh(
        spec=a_spec(profiles=["a"], values={"zzz": {"b": 2}}), profiles={"a": profile}
    )
    found = {finding.field for finding in ask(values.check_values_are_known, observed)}
    assert found == {"spec.values.zzz", "spec.profiles"}


def test_definitions_are_of_the_istios_that_the_lab_runs() -> None:
    pins = {name: pin.version for name, pin in assets().catalog.values.items()}
    assert pins == {line.minor: pinned(line.module, "istio.io/istio") for line in ISTIO_LINES}


@pytest.mark.parametrize(
    ("version", "known"), [("1.29", False), ("1.30", False), ("1.31", True), ("1.32", True)]
)
def test_a_value_is_known_where_the_minors_own_definition_has_it(version: str, known: bool) -> None:
    only_newer = {"global": {"readerServiceAccount": {"name": "reader"}}}
    observed = an_observed_mesh(spec=a_spec(version=version, values=only_newer))
    found = {finding.field for finding in ask(values.check_values_are_known, observed)}
    assert found == (set() if known else {"spec.values.global.readerServiceAccount"})


NAMES = sorted(
    {
        name
        for message in load_definition(
            assets().values_descriptors["1.31"], VALUES
        ).file.message_types_by_name.values()
        for field in message.fields
        for name in (field.name, field.json_name)
    }
)
LEAVES = (
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4)
)
TREES = st.recursive(
    LEAVES | st.dictionaries(st.sampled_from(NAMES), LEAVES, max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=60)
@given(tree=st.dictionaries(st.sampled_from(NAMES), TREES, max_size=4))
def test_every_key_is_read_or_reported(tree: dict[str, Any]) -> None:
    """A key at the root has a default, or one finding or more says what is wrong with it."""
    observed = with_values(tree)
    told = {finding.field for check in CHECKS for finding in ask(check, observed)}
    refused = {f.field for f in ask(check_values_keys, observed)}
    defaults = values.build_default_values(content_of(observed))
    for key in tree:
        field = f"spec.values.{key}"
        assert key in defaults or any(name.startswith(field) for name in told | refused)
