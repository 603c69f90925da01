"""MeshGateways on a real API server: made, followed, repaired, removed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import count

import pytest

from lab.cluster import Cluster
from tests.cluster.conftest import assert_quiet
from tests.polling import eventually
from tests.support.api import Api, Object, Refused
from tests.support.audit import Audit
from tests.support.command import navarch
from tests.support.gateways import build_gateway, count_proxies, list_objects, wait_for_gateway
from tests.support.meshes import build_mesh, edit, read_condition, wait_for
from tests.support.operator import SYSTEM, Operator

SAME_NODE_PORT = {"name": "a", "port": 80, "nodePort": 30180}


_numbers = count(1)


@pytest.fixture
def mesh(lent: str) -> str:
    """The namespace of a mesh that is Ready."""
    return lent


@pytest.fixture
async def member(api: Api, mesh: str) -> AsyncIterator[str]:
    """A namespace of the mesh, removed with its gateways."""
    name = f"{mesh}-front{next(_numbers)}"
    labels = {"istio.io/rev": f"{mesh}-demo"}
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    yield name
    for gateway in api.list("gateway", name):
        api.delete("gateway", name, gateway["metadata"]["name"])
    await eventually(lambda: api.list("gateway", name) == [], seconds=60, what="gateways are gone")
    await eventually(
        lambda: count_proxies(api, mesh) == 0, seconds=60, what="the mesh counts no proxies any more"
    )
    api.delete("namespace", "", name)


async def test_a_gateway_in_a_member_namespace_gets_ready_and_is_quiet(
    api: Api, audit: Audit, operator: Operator, mesh: str, member: str
) -> None:
    api.create(build_gateway(member, mesh, replicas=2))
    gateway = await wait_for_gateway(api, member)
    assert gateway["status"]["ready"] == gateway["status"]["desired"] == 2
    assert gateway["status"]["outdated"] == 0
    assert (
        gateway["status"]["version"] == (api.get("mesh", mesh, "demo") or {})["status"]["version"]["active"]
    )
    service = api.get("service", member, "ingress") or {}
    assert gateway["status"]["addresses"] == service["spec"]["clusterIPs"]
    kinds = {o["kind"] for o in list_objects(api, member)}
    assert kinds == {"ServiceAccount", "RoleBinding", "Deployment", "Service", "PodDisruptionBudget"}
    await eventually(
        lambda: count_proxies(api, mesh) == 2,
        seconds=30,
        what="the mesh counts the gateway's proxies",
    )
    await wait_for(api, mesh)
    await assert_quiet(api, audit, operator, mesh, "demo")
    mark = audit.mark()
    api.patch("gateway", member, "ingress", {"metadata": {"annotations": {"example.com/touched": "1"}}})
    await eventually(
        lambda: [r for r in audit.since(mark) if r.resource == "meshgateways"],
        seconds=30,
        what="the gateway is looked at",
    )
    assert [str(write) for write in audit.writes(mark)] == []
    crashes = [line for line in operator.log.read_text().splitlines() if '"crashed"' in line]
    assert [line for line in crashes if '"MeshGateway"' in line] == []


async def test_a_gateway_waits_for_its_mesh_and_is_made_once_that_injects(
    api: Api, operator: Operator, fresh: str
) -> None:
    api.create(build_gateway(fresh, fresh))
    waiting = await wait_for_gateway(api, fresh, status="False", reason="MeshNotFound")
    assert f"{fresh}/demo" in read_condition(waiting, "SpecAccepted")["message"]
    assert list_objects(api, fresh) == []
    api.create(build_mesh(fresh))
    await wait_for_gateway(api, fresh)
    pods = api.list("pod", fresh, labels="mesh.navarch.io/gateway-name=ingress")
    containers = [c for pod in pods for c in pod["spec"]["containers"]]
    assert containers
    assert "auto" not in {c["image"] for c in containers}, "every pod was injected"
    assert {c["imagePullPolicy"] for c in containers} == {"IfNotPresent"}
    api.delete("gateway", fresh, "ingress")
    await eventually(lambda: api.get("gateway", fresh, "ingress") is None, seconds=60, what="it is gone")
    assert list_objects(api, fresh) == []
    await eventually(lambda: count_proxies(api, fresh) == 0, seconds=60, what="no proxy is counted any more")


async def test_a_gateway_outside_of_its_mesh_is_refused_until_its_namespace_joins(
    api: Api, mesh: str, member: str
) -> None:
    api.patch("namespace", "", member, {"metadata": {"labels": {"istio.io/rev": None}}})
    api.create(build_gateway(member, mesh))
    refused = await wait_for_gateway(api, member, status="False", reason="NotAMember")
    assert f"istio.io/rev={mesh}-demo" in read_condition(refused, "Ready")["message"]
    assert list_objects(api, member) == []
    api.patch("namespace", "", member, {"metadata": {"labels": {"istio.io/rev": f"{mesh}-demo"}}})
    await wait_for_gateway(api, member)
    await eventually(lambda: count_proxies(api, mesh) == 1, seconds=60, what="the mesh counts its proxy")


async def test_a_gateways_pods_follow_the_proxy_of_their_mesh(api: Api, mesh: str, member: str) -> None:
    api.create(build_gateway(member, mesh))
    before = await wait_for_gateway(api, member)
    old = (api.get("deployment", member, "ingress") or {})["metadata"]["generation"]
    edit(api, mesh, proxy={"logLevel": "debug"})
    await eventually(
        lambda: (api.get("deployment", member, "ingress") or {})["metadata"]["generation"] > old,
        seconds=60,
        what="the gateway's pods are rolled",
    )
    after = await wait_for_gateway(api, member)
    assert after["status"]["outdated"] == 0
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


async def test_the_api_server_takes_every_setting_of_a_gateway(api: Api, mesh: str, member: str) -> None:
    external = {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "100"}}
    ports = [
        {"name": "http", "port": 80, "targetPort": 8080, "nodePort": 30181},
        {"name": "alt", "port": 81, "targetPort": 8080},
    ]
    spec = {
        "annotations": {"team": "edge"},
        "service": {
            "type": "LoadBalancer",
            "ports": ports,
            "labels": {"tier": "edge"},
            "annotations": {"cloud.example.com/scheme": "internal"},
            "ipFamilyPolicy": "SingleStack",
            "ipFamilies": ["IPv4"],
            "sessionAffinity": "ClientIP",
            "externalTrafficPolicy": "Local",
            "loadBalancerSourceRanges": ["10.0.0.0/8"],
        },
        "autoscaling": {
            "minReplicas": 2,
            "maxReplicas": 3,
            "targetMemoryUtilization": 80,
            "metrics": [{"type": "External", "external": external}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}},
        },
        "proxy": {"logLevel": "info", "concurrency": 2},
        "environment": [{"name": "ISTIO_META_DNS_CAPTURE", "value": "true"}],
        "deregistrationSeconds": 1,
        "terminationDrainSeconds": 1,
        "terminationGracePeriodSeconds": 5,
        "exitOnZeroConnections": True,
    }
    api.create(build_gateway(member, mesh, **spec))
    await wait_for_gateway(api, member, status="False", reason="AddressPending")
    balancer = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.8"}]}}}
    api.patch("service", member, "ingress", balancer, sub="status")
    await wait_for_gateway(api, member)
    metrics = (api.get("hpa", member, "ingress") or {})["spec"]["metrics"]
    assert {m["type"] for m in metrics} == {"Resource", "External"}
    (container,) = (api.get("deployment", member, "ingress") or {})["spec"]["template"]["spec"]["containers"]
    assert container["lifecycle"] == {"preStop": {"sleep": {"seconds": 1}}}


async def test_an_east_west_gateway_with_a_network_policy_gets_ready_and_loses_the_policy_again(
    api: Api, audit: Audit, operator: Operator, mesh: str, member: str
) -> None:
    spec = {"type": "EastWest", "networkGateway": "net-1", "networkPolicy": True}
    api.create(build_gateway(member, mesh, "eastwest", **spec))
    await wait_for_gateway(api, member, "eastwest")
    found = api.list("service", member, labels="topology.istio.io/network=net-1")
    assert [service["metadata"]["name"] for service in found] == ["eastwest"]
    policy = api.get("networkpolicy", member, "eastwest") or {}
    assert [len(rule["ports"]) for rule in policy["spec"]["ingress"]] == [4, 2]
    api.patch("gateway", member, "eastwest", {"spec": {"networkPolicy": False}})
    await eventually(
        lambda: api.get("networkpolicy", member, "eastwest") is None, seconds=30, what="the policy goes"
    )
    await wait_for_gateway(api, member, "eastwest")
    await eventually(lambda: count_proxies(api, mesh) == 1, seconds=30, what="the mesh counts its proxy")
    await wait_for(api, mesh)
    await assert_quiet(api, audit, operator, mesh, "demo")


async def test_a_node_port_that_is_taken_is_told_with_field_value_and_remedy_and_tried_rarely(
    api: Api, audit: Audit, mesh: str, member: str
) -> None:
    service = {"type": "NodePort", "ports": [{"name": "http", "port": 80, "nodePort": 30182}]}
    api.create(build_gateway(member, mesh, "first", service=service))
    await wait_for_gateway(api, member, "first")
    mark = audit.mark()
    api.create(build_gateway(member, mesh, "second", service=service))
    refused = await wait_for_gateway(api, member, "second", status="False", reason="ApplyFailed")
    message = read_condition(refused, "Ready")["message"]
    for words in ("nodePort", "30182", "choose another nodePort in spec.service.ports"):
        assert words in message
    await wait_for_gateway(api, member, "first")
    tried = [w for w in audit.writes(mark) if w.resource == "services" and w.name == "second"]
    assert 1 <= len(tried) <= 3, "its pods' events try it no more often than they come"
    service["ports"][0]["nodePort"] = 30183  # type: ignore[index]
    api.patch("gateway", member, "second", {"spec": {"service": service}})
    await wait_for_gateway(api, member, "second")


def build_clouds_word(service: Object, message: str) -> Object:
    """An Event about a Service, as a cloud's controller writes it."""
    metadata, now = service["metadata"], f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    about = {"apiVersion": "v1", "kind": "Service", **{k: metadata[k] for k in ("namespace", "name", "uid")}}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "refused", "namespace": metadata["namespace"]},
        "involvedObject": about,
        "type": "Warning",
        "reason": "SyncLoadBalancerFailed",
        "message": message,
        "source": {"component": "cloud-controller"},
        "firstTimestamp": now,
        "lastTimestamp": now,
    }


async def test_a_load_balancer_without_an_address_is_told_until_it_has_one(
    api: Api, light: Cluster, mesh: str, member: str
) -> None:
    api.create(build_gateway(member, mesh, service={"addressTimeoutSeconds": 8}))
    pending = await wait_for_gateway(api, member, status="False", reason="AddressPending")
    assert "NodePort" in read_condition(pending, "Ready")["message"]
    missing = await wait_for_gateway(api, member, status="False", reason="AddressMissing")
    assert "no cloud's controller has taken it" in read_condition(missing, "Ready")["message"]
    service = api.get("service", member, "ingress") or {}
    light.run(
        "create", "-f", "-", stdin=json.dumps(build_clouds_word(service, "quota of addresses is used up"))
    )
    described = await asyncio.to_thread(navarch, "describe", "demo", "-n", mesh, kubeconfig=light.kubeconfig)
    assert "Warning, Service ingress: quota of addresses is used up (by cloud-controller)" in described.out
    balancer = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}}
    api.patch("service", member, "ingress", balancer, sub="status")
    ready = await wait_for_gateway(api, member)
    assert ready["status"]["addresses"] == ["203.0.113.7"]


async def test_no_hand_over_between_replicas_and_autoscalers_scales_to_less_than_what_runs(
    api: Api, audit: Audit, mesh: str, member: str
) -> None:
    def count() -> int:
        return int((api.get("deployment", member, "ingress") or {})["spec"]["replicas"])

    def list_uids() -> set[str]:
        pods = api.list("pod", member, labels="mesh.navarch.io/gateway-name=ingress")
        return {pod["metadata"]["uid"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}

    async def settle(**spec: object) -> None:
        api.patch("gateway", member, "ingress", {"spec": spec})
        await wait_for_gateway(api, member)

    api.create(build_gateway(member, mesh, replicas=3))
    await wait_for_gateway(api, member)
    pods = list_uids()
    await settle(replicas=None, autoscaling={"minReplicas": 2, "maxReplicas": 5})
    assert count() == 3, "the autoscaler takes over what runs"
    await settle(autoscaling=None)
    assert api.get("hpa", member, "ingress") is None
    assert count() == 3, "and leaves it"
    await settle(replicas=3)
    await settle(replicas=None)
    assert list_uids() == pods, "no pod went meanwhile"
    api.patch("deployment", member, "ingress", {"spec": {"replicas": 4}}, sub="scale")
    mark = audit.mark()
    await settle(labels={"tier": "edge"})
    assert count() == 4, "what another autoscaler says stays"
    assert [w for w in audit.writes(mark) if "/scale" in w.uri] == []


async def test_a_gateway_drains_before_its_service_goes_and_what_holds_the_service_is_named(
    api: Api, mesh: str, member: str
) -> None:
    api.create(build_gateway(member, mesh))
    await wait_for_gateway(api, member)
    (pod,) = api.list("pod", member, labels="mesh.navarch.io/gateway-name=ingress")
    name = pod["metadata"]["name"]
    api.patch("pod", member, name, {"metadata": {"finalizers": ["test.example/hold"]}})
    api.patch("service", member, "ingress", {"metadata": {"finalizers": ["test.example/balancer"]}})

    def is_told(words: str) -> bool:
        return words in read_condition(api.get("gateway", member, "ingress"), "Deleting").get("message", "")

    api.delete("gateway", member, "ingress")
    await eventually(lambda: is_told(f"{name} still drains"), seconds=60, what="the pod that drains is named")
    kinds = {o["kind"] for o in list_objects(api, member)}
    assert kinds == {"Service", "ServiceAccount", "RoleBinding"}
    assert "deletionTimestamp" not in (api.get("service", member, "ingress") or {})["metadata"]
    api.patch("pod", member, name, {"metadata": {"finalizers": None}})
    await eventually(lambda: is_told("test.example/balancer"), seconds=60, what="the finalizer is named")
    assert api.get("gateway", member, "ingress"), "it waits"
    api.patch("service", member, "ingress", {"metadata": {"finalizers": None}})
    await eventually(lambda: api.get("gateway", member, "ingress") is None, seconds=60, what="it is gone")


async def test_a_gateway_that_a_foreign_finalizer_holds_says_so_once_all_of_it_is_gone(
    api: Api, mesh: str, member: str
) -> None:
    gateway = build_gateway(member, mesh)
    api.create({**gateway, "metadata": {**gateway["metadata"], "finalizers": ["test.example/hold"]}})
    await wait_for_gateway(api, member)
    api.delete("gateway", member, "ingress")
    held = "everything is removed; this object is held by finalizers that others take off: test.example/hold"
    try:
        await eventually(
            lambda: read_condition(api.get("gateway", member, "ingress"), "Deleting").get("message") == held,
            seconds=60,
            what="what holds it is told",
        )
        assert list_objects(api, member) == []
    finally:
        api.patch("gateway", member, "ingress", {"metadata": {"finalizers": None}})
    await eventually(lambda: api.get("gateway", member, "ingress") is None, seconds=30, what="it is gone")


async def test_drift_of_a_gateway_is_put_back_with_one_write(
    api: Api, audit: Audit, mesh: str, member: str
) -> None:
    api.create(build_gateway(member, mesh))
    await wait_for_gateway(api, member)
    mark = audit.mark()
    api.patch("service", member, "ingress", {"spec": {"selector": {"mesh.navarch.io/gateway-name": "other"}}})
    await eventually(
        lambda: (
            (api.get("service", member, "ingress") or {})["spec"]["selector"]
            == {"mesh.navarch.io/gateway-name": "ingress"}
        ),
        seconds=30,
        what="the Service is put back",
    )
    written = [w.name for w in audit.writes(mark) if w.resource == "services" and w.namespace == member]
    assert written == ["ingress"]


async def test_a_gateway_named_like_an_account_of_others_gives_it_no_rights(
    api: Api, mesh: str, member: str
) -> None:
    await eventually(
        lambda: api.get("serviceaccount", member, "default"), seconds=30, what="the namespace's own account"
    )
    api.create(build_gateway(member, mesh, name="default"))
    refused = await wait_for_gateway(api, member, "default", status="False", reason="ForeignObject")
    assert "ServiceAccount" in read_condition(refused, "Reconciled")["message"]
    assert list_objects(api, member, "default") == []


async def test_another_tenants_gateway_is_untouched_by_a_bad_one(api: Api, mesh: str, member: str) -> None:
    api.create(build_gateway(member, mesh, name="good"))
    api.create(
        {
            **build_gateway(member, mesh, name="bad"),
            "spec": {"controlPlaneRef": {"name": "none", "namespace": mesh}, "type": "Egress"},
        }
    )
    await wait_for_gateway(api, member, "bad", status="False", reason="MeshNotFound")
    await wait_for_gateway(api, member, "good")
    assert read_condition(api.get("mesh", mesh, "demo"), "Ready")["status"] == "True"


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({"replicas": 2, "autoscaling": {"minReplicas": 1, "maxReplicas": 2}}, "replicas"),
        ({"autoscaling": {"minReplicas": 3, "maxReplicas": 2}}, "maxReplicas"),
        (
            {"service": {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]}},
            "one number and protocol",
        ),
        ({"service": {"ports": [{"name": "a", "port": 15001}]}}, "15001"),
        ({"service": {"type": "ClusterIP", "externalTrafficPolicy": "Local"}}, "externalTrafficPolicy"),
        ({"service": {"type": "NodePort", "loadBalancerClass": "x"}}, "loadBalancerClass"),
        (
            {"service": {"type": "NodePort", "loadBalancerSourceRanges": ["10.0.0.0/8"]}},
            "loadBalancerSourceRanges: .*NodePort: only a Service of type LoadBalancer has it",
        ),
        (
            {"service": {"type": "ClusterIP", "allocateLoadBalancerNodePorts": False}},
            "allocateLoadBalancerNodePorts: .*ClusterIP: only a Service of type LoadBalancer has it",
        ),
        ({"terminationDrainSeconds": 0}, "terminationDrainSeconds"),
        ({"terminationGracePeriodSeconds": 29}, "terminationGracePeriodSeconds: .*29: .*raise it"),
        (
            {
                "terminationGracePeriodSeconds": 60,
                "terminationDrainSeconds": 50,
                "deregistrationSeconds": 11,
            },
            "killed with open connections",
        ),
        (
            {"service": {"type": "NodePort", "ports": [SAME_NODE_PORT, {**SAME_NODE_PORT, "name": "b"}]}},
            "one number and protocol",
        ),
        (
            {
                "service": {
                    "type": "NodePort",
                    "ports": [SAME_NODE_PORT, {**SAME_NODE_PORT, "name": "b", "port": 81}],
                }
            },
            "two ports have one nodePort",
        ),
        ({"service": {"type": "ClusterIP", "ports": [SAME_NODE_PORT]}}, "has no nodePort"),
        ({"service": {"ipFamilies": ["IPv4", "IPv6"]}}, "ipFamilyPolicy"),
        ({"proxy": {"logLevel": "debug"}}, "logLevel"),
        ({"environment": [{"name": f"V{n}", "value": ""} for n in range(33)]}, "environment"),
        ({"type": "Sideways"}, "type"),
        ({"type": "EastWest"}, "set networkGateway for EastWest"),
        ({"type": "Egress", "networkGateway": "net-1"}, "networkGateway"),
    ],
)
def test_what_cannot_work_is_refused_with_field_and_remedy(
    api: Api, installed: object, spec: dict[str, object], word: str
) -> None:
    with pytest.raises(Refused, match=word):
        api.create(build_gateway("default", "default", **spec), dry_run=True)


def test_a_gateway_stays_with_its_mesh(api: Api, mesh: str, member: str) -> None:
    api.create(build_gateway(member, mesh))
    with pytest.raises(Refused, match="stays with its mesh"):
        api.patch("gateway", member, "ingress", {"spec": {"controlPlaneRef": {"name": "other"}}})


# --- pods without a proxy, and what is left of a gateway ---------------------------------------------------


def list_images(api: Api, namespace: str) -> list[str]:
    pods = api.list("pod", namespace, labels="mesh.navarch.io/gateway-name=ingress")
    return [
        c["image"] for p in pods if "deletionTimestamp" not in p["metadata"] for c in p["spec"]["containers"]
    ]


async def test_pods_that_were_made_without_a_proxy_are_made_anew_and_this_is_told(
    api: Api, audit: Audit, operator: Operator, mesh: str, member: str
) -> None:
    api.create(build_gateway(member, mesh))
    gateway = await wait_for_gateway(api, member)
    api.patch("namespace", "", member, {"metadata": {"labels": {"istio-injection": "disabled"}}})
    await wait_for_gateway(api, member, status="False", reason="NotAMember")
    for pod in api.list("pod", member, labels="mesh.navarch.io/gateway-name=ingress"):
        api.delete("pod", member, pod["metadata"]["name"])
    await eventually(lambda: "auto" in list_images(api, member), seconds=60, what="a pod without a proxy")
    mark = audit.mark()
    api.patch("namespace", "", member, {"metadata": {"labels": {"istio-injection": None}}})
    await eventually(
        lambda: (images := list_images(api, member)) and "auto" not in images,
        seconds=60,
        what="every pod has a proxy",
    )
    await wait_for_gateway(api, member)
    rolls = [w for w in audit.writes(mark) if w.resource == "deployments" and w.namespace == member]
    assert len(rolls) == 1, "pods are made anew by one write"
    uid = gateway["metadata"]["uid"]
    notes = [e["note"] for e in api.list("event", member) if e["regarding"].get("uid") == uid]
    assert any("no proxy (image: auto)" in note for note in notes), notes
    # One more of the present template, right after that roll: for a minute it is told, and nothing rolls.
    (pod,) = api.list("pod", member, labels="mesh.navarch.io/gateway-name=ingress")
    labels = {k: v for k, v in pod["metadata"]["labels"].items() if k != "pod-template-hash"}
    api.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "stuck",
                "namespace": member,
                "labels": {**labels, "sidecar.istio.io/inject": "false"},
            },
            "spec": {"containers": [{"name": "istio-proxy", "image": "auto"}]},
        }
    )
    told = await wait_for_gateway(api, member, status="False", reason="GatewayNotInjected")
    assert "stuck" in read_condition(told, "Ready")["message"]
    api.delete("pod", member, "stuck")
    await wait_for_gateway(api, member)
    await eventually(lambda: count_proxies(api, mesh) == 1, seconds=30, what="the mesh counts its proxy")
    await wait_for(api, mesh)
    await assert_quiet(api, audit, operator, mesh, "demo")


async def test_what_is_left_of_a_gateway_whose_finalizer_was_taken_off_is_removed(
    api: Api, operator: Operator, mesh: str, member: str
) -> None:
    api.create(build_gateway(member, mesh))
    await wait_for_gateway(api, member)
    name = f"inventory-meshgateway.{member}.ingress"
    inventory = json.loads((api.get("configmap", SYSTEM, name) or {})["data"]["inventory.json"])
    kind = (api.get("crd", "", "meshgateways.mesh.navarch.io") or {})["metadata"]["uid"]
    assert inventory["mesh"]["kind"] == kind, "the gateways' own kind"
    operator.stop()
    try:
        api.patch("gateway", member, "ingress", {"metadata": {"finalizers": None}})
        api.delete("gateway", member, "ingress")
        assert list_objects(api, member) != []
    finally:
        operator.start()
    await eventually(lambda: list_objects(api, member) == [], seconds=90, what="nothing is left of it")
    await eventually(
        lambda: api.get("configmap", SYSTEM, name) is None, seconds=60, what="its inventory goes"
    )
