"""What injection would put into every pod, and Kubernetes would not take, is refused at its field.

That istiod refuses such a pod was tried with the real one (tests/upstream/test_injected_limits.py).
"""

from __future__ import annotations

from typing import Any

import pytest
from navarch.core.mesh.checks import run_checks
from navarch.core.model.findings import Severity
from navarch.core.model.reasons import Reason

from tests.unit.observations import a_spec, an_observed_mesh

HOOK = {"exec": {"command": ["true"]}}


def a_proxy(**fields: Any) -> dict[str, Any]:
    return {"values": {"global": {"proxy": fields}}}


def find_errors(spec: dict[str, Any]) -> list[tuple[str, str]]:
    observed = an_observed_mesh(spec=a_spec(**spec))
    return [(f.reason, f.field) for f in run_checks(observed) if f.severity is Severity.ERROR]


REFUSED: list[tuple[dict[str, Any], str]] = [
    (a_proxy(readinessInitialDelaySeconds=2**31), "values.global.proxy.readinessInitialDelaySeconds"),
    (a_proxy(readinessPeriodSeconds=2**31), "values.global.proxy.readinessPeriodSeconds"),
    (a_proxy(readinessFailureThreshold=2**32 - 1), "values.global.proxy.readinessFailureThreshold"),
    (a_proxy(startupProbe={"failureThreshold": 2**31}), "values.global.proxy.startupProbe.failureThreshold"),
    (a_proxy(statusPort=65536), "values.global.proxy.statusPort"),
    (a_proxy(seccompProfile={"type": 5}), "values.global.proxy.seccompProfile.type"),
    (a_proxy(lifecycle={"preStop": "x"}), "values.global.proxy.lifecycle.preStop"),
    (
        a_proxy(lifecycle={"preStop": {"exec": {"command": 5}}}),
        "values.global.proxy.lifecycle.preStop.exec.command",
    ),
    (a_proxy(resources={"requests": {"foo": "1"}}), "values.global.proxy.resources.requests.foo"),
    (
        a_proxy(resources={"requests": {"cpu": "1"}, "limits": {"cpu": "500m"}}),
        "values.global.proxy.resources.limits.cpu",
    ),
    ({"values": {"global": {"imagePullPolicy": "Sometimes"}}}, "values.global.imagePullPolicy"),
    ({"values": {"global": {"imagePullSecrets": ["a b"]}}}, "values.global.imagePullSecrets[0]"),
    ({"proxy": {"lifecycle": {"preStop": {}}}}, "proxy.lifecycle.preStop"),
    ({"proxy": {"lifecycle": {"postStart": HOOK | {"sleep": {"seconds": 1}}}}}, "proxy.lifecycle.postStart"),
    (
        {"proxy": {"lifecycle": {"preStop": {"sleep": {"seconds": -1}}}}},
        "proxy.lifecycle.preStop.sleep.seconds",
    ),
]


@pytest.mark.parametrize(("spec", "field"), REFUSED)
def test_what_no_pod_could_hold_is_refused_at_its_field(spec: dict[str, Any], field: str) -> None:
    reason = Reason.VALUES_INVALID if field.startswith("values.") else Reason.INVALID_SPEC
    assert find_errors(spec) == [(reason, f"spec.{field}")]


@pytest.mark.parametrize(
    "spec",
    [
        a_proxy(readinessPeriodSeconds=2**31 - 1, readinessFailureThreshold=0, statusPort=0),
        a_proxy(startupProbe={"enabled": True, "failureThreshold": 2**31 - 1}),
        a_proxy(seccompProfile={"type": "RuntimeDefault"}, lifecycle={"preStop": HOOK}),
        a_proxy(resources={"requests": {"cpu": "1", "example.com/a": "1"}, "limits": {"cpu": "1000m"}}),
        a_proxy(resources={"requests": {"cpu": "1e999999999"}, "limits": {"cpu": "1"}}),
        {"values": {"global": {"imagePullPolicy": "Never", "imagePullSecrets": ["a.b", "c"]}}},
        {"proxy": {"lifecycle": {"preStop": {"sleep": {"seconds": 5}}, "postStart": HOOK}}},
    ],
)
def test_what_a_pod_can_hold_is_taken(spec: dict[str, Any]) -> None:
    assert find_errors(spec) == []


def test_what_a_profile_says_is_told_as_the_profiles() -> None:
    profile = {"values": {"global": {"proxy": {"readinessPeriodSeconds": 2**31}, "imagePullPolicy": "x"}}}
    observed = an_observed_mesh(spec=a_spec(profiles=["mine"]), profiles={"mine": profile})
    errors = [f for f in run_checks(observed) if f.severity is Severity.ERROR]
    assert {f.field for f in errors} == {"spec.profiles"}
    assert [f.message.partition(" is not ")[0] for f in errors] == [
        "values.global.proxy.readinessPeriodSeconds of a profile",
        "values.global.imagePullPolicy of a profile",
    ]
