"""What a cluster refuses of a gateway, and what takes its ground away: told with what helps, tried rarely,
and nothing that runs is touched. Gateways stand in the namespace of their mesh unless said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.polling import eventually
from tests.support.api import Api, Object, Refused
from tests.support.audit import Audit
from tests.support.gateways import build_gateway, count_proxies, list_objects, wait_for_gateway
from tests.support.meshes import build_mesh, read_condition, wait_for
from tests.support.operator import Operator

PODS = "mesh.navarch.io/gateway-name=ingress"
MOST_TRIES = 4
"""Times that a refused object is tried while another gateway is made from nothing: with each event of its own
gateway, and not without one."""


@pytest.fixture
async def mesh(api: Api, operator: Operator, fresh: str) -> str:
    """A mesh that is Ready; its namespace."""
    api.create(build_mesh(fresh))
    await wait_for(api, fresh)
    return fresh


@contextmanager
def a_member(api: Api, mesh: str) -> Iterator[str]:
    """Another namespace of the mesh."""
    name, labels = f"{mesh}-front", {"istio.io/rev": f"{mesh}-demo"}
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    try:
        yield name
    finally:
        if api.get("namespace", "", name) is not None:
            api.delete("namespace", "", name)


def build_quota(namespace: str, **hard: str) -> Object:
    named = {key.replace("_", "."): value for key, value in hard.items()}
    metadata = {"name": "bounds", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": named}}


@contextmanager
def no_load_balancers_by_quota(api: Api, namespace: str) -> Iterator[None]:
    api.create(build_quota(namespace, services_loadbalancers="0"))
    yield


@contextmanager
def no_load_balancers_by_policy(api: Api, namespace: str) -> Iterator[None]:
    """A rule of the cluster's own, in force."""
    metadata = {"name": f"{namespace}-no-balancers"}
    where = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["services"]}
    validation = {"expression": "object.spec.type != 'LoadBalancer'", "message": "no balancers here"}
    constraints = {"resourceRules": [rule], "namespaceSelector": where}
    base = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": metadata}
    kinds = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    specs: tuple[Object, Object] = (
        {"matchConstraints": constraints, "validations": [validation]},
        {"policyName": metadata["name"], "validationActions": ["Deny"]},
    )
    try:
        for kind, spec in zip(kinds, specs, strict=True):
            api.create({**base, "kind": kind, "spec": spec})
        yield
    finally:
        for plural in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
            api.request("DELETE", f"/apis/{base['apiVersion']}/{plural}/{metadata['name']}", {})


def is_refused(api: Api, namespace: str) -> bool:
    """Whether the API server takes no load balancer here; quotas and policies take it a moment."""
    spec = {"type": "LoadBalancer", "ports": [{"port": 80}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "try", "namespace": namespace}}
    try:
        api.create({**service, "spec": spec}, dry_run=True)
    except Refused:
        return True
    return False


@pytest.mark.parametrize(
    ("refuse", "words"),
    [
        pytest.param(
            no_load_balancers_by_quota,
            ("services.loadbalancers", "set spec.service.type: NodePort or ClusterIP"),
            id="quota",
        ),
        pytest.param(
            no_load_balancers_by_policy, ("no balancers here", "change spec to what it allows"), id="policy"
        ),
    ],
)
async def test_a_type_of_service_that_the_cluster_refuses_is_told_with_what_helps_and_tried_rarely(
    api: Api,
    audit: Audit,
    mesh: str,
    refuse: Callable[[Api, str], AbstractContextManager[None]],
    words: tuple[str, ...],
) -> None:
    with refuse(api, mesh):
        await eventually(lambda: is_refused(api, mesh), seconds=30, what="the cluster refuses it")
        mark = audit.mark()
        api.create(build_gateway(mesh, mesh, service={"type": "LoadBalancer"}))
        refused = await wait_for_gateway(api, mesh, status="False", reason="AdmissionDenied")
        message = read_condition(refused, "Ready")["message"]
        for word in ("Service", *words):
            assert word in message
        api.create(build_gateway(mesh, mesh, "other"))
        await wait_for_gateway(api, mesh, "other")
        tries = [w for w in audit.writes(mark) if w.resource == "services" and w.name == "ingress"]
        assert 1 <= len(tries) <= MOST_TRIES
        assert api.list("pod", mesh, labels=PODS), "pods are made all the same"
        api.patch("gateway", mesh, "ingress", {"spec": {"service": {"type": "NodePort"}}})
        await wait_for_gateway(api, mesh)


async def test_pods_beyond_a_quota_are_told_with_what_helps_and_come_once_it_is_raised(
    api: Api, audit: Audit, mesh: str
) -> None:
    api.create(build_quota(mesh, pods="1"))
    mark = audit.mark()
    api.create(build_gateway(mesh, mesh))

    def is_told() -> bool:
        said = read_condition(api.get("gateway", mesh, "ingress"), "Ready").get("message", "")
        return all(word in said for word in ("exceeded quota: bounds", "raise the namespace's quota"))

    await eventually(is_told, seconds=60, what="the quota is named")
    api.patch("quota", mesh, "bounds", {"spec": {"hard": {"pods": "10"}}})
    await wait_for_gateway(api, mesh)
    written = [
        w
        for w in audit.writes(mark)
        if w.name.startswith("ingress") and w.subresource == "" and w.resource != "meshgateways"
    ]
    tries = Counter(w.resource for w in written)
    assert set(tries.values()) <= {1, 2}, f"nothing is written again and again: {tries}"


async def test_a_budget_that_could_never_be_met_is_refused_and_what_runs_stays(
    api: Api, audit: Audit, mesh: str
) -> None:
    def patch(**spec: object) -> None:
        target = {"kind": "PodDisruptionBudget", "name": "ingress"}
        gateway = api.get("gateway", mesh, "ingress") or {}
        gateway["spec"]["overlays"] = [{"target": target, "patch": {"spec": spec}}]
        api.request("PUT", api.path("gateway", mesh, "ingress"), gateway)  # a merge patch would drop null

    api.create(build_gateway(mesh, mesh, replicas=2))
    await wait_for_gateway(api, mesh)
    mark = audit.mark()
    patch(maxUnavailable=None, minAvailable=2)
    refused = await wait_for_gateway(api, mesh, status="False", reason="InvalidSpec")
    message = read_condition(refused, "Ready")["message"]
    for word in ("spec.overlays[0].patch.spec.minAvailable: '2'", "drained", "let at least one go"):
        assert word in message
    assert {w.resource for w in audit.writes(mark)} <= {"meshgateways", "meshcontrolplanes"}
    budget = api.get("pdb", mesh, "ingress") or {}
    assert budget["spec"]["maxUnavailable"] == 1
    patch(maxUnavailable=None, minAvailable="50%")
    await wait_for_gateway(api, mesh)
    budget = api.get("pdb", mesh, "ingress") or {}
    assert budget["spec"]["minAvailable"] == "50%"
    assert "maxUnavailable" not in budget["spec"], "null took it away"


async def test_an_overlay_without_an_object_is_told_and_a_good_one_is_applied_and_taken_away_again(
    api: Api, mesh: str
) -> None:
    def patch(kind: str) -> None:
        overlay = {"target": {"kind": kind, "name": "ingress"}, "patch": {"spec": {"minReadySeconds": 1}}}
        api.patch("gateway", mesh, "ingress", {"spec": {"overlays": [overlay]}})

    def count() -> object:
        return (api.get("deployment", mesh, "ingress") or {})["spec"].get("minReadySeconds")

    api.create(build_gateway(mesh, mesh))
    await wait_for_gateway(api, mesh)
    patch("HorizontalPodAutoscaler")
    refused = await wait_for_gateway(api, mesh, status="False", reason="OverlayUnmatched")
    message = read_condition(refused, "Ready")["message"]
    assert "spec.overlays[0].target" in message
    assert "name an object that is rendered" in message
    patch("Deployment")
    await wait_for_gateway(api, mesh)
    assert count() == 1
    api.patch("gateway", mesh, "ingress", {"spec": {"overlays": None}})
    await wait_for_gateway(api, mesh)
    assert count() is None


async def test_in_a_namespace_that_is_terminating_nothing_is_tried_and_the_gateway_goes(
    api: Api, audit: Audit, mesh: str
) -> None:
    with a_member(api, mesh) as member:
        api.create(build_gateway(member, mesh))
        await wait_for_gateway(api, member)
        held = {"name": "held", "namespace": member, "finalizers": ["test.example/hold"]}
        api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": held})
        mark = audit.mark()
        api.delete("namespace", "", member)
        await eventually(lambda: not api.list("gateway", member), seconds=60, what="the gateway is gone")
        with pytest.raises(Refused, match="being terminated"):
            api.create(build_gateway(member, mesh, "late"))
        assert [str(w) for w in audit.writes(mark) if w.namespace == member and w.code >= 400] == []
        api.patch("configmap", member, "held", {"metadata": {"finalizers": None}})
        await eventually(
            lambda: api.get("namespace", "", member) is None, seconds=60, what="the namespace is gone"
        )
    await wait_for(api, mesh)


async def test_a_mesh_that_is_removed_leaves_the_gateways_of_others_serving_and_takes_them_up_again(
    api: Api, audit: Audit, mesh: str
) -> None:
    with a_member(api, mesh) as member:
        api.create(build_gateway(member, mesh))
        await wait_for_gateway(api, member)
        await eventually(lambda: count_proxies(api, mesh) == 1, seconds=30, what="its proxy is counted")

        def list_uids() -> set[str]:
            found = [*list_objects(api, member), *api.list("pod", member, labels=PODS)]
            return {o["metadata"]["uid"] for o in found}

        before = list_uids()
        api.patch(
            "mesh", mesh, "demo", {"metadata": {"annotations": {"mesh.navarch.io/force-delete": "true"}}}
        )
        mark = audit.mark()
        api.delete("mesh", mesh, "demo")
        await eventually(lambda: api.get("mesh", mesh, "demo") is None, seconds=90, what="the mesh is gone")
        left = await wait_for_gateway(api, member, status="False", reason="MeshNotFound")
        assert "keeps serving" in read_condition(left, "Ready")["message"]
        assert list_uids() == before
        written = [w for w in audit.writes(mark) if w.namespace == member and w.resource != "meshgateways"]
        assert [str(w) for w in written] == []
        api.create(build_mesh(mesh))
        await wait_for_gateway(api, member)
        api.delete("gateway", member, "ingress")
        await eventually(lambda: not api.list("gateway", member), seconds=60, what="it is gone")


async def test_a_meshs_pull_secrets_reach_its_gateways(api: Api, operator: Operator, fresh: str) -> None:
    api.create(build_mesh(fresh, images={"pullSecrets": [{"name": "registry"}]}))
    await wait_for(api, fresh)
    api.create(build_gateway(fresh, fresh))
    await wait_for_gateway(api, fresh)
    pods = api.list("pod", fresh, labels=PODS)
    assert pods
    assert all({"name": "registry"} in pod["spec"]["imagePullSecrets"] for pod in pods)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"labels": {"team": 1}}, "spec.labels.team"),
        ({"annotations": {"team": True}}, "spec.annotations.team"),
        ({"environment": [{"name": "A", "value": 1}]}, "spec.environment[0].value"),
        ({"service": {"annotations": {"a": 1}}}, "spec.service.annotations.a"),
        ({"resources": {"requests": {"cpu": []}}}, "spec.resources.requests.cpu"),
    ],
    ids=str,
)
def test_a_number_where_pods_take_a_text_is_refused_and_never_reaches_them(
    api: Api, installed: object, spec: Object, field: str
) -> None:
    with pytest.raises(Refused) as refused:
        api.create(build_gateway("default", "default", **spec), dry_run=True)
    assert field in str(refused.value)
