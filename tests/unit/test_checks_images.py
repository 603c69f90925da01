"""An image of which no container runtime would make a container is refused at its field."""

from __future__ import annotations

from typing import Any

import pytest
from navarch.core.mesh.checks import run_checks
from navarch.core.model.findings import Severity
from navarch.core.model.reasons import Reason

from tests.unit.observations import a_spec, an_observed_mesh


def find_errors(spec: dict[str, Any]) -> list[tuple[Reason, str]]:
    observed = an_observed_mesh(spec=a_spec(**spec))
    return [(f.reason, f.field) for f in run_checks(observed) if f.severity is Severity.ERROR]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"images": {"hub": "HTTP://x y"}}, "images.hub"),
        ({"images": {"hub": "https://registry.example.com/istio"}}, "images.hub"),
        ({"images": {"hub": "registry.example.com/Istio"}}, "images.hub"),
        ({"images": {"hub": "registry.example.com/istio/"}}, "images.hub"),
        ({"images": {"hub": "registry.example.com:port/istio"}}, "images.hub"),
    ],
)
def test_what_is_no_reference_of_an_image_is_refused(spec: dict[str, Any], field: str) -> None:
    assert find_errors(spec) == [(Reason.INVALID_SPEC, f"spec.{field}")]


@pytest.mark.parametrize(
    "hub", ["istio", "localhost:5000", "registry.example.com:5000/a/b_c", "[fd00::1]:5000/istio"]
)
def test_a_registry_with_or_without_a_path_or_port_is_taken(hub: str) -> None:
    assert find_errors({"images": {"hub": hub}}) == []
