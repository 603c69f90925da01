"""What is said of routes and of the Gateways that they name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navarch.core.diagnosis.advice import OF_REASONS
from navarch.core.diagnosis.report import Subject
from navarch.core.diagnosis.routes import (
    OF_ROUTES,
    RULES_OF_ROUTES,
    ObservedRoutes,
    run_rules_of_routes,
)
from navarch.core.diagnosis.routing import (
    API,
    OpenPorts,
    read_gateway,
    read_istio_gateway,
    read_open_ports,
    read_route,
    read_virtual_service,
)
from navarch.core.diagnosis.signs import OF_SIGNS, Sign

HTTP = {"port": {"number": 8080, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
OURS = Subject("MeshGateway", "front", "ingress")


def an_object(kind: str, namespace: str, name: str, created: str, spec: Any) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name, "creationTimestamp": created}
    return {"kind": kind, "metadata": metadata, "spec": spec}


def istios(name: str = "web", namespace: str = "front", *servers: Any) -> Any:
    """A Gateway of Istio's own kind, by default for all hosts."""
    spec = {"selector": {"istio": "ingress"}, "servers": list(servers or (HTTP,))}
    return read_istio_gateway(an_object("Gateway", namespace, name, "", spec))


def virtual(
    namespace: str, name: str, *, created: str = "2026-01-01", gateway: str = "front/web", **spec: Any
) -> Any:
    """A VirtualService."""
    said = {"hosts": ["shop.example.com"], "gateways": [gateway], "http": [{"route": []}], **spec}
    return read_virtual_service(an_object("VirtualService", namespace, name, created, said))


def apis(name: str = "web", *listeners: Any) -> Any:
    """A Gateway of Gateway API, by default for all namespaces."""
    everybody = {
        "name": "http",
        "port": 80,
        "protocol": "HTTP",
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }
    return read_gateway(
        an_object("Gateway", "front", name, "", {"listeners": list(listeners or (everybody,))})
    )


def http_route(namespace: str, name: str, *, created: str = "2026-01-01", **spec: Any) -> Any:
    """An HTTPRoute."""
    said = {"parentRefs": [{"name": "web", "namespace": "front"}], "hostnames": ["shop.example.com"], **spec}
    said.setdefault("rules", [{"matches": [{"path": {"type": "PathPrefix", "value": "/cart"}}]}])
    return read_route(an_object("HTTPRoute", namespace, name, created, said))


def tell(*entrances: Any, routes: tuple[Any, ...] = (), **more: Any) -> list[tuple[str, str]]:
    """Id and subject of everything that is said."""
    observed = ObservedRoutes(entrances, routes, **more)
    return [(d.id, str(d.subject)) for d in run_rules_of_routes(observed)]


def cart(**more: Any) -> list[Any]:
    return [{"match": [{"uri": {"prefix": "/cart"}, **more}], "route": []}]


def test_routes_and_gateways_that_fit_each_other_give_nothing() -> None:
    assert (
        tell(istios(), routes=(virtual("front", "shop"), virtual("back", "other", hosts=["b.example.com"])))
        == []
    )
    assert tell(apis(), routes=(http_route("front", "shop"),)) == []


def test_a_route_to_a_gateway_that_is_not_there_is_told_only_where_all_could_be_seen() -> None:
    route = virtual("front", "shop", gateway="gone")
    assert tell(routes=(route,)) == [("RouteWithoutGateway", "VirtualService front/shop")]
    assert tell(routes=(route,), whole=False) == []
    assert tell(routes=(virtual("front", "shop", gateway="mesh"),)) == []


@pytest.mark.parametrize(
    ("hosts", "told"),
    [
        (["*.example.com"], False),
        (["front/*"], False),
        (["./shop.example.com"], False),
        (["*/shop.example.com"], False),
        (["other.example.com"], True),
        (["elsewhere/*"], True),
        (["*.com.org"], True),
    ],
)
def test_a_route_that_no_listener_takes_is_told(hosts: list[str], told: bool) -> None:
    found = tell(istios("web", "front", {**HTTP, "hosts": hosts}), routes=(virtual("front", "shop"),))
    assert (found == [("RouteWithoutGateway", "VirtualService front/shop")]) is told
    assert bool(found) is told


def test_a_gateway_of_gateway_api_takes_routes_of_its_namespace_unless_it_says_else() -> None:
    beside = {"name": "http", "port": 80, "protocol": "HTTP"}
    assert tell(apis("web", beside), routes=(http_route("front", "shop"),)) == []
    assert tell(apis("web", beside), routes=(http_route("back", "shop"),)) == [
        ("RouteWithoutGateway", "HTTPRoute back/shop")
    ]


def test_a_gateway_without_pods_is_told_with_the_routes_that_reach_nothing() -> None:
    entrance = istios()
    observed = ObservedRoutes(
        (entrance,), (virtual("front", "shop"),), unserved=frozenset({entrance.subject})
    )
    (diagnosis,) = run_rules_of_routes(observed)
    assert diagnosis.id == "GatewayWithoutPods"
    assert "istio=ingress" in diagnosis.message
    assert "VirtualService front/shop" in diagnosis.message


LISTENER = {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}
WAITING = {"type": "Programmed", "status": "Unknown", "message": "Waiting for controller"}
LONG = {"type": "Programmed", "status": "False", "message": "hostname x not found"}


@pytest.mark.parametrize(
    ("spec", "conditions", "words"),
    [
        ({"gatewayClassName": "istio"}, [WAITING], "Programmed is Unknown: Waiting for controller"),
        ({"gatewayClassName": "istio"}, [LONG], "Programmed is False: hostname x not found"),
        ({"gatewayClassName": "istio-waypoint"}, [], "Programmed is not set"),
        ({"gatewayClassName": "istio"}, [{"type": "Programmed", "status": "True"}], ""),
        ({"gatewayClassName": "eg"}, [WAITING], ""),
        ({"gatewayClassName": "istio", "addresses": [{"type": "Hostname", "value": "x"}]}, [WAITING], ""),
    ],
)
def test_a_gateway_for_which_istiod_made_nothing_is_told_in_the_words_of_its_status(
    spec: dict[str, Any], conditions: list[Any], words: str
) -> None:
    manifest = an_object("Gateway", "front", "web", "", {**spec, "listeners": [LISTENER]})
    seen = ObservedRoutes(
        (read_gateway({**manifest, "status": {"conditions": conditions}}),), (http_route("front", "shop"),)
    )
    told = [d.message for d in run_rules_of_routes(seen)]
    assert len(told) == bool(words)
    assert all(words in message and "HTTPRoute front/shop" in message for message in told)


ACCEPTED = {"type": "Accepted", "status": "True", "reason": "Accepted"}
PENDING = {"type": "Accepted", "status": "Unknown", "reason": "Pending"}


@pytest.mark.parametrize(
    ("kind", "conditions", "told"),
    [
        ("istio", [PENDING, WAITING], True),
        ("istio", [], True),
        ("istio", [ACCEPTED, LONG], False),
        ("eg", [PENDING], False),
    ],
)
def test_a_gateway_of_no_mesh_that_no_istiod_has_looked_at_is_told(
    kind: str, conditions: list[Any], told: bool
) -> None:
    """istio#53295: neither Service nor Deployment, and nothing that says why."""
    manifest = an_object("Gateway", "apart", "web", "", {"gatewayClassName": kind, "listeners": [LISTENER]})
    seen = ObservedRoutes(outside=(read_gateway({**manifest, "status": {"conditions": conditions}}),))
    assert [d.id for d in run_rules_of_routes(seen)] == ["GatewayOutsideMeshes"] * told


@pytest.mark.parametrize(
    ("kind", "classes", "told"),
    [
        ("isto", frozenset({"istio", "eg"}), "there is no GatewayClass isto"),
        ("eg", frozenset({"istio", "eg"}), ""),
        ("isto", None, ""),
        ("istio-waypoint", frozenset({"istio"}), "there is no GatewayClass istio-waypoint"),
    ],
)
def test_a_gateway_of_a_class_that_does_not_exist_is_told(
    kind: str, classes: frozenset[str] | None, told: str
) -> None:
    manifest = an_object("Gateway", "front", "web", "", {"gatewayClassName": kind, "listeners": [LISTENER]})
    seen = ObservedRoutes((read_gateway(manifest),), classes=classes)
    messages = [d.message for d in run_rules_of_routes(seen)]
    assert len(messages) == bool(told)
    assert all(told in message for message in messages)


@pytest.mark.parametrize(
    ("tls", "told"),
    [
        ({"mode": "SIMPLE", "credentialName": "cert"}, False),
        ({"mode": "SIMPLE", "credentialNames": ["rsa", "ecdsa"]}, False),
        ({"mode": "SIMPLE", "serverCertificate": "/etc/cert.pem"}, False),
        ({"mode": "PASSTHROUGH"}, False),
        ({"mode": "ISTIO_MUTUAL"}, False),
        ({"mode": "SIMPLE"}, True),
        ({}, True),
    ],
)
def test_a_server_that_ends_tls_without_a_certificate_is_told(tls: dict[str, Any], told: bool) -> None:
    server = {"port": {"number": 8443, "name": "https", "protocol": "HTTPS"}, "hosts": ["*"], "tls": tls}
    assert (
        tell(istios("web", "front", server)) == [("ListenerWithoutCertificate", "Gateway front/web")] * told
    )


@pytest.mark.parametrize(
    ("listener", "told"),
    [
        ({"protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "cert"}]}}, False),
        ({"protocol": "TLS", "tls": {"mode": "Passthrough"}}, False),
        ({"protocol": "HTTPS"}, True),
        ({"protocol": "TLS", "tls": {"mode": "Terminate"}}, True),
    ],
)
def test_a_listener_of_gateway_api_without_a_certificate_is_told(listener: Any, told: bool) -> None:
    found = tell(apis("web", {"name": "https", "port": 443, **listener}))
    assert found == [("ListenerWithoutCertificate", f"{API} front/web")] * told


@pytest.mark.parametrize(
    ("protocols", "told"),
    [
        (("HTTP", "HTTP2"), False),
        (("HTTPS", "TLS"), False),
        (("HTTP", "GRPC-WEB"), False),
        (("HTTP", "TCP"), True),
        (("HTTP", "HTTPS"), True),
        (("TCP", "MONGO"), True),
    ],
)
def test_one_port_with_two_protocols_on_the_same_pods_is_told_of_both_gateways(
    protocols: tuple[str, str], told: bool
) -> None:
    def one(name: str, protocol: str) -> Any:
        port = {"number": 8080, "name": "p", "protocol": protocol}
        return istios(name, "front", {"port": port, "hosts": ["*"], "tls": {"mode": "PASSTHROUGH"}})

    both = one("a", protocols[0]), one("b", protocols[1])
    expected = [("PortProtocolsClash", "Gateway front/a"), ("PortProtocolsClash", "Gateway front/b")]
    assert tell(*both) == expected * told
    apart = {both[0].subject: (OURS,), both[1].subject: (Subject("MeshGateway", "front", "other"),)}
    assert tell(*both, served=apart) == [], "other pods"


def test_the_same_requests_from_two_namespaces_are_told_of_the_younger_route() -> None:
    old = virtual("a", "old", created="2026-01-01", http=cart())
    young = virtual("b", "young", created="2026-02-01", http=cart())
    observed = ObservedRoutes((istios(),), (young, old))
    (diagnosis,) = run_rules_of_routes(observed)
    assert (diagnosis.id, str(diagnosis.subject)) == ("RoutesConflict", "VirtualService b/young")
    assert "VirtualService a/old" in diagnosis.message
    assert "shop.example.com prefix /cart" in diagnosis.message


@pytest.mark.parametrize(
    "young",
    [
        virtual("a", "young", http=cart()),
        virtual("b", "young", http=cart(method={"exact": "POST"})),
        virtual("b", "young", http=cart(port=8443)),
        virtual("b", "young", http=[{"match": [{"uri": {"exact": "/cart"}}]}]),
        virtual("b", "young", hosts=["other.example.com"], http=cart()),
        virtual("b", "young", gateway="front/second", http=cart()),
    ],
    ids=["namespace", "method", "port", "path", "host", "gateway"],
)
def test_routes_that_differ_in_anything_do_not_conflict(young: Any) -> None:
    old = virtual("a", "old", http=cart())
    assert tell(istios(), istios("second"), routes=(old, young)) == []


def test_a_short_host_is_another_name_in_each_namespace() -> None:
    routes = virtual("a", "one", hosts=["web"]), virtual("b", "two", hosts=["web"])
    assert tell(istios(), routes=routes) == []


def test_routes_of_gateway_api_conflict_alike() -> None:
    routes = http_route("a", "old"), http_route("b", "young", created="2026-02-01")
    assert tell(apis(), routes=routes) == [("RoutesConflict", "HTTPRoute b/young")]
    rules = [{"matches": [{"path": {"type": "Exact", "value": "/cart"}}]}]
    assert tell(apis(), routes=(http_route("a", "old"), http_route("b", "young", rules=rules))) == []
    post = [{"matches": [{"path": {"value": "/cart"}, "method": "POST"}]}]
    assert tell(apis(), routes=(http_route("a", "old"), http_route("b", "young", rules=post))) == []


def a_listener(name: str, port: int, protocol: str, **more: Any) -> Any:
    """One that takes routes of all namespaces."""
    everybody = {"namespaces": {"from": "All"}, **more.pop("allowed", {})}
    return {"name": name, "port": port, "protocol": protocol, "allowedRoutes": everybody, **more}


def a_route(
    kind: str, namespace: str, name: str = "db", *, created: str = "2026-01-01", **parent: Any
) -> Any:
    """A route of any kind without hosts."""
    parents = [{"name": "web", "namespace": "front", **parent}]
    return read_route(an_object(kind, namespace, name, created, {"parentRefs": parents, "rules": [{}]}))


@pytest.mark.parametrize(
    ("kind", "listener"),
    [
        ("TCPRoute", a_listener("one", 5432, "TCP")),
        ("TLSRoute", a_listener("one", 443, "TLS", tls={"mode": "Passthrough"})),
        ("TCPRoute", a_listener("one", 443, "TLS", tls={"certificateRefs": [{"name": "cert"}]})),
        ("GRPCRoute", a_listener("one", 80, "HTTP")),
        ("HTTPRoute", a_listener("one", 15008, "HBONE")),
    ],
    ids=["tcp", "tls", "tcp over tls", "grpc", "waypoint"],
)
def test_routes_of_every_kind_conflict_at_a_listener_that_takes_both(kind: str, listener: Any) -> None:
    old, young = a_route(kind, "a"), a_route(kind, "b", created="2026-02-01")
    assert tell(apis("web", listener), routes=(young, old)) == [("RoutesConflict", f"{kind} b/db")]


@pytest.mark.parametrize(
    "parents",
    [({"sectionName": "one"}, {"sectionName": "two"}), ({"port": 5432}, {"port": 5433})],
    ids=["sections", "ports"],
)
def test_routes_to_two_listeners_of_one_gateway_do_not_conflict(parents: Any) -> None:
    entrance = apis("web", a_listener("one", 5432, "TCP"), a_listener("two", 5433, "TCP"))
    routes = [a_route("TCPRoute", place, **parent) for place, parent in zip(("a", "b"), parents, strict=True)]
    assert tell(entrance, routes=tuple(routes)) == []
    both = a_route("TCPRoute", "c", created="2026-02-01")
    assert tell(entrance, routes=(*routes, both)) == [("RoutesConflict", "TCPRoute c/db")] * 2


def test_a_redirect_at_the_plain_listener_of_another_namespace_is_no_conflict() -> None:
    certificate = {"certificateRefs": [{"name": "cert"}]}
    entrance = apis("web", a_listener("http", 80, "HTTP"), a_listener("https", 443, "HTTPS", tls=certificate))
    routes = (
        a_route("HTTPRoute", "platform", "redirect", sectionName="http"),
        a_route("HTTPRoute", "shop", "shop", sectionName="https"),
    )
    assert tell(entrance, routes=routes) == []


@pytest.mark.parametrize(
    ("kind", "parent", "listener"),
    [
        ("TCPRoute", {}, a_listener("one", 80, "HTTP")),
        ("HTTPRoute", {}, a_listener("one", 443, "TLS", tls={"mode": "Passthrough"})),
        ("TLSRoute", {}, a_listener("one", 5432, "TCP")),
        ("TCPRoute", {}, a_listener("one", 443, "TLS", tls={"mode": "Passthrough"})),
        ("GRPCRoute", {}, a_listener("one", 80, "HTTP", allowed={"kinds": [{"kind": "HTTPRoute"}]})),
        ("HTTPRoute", {"sectionName": "two"}, a_listener("one", 80, "HTTP")),
        ("HTTPRoute", {"port": 81}, a_listener("one", 80, "HTTP")),
    ],
    ids=["tcp", "http at passthrough", "tls at tcp", "tcp at passthrough", "kinds", "section", "port"],
)
def test_a_route_of_a_kind_or_to_a_listener_that_is_not_there_is_told(
    kind: str, parent: Any, listener: Any
) -> None:
    observed = ObservedRoutes((apis("web", listener),), (a_route(kind, "a", **parent),))
    (diagnosis,) = run_rules_of_routes(observed)
    assert (diagnosis.id, str(diagnosis.subject)) == ("RouteWithoutGateway", f"{kind} a/db")
    assert f"no listener there takes a {kind} for *" in diagnosis.message


def test_a_route_is_one_of_a_gateways_where_that_gateways_pods_serve_its_gateway() -> None:
    entrance, route = istios(), virtual("back", "shop")
    observed = ObservedRoutes((entrance,), (route,), {entrance.subject: (OURS,)})
    assert observed.served_by(OURS) == (entrance,)
    assert observed.attached(entrance) == (route,)
    assert observed.served_by(Subject("MeshGateway", "front", "other")) == ()


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "servers",
                    "port",
                    "hosts",
                    "tls",
                    "http",
                    "match",
                    "uri",
                    "gateways",
                    "rules",
                    "listeners",
                    "mode",
                    "parentRefs",
                    "allowedRoutes",
                    "kinds",
                ]
            ),
            below,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(spec=JUNK)
def test_no_shape_that_somebody_wrote_ends_a_look(spec: Any) -> None:
    for read in (read_istio_gateway, read_gateway, read_virtual_service, read_route):
        read(an_object("X", "a", "b", "", spec))


def test_every_id_of_routes_has_its_rule() -> None:
    assert len(RULES_OF_ROUTES) + 5 == len(OF_ROUTES), "five are of certificates"
    assert {*OF_ROUTES} <= {*OF_SIGNS, *OF_REASONS}
    assert Sign.ROUTES_CONFLICT in OF_ROUTES


SERVICE = {"spec": {"ports": [{"port": 80, "targetPort": 8080}, {"port": 443}]}}


@pytest.mark.parametrize(
    ("port", "gateway_api", "told"),
    [(8080, False, False), (80, False, True), (443, False, False), (80, True, False), (8080, True, True)],
)
def test_a_listener_to_which_no_port_of_the_service_leads_is_told(
    port: int, gateway_api: bool, told: bool
) -> None:
    server = {"port": {"number": port, "name": "x", "protocol": "HTTP"}, "hosts": ["*"]}
    listener = {"name": "x", "port": port, "protocol": "HTTP"}
    entrance = apis("web", listener) if gateway_api else istios("web", "front", server)
    other = Subject("MeshGateway", "front", "other")
    ports = read_open_ports(SERVICE)
    expected = [("ListenerBehindNoPort", str(entrance.subject))] if told else []
    served = {entrance.subject: (OURS,)}
    assert tell(entrance, served=served, open={OURS: ports}) == expected
    assert tell(entrance, served=served) == [], "a Service that is not there says nothing"
    both = {entrance.subject: (OURS, other)}
    leads = OpenPorts(frozenset({port}), frozenset({port}))
    assert tell(entrance, served=both, open={OURS: ports, other: leads}) == [], "one way is enough"


def test_what_is_said_of_a_listener_without_a_port_names_those_that_are_there() -> None:
    server = {"port": {"number": 9, "name": "x", "protocol": "HTTP"}, "hosts": ["*"]}
    entrance = istios("web", "front", server)
    observed = ObservedRoutes(
        (entrance,), served={entrance.subject: (OURS,)}, open={OURS: read_open_ports(SERVICE)}
    )
    (diagnosis,) = run_rules_of_routes(observed)
    assert "port 9" in diagnosis.message
    assert "MeshGateway front/ingress leads there: it has 443, 8080" in diagnosis.message


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_a_service_of_any_shape_is_read(ports: Any) -> None:
    assert read_open_ports({"spec": {"ports": ports}}).ports is not None
