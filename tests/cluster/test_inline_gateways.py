"""Gateways that a mesh makes from spec.gateways, and what it says of all its gateways, on an API server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.cluster.conftest import assert_quiet
from tests.polling import eventually
from tests.support.activity import wait_for_rest
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.gateways import build_gateway, count_proxies, list_objects, wait_for_gateway
from tests.support.meshes import build_mesh, edit, read_condition, wait_for
from tests.support.operator import Operator

NODE_PORT = {"service": {"type": "NodePort"}}


def read_gateways(api: Api, namespace: str) -> dict[str, Object]:
    """status.gateways of a namespace's mesh, by `<namespace>/<name>`."""
    status = (api.get("mesh", namespace, "demo") or {}).get("status") or {}
    return {f"{each['namespace']}/{each['name']}": each for each in status.get("gateways") or ()}


async def wait_until_gone(api: Api, namespace: str, name: str) -> None:
    await eventually(lambda: api.get("gateway", namespace, name) is None, seconds=60, what=f"{name} is gone")


@pytest.fixture
async def member(api: Api, operator: Operator, fresh: str) -> AsyncIterator[str]:
    """A namespace that carries the tag of the mesh `demo` in `fresh`."""
    name = f"{fresh}-front"
    labels = {"istio.io/rev": f"{fresh}-demo"}
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    yield name
    if api.get("mesh", fresh, "demo") is not None:
        edit(api, fresh, gateways=None)
    for gateway in api.list("gateway", name):
        api.delete("gateway", name, gateway["metadata"]["name"])
    await eventually(lambda: api.list("gateway", name) == [], seconds=60, what="gateways are gone")
    if api.get("mesh", fresh, "demo") is not None:
        await eventually(lambda: count_proxies(api, fresh) == 0, seconds=60, what="no proxies are counted")
    api.delete("namespace", "", name)


async def test_a_mesh_makes_its_gateways_and_is_ready_and_quiet_only_with_them(
    api: Api, audit: Audit, operator: Operator, fresh: str, member: str
) -> None:
    gateways = {
        "defaults": {**NODE_PORT, "replicas": 2},
        "ingress": [{"name": "front", "namespace": member}],
        "egress": [{"name": "out", "service": {"type": "ClusterIP"}, "replicas": 1}],
        "eastWest": [{"name": "across", "networkGateway": "network-1", "replicas": 1}],
    }
    api.create(build_mesh(fresh, gateways=gateways))
    mesh = await wait_for(api, fresh)
    assert read_condition(mesh, "GatewaysReady")["reason"] == "AsExpected"
    front = await wait_for_gateway(api, member, "front")
    out = await wait_for_gateway(api, fresh, "out")
    reference = {"name": "demo", "namespace": fresh}
    assert front["spec"] == {
        "controlPlaneRef": reference,
        "type": "Ingress",
        "replicas": 2,
        "service": {"type": "NodePort"},
    }
    assert out["spec"] == {
        "controlPlaneRef": reference,
        "type": "Egress",
        "replicas": 1,
        "service": {"type": "ClusterIP"},
    }
    across = await wait_for_gateway(api, fresh, "across")
    assert (across["spec"]["type"], across["spec"]["networkGateway"]) == ("EastWest", "network-1")
    said = read_gateways(api, fresh)
    assert [*said] == [f"{fresh}/across", f"{fresh}/out", f"{member}/front"]
    assert {each["ready"] for each in said.values()} == {True}
    assert said[f"{member}/front"]["address"] == front["status"]["addresses"][0]
    await eventually(lambda: count_proxies(api, fresh) == 4, seconds=30, what="proxies are counted")
    await eventually(
        lambda: (api.get("mesh", fresh, "demo") or {})["status"]["proxies"].get("gateways") == 4,
        seconds=30,
        what="they are known as the gateways'",
    )
    await wait_for(api, fresh)
    await assert_quiet(api, audit, operator, fresh, "demo")


async def test_drift_of_a_gateway_that_a_mesh_made_is_put_back_with_one_write(
    api: Api, audit: Audit, operator: Operator, fresh: str
) -> None:
    api.create(build_mesh(fresh, gateways={"ingress": [{"name": "front", **NODE_PORT}]}))
    await wait_for(api, fresh)
    await wait_for_rest(operator)
    mark = audit.mark()
    api.patch("gateway", fresh, "front", {"spec": {"service": {"type": "ClusterIP"}}})
    await eventually(
        lambda: (api.get("gateway", fresh, "front") or {})["spec"]["service"] == {"type": "NodePort"},
        seconds=30,
        what="the gateway is put back",
    )
    await wait_for(api, fresh)
    await wait_for_rest(operator)
    written = [w for w in audit.writes(mark) if w.resource == "meshgateways" and not w.subresource]
    assert [w.name for w in written] == ["front"]


async def test_an_entry_that_goes_takes_its_gateway_along_and_others_stay(
    api: Api, operator: Operator, fresh: str
) -> None:
    gateways = {"defaults": NODE_PORT, "ingress": [{"name": "front"}, {"name": "back"}]}
    api.create(build_mesh(fresh, gateways=gateways))
    await wait_for(api, fresh)
    uid = (api.get("gateway", fresh, "front") or {})["metadata"]["uid"]
    edit(api, fresh, gateways={"ingress": [{"name": "front"}]})
    await wait_until_gone(api, fresh, "back")
    assert list_objects(api, fresh, "back") == []
    await wait_for(api, fresh)
    await eventually(
        lambda: [*read_gateways(api, fresh)] == [f"{fresh}/front"], seconds=30, what="it is listed no more"
    )
    assert (api.get("gateway", fresh, "front") or {})["metadata"]["uid"] == uid

    elsewhere = {"name": "web", "namespace": "default"}  # which belongs to no mesh
    edit(api, fresh, gateways={"defaults": NODE_PORT, "ingress": [elsewhere]})
    refused = await wait_for(api, fresh, condition="GatewaysReady", status="False")
    told = read_condition(refused, "GatewaysReady")["message"]
    assert f"what spec.gateways has no more stays: {fresh}/front" in told
    edit(api, fresh, gateways={"defaults": NODE_PORT, "ingress": [{"name": "web"}]})
    await wait_until_gone(api, fresh, "front")
    web = read_condition(api.get("gateway", fresh, "web") or {}, "Ready")
    assert web["status"] == "True", "a renamed entry is served by one of both at every moment"


async def test_a_mesh_is_deleted_with_its_gateways_though_their_pods_carry_proxies(
    api: Api, operator: Operator, fresh: str, member: str
) -> None:
    entry = {"name": "front", "namespace": member, **NODE_PORT}
    api.create(build_mesh(fresh, gateways={"ingress": [entry]}))
    await wait_for(api, fresh)
    await eventually(
        lambda: (api.get("mesh", fresh, "demo") or {})["status"]["proxies"].get("gateways") == 1,
        seconds=30,
        what="the gateway's proxy is counted as the mesh's own",
    )
    api.delete("mesh", fresh, "demo")
    await eventually(lambda: api.get("mesh", fresh, "demo") is None, seconds=90, what="the mesh is gone")
    assert api.get("gateway", member, "front") is None
    assert list_objects(api, member, "front") == []


async def test_a_gateway_of_others_is_told_as_a_conflict_and_never_taken_over(
    api: Api, operator: Operator, fresh: str
) -> None:
    api.create(build_gateway(fresh, fresh, "front", replicas=3))
    api.create(build_mesh(fresh, gateways={"ingress": [{"name": "front", **NODE_PORT}]}))
    mesh = await wait_for(api, fresh, status="False", reason="ForeignObject")
    assert f"{fresh}/front" in read_condition(mesh, "GatewaysReady")["message"]
    gateway = await wait_for_gateway(api, fresh, "front")
    assert gateway["spec"]["replicas"] == 3
    assert "mesh.navarch.io/mesh-name" not in (gateway["metadata"].get("labels") or {})
    edit(api, fresh, gateways=None)
    await wait_for(api, fresh)
    assert api.get("gateway", fresh, "front") is not None
    api.delete("gateway", fresh, "front")
    await wait_until_gone(api, fresh, "front")


async def test_a_gateway_is_made_where_a_namespace_belongs_to_the_mesh_and_waits_where_not(
    api: Api, operator: Operator, fresh: str, member: str
) -> None:
    api.patch("namespace", "", member, {"metadata": {"labels": {"istio.io/rev": None}}})
    entry = {"name": "front", "namespace": member, **NODE_PORT}
    api.create(build_mesh(fresh, gateways={"ingress": [entry, {"name": "here", **NODE_PORT}]}))
    await wait_for_gateway(api, fresh, "here")
    mesh = await wait_for(api, fresh, status="False", reason="GatewaysNotReady")
    assert (
        f"kubectl label namespace {member} istio.io/rev={fresh}-demo"
        in read_condition(mesh, "Ready")["message"]
    )
    assert api.get("gateway", member, "front") is None
    assert read_gateways(api, fresh)[f"{member}/front"]["reason"] == "NotAMember"
    api.patch("namespace", "", member, {"metadata": {"labels": {"istio.io/rev": f"{fresh}-demo"}}})
    await wait_for(api, fresh)
    await wait_for_gateway(api, member, "front")


async def test_a_bad_gateway_makes_the_mesh_not_ready_only_where_the_mesh_asks_for_it(
    api: Api, operator: Operator, fresh: str, member: str
) -> None:
    api.create(build_mesh(fresh))
    await wait_for(api, fresh)
    api.create(build_gateway(member, fresh, "theirs", service={}))
    await wait_for_gateway(api, member, "theirs", status="False", reason="AddressPending")
    told = await wait_for(api, fresh, condition="GatewaysReady", status="False", reason="GatewaysNotReady")
    await eventually(
        lambda: (
            f"MeshGateway {member}/theirs (AddressPending)"
            in read_condition(api.get("mesh", fresh, "demo"), "GatewaysReady")["message"]
        ),
        seconds=30,
        what="the other's gateway is named",
    )
    assert read_condition(told, "Ready")["status"] == "True"
    edit(api, fresh, gateways={"ingress": [{"name": "ours", "service": {"type": "LoadBalancer"}}]})
    told = await wait_for(api, fresh, status="False", reason="GatewaysNotReady")
    await eventually(
        lambda: (
            f"MeshGateway {fresh}/ours (AddressPending)"
            in read_condition(api.get("mesh", fresh, "demo"), "Ready")["message"]
        ),
        seconds=30,
        what="the mesh's own gateway is named",
    )
    balancer = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}}}
    api.patch("service", fresh, "ours", balancer, sub="status")
    mesh = await wait_for(api, fresh)
    assert read_condition(mesh, "GatewaysReady")["status"] == "False"
    assert read_gateways(api, fresh)[f"{fresh}/ours"]["address"] == "203.0.113.9"
    api.patch("service", member, "theirs", balancer, sub="status")
    await wait_for(api, fresh, condition="GatewaysReady")
