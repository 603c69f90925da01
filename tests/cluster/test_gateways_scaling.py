"""Autoscalers of others beside a gateway's own number of pods; Kubernetes' own controller works them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.gateways import build_gateway, count_proxies, wait_for_gateway
from tests.support.meshes import build_mesh, read_condition, wait_for
from tests.support.operator import Operator


@pytest.fixture
async def home(api: Api, operator: Operator, fresh: str) -> AsyncIterator[str]:
    """The namespace of a mesh that is Ready, which loses its gateways at the end."""
    api.create(build_mesh(fresh))
    await wait_for(api, fresh)
    yield fresh
    for gateway in api.list("gateway", fresh):
        api.delete("gateway", fresh, gateway["metadata"]["name"])
    await eventually(lambda: api.list("gateway", fresh) == [], seconds=60, what="gateways are gone")
    await eventually(lambda: count_proxies(api, fresh) == 0, seconds=60, what="no proxy is counted")
    await wait_for(api, fresh)


def build_autoscaler(namespace: str, target: str, least: int) -> Object:
    """Another client's, as KEDA makes one."""
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    utilization = {"type": "Utilization", "averageUtilization": 80}
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": utilization}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": f"other-{target}", "namespace": namespace},
        "spec": {"minReplicas": least, "maxReplicas": 5, "scaleTargetRef": reference, "metrics": [metric]},
    }


def count_replicas(api: Api, namespace: str, name: str) -> int:
    return int((api.get("deployment", namespace, name) or {})["spec"]["replicas"])


async def wait_for_warning(api: Api, namespace: str, name: str, *words: str) -> None:
    """Until SpecAccepted warns of another autoscaler, in these words."""

    def is_told() -> bool:
        said = read_condition(api.get("gateway", namespace, name), "SpecAccepted")
        told = said.get("status") == "True" and said.get("reason") == "OtherAutoscaler"
        return told and all(word in said["message"] for word in words)

    await eventually(is_told, seconds=90, what=f"{name} warns of another autoscaler")


async def test_another_clients_autoscaler_has_the_number_of_pods_and_this_is_told_until_it_is_gone(
    api: Api, audit: Audit, home: str
) -> None:
    api.create(build_gateway(home, home, "fixed", replicas=2))
    autoscaling = {"minReplicas": 1, "maxReplicas": 3}
    api.create(build_gateway(home, home, "scaled", autoscaling=autoscaling))
    for name in ("fixed", "scaled"):
        await wait_for_gateway(api, home, name)
    mark = audit.mark()
    for name in ("fixed", "scaled"):
        api.create(build_autoscaler(home, name, 3))
    await wait_for_warning(api, home, "fixed", "spec.replicas: '2'", f"{home}/other-fixed", "remove")
    await wait_for_warning(api, home, "scaled", "spec.autoscaling", f"{home}/other-scaled", "remove")
    await wait_for_gateway(api, home, "fixed")
    assert count_replicas(api, home, "fixed") == 3
    written = [w for w in audit.writes(mark) if w.resource == "deployments" and w.name == "fixed"]
    # Where the autoscaler scales before the operator has seen it, the number is put back once before.
    assert len(written) <= 2, "the number is let go of once"
    api.delete("hpa", home, "other-fixed")
    api.delete("hpa", home, "other-scaled")
    api.patch("gateway", home, "fixed", {"spec": {"annotations": {"look": "again"}}})
    await eventually(
        lambda: count_replicas(api, home, "fixed") == 2, seconds=60, what="the spec has the number again"
    )
    fixed = await wait_for_gateway(api, home, "fixed")
    assert read_condition(fixed, "SpecAccepted")["reason"] == "AsExpected"


async def test_a_number_that_a_person_sets_is_put_back_where_the_spec_has_one(api: Api, home: str) -> None:
    api.create(build_gateway(home, home, replicas=2))
    await wait_for_gateway(api, home)
    api.patch("deployment", home, "ingress", {"spec": {"replicas": 4}}, sub="scale")
    await eventually(
        lambda: count_replicas(api, home, "ingress") == 2, seconds=60, what="the spec's number is back"
    )
    gateway = await wait_for_gateway(api, home)
    assert read_condition(gateway, "SpecAccepted")["reason"] == "AsExpected"
