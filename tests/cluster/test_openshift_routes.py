"""Routes of OpenShift before MeshGateways, on a cluster that has their API, has it not, and gets it later.

What stands in for OpenShift is in tests/support/openshift.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from lab.cluster import Cluster
from tests.cluster.conftest import a_mesh_namespace
from tests.polling import eventually
from tests.support import openshift
from tests.support.admission import TENANT, bind, refusal
from tests.support.api import Api, Object, Refused
from tests.support.audit import Audit
from tests.support.gateways import build_gateway, list_objects, wait_for_gateway
from tests.support.meshes import build_mesh, edit, read_condition, wait_for

HOST = "shop.example.com"


def ask(name: str = "web", **more: Any) -> Object:
    return {"name": name, "host": HOST, "port": "https", "termination": "Passthrough", **more}


def with_routes(*routes: Object) -> Object:
    return {"openshift": {"routes": list(routes)}, "service": {"type": "ClusterIP"}}


def find_route(api: Api, namespace: str, name: str = "ingress-web") -> Object:
    return api.get("route", namespace, name) or {}


@pytest.fixture
def mesh(lent: str) -> str:
    """The namespace of a mesh that is Ready, in which the gateways are as well."""
    return lent


@pytest.fixture
async def served(api: Api, mesh: str) -> AsyncIterator[None]:
    """Routes are served until the test ends, and its gateways are gone by then."""
    async with openshift.routes_served(api):
        yield
        for gateway in api.list("gateway", mesh):
            api.delete("gateway", mesh, gateway["metadata"]["name"])
        await eventually(lambda: api.list("gateway", mesh) == [], seconds=60, what="gateways are gone")


async def look_again(api: Api, audit: Audit, namespace: str) -> list[str]:
    """What is written when a gateway is looked at once more, but for its mesh, which counts gateways."""
    mark = audit.mark()
    api.patch("gateway", namespace, "ingress", {"metadata": {"annotations": {"example.com/look": str(mark)}}})
    await eventually(
        lambda: [r for r in audit.since(mark) if r.resource == "meshgateways"],
        seconds=30,
        what="the gateway is looked at",
    )
    return [str(write) for write in audit.writes(mark) if write.resource != "meshcontrolplanes"]


async def test_a_gateways_routes_are_made_followed_repaired_and_removed_with_it(
    api: Api, audit: Audit, mesh: str, served: None
) -> None:
    routes = ask(), ask("plain", host="plain.example.com", port="http", termination="None")
    api.create(build_gateway(mesh, mesh, **with_routes(*routes)))
    pending = await wait_for_gateway(api, mesh, status="False", reason="RoutePending")
    assert f"{mesh}/ingress-web ({HOST})" in read_condition(pending, "RoutesAdmitted")["message"]
    assert [route["admitted"] for route in pending["status"]["routes"]] == [False, False]
    route = find_route(api, mesh)
    assert route["spec"] == {
        "host": HOST,
        "to": {"kind": "Service", "name": "ingress", "weight": 100},
        "port": {"targetPort": "https"},
        "tls": {"termination": "passthrough", "insecureEdgeTerminationPolicy": "None"},
        "wildcardPolicy": "None",
    }
    assert "tls" not in find_route(api, mesh, "ingress-plain")["spec"]

    for name in ("ingress-web", "ingress-plain"):
        openshift.answer(api, mesh, name)
    ready = await wait_for_gateway(api, mesh)
    assert ready["status"]["addresses"][:2] == [HOST, "plain.example.com"]
    assert {route["host"] for route in ready["status"]["routes"] if route["admitted"]} == {
        HOST,
        "plain.example.com",
    }
    assert await look_again(api, audit, mesh) == []

    mark = audit.mark()
    api.patch("route", mesh, "ingress-web", {"spec": {"to": {"name": "another"}}})
    await eventually(
        lambda: find_route(api, mesh)["spec"]["to"]["name"] == "ingress", seconds=30, what="it is put back"
    )
    await wait_for_gateway(api, mesh)
    assert len([r for r in audit.writes(mark) if r.resource == "routes" and not r.subresource]) == 1

    claimed = {"reason": "HostAlreadyClaimed", "message": "route other/web has it"}
    openshift.answer(api, mesh, "ingress-web", status="False", **claimed)
    refused = await wait_for_gateway(api, mesh, status="False", reason="RouteRefused")
    said = read_condition(refused, "Ready")["message"]
    assert "router default refused it (HostAlreadyClaimed): route other/web has it" in said
    assert refused["status"]["addresses"][0] == "plain.example.com"

    moved = with_routes(ask(host="new.example.com"))
    api.patch("gateway", mesh, "ingress", {"spec": moved})
    await wait_for_gateway(api, mesh, status="False", reason="RoutePending")
    assert find_route(api, mesh)["spec"]["host"] == "new.example.com"
    assert find_route(api, mesh, "ingress-plain") == {}, "it went with its entry"
    openshift.answer(api, mesh, "ingress-web")
    await wait_for_gateway(api, mesh)
    api.delete("gateway", mesh, "ingress")
    await eventually(lambda: api.get("gateway", mesh, "ingress") is None, seconds=60, what="it is gone")
    assert api.list("route", mesh) == []


async def test_a_gateway_works_without_routes_where_there_is_no_such_api_and_gets_them_once_there_is(
    api: Api, audit: Audit, mesh: str
) -> None:
    api.create(build_gateway(mesh, mesh, **with_routes(ask())))
    without = await wait_for_gateway(api, mesh, status="False", reason="RoutesNotServed")
    accepted = read_condition(without, "SpecAccepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "RoutesNotServed")
    assert "remove spec.openshift.routes" in accepted["message"]
    assert {read_condition(without, kind)["status"] for kind in ("Available", "UpToDate", "Reconciled")} == {
        "True"
    }
    assert {o["kind"] for o in list_objects(api, mesh)} >= {"Deployment", "Service"}
    assert await look_again(api, audit, mesh) == []

    async with openshift.routes_served(api):
        await wait_for_gateway(api, mesh, status="False", reason="RoutePending")
        openshift.answer(api, mesh, "ingress-web")
        await wait_for_gateway(api, mesh)
    again = await wait_for_gateway(api, mesh, status="False", reason="RoutesNotServed")
    assert HOST not in again["status"]["addresses"]
    assert read_condition(again, "Available")["status"] == "True"

    async with openshift.routes_served(api):
        await eventually(lambda: find_route(api, mesh) != {}, seconds=60, what="it is made anew")
    api.delete("gateway", mesh, "ingress")
    await eventually(
        lambda: api.get("gateway", mesh, "ingress") is None, seconds=60, what="it goes without that API"
    )
    assert list_objects(api, mesh) == []


async def test_a_route_of_others_is_left_alone_and_named(api: Api, mesh: str, served: None) -> None:
    other: Object = {
        "apiVersion": "route.openshift.io/v1",
        "kind": "Route",
        "metadata": {"name": "ingress-web", "namespace": mesh},
        "spec": {"host": "other.example.com", "to": {"kind": "Service", "name": "other"}},
    }
    api.create(other)
    api.create(build_gateway(mesh, mesh, **with_routes(ask())))
    told = await wait_for_gateway(api, mesh, status="False", reason="ForeignObject")
    assert f"Route {mesh}/ingress-web" in read_condition(told, "Ready")["message"]
    assert find_route(api, mesh)["spec"]["host"] == "other.example.com"
    api.delete("route", mesh, "ingress-web")
    await eventually(
        lambda: find_route(api, mesh).get("spec", {}).get("host") == HOST, seconds=90, what="it is ours"
    )


async def test_a_gateway_of_a_mesh_has_routes_that_the_mesh_names(api: Api, mesh: str, served: None) -> None:
    edit(api, mesh, gateways={"ingress": [{"name": "front", "replicas": 1, **with_routes(ask())}]})
    await wait_for_gateway(api, mesh, "front", status="False", reason="RoutePending")
    openshift.answer(api, mesh, "front-web")
    await wait_for_gateway(api, mesh, "front")
    await wait_for(api, mesh)
    view = (api.get("mesh", mesh, "demo") or {})["status"]["gateways"][0]
    assert view["address"] == HOST
    edit(api, mesh, gateways=None)
    await eventually(lambda: api.list("route", mesh) == [], seconds=60, what="they go with their entry")


# --- what is refused


@pytest.fixture(scope="module")
def place(api: Api, guarded: Cluster) -> Iterator[str]:
    """A namespace without a mesh: nothing is made of what stands in it."""
    with a_mesh_namespace(api, "routes-of-tenants") as name:
        yield name


@pytest.mark.parametrize(
    ("route", "words"),
    [
        ({"host": "Shop.example.com"}, "spec.openshift.routes[0].host"),
        ({"host": "*.example.com"}, "spec.openshift.routes[0].host"),
        ({"host": "shop"}, "spec.openshift.routes[0].host"),
        (
            {"externalCertificate": "cert"},
            "the router ends TLS with a certificate for Edge and Reencrypt only",
        ),
        ({"termination": "Edge", "destinationCACertificate": "x"}, "for Reencrypt only"),
        ({"insecureEdgeTerminationPolicy": "Allow"}, "Passthrough takes Redirect and None only"),
        ({"termination": "None", "insecureEdgeTerminationPolicy": "None"}, "without TLS there is no such"),
    ],
)
def test_a_route_that_openshift_would_refuse_is_refused_at_admission(
    api: Api, place: str, route: Object, words: str
) -> None:
    assert words in refusal(api, build_gateway(place, place, **with_routes(ask(**route))))


def test_what_openshift_takes_is_taken_and_a_wildcard_policy_stays(api: Api, place: str) -> None:
    secured = {"externalCertificate": "cert", "insecureEdgeTerminationPolicy": "Redirect"}
    routes = (
        ask(insecureEdgeTerminationPolicy="Redirect", wildcardPolicy="Subdomain"),
        ask("edge", termination="Edge", **secured),
        ask("again", termination="Reencrypt", destinationCACertificate="x", **secured),
    )
    api.create(build_gateway(place, place, **with_routes(*routes)))
    try:
        with pytest.raises(Refused, match="give the Route with the other policy another name"):
            api.patch("gateway", place, "ingress", {"spec": with_routes(ask(), *routes[1:])})
        api.patch("gateway", place, "ingress", {"spec": with_routes(ask("other"), *routes[1:])})
    finally:
        api.delete("gateway", place, "ingress")


def test_defaults_of_a_meshs_gateways_name_no_hosts(api: Api, place: str) -> None:
    mesh = build_mesh(place, gateways={"defaults": {"openshift": {"routes": [ask()]}}})
    assert "set it for each gateway that has Routes" in refusal(api, mesh)


async def test_routes_take_the_right_to_make_routes_with_hosts(api: Api, place: str) -> None:
    tenant = api.impersonating(TENANT)
    for role in ("navarch-mesh-admin", "navarch-mesh-host"):
        api.create(bind(place, role))
    plain = build_mesh(place, gateways={"ingress": [{"name": "front"}]})
    await eventually(lambda: refusal(tenant, plain) == "", seconds=30, what="the roles")
    gateway = build_gateway(place, place, **with_routes(ask()))
    mesh = build_mesh(place, gateways={"ingress": [{"name": "front", **with_routes(ask())}]})
    for manifest in (gateway, mesh):
        said = refusal(tenant, manifest)
        assert "create on routes/custom-host.route.openshift.io" in said, said
        assert TENANT in said
        assert refusal(api, manifest) == ""
    for made in build_right(place):
        api.create(made)
    for manifest in (gateway, mesh):

        def is_taken(manifest: Object = manifest) -> bool:
            return refusal(tenant, manifest) == ""

        await eventually(is_taken, seconds=30, what="whoever may make Routes may have them made")


def build_right(namespace: str) -> list[Object]:
    """What OpenShift's roles `edit` and `admin` hold of Routes' hosts, for TENANT."""
    group = "rbac.authorization.k8s.io"
    metadata = {"name": "routes", "namespace": namespace}
    rule = {"apiGroups": ["route.openshift.io"], "resources": ["routes/custom-host"], "verbs": ["create"]}
    return [
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "routes"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": TENANT}],
        },
    ]
