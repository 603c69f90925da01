"""Who decides how many pods a gateway has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from navarch.core.gateway.autoscalers import may_be_scaled
from navarch.core.gateway.checks import run_checks
from navarch.core.gateway.observed import ObservedGateway
from navarch.core.gateway.plan import build_gateway
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.reasons import Reason

from tests.unit.gateways import a_gateway, find, settled, told, verdicts


def as_written(observed: ObservedGateway, *, live: int, owned: bool) -> Any:
    """The Deployment with a number that Navarch wrote last, or another client."""
    workload = observed.workload
    assert workload is not None
    fields = {"f:spec": {"f:replicas": {}} if owned else {}}
    entries = [{"manager": "navarch", "operation": "Apply", "fieldsV1": fields}]
    metadata = {**workload["metadata"], "managedFields": entries}
    return {**workload, "metadata": metadata, "spec": {**workload["spec"], "replicas": live}}


@pytest.mark.parametrize(
    ("spec", "live", "owned", "expected"),
    [
        ({"replicas": 2}, 2, True, False),
        ({"replicas": 2}, 4, False, True),
        ({"replicas": 2}, 2, False, True),
        ({"replicas": 3}, 2, True, True),
        ({}, 4, False, False),
        ({"autoscaling": {"minReplicas": 1, "maxReplicas": 2}}, 4, False, False),
    ],
    ids=str,
)
def test_autoscalers_are_asked_for_only_where_the_number_is_not_as_navarch_wrote_it(
    spec: dict[str, Any], live: int, owned: bool, expected: bool
) -> None:
    observed = settled(a_gateway(spec))
    assert may_be_scaled(observed.spec, as_written(observed, live=live, owned=owned)) == expected


def test_autoscalers_are_not_asked_for_without_a_deployment() -> None:
    assert not may_be_scaled(a_gateway({"replicas": 2}).spec, None)
    on_nodes = settled(a_gateway({"workload": "DaemonSet"}))
    assert not may_be_scaled(on_nodes.spec, on_nodes.workload)


def find_warnings(observed: ObservedGateway, reason: Reason) -> list[Finding]:
    return [f for f in run_checks(observed) if f.reason is reason and f.severity is Severity.WARNING]


def test_a_number_beside_another_autoscaler_is_left_out_and_the_budget_stays() -> None:
    alone = a_gateway({"replicas": 2})
    beside = replace(alone, autoscalers=("keda-hpa-ingress",))
    assert find(build_gateway(alone), "Deployment")["spec"]["replicas"] == 2
    assert "replicas" not in find(build_gateway(beside), "Deployment")["spec"]
    assert find(build_gateway(beside), "PodDisruptionBudget")
    (warning,) = find_warnings(beside, Reason.OTHER_AUTOSCALER)
    assert (warning.field, warning.value) == ("spec.replicas", "2")
    assert "HorizontalPodAutoscaler front/keda-hpa-ingress" in warning.message
    assert find_warnings(alone, Reason.OTHER_AUTOSCALER) == []


def test_a_gateway_beside_another_autoscaler_is_ready_and_says_so() -> None:
    observed = settled(replace(a_gateway({"replicas": 2}), autoscalers=("other",)))
    assert verdicts(observed)["SpecAccepted"] == ("True", "OtherAutoscaler")
    assert verdicts(observed)["Ready"][0] == "True"


def test_two_autoscalers_of_the_same_pods_are_told_by_kubernetes_own_words() -> None:
    observed = settled(a_gateway({"autoscaling": {"minReplicas": 1, "maxReplicas": 2}}))
    words = "pods by selector x are controlled by multiple HPAs: [front/ingress front/other]"
    ambiguous = {"type": "ScalingActive", "status": "False", "reason": "AmbiguousSelector", "message": words}
    seen = tuple(
        {**o, "status": {"conditions": [ambiguous]}} if o["kind"] == "HorizontalPodAutoscaler" else o
        for o in observed.owned
    )
    assert find_warnings(observed, Reason.OTHER_AUTOSCALER) == []
    (warning,) = find_warnings(replace(observed, owned=seen), Reason.OTHER_AUTOSCALER)
    assert warning.field == "spec.autoscaling"
    assert words in warning.message
    assert words in told(replace(observed, owned=seen), "SpecAccepted")


BOUNDS = {"minReplicas": 1, "maxReplicas": 2}
MEMORY = {"memory": "1Gi"}


@pytest.mark.parametrize(
    ("autoscaling", "resources", "field"),
    [
        ({}, {"requests": {"memory": "1Gi"}}, "spec.autoscaling"),
        ({"targetCPUUtilization": 50}, {"limits": MEMORY}, "spec.autoscaling.targetCPUUtilization"),
        (
            {"targetMemoryUtilization": 50},
            {"requests": {"cpu": "1"}},
            "spec.autoscaling.targetMemoryUtilization",
        ),
        ({}, {"limits": {"cpu": "1"}}, ""),
        ({}, None, ""),
        ({"metrics": [{"type": "External"}]}, {"requests": {"memory": "1Gi"}}, ""),
        ({"targetMemoryUtilization": 50}, {"requests": {"memory": "1Gi"}}, ""),
    ],
    ids=str,
)
def test_an_autoscaler_that_has_nothing_to_measure_is_warned_of_with_the_field_that_helps(
    autoscaling: dict[str, Any], resources: dict[str, Any] | None, field: str
) -> None:
    said = {"autoscaling": {**BOUNDS, **autoscaling}, **({"resources": resources} if resources else {})}
    warnings = find_warnings(a_gateway(said), Reason.FIELD_WITHOUT_EFFECT)
    assert [w.field for w in warnings] == ([field] if field else [])
    assert all("set spec.resources.requests." in w.remedy for w in warnings)
