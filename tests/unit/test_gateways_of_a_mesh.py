"""What a mesh's gateways have in common: defaults that an entry takes away, and names that clash."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from navarch.api.inline import Gateways
from navarch.core.mesh.checks import run_checks
from navarch.core.mesh.checks.names import SCOPED, check_gateway_names
from navarch.core.mesh.gateways import build_gateways
from navarch.core.mesh.layering import merge_layers, merge_settings
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.findings import Severity
from navarch.core.model.reasons import Reason
from navarch.core.world.cluster import Namespace

from tests.unit.gateways import a_gateway, build_gateway, find
from tests.unit.observations import PARENT, a_spec, an_observed_mesh
from tests.unit.test_mesh_gateways import FRONT, theirs

LIMITED = {"resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "1"}}}


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, LIMITED["resources"]),
        ({"limits": {}}, {"limits": {}, "requests": {"cpu": "1"}}),
        ({"limits": {}, "requests": {}}, {"limits": {}, "requests": {}}),
        ({"limits": {"cpu": "2"}}, {"limits": {"memory": "1Gi", "cpu": "2"}, "requests": {"cpu": "1"}}),
    ],
)
def test_an_entry_takes_limits_of_the_defaults_away_by_empty_ones(
    own: dict[str, Any], expected: dict[str, Any]
) -> None:
    entry = {"name": "a", "resources": own}
    (gateway,) = build_gateways(PARENT, Gateways.model_validate({"defaults": LIMITED, "ingress": [entry]}))
    assert gateway["spec"]["resources"] == expected
    layers = merge_layers(
        {"gateways": {"defaults": LIMITED}}, {"gateways": {"ingress": [entry]}}
    )  # a profile's, and the mesh's own
    assert layers["gateways"]["ingress"] == [entry]


def test_a_profile_takes_limits_of_a_lower_profile_away_by_null_or_by_empty_ones() -> None:
    for nothing in (None, {}):
        merged = merge_settings(LIMITED, {"resources": {"limits": nothing}})
        assert not merged["resources"].get("limits")
        assert merged["resources"]["requests"] == {"cpu": "1"}


def test_empty_limits_are_not_written_to_pods() -> None:
    workload = find(
        build_gateway(a_gateway({"resources": {"limits": {}, "requests": {"cpu": "1"}}})), "Deployment"
    )
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {"requests": {"cpu": "1"}}
    workload = find(build_gateway(a_gateway({"resources": {"limits": {}}})), "Deployment")
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert container.get("resources", {}) == {}


# --- names


def with_gateways(*places: str, environment: str = "", **more: Any) -> ObservedMesh:
    """A mesh with a gateway `ingress` in each of these namespaces, of which `away` is not the mesh's."""
    variables = [{"name": SCOPED, "value": environment}] if environment else []
    mesh = an_observed_mesh(spec=a_spec(controlPlane={"environment": variables}))
    back = Namespace("back", FRONT.labels)
    namespaces = {**mesh.namespaces, "front": FRONT, "back": back, "away": Namespace("away", {})}
    gateways = tuple(theirs("ingress", namespace=place) for place in places)
    return replace(mesh, namespaces=namespaces, gateways=gateways, **more)


def test_two_gateways_of_one_name_in_two_namespaces_of_a_mesh_are_a_warning_of_the_mesh() -> None:
    (finding,) = check_gateway_names(with_gateways("front", "back"))
    assert (finding.reason, finding.severity) == (Reason.GATEWAY_NAMES_CLASH, Severity.WARNING)
    assert "ingress in back, front" in str(finding)
    assert f"or set {SCOPED}=true" in str(finding)
    assert finding in run_checks(with_gateways("front", "back"))


@pytest.mark.parametrize(
    "mesh",
    [
        with_gateways("front"),
        with_gateways("front", "away"),
        with_gateways("front", "back", environment="true"),
    ],
)
def test_no_warning_is_given_where_nothing_selects_both(mesh: ObservedMesh) -> None:
    assert list(check_gateway_names(mesh)) == []


def test_a_gateway_that_goes_does_not_count_and_others_of_other_names_neither() -> None:
    mesh = with_gateways("front", "back")
    going = {**mesh.gateways[0], "metadata": {**mesh.gateways[0]["metadata"], "deletionTimestamp": "x"}}
    assert list(check_gateway_names(replace(mesh, gateways=(going, mesh.gateways[1])))) == []
    other = theirs("egress", namespace="back")
    assert list(check_gateway_names(replace(mesh, gateways=(mesh.gateways[0], other)))) == []
