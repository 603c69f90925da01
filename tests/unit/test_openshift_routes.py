"""Routes of OpenShift before a gateway: what is made of its spec, and what is said of routers' answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from navarch.api.gateway import MeshGatewayStatus
from navarch.core.gateway.checks import run_checks
from navarch.core.gateway.observed import ObservedGateway
from navarch.core.gateway.plan import build_gateway, plan_gateway
from navarch.core.gateway.status import summarise_gateway
from navarch.core.model.actions import Outcome

from tests.unit.gateways import a_gateway, find, settled, told, verdicts

HOST = "shop.example.com"
ASKED = {"name": "web", "host": HOST, "port": "https", "termination": "Passthrough"}


def with_route(*, served: bool = True, **more: Any) -> ObservedGateway:
    spec = {"openshift": {"routes": [ASKED | more]}, "service": {"type": "ClusterIP"}}
    return a_gateway(spec, serves_routes=served)


def answered(*entries: dict[str, Any], **more: Any) -> ObservedGateway:
    """A settled gateway whose Route has these entries of routers."""
    gateway, status = reached(settled(with_route(**more))), {"status": {"ingress": list(entries)}}
    owned = ({**o, **status} if o["kind"] == "Route" else o for o in gateway.owned)
    return replace(gateway, owned=tuple(owned))


def reached(gateway: ObservedGateway) -> ObservedGateway:
    """The same gateway once its Service has an address of the cluster."""

    def give(manifest: dict[str, Any]) -> dict[str, Any]:
        return {**manifest, "spec": {**manifest["spec"], "clusterIPs": ["10.0.0.1"]}}

    return replace(gateway, owned=tuple(give(o) if o["kind"] == "Service" else o for o in gateway.owned))


def entry(
    status: str, *, host: str = HOST, router: str = "default", kind: str = "Admitted"
) -> dict[str, Any]:
    condition = {
        "type": kind,
        "status": status,
        "reason": "HostAlreadyClaimed",
        "message": "other/web has it",
    }
    return {"host": host, "routerName": router, "conditions": [condition]}


@pytest.mark.parametrize(
    ("route", "tls"),
    [
        ({}, {"termination": "passthrough", "insecureEdgeTerminationPolicy": "None"}),
        (
            {"termination": "Edge", "insecureEdgeTerminationPolicy": "Redirect", "externalCertificate": "c"},
            {
                "termination": "edge",
                "insecureEdgeTerminationPolicy": "Redirect",
                "externalCertificate": {"name": "c"},
            },
        ),
        (
            {"termination": "Reencrypt", "destinationCACertificate": "PEM"},
            {
                "termination": "reencrypt",
                "insecureEdgeTerminationPolicy": "None",
                "destinationCACertificate": "PEM",
            },
        ),
        ({"termination": "None", "port": "http"}, None),
    ],
)
def test_a_route_leads_to_the_gateways_service(route: dict[str, Any], tls: dict[str, Any] | None) -> None:
    made = find(build_gateway(with_route(**route)), "Route")
    assert (made["metadata"]["namespace"], made["metadata"]["name"]) == ("front", "ingress-web")
    assert made["metadata"]["labels"]["mesh.navarch.io/gateway-name"] == "ingress"
    assert made["spec"].get("tls") == tls
    assert made["spec"]["to"] == {"kind": "Service", "name": "ingress", "weight": 100}
    assert made["spec"]["port"]["targetPort"] == ({} | ASKED | route)["port"]


def test_labels_and_annotations_reach_the_router_and_never_replace_our_labels() -> None:
    gateway = with_route(
        labels={"shard": "a", "istio": "x"}, annotations={"haproxy.router.openshift.io/x": "1"}
    )
    metadata = find(build_gateway(gateway), "Route")["metadata"]
    assert metadata["labels"]["shard"] == "a"
    assert metadata["labels"]["istio"] == "ingress"
    assert metadata["annotations"]["haproxy.router.openshift.io/x"] == "1"
    assert [f.field for f in run_checks(gateway)] == ["spec.openshift.routes[web].labels[istio]"]


def test_without_the_api_everything_but_the_routes_is_made() -> None:
    without, plain = with_route(served=False), a_gateway({"service": {"type": "ClusterIP"}})
    (finding,) = run_checks(without)
    assert (str(finding.reason), str(finding.severity)) == ("RoutesNotServed", "warning")
    assert build_gateway(without) == build_gateway(plain)
    plan = plan_gateway(settled(without), [finding])
    assert plan.prune == ()
    assert plan.objects() != ()
    shown = verdicts(reached(settled(without)))
    assert shown["Ready"] == shown["RoutesAdmitted"] == ("False", "RoutesNotServed")
    assert (shown["SpecAccepted"], shown["Reconciled"][0]) == (("True", "RoutesNotServed"), "True")


@pytest.mark.parametrize(
    ("port", "ports"), [("web", None), ("dns", [{"name": "dns", "port": 53, "protocol": "UDP"}])]
)
def test_a_route_to_a_port_that_the_service_does_not_have_over_tcp_is_refused(port: str, ports: Any) -> None:
    spec = {"openshift": {"routes": [ASKED | {"port": port}]}, "service": {"ports": ports}}
    (finding,) = run_checks(a_gateway(spec, serves_routes=True))
    assert (finding.field, finding.value) == ("spec.openshift.routes[web].port", port)


@pytest.mark.parametrize(
    ("more", "refused"),
    [
        ({}, True),
        ({"host": "plain.example.com"}, False),
        ({"labels": {"shard": "inner"}}, False),
    ],
)
def test_a_second_route_of_a_host_is_refused_unless_other_routers_take_it(
    more: dict[str, Any], refused: bool
) -> None:
    plain = ASKED | {"name": "plain", "port": "http", "termination": "None"} | more
    gateway = a_gateway({"openshift": {"routes": [ASKED, plain]}}, serves_routes=True)
    assert [f.field for f in run_checks(gateway)] == ["spec.openshift.routes[plain].host"] * refused


@pytest.mark.parametrize(
    ("entries", "verdict"),
    [
        ([], ("False", "RoutePending")),
        ([{"host": HOST, "routerName": "default"}], ("False", "RoutePending")),
        ([entry("Unknown")], ("False", "RoutePending")),
        ([entry("True", kind="Other")], ("False", "RoutePending")),
        ([entry("True", host="old.example.com")], ("False", "RoutePending")),
        ([entry("False")], ("False", "RouteRefused")),
        ([entry("False"), entry("True", router="other")], ("True", "AsExpected")),
        ([entry("False", host="old.example.com"), entry("True")], ("True", "AsExpected")),
    ],
)
def test_a_route_is_admitted_once_a_router_takes_its_present_host(
    entries: list[dict[str, Any]], verdict: tuple[str, str]
) -> None:
    shown = verdicts(answered(*entries))
    assert shown["RoutesAdmitted"] == verdict
    assert shown["Ready"] == verdict
    assert shown["Available"][0] == "True", "others still reach it"


def test_a_refusal_names_route_host_and_router_and_quotes_it() -> None:
    said = told(answered(entry("False")), "Ready")
    assert said == (
        "Route front/ingress-web (shop.example.com): router default refused it (HostAlreadyClaimed): "
        "other/web has it"
    )


def summarise(observed: ObservedGateway) -> dict[str, Any]:
    findings = run_checks(observed)
    return summarise_gateway(observed, findings, plan_gateway(observed, findings), Outcome())


def test_an_admitted_host_is_the_first_address() -> None:
    status = summarise(answered(entry("True")))
    assert status["addresses"] == [HOST, "10.0.0.1"]
    assert status["routes"] == [{"name": "web", "host": HOST, "admitted": True}]
    assert MeshGatewayStatus.model_validate(status).to_json()["routes"] == status["routes"]
    assert summarise(answered(entry("False")))["addresses"] == ["10.0.0.1"]
    assert "routes" not in summarise(settled(a_gateway()))


def test_a_router_may_say_anything() -> None:
    odd = [{}, {"host": HOST, "conditions": [{}]}, entry("False") | {"routerName": "r" * 9000}]
    assert len(told(answered(*odd), "RoutesAdmitted")) < 600


def test_a_route_that_is_not_asked_for_any_more_is_removed_and_its_service_stays() -> None:
    before = answered(entry("True"))
    after = a_gateway({"service": {"type": "ClusterIP"}}, serves_routes=True)
    plan = plan_gateway(replace(after, owned=before.owned), [])
    assert [(ref.kind, ref.name) for ref in plan.prune] == [("Route", "ingress-web")]
