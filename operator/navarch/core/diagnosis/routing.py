"""Routes, and the gateways that they name, as records: Istio's own kinds and those of Gateway API.

Owns the reading of these objects, which everybody who has rights in a namespace can write. Must never judge,
and never raise on a shape that it does not expect. Invariant: two matches with equal texts take the same
requests.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from navarch.core.diagnosis.report import Subject, subject_of
from navarch.core.model.refs import Manifest

ISTIO_GATEWAYS = "gateways.networking.istio.io"
VIRTUAL_SERVICES = "virtualservices.networking.istio.io"
GATEWAYS = "gateways.gateway.networking.k8s.io"
GATEWAY_CLASSES = "gatewayclasses.gateway.networking.k8s.io"
ROUTES = tuple(
    f"{kind}s.gateway.networking.k8s.io" for kind in ("httproute", "grpcroute", "tcproute", "tlsroute")
)
ROUTING = (ISTIO_GATEWAYS, VIRTUAL_SERVICES, GATEWAYS, *ROUTES)
"""CRDs whose objects are read here, as far as a cluster has them."""
API = "Gateway.gateway.networking.k8s.io"
"""How a Gateway of Gateway API is called, since Istio's own kind has the same name."""
_SELF = "mesh"
"""In a VirtualService, what stands for the sidecars."""
_OF_CONNECTIONS = ("TCPRoute", "TLSRoute")
"""Routes that see no request, and so match by host at most."""
_PASSED = ("PASSTHROUGH", "AUTO_PASSTHROUGH", "Passthrough")
_ISTIO_MUTUAL = "ISTIO_MUTUAL"


@dataclass(frozen=True, slots=True)
class Listener:
    """One port of a Gateway, as it stands there. `hosts` may have a namespace before a slash, whose routes
    alone are taken; without one, `namespace` is that of all routes, empty for any. `certified` says whether
    it has the certificate that it takes to end TLS, if it does; `secrets` are names of Secrets that hold
    one, each with its namespace where it says one. `kinds` are the kinds of routes that it takes, None for
    all."""

    name: str
    port: int
    protocol: str
    hosts: tuple[str, ...] = ()
    certified: bool = True
    namespace: str = ""
    secrets: tuple[tuple[str, str], ...] = ()
    kinds: frozenset[str] | None = None

    def list_taken(self, route: Route, *, of: Subject) -> tuple[Match, ...]:
        """What a route gets here, at a listener of the Gateway `of`: all of it whose host has a name in
        common with the listener's."""
        if not any(parent.names(self, of) for parent in route.parents):
            return ()
        if self.kinds is not None and route.subject.kind not in self.kinds:
            return ()
        read = [self._read_host(each, of.namespace) for each in self.hosts or ("*",)]
        hosts = [host for where, host in read if where in ("", "*", route.subject.namespace)]
        return tuple(m for m in route.matches if any(_overlap(host, m.host) for host in hosts))

    def _read_host(self, host: str, beside: str) -> tuple[str, str]:
        where, slash, rest = host.rpartition("/")
        named = where if slash else self.namespace
        return (beside if named == "." else named), rest


@dataclass(frozen=True, slots=True)
class Entrance:
    """A Gateway. Pods with the labels of `selector` serve it; `addresses` are Services that do, where Gateway
    API names them. One of Gateway API without an address has pods of its own, which the controller of its
    class `kind` makes; `missing` says what its status says where istiod has made none of them yet, and
    `unseen` that no controller has written there."""

    subject: Subject
    selector: Mapping[str, str]
    listeners: tuple[Listener, ...]
    addresses: tuple[str, ...] = ()
    missing: str = ""
    kind: str = ""
    unseen: bool = False

    @property
    def is_istios(self) -> bool:
        """Whether it is of Istio's own kind."""
        return self.subject.kind == "Gateway"


@dataclass(frozen=True, slots=True)
class Parent:
    """A Gateway that a route names; of its listeners that of this name and port alone, where it says them."""

    entrance: Subject
    section: str = ""
    port: int = 0

    def names(self, listener: Listener, of: Subject) -> bool:
        """Whether it means a listener of the Gateway `of`."""
        same = self.entrance == of and self.section in ("", listener.name)
        return same and self.port in (0, listener.port)

    def __str__(self) -> str:
        section = f", listener {self.section}" if self.section else ""
        return f"{self.entrance}{section}{f', port {self.port}' if self.port else ''}"


@dataclass(frozen=True, slots=True)
class Match:
    """Requests that a route takes: host, port (0 for every one) and, as one text, path and what else."""

    host: str
    port: int
    what: str

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{self.host}{port} {self.what}".rstrip()


@dataclass(frozen=True, slots=True)
class Route:
    """A route: `parents` are the Gateways that it names, by what they are called."""

    subject: Subject
    created: str
    parents: tuple[Parent, ...]
    matches: tuple[Match, ...]


@dataclass(frozen=True, slots=True)
class OpenPorts:
    """The ports of a MeshGateway's Service, and those of its pods to which they lead."""

    ports: frozenset[int]
    targets: frozenset[int]

    def reach(self, entrance: Entrance) -> frozenset[int]:
        """The ports that listeners of a Gateway may have: Istio's own have the pods', those of Gateway API
        the Service's."""
        return self.targets if entrance.is_istios else self.ports


def read_open_ports(service: Manifest) -> OpenPorts:
    """The ports of a Service."""
    found = [*_maps(_map(service.get("spec")).get("ports"))]
    ports = (_number(port.get("port")) for port in found)
    targets = (_number(port.get("targetPort") or port.get("port")) for port in found)
    return OpenPorts(frozenset(ports), frozenset(targets))


def _overlap(one: str, other: str) -> bool:
    """Whether two hosts, which may begin with `*`, have a name in common."""
    short, long = sorted((one, other), key=lambda host: (not host.startswith("*"), len(host)))
    return short == long or (short.startswith("*") and long.removeprefix("*").endswith(short[1:]))


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _maps(value: Any) -> Iterator[Mapping[str, Any]]:
    yield from (each for each in value if isinstance(each, Mapping)) if isinstance(value, list) else ()


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


# --- Istio's own kinds -------------------------------------------------------------------------------------


def read_istio_gateway(manifest: Manifest) -> Entrance:
    """A Gateway of networking.istio.io."""
    spec = _map(manifest.get("spec"))
    selector = {str(k): str(v) for k, v in _map(spec.get("selector")).items()}
    servers = enumerate(_maps(spec.get("servers")))
    return Entrance(subject_of(manifest), selector, tuple(_read_server(n, each) for n, each in servers))


def _read_server(number: int, server: Mapping[str, Any]) -> Listener:
    port, tls = _map(server.get("port")), _map(server.get("tls"))
    mode = str(tls.get("mode") or ("SIMPLE" if tls and not tls.get("httpsRedirect") else ""))
    protocol = str(port.get("protocol", "")).upper()
    named = [name for name in (tls.get("credentialName"), *_texts(tls.get("credentialNames"))) if name]
    files = tls.get("serverCertificate") or any(_maps(tls.get("tlsCertificates")))
    ends = protocol in ("HTTPS", "TLS") and mode not in _PASSED
    return Listener(
        str(port.get("name") or number),
        _number(port.get("number")),
        protocol,
        _texts(server.get("hosts")),
        certified=not ends or mode == _ISTIO_MUTUAL or bool(named or files),
        secrets=tuple((str(name), "") for name in named if ends and "://" not in str(name)),
    )


def read_virtual_service(manifest: Manifest) -> Route:
    """A VirtualService, as far as it is about gateways."""
    spec, subject = _map(manifest.get("spec")), subject_of(manifest)
    names = [name for name in _texts(spec.get("gateways")) if name != _SELF]
    hosts = [_qualify(host, subject.namespace) for host in _texts(spec.get("hosts"))]
    matches = tuple(dict.fromkeys(Match(host, *what) for what in _read_matches(spec) for host in hosts))
    created = str(manifest["metadata"].get("creationTimestamp", ""))
    return Route(subject, created, tuple(_name_gateway(name, subject.namespace) for name in names), matches)


def _qualify(host: str, namespace: str) -> str:
    """A short name is that of a Service of the route's own namespace."""
    return host if "." in host or host == "*" else f"{host}.{namespace}.svc.cluster.local"


def _name_gateway(name: str, namespace: str) -> Parent:
    where, slash, rest = name.partition("/")
    return Parent(Subject("Gateway", where, rest) if slash else Subject("Gateway", namespace, name))


def _read_matches(spec: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Port and text of everything that the rules of a VirtualService match."""
    for key in ("http", "tls", "tcp"):
        for rule in _maps(spec.get(key)):
            for match in [*_maps(rule.get("match"))] or [{}]:
                kept = {k: v for k, v in match.items() if k not in ("name", "port")}
                yield _number(match.get("port")), _tell(key, kept)


def _tell(key: str, match: Mapping[str, Any]) -> str:
    """A match as text: its path alone where that is all."""
    rest = {k: v for k, v in match.items() if k != "uri"}
    path = " ".join(f"{kind} {value}" for kind, value in sorted(_map(match.get("uri")).items()))
    what = json.dumps(rest, sort_keys=True) if rest else ""
    return " ".join(filter(None, ("" if key == "http" else key, path, what))) or "every path"


# --- Gateway API -------------------------------------------------------------------------------------------


def read_gateway(manifest: Manifest) -> Entrance:
    """A Gateway of gateway.networking.k8s.io."""
    spec, metadata = _map(manifest.get("spec")), manifest["metadata"]
    addresses = tuple(
        str(each.get("value", ""))
        for each in _maps(spec.get("addresses"))
        if each.get("type") == "Hostname" and each.get("value")
    )
    listeners = tuple(map(_read_listener, _maps(spec.get("listeners"))))
    subject = Subject(API, metadata["namespace"], metadata["name"])
    missing, unseen = ("", False) if addresses else (_read_missing(manifest), _is_unseen(manifest))
    return Entrance(subject, {}, listeners, addresses, missing, str(spec.get("gatewayClassName", "")), unseen)


ISTIO_CLASSES = frozenset(
    {"istio", "istio-waypoint", "istio-east-west", "istio-agentgateway", "istio-agentgateway-waypoint"}
)
"""The classes of Gateways for which istiod makes pods and a Service (pilot/pkg/config/kube/gateway/
deploymentcontroller.go). A class of another name may be another controller's."""


def _read_missing(manifest: Mapping[str, Any]) -> str:
    """What the status of a Gateway of Istio's says while it is not programmed; empty once it is, and for
    those of other classes."""
    if _map(manifest.get("spec")).get("gatewayClassName") not in ISTIO_CLASSES:
        return ""
    programmed = _read_conditions(manifest).get("Programmed", {})
    if programmed.get("status") == "True":
        return ""
    told = str(programmed.get("message") or "")
    return f"Programmed is {programmed.get('status') or 'not set'}" + (f": {told}" if told else "")


def _is_unseen(manifest: Mapping[str, Any]) -> bool:
    """Whether a Gateway's status is what its CRD begins with: every controller says whether it accepts it."""
    return str(_read_conditions(manifest).get("Accepted", {}).get("reason", "Pending")) == "Pending"


def _read_conditions(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(c.get("type")): c for c in _maps(_map(manifest.get("status")).get("conditions"))}


def _read_listener(listener: Mapping[str, Any]) -> Listener:
    tls, protocol = _map(listener.get("tls")), str(listener.get("protocol", "")).upper()
    passes = tls.get("mode") in _PASSED
    ends = protocol in ("HTTPS", "TLS") and not passes
    allowed = _map(listener.get("allowedRoutes"))
    reach = _map(allowed.get("namespaces")).get("from", "Same")
    return Listener(
        str(listener.get("name", "")),
        _number(listener.get("port")),
        protocol,
        tuple(filter(None, [str(listener.get("hostname") or "")])),
        certified=not ends or any(_maps(tls.get("certificateRefs"))) or bool(_map(tls.get("options"))),
        namespace="." if reach == "Same" else "",
        secrets=tuple(
            (str(each.get("name", "")), str(each.get("namespace") or ""))
            for each in _maps(tls.get("certificateRefs"))
            if ends and each.get("kind", "Secret") == "Secret"
        ),
        kinds=_list_kinds(protocol, ends=ends, said=[*_maps(allowed.get("kinds"))]),
    )


_ANY_HTTP = frozenset({"HTTPRoute", "GRPCRoute"})
_TAKEN = {"HTTP": _ANY_HTTP, "HTTPS": _ANY_HTTP, "TCP": frozenset({"TCPRoute"})}


def _list_kinds(protocol: str, *, ends: bool, said: list[Mapping[str, Any]]) -> frozenset[str] | None:
    """The kinds of routes that a listener takes (pilot/pkg/config/kube/gatewaycommon/conversion.go,
    GenerateGatewaySupportedKinds). Of other protocols, a waypoint's among them, nothing is known."""
    of_tls = frozenset({"TLSRoute", "TCPRoute"} if ends else {"TLSRoute"})
    taken = of_tls if protocol == "TLS" else _TAKEN.get(protocol)
    asked = frozenset(str(each.get("kind", "")) for each in said)
    return taken & asked if taken is not None and asked else taken


def read_route(manifest: Manifest) -> Route:
    """An HTTPRoute, GRPCRoute, TCPRoute or TLSRoute."""
    spec, subject = _map(manifest.get("spec")), subject_of(manifest)
    named = [p for p in _maps(spec.get("parentRefs")) if p.get("kind", "Gateway") == "Gateway"]
    parents = (
        Parent(
            Subject(API, str(p.get("namespace") or subject.namespace), str(p.get("name", ""))),
            str(p.get("sectionName") or ""),
            _number(p.get("port")),
        )
        for p in named
    )
    hosts = _texts(spec.get("hostnames")) or ("*",)
    texts = ["every connection"]
    if subject.kind not in _OF_CONNECTIONS:
        texts = [_tell_rule(match) for rule in _maps(spec.get("rules")) for match in _list_rules(rule)]
    matches = (Match(host, 0, text) for host in hosts for text in texts)
    created = str(manifest["metadata"].get("creationTimestamp", ""))
    return Route(subject, created, tuple(dict.fromkeys(parents)), tuple(dict.fromkeys(matches)))


def _list_rules(rule: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return [*_maps(rule.get("matches"))] or [{}]


def _tell_rule(match: Mapping[str, Any]) -> str:
    path = _map(match.get("path"))
    kind, value = path.get("type", "PathPrefix"), path.get("value", "/")
    rest = {k: v for k, v in match.items() if k != "path" and v}
    if "method" in rest and isinstance(rest["method"], Mapping):  # of a GRPCRoute
        return json.dumps(rest, sort_keys=True)
    told = f"{kind} {value}"
    return f"{told} {json.dumps(rest, sort_keys=True)}" if rest else told
