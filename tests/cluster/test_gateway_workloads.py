"""Workloads and Services of MeshGateways on a real API server: DaemonSets, and what changes its kind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.cluster.conftest import assert_quiet
from tests.polling import eventually
from tests.support.api import Api, Object, Refused
from tests.support.audit import Audit
from tests.support.gateways import Serving, build_gateway, count_proxies, list_objects, wait_for_gateway
from tests.support.meshes import build_mesh, edit, read_condition, wait_for
from tests.support.operator import Operator

PODS = "mesh.navarch.io/gateway-name=ingress"


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


def list_kinds(api: Api, namespace: str, name: str = "ingress") -> set[str]:
    return {o["kind"] for o in list_objects(api, namespace, name)}


def count_nodes(api: Api) -> int:
    return len(api.list("node"))


def read_service(api: Api, namespace: str) -> Object:
    return api.get("service", namespace, "ingress") or {}


async def wait_for_message(api: Api, namespace: str, kind: str, words: str) -> None:
    def read() -> str:
        return str(read_condition(api.get("gateway", namespace, "ingress"), kind).get("message", ""))

    await eventually(lambda: words in read(), seconds=60, what=f"{kind} says {words}")


# --- a DaemonSet -------------------------------------------------------------------------------------------


async def test_a_gateway_with_a_pod_on_each_node_gets_ready_is_put_right_and_drains_before_its_service_goes(
    api: Api, audit: Audit, operator: Operator, home: str
) -> None:
    nodes = count_nodes(api)
    api.create(build_gateway(home, home, workload="DaemonSet"))
    gateway = await wait_for_gateway(api, home)
    assert gateway["status"]["ready"] == gateway["status"]["desired"] == nodes > 1
    assert list_kinds(api, home) == {"ServiceAccount", "RoleBinding", "DaemonSet", "Service"}
    pods = api.list("pod", home, labels=PODS)
    assert len({pod["spec"]["nodeName"] for pod in pods}) == nodes
    assert "auto" not in {c["image"] for pod in pods for c in pod["spec"]["containers"]}
    await eventually(
        lambda: count_proxies(api, home) == nodes, seconds=30, what="the mesh counts a proxy for each node"
    )
    await wait_for(api, home)
    await assert_quiet(api, audit, operator, home, "demo")
    mark = audit.mark()
    wrong = {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    api.patch("daemonset", home, "ingress", {"spec": {"updateStrategy": wrong}})

    def is_right() -> bool:
        strategy = (api.get("daemonset", home, "ingress") or {})["spec"]["updateStrategy"]
        return bool(strategy["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": 0})

    await eventually(is_right, seconds=30, what="the DaemonSet is put right")
    assert [w.name for w in audit.writes(mark) if w.resource == "daemonsets"] == ["ingress"]
    await wait_for_gateway(api, home)
    held = pods[0]["metadata"]["name"]
    api.patch("pod", home, held, {"metadata": {"finalizers": ["test.example/hold"]}})
    api.delete("gateway", home, "ingress")
    await wait_for_message(api, home, "Deleting", f"{held} still drains")
    assert list_kinds(api, home) == {"ServiceAccount", "RoleBinding", "Service"}
    api.patch("pod", home, held, {"metadata": {"finalizers": None}})
    await eventually(lambda: api.get("gateway", home, "ingress") is None, seconds=60, what="it is gone")


async def test_pods_of_a_daemon_set_that_were_made_without_a_proxy_are_made_anew_by_one_write(
    api: Api, audit: Audit, home: str
) -> None:
    def list_images() -> set[str]:
        pods = [p for p in api.list("pod", home, labels=PODS) if "deletionTimestamp" not in p["metadata"]]
        return {c["image"] for pod in pods for c in pod["spec"]["containers"]}

    api.create(build_gateway(home, home, workload="DaemonSet"))
    await wait_for_gateway(api, home)
    api.patch("namespace", "", home, {"metadata": {"labels": {"istio-injection": "disabled"}}})
    pods, mark = api.list("pod", home, labels=PODS), audit.mark()
    api.delete("pod", home, pods[0]["metadata"]["name"])
    await eventually(lambda: "auto" in list_images(), seconds=60, what="a pod without a proxy")
    api.patch("namespace", "", home, {"metadata": {"labels": {"istio-injection": None}}})
    await eventually(
        lambda: (images := list_images()) and "auto" not in images, seconds=60, what="every pod has a proxy"
    )
    await wait_for_gateway(api, home)
    written = [w.name for w in audit.writes(mark) if w.resource == "daemonsets"]
    # A second one where the first came before it was seen that the namespace's pods are not injected.
    assert written in (["ingress"], ["ingress"] * 2)


@pytest.mark.parametrize("number", [{"replicas": 2}, {"autoscaling": {"minReplicas": 1, "maxReplicas": 2}}])
def test_a_number_of_pods_beside_a_daemon_set_is_refused_with_its_remedy(
    api: Api, installed: object, number: dict[str, object]
) -> None:
    with pytest.raises(Refused, match=r"spec\.workload: .*DaemonSet: .*remove replicas and autoscaling"):
        api.create(build_gateway("default", "default", workload="DaemonSet", **number), dry_run=True)


# --- one kind takes over from the other --------------------------------------------------------------------


async def test_a_change_of_kind_keeps_the_service_and_never_has_fewer_pods_that_serve(
    api: Api, audit: Audit, operator: Operator, home: str
) -> None:
    nodes = count_nodes(api)
    api.create(build_gateway(home, home, replicas=2))
    await wait_for_gateway(api, home)
    service, serving = read_service(api, home), Serving(api, home)
    mark = audit.mark()
    nowhere = {"nodeSelector": {"example.com/edge": "nowhere"}}
    change = {"workload": "DaemonSet", "replicas": None, "placement": nowhere}
    api.patch("gateway", home, "ingress", {"spec": change})
    await wait_for_message(api, home, "Progressing", "DaemonSet")
    await wait_for_message(api, home, "Progressing", "no node takes its pods")
    await wait_for_message(api, home, "Progressing", "stays until then")
    assert {"Deployment", "DaemonSet", "PodDisruptionBudget"} <= list_kinds(api, home)
    assert read_condition(api.get("gateway", home, "ingress"), "Available")["status"] == "True"
    api.patch("gateway", home, "ingress", {"spec": {"placement": None}})
    gateway = await wait_for_gateway(api, home)
    assert gateway["status"]["ready"] == nodes
    assert list_kinds(api, home) == {"ServiceAccount", "RoleBinding", "DaemonSet", "Service"}
    assert min(serving.count()) == 2, "the Deployment's pods, until those of the DaemonSet were ready"

    serving = Serving(api, home)
    change = {"workload": None, "autoscaling": {"minReplicas": 2, "maxReplicas": 9}}
    api.patch("gateway", home, "ingress", {"spec": change})
    await wait_for_gateway(api, home)
    assert list_kinds(api, home) >= {"Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
    assert "DaemonSet" not in list_kinds(api, home)
    deployment = api.get("deployment", home, "ingress") or {}
    assert deployment["spec"]["replicas"] == nodes, "as many as the DaemonSet had, and more than minReplicas"
    assert min(serving.count()) == nodes

    assert read_service(api, home) == service
    assert [w for w in audit.writes(mark) if w.resource == "services"] == []
    await eventually(
        lambda: count_proxies(api, home) == nodes,
        seconds=60,
        what="the proxies of the Deployment are counted",
    )
    await wait_for(api, home)
    await assert_quiet(api, audit, operator, home, "demo")


async def test_a_change_of_kind_that_is_taken_back_leaves_the_pods_that_serve(api: Api, home: str) -> None:
    api.create(build_gateway(home, home, replicas=2))
    await wait_for_gateway(api, home)
    before = {pod["metadata"]["uid"] for pod in api.list("pod", home, labels=PODS)}
    nowhere = {"nodeSelector": {"example.com/edge": "nowhere"}}
    api.patch(
        "gateway",
        home,
        "ingress",
        {"spec": {"workload": "DaemonSet", "replicas": None, "placement": nowhere}},
    )
    await wait_for_message(api, home, "Progressing", "no node takes its pods")
    back = {"spec": {"workload": "Deployment", "replicas": 2, "placement": None}}
    api.patch("gateway", home, "ingress", back)
    await wait_for_gateway(api, home)
    assert "DaemonSet" not in list_kinds(api, home)
    assert {pod["metadata"]["uid"] for pod in api.list("pod", home, labels=PODS)} == before


# --- a mesh's change reaches all of its gateways -----------------------------------------------------------


async def test_gateways_that_a_change_of_their_mesh_rolls_together_each_keep_all_pods_that_they_want(
    api: Api, home: str
) -> None:
    api.create(build_gateway(home, home, "first", replicas=3))
    api.create(build_gateway(home, home, "second", workload="DaemonSet"))
    nodes = count_nodes(api)
    serving: dict[str, tuple[Serving, int]] = {}
    for name, wanted in (("first", 3), ("second", nodes)):
        await wait_for_gateway(api, home, name)
        serving[name] = Serving(api, home, name), wanted
    await eventually(lambda: count_proxies(api, home) == 3 + nodes, seconds=60, what="all are counted")
    before = read_stamp(api, home)
    edit(api, home, proxy={"logLevel": "debug"})

    def are_rolled() -> bool:
        gateways = [api.get("gateway", home, name) or {} for name in serving]
        stamps = {
            o["spec"]["template"]["metadata"]["annotations"]["mesh.navarch.io/restart"]
            for kind in ("deployment", "daemonset")
            for o in api.list(kind, home, labels="mesh.navarch.io/gateway-name")
        }
        ready = all(read_condition(g, "Ready").get("status") == "True" for g in gateways)
        return ready and before not in stamps and stamps == {read_stamp(api, home)}

    await eventually(are_rolled, seconds=90, what="both gateways are rolled")
    for name, (counted, wanted) in serving.items():
        counts = counted.count()
        assert min(counts) == wanted, name
        assert len(counts) > 2 * wanted, f"a control: pods of {name} were replaced"


def read_stamp(api: Api, namespace: str) -> str:
    (revision,) = api.list("revision", namespace)
    return str(revision["status"]["proxy"])


# --- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [51, 58, 62, 63])
def test_a_name_of_which_derived_names_would_be_too_long_is_refused_with_the_bound(
    api: Api, installed: object, length: int
) -> None:
    with pytest.raises(Refused, match=r"metadata.name: g{51,63}.*at most 50"):
        api.create(build_gateway("default", "default", "g" * length), dry_run=True)


@pytest.mark.parametrize("name", ["1edge", "9"])
def test_a_name_that_no_service_can_have_on_older_clusters_is_refused(
    api: Api, installed: object, fresh: str, name: str
) -> None:
    with pytest.raises(Refused, match=f"metadata.name: {name}.*begins with a letter"):
        api.create(build_gateway(fresh, fresh, name), dry_run=True)
    inline = build_mesh(fresh, gateways={"ingress": [{"name": name}]})
    with pytest.raises(Refused, match=rf"spec.gateways.ingress\[0\].name.*{name}"):
        api.create(inline, dry_run=True)


async def test_two_gateways_of_one_name_in_two_namespaces_have_pods_of_their_own_and_go_one_by_one(
    api: Api, home: str
) -> None:
    other = f"{home}-other"
    labels = {"istio.io/rev": f"{home}-demo"}
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other, "labels": labels}})
    api.create(build_gateway(home, home, replicas=2))
    api.create(build_gateway(other, home, replicas=1))
    for namespace, wanted in ((home, 2), (other, 1)):
        gateway = await wait_for_gateway(api, namespace)
        assert (gateway["status"]["ready"], gateway["status"]["desired"]) == (wanted, wanted)
    standing = {o["metadata"]["uid"] for o in list_objects(api, home)}
    api.delete("gateway", other, "ingress")
    await eventually(lambda: api.get("gateway", other, "ingress") is None, seconds=60, what="one is gone")
    assert list_objects(api, other) == []
    assert {o["metadata"]["uid"] for o in list_objects(api, home)} == standing
    gateway = await wait_for_gateway(api, home)
    assert gateway["status"]["ready"] == 2
    api.delete("namespace", "", other)


async def test_the_longest_name_serves_with_either_kind(api: Api, home: str) -> None:
    name = "g" * 50
    api.create(build_gateway(home, home, name, replicas=2))
    await wait_for_gateway(api, home, name)
    api.patch("gateway", home, name, {"spec": {"workload": "DaemonSet", "replicas": None}})
    gateway = await wait_for_gateway(api, home, name)
    assert gateway["status"]["ready"] == count_nodes(api)
    assert list_kinds(api, home, name) == {"ServiceAccount", "RoleBinding", "DaemonSet", "Service"}


# --- the Service -------------------------------------------------------------------------------------------


async def test_a_service_becomes_every_type_in_place_and_keeps_its_addresses(
    api: Api, audit: Audit, home: str
) -> None:
    async def become(kind: str, **more: object) -> Object:
        api.patch("gateway", home, "ingress", {"spec": {"service": {"type": kind, **more}}})
        await eventually(lambda: read_service(api, home)["spec"]["type"] == kind, seconds=30, what=kind)
        if kind == "LoadBalancer":
            balancer = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}}}
            api.patch("service", home, "ingress", balancer, sub="status")
        gateway = await wait_for_gateway(api, home)
        assert gateway["status"]["addresses"] == (
            ["203.0.113.9"] if kind == "LoadBalancer" else [first["spec"]["clusterIP"]]
        )
        return read_service(api, home)

    api.create(build_gateway(home, home))
    await wait_for_gateway(api, home)
    first = read_service(api, home)
    mark = audit.mark()
    balanced = await become("LoadBalancer", loadBalancerClass="example.com/a")
    assert list_node_ports(balanced) == list_node_ports(first)
    plain = await become("NodePort", loadBalancerClass=None)
    assert list_node_ports(plain) == list_node_ports(first)
    await become("ClusterIP")
    other = await become("LoadBalancer", loadBalancerClass="example.com/b")
    assert other["spec"]["loadBalancerClass"] == "example.com/b"
    assert other["metadata"]["uid"] == first["metadata"]["uid"]
    assert other["spec"]["clusterIP"] == first["spec"]["clusterIP"]
    written = [w for w in audit.writes(mark) if w.resource == "services"]
    assert [(w.verb, w.code) for w in written] == [("patch", 200)] * 4


def list_node_ports(service: Object) -> list[int]:
    return [port["nodePort"] for port in service["spec"]["ports"]]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            {"type": "LoadBalancer", "loadBalancerClass": "example.com/a"},
            {"loadBalancerClass": "example.com/b"},
            r"spec\.service\.loadBalancerClass: .*example\.com/b: .*make another gateway",
        ),
        ({"type": None}, {"loadBalancerClass": "example.com/b"}, r"loadBalancerClass: .*example\.com/b: "),
        (
            {"type": "LoadBalancer", "loadBalancerClass": "example.com/a"},
            {"loadBalancerClass": None},
            r"spec\.service\.loadBalancerClass: .*unset: ",
        ),
        (
            {"ipFamilies": ["IPv4"]},
            {"ipFamilies": ["IPv6", "IPv4"], "ipFamilyPolicy": "PreferDualStack"},
            r"spec\.service\.ipFamilies: .*IPv6: .*make another gateway",
        ),
    ],
)
def test_what_a_service_cannot_change_in_place_is_refused_with_the_way_round(
    api: Api, installed: object, fresh: str, before: dict[str, object], after: dict[str, object], words: str
) -> None:
    api.create(build_gateway(fresh, fresh, service=before))
    with pytest.raises(Refused, match=words):
        api.patch("gateway", fresh, "ingress", {"spec": {"service": after}})
    api.delete("gateway", fresh, "ingress")


def test_a_class_may_change_with_the_type(api: Api, installed: object, fresh: str) -> None:
    balanced = {"type": "LoadBalancer", "loadBalancerClass": "example.com/a"}
    api.create(build_gateway(fresh, fresh, service=balanced))
    api.patch(
        "gateway", fresh, "ingress", {"spec": {"service": {"type": "NodePort", "loadBalancerClass": None}}}
    )
    api.patch(
        "gateway", fresh, "ingress", {"spec": {"service": {**balanced, "loadBalancerClass": "example.com/b"}}}
    )
    api.delete("gateway", fresh, "ingress")
