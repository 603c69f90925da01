"""What is said to do where the API server refuses an object of a gateway, or its pods."""

from __future__ import annotations

from dataclasses import replace

import pytest
from navarch.core.gateway.status import add_remedy
from navarch.core.model.conditions import Verdict
from navarch.core.model.reasons import Reason

from tests.unit.gateways import a_gateway, settled, told


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
