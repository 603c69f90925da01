"""What is said to do where the API server refuses an object of a gateway, or its pods."""

from __future__ import annotations

from dataclasses import replace

import pytest
from navarch.core.gateway.status import add_remedy
from navarch.core.model.conditions import Verdict
from navarch.core.model.reasons import Reason
from navarch.core.world.workload import PodProblem

from tests.unit.gateways import a_gateway, on_nodes, settled, told, verdicts


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        (
            'services "in" is forbidden: exceeded quota: bounds, requested: services.loadbalancers=1, used: '
            "services.loadbalancers=0, limited: services.loadbalancers=0",
            "set spec.service.type: NodePort or ClusterIP",
        ),
        ('pods "in-1" is forbidden: exceeded quota: bounds, requested: pods=1', "or ask for less in spec"),
        (
            "ValidatingAdmissionPolicy 'x' with binding 'x' denied request: no",
            "change spec to what it allows",
        ),
        ('admission webhook "x.example" denied the request: no', "change spec to what it allows"),
        ("spec.ports[0].nodePort: provided port is already allocated", "choose another nodePort"),
        ("requests: Invalid value: must be less than or equal to cpu limit of 50m", "has a LimitRange"),
        ("maximum cpu usage per Container is 50m, but limit is 1", "has a LimitRange"),
        ("no PriorityClass with name gold was found", "spec.placement.priorityClassName"),
        ('failed calling webhook "x.example": connection refused', "have its owner bring that webhook back"),
        (".spec.template.spec.affinity.nodAffinity: field not declared in schema", "correct the name"),
        ("minAvailable and maxUnavailable cannot be both set", "--server-side"),
        ("this cluster is not configured for dual-stack services", "spec.service.ipFamilyPolicy"),
        (
            'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
            "spec.service.ipFamilies",
        ),
    ],
)
def test_what_is_refused_is_told_with_what_helps_once(answer: str, remedy: str) -> None:
    message = add_remedy(Verdict("False", Reason.APPLY_FAILED, answer)).message
    assert message.startswith(answer)
    assert remedy in message
    assert message.count("; ") == 1


def test_what_is_not_known_is_told_as_it_came() -> None:
    verdict = Verdict("False", Reason.APPLY_FAILED, "something else")
    assert add_remedy(verdict) == verdict


def test_pods_that_a_quota_refuses_are_told_with_what_helps() -> None:
    observed = settled(a_gateway())
    failure = {
        "type": "ReplicaFailure",
        "status": "True",
        "message": 'pods "ingress-1" is forbidden: exceeded quota: bounds, requested: pods=1',
    }
    status = {"observedGeneration": 1, "conditions": [failure]}
    refused = replace(
        observed,
        owned=tuple({**o, "status": status} if o["kind"] == "Deployment" else o for o in observed.owned),
    )
    for kind in ("Ready", "Available"):
        assert "exceeded quota: bounds" in told(refused, kind)
        assert "raise the namespace's quota" in told(refused, kind)


def test_what_keeps_pods_from_being_made_is_quoted_once() -> None:
    words = "no PriorityClass with name gold was found"
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": words}
    observed = settled(a_gateway())
    status = {"observedGeneration": 1, "conditions": [failure]}
    owned = tuple({**o, "status": status} if o["kind"] == "Deployment" else o for o in observed.owned)
    problems = (PodProblem("of ingress", "FailedCreate", words), PodProblem("ingress-1", "Unschedulable", ""))
    refused = replace(observed, owned=owned, problems=problems)
    assert verdicts(refused)["Progressing"] == ("True", "RolloutStuck")
    for kind in ("Available", "Progressing"):
        assert told(refused, kind).count(words) == 1
        assert "ingress-1: Unschedulable" in told(refused, kind)


def test_a_gateway_that_was_scaled_to_nothing_says_so_and_what_helps() -> None:
    observed = settled(a_gateway())
    none = {"observedGeneration": 1}
    owned = tuple(
        {**o, "spec": {**o["spec"], "replicas": 0}, "status": none} if o["kind"] == "Deployment" else o
        for o in observed.owned
    )
    scaled = replace(observed, owned=owned)
    assert verdicts(scaled)["Ready"] == ("False", "RolloutStuck")
    for kind in ("Ready", "Available"):
        assert "Deployment front/ingress: scaled to 0 pods; scale it up with kubectl scale" in told(
            scaled, kind
        )


def test_a_daemon_set_that_no_node_takes_is_stuck_once_its_controller_has_looked() -> None:
    observed = settled(a_gateway({"workload": "DaemonSet"}))

    def on(status: dict[str, int]) -> tuple[str, str]:
        owned = tuple({**o, "status": status} if o["kind"] == "DaemonSet" else o for o in observed.owned)
        return verdicts(replace(observed, owned=owned))["Progressing"]

    assert on({}) == ("True", "RollingOut")
    assert on(on_nodes(0)) == ("True", "RolloutStuck")
