"""Rules about routes and the Gateways that they name: what reaches no pod, and what takes another's requests.

Owns one named generator for each rule, and which routes are a gateway's. Must never look anything up.
Invariant: each rule speaks of the object that has to be changed, and what could not be looked at yields
nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from navarch.core.diagnosis.certificates import Credential
from navarch.core.diagnosis.observed import diagnose, list_names
from navarch.core.diagnosis.report import Diagnosis, Subject
from navarch.core.diagnosis.routing import Entrance, Listener, Match, OpenPorts, Route
from navarch.core.diagnosis.signs import Sign
from navarch.core.model.reasons import Reason

OF_ROUTES = frozenset(
    {
        Sign.ROUTE_WITHOUT_GATEWAY,
        Sign.GATEWAY_WITHOUT_PODS,
        Sign.GATEWAY_NOT_PROGRAMMED,
        Sign.GATEWAY_OUTSIDE_MESHES,
        Sign.LISTENER_WITHOUT_CERTIFICATE,
        Sign.LISTENER_BEHIND_NO_PORT,
        Sign.PORT_PROTOCOLS_CLASH,
        Sign.ROUTES_CONFLICT,
        Reason.CERTIFICATE_MISSING,
        Reason.CERTIFICATE_BROKEN,
        Reason.CERTIFICATE_OTHER_NAMES,
        Reason.CERTIFICATE_EXPIRES,
        Reason.CERTIFICATE_EXPIRED,
    }
)
"""What the rules here, and those of certificates.py, say: of objects that several gateways may have."""
_HTTP = ("HTTP", "HTTP2", "GRPC", "GRPC-WEB")
_TLS = ("HTTPS", "TLS")


@dataclass(frozen=True, slots=True)
class ObservedRoutes:
    """The Gateways and routes in the namespaces of meshes. `served` names the MeshGateways whose pods serve a
    Gateway; `unserved` are Gateways that no pod of the cluster serves. `whole` says whether Gateways of all
    namespaces could be seen. `credentials` are the Secrets of their listeners, as far as they may be read;
    `open` are the ports of the Services of MeshGateways that are there. `outside` are Gateways of Gateway API
    in namespaces of no mesh, `classes` the names of GatewayClasses, None where they could not be listed."""

    entrances: tuple[Entrance, ...] = ()
    routes: tuple[Route, ...] = ()
    served: Mapping[Subject, tuple[Subject, ...]] = field(default_factory=dict)
    unserved: frozenset[Subject] = frozenset()
    whole: bool = True
    credentials: tuple[Credential, ...] = ()
    open: Mapping[Subject, OpenPorts] = field(default_factory=dict)
    outside: tuple[Entrance, ...] = ()
    classes: frozenset[str] | None = None

    def attached(self, entrance: Entrance) -> tuple[Route, ...]:
        """The routes that name a Gateway and that one of its listeners takes."""
        return tuple(
            route
            for route in self.routes
            if any(listener.list_taken(route, of=entrance.subject) for listener in entrance.listeners)
        )

    def served_by(self, gateway: Subject) -> tuple[Entrance, ...]:
        """The Gateways that the pods of a MeshGateway serve."""
        return tuple(e for e in self.entrances if gateway in self.served.get(e.subject, ()))


def check_routes_name_a_gateway(observed: ObservedRoutes) -> Iterator[Diagnosis]:
    """Every Gateway that a route names is there, and takes some of it at a listener that it names."""
    if not observed.whole:
        return
    entrances = {entrance.subject: entrance for entrance in observed.entrances}
    for route in observed.routes:
        for parent in route.parents:
            there, alone = entrances.get(parent.entrance), replace(route, parents=(parent,))
            if there is None:
                message = f"names {parent.entrance}, which does not exist: no request takes this route there"
                yield diagnose(Sign.ROUTE_WITHOUT_GATEWAY, route.subject, message)
            elif there.listeners and not any(
                listener.list_taken(alone, of=parent.entrance) for listener in there.listeners
            ):
                hosts = list_names(sorted({match.host for match in route.matches}))
                kind = route.subject.kind
                message = f"names {parent}; no listener there takes a {kind} for {hosts} from this namespace"
                yield diagnose(Sign.ROUTE_WITHOUT_GATEWAY, route.subject, message)


def check_gateways_have_pods(observed: ObservedRoutes) -> Iterator[Diagnosis]:
    """Every Gateway is served by some pod."""
    for entrance in observed.entrances:
        if entrance.subject in observed.unserved:
            wanted = ", ".join(f"{key}={value}" for key, value in sorted(entrance.selector.items()))
            message = f"no pod has the labels {wanted} that it selects" if wanted else "no pod serves it"
            if routes := observed.attached(entrance):
                message += f"; its routes reach nothing: {list_names(sorted(str(r.subject) for r in routes))}"
            yield diagnose(Sign.GATEWAY_WITHOUT_PODS, entrance.subject, message)


def check_gateways_are_programmed(observed: ObservedRoutes) -> Iterator[Diagnosis]:
    """istiod has made the pods and the Service of every Gateway of its classes, and there is a class for
    every other one."""
    for entrance in observed.entrances:
        nameless = _has_no_class(entrance, observed.classes)
        if entrance.missing or nameless:
            message = f"istiod has made no proxy for it that can be reached; {entrance.missing}"
            if nameless:
                message = f"nobody makes a proxy for it: there is no GatewayClass {entrance.kind}"
            if routes := observed.attached(entrance):
                message += f"; its routes reach nothing: {list_names(sorted(str(r.subject) for r in routes))}"
            yield diagnose(Sign.GATEWAY_NOT_PROGRAMMED, entrance.subject, message)


def _has_no_class(entrance: Entrance, classes: frozenset[str] | None) -> bool:
    """Whether a Gateway waits for a controller of a class that does not exist, such as a misspelt one."""
    return entrance.unseen and bool(entrance.kind) and classes is not None and entrance.kind not in classes


def check_gateways_are_of_a_mesh(observed: ObservedRoutes) -> Iterator[Diagnosis]:
    """Gateways that ask istiod for a proxy are where one looks: in namespaces of meshes, or another
    Istio's."""
    for entrance in observed.outside:
        if entrance.missing and entrance.unseen:
            message = (
                "asks istiod for a proxy, and no istiod has looked at it, since its namespace belongs to no "
                "mesh: neither Deployment nor Service is made"
            )
            yield diagnose(Sign.GATEWAY_OUTSIDE_MESHES, entrance.subject, message)


def check_listeners_have_certificates(observed: ObservedRoutes) -> Iterator[Diagnosis]:
    """Every listener that ends TLS names a certificate."""
    for entrance in observed.entrances:
        for listener in entrance.listeners:
            if not listener.certified:
                message = (
                    f"listener {listener.name} ends TLS on port {listener.port} and names no certificate"
                )
                yield diagnose(Sign.LISTENER_WITHOUT_CERTIFICATE, entrance.subject, message)


def check_listeners_are_behind_a_port(observed: ObservedRoutes) -> Iterator[Diagnosis]:
    """To every listener that pods of ours serve leads a port of one of their Services."""
    for entrance in observed.entrances:
        gateways = observed.served.get(entrance.subject, ())
        reached = {g: observed.open[g].reach(entrance) for g in gateways if g in observed.open}
        if not reached or len(reached) < len(gateways):
            continue
        for listener in entrance.listeners:
            if listener.port and not any(listener.port in ports for ports in reached.values()):
                there = ", ".join(map(str, sorted({port for ports in reached.values() for port in ports})))
                message = (
                    f"listener {listener.name} is on port {listener.port}, and no port of the Service of "
                    f"{list_names(sorted(map(str, reached)))} leads there: it has {there}"
                )
                yield diagnose(Sign.LISTENER_BEHIND_NO_PORT, entrance.subject, message)


def check_ports_have_one_protocol(observed: ObservedRoutes) -> Iterator[Diagnosis]:
    """On the pods of a gateway, a port has one protocol."""
    users: dict[tuple[object, int], dict[str, list[Entrance]]] = defaultdict(lambda: defaultdict(list))
    for entrance in observed.entrances:
        for place in _list_places(observed, entrance):
            for listener in entrance.listeners:
                users[place, listener.port][_group(listener.protocol)].append(entrance)
    told: set[tuple[Subject, int]] = set()
    for (_, port), groups in users.items():
        if len(groups) < 2:
            continue
        words = [f"{name} by {list_names(_name(found))}" for name, found in sorted(groups.items())]
        for subject in sorted({each.subject for found in groups.values() for each in found}):
            if (subject, port) not in told:
                told.add((subject, port))
                message = f"port {port} of the same pods is asked for as {' and as '.join(words)}"
                yield diagnose(Sign.PORT_PROTOCOLS_CLASH, subject, message)


def _name(entrances: list[Entrance]) -> list[str]:
    return sorted({str(entrance.subject) for entrance in entrances})


def _list_places(observed: ObservedRoutes, entrance: Entrance) -> tuple[object, ...]:
    """By whose pods a Gateway is served: those of our gateways, else those that it selects or has itself."""
    if served := observed.served.get(entrance.subject):
        return served
    return (tuple(sorted(entrance.selector.items())) if entrance.is_istios else entrance.subject,)


def _group(protocol: str) -> str:
    """Protocols that can share a port: plain ones of HTTP with each other, and those over TLS, which are told
    apart by name (pilot/pkg/model/gateway.go, canMergeProtocols)."""
    if protocol in _HTTP:
        return "HTTP"
    return "TLS" if protocol in _TLS else protocol


def check_routes_do_not_conflict(observed: ObservedRoutes) -> Iterator[Diagnosis]:
    """No two namespaces have a route for the same requests at one listener: the older one gets them."""
    for entrance in observed.entrances:
        lost: dict[tuple[Subject, Subject], set[str]] = defaultdict(set)
        for listener in entrance.listeners:
            for match, routes in _list_takers(observed, entrance.subject, listener).items():
                first, *others = sorted(routes, key=lambda route: (route.created, route.subject))
                for other in others:
                    if other.subject.namespace != first.subject.namespace:
                        lost[other.subject, first.subject].add(str(match))
        for (loser, winner), matches in lost.items():
            message = (
                f"at {entrance.subject}, {winner} of another namespace is older and has the same "
                f"{list_names(sorted(matches))}: which of them gets a request is not this namespace's to say"
            )
            yield diagnose(Sign.ROUTES_CONFLICT, loser, message)


def _list_takers(observed: ObservedRoutes, of: Subject, listener: Listener) -> dict[Match, list[Route]]:
    """The routes at a listener, by what each of them takes."""
    takers: dict[Match, list[Route]] = defaultdict(list)
    for route in observed.routes:
        for match in listener.list_taken(route, of=of):
            takers[match].append(route)
    return takers


RULES_OF_ROUTES: tuple[Callable[[ObservedRoutes], Iterator[Diagnosis]], ...] = (
    check_routes_name_a_gateway,
    check_gateways_have_pods,
    check_gateways_are_programmed,
    check_gateways_are_of_a_mesh,
    check_listeners_have_certificates,
    check_listeners_are_behind_a_port,
    check_ports_have_one_protocol,
    check_routes_do_not_conflict,
)


def run_rules_of_routes(observed: ObservedRoutes) -> Iterator[Diagnosis]:
    """Everything that is worth saying about routes and Gateways."""
    for rule in RULES_OF_ROUTES:
        yield from rule(observed)
