"""Routes of OpenShift that a gateway asks for: whether the cluster has them, and what its routers say.

Owns the check of `spec.openshift` and the verdict RoutesAdmitted. Must never take another Route's host for
ours. Invariants: on a cluster without the API everything else of the gateway is as without Routes; what a
router said of a former host counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from navarch.api.gatewayroutes import API_VERSION, GatewayRoute
from navarch.core.gateway.observed import ObservedGateway
from navarch.core.model.conditions import Truth, Verdict
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.hashing import stable_hash
from navarch.core.model.messages import join, shorten
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.render.components.gateway import list_ports
from navarch.core.render.routes import ROUTE, list_routes, name_route

_FIELD = "spec.openshift.routes"


@dataclass(frozen=True, slots=True)
class RouteView:
    """A Route and what routers say of it: True once one has admitted it, False where those that said
    anything have refused it, Unknown before that. `told` is a router's refusal."""

    ref: Ref
    route: GatewayRoute
    admitted: Truth
    told: str = ""

    def __str__(self) -> str:
        said = self.told or "no router has said whether it takes it"
        return f"{self.ref} ({self.route.host}): {said}"


def check_routes(observed: ObservedGateway) -> Iterator[Finding]:
    """Routes lead to ports that the Service has, no router gets two of one host, and the cluster has their
    API."""
    routes = list_routes(observed.spec)
    if observed.spec is None or not routes:
        return
    ports = {port.name for port in list_ports(observed.spec) if (port.protocol or "TCP") == "TCP"}
    for route in routes:
        if route.port not in ports:
            remedy = f"name one of {', '.join(sorted(ports))}, or add it to spec.service.ports"
            message = "the Service has no TCP port of this name"
            yield Finding(Reason.INVALID_SPEC, f"{_FIELD}[{route.name}].port", route.port, message, remedy)
    yield from _check_hosts(routes)
    if not observed.serves_routes:
        names = shorten(", ".join(route.name for route in routes))
        yield Finding(Reason.ROUTES_NOT_SERVED, _FIELD, names, _UNSERVED, _REMEDY, Severity.WARNING)


def _check_hosts(routes: Sequence[GatewayRoute]) -> Iterator[Finding]:
    """A router takes the oldest of the Routes of one host and path and refuses the others, whatever each
    says of TLS. Routers that choose by labels may get one each."""
    first: dict[tuple[str, str], str] = {}
    for route in routes:
        other = first.setdefault((route.host, stable_hash(route.labels or {})), route.name)
        if other != route.name:
            message = f"a router takes one Route of a host, and {other} has it for the same routers"
            remedy = (
                "choose another host; for requests without TLS say insecureEdgeTerminationPolicy: Redirect"
            )
            yield Finding(Reason.INVALID_SPEC, f"{_FIELD}[{route.name}].host", route.host, message, remedy)


_UNSERVED = (
    f"the cluster does not have the API {API_VERSION}, which OpenShift serves; all else of the gateway is "
    "made"
)
_REMEDY = (
    f"remove {_FIELD} and let clients in by spec.service, or install that API: Routes are then made at once"
)


def view_routes(observed: ObservedGateway) -> tuple[RouteView, ...]:
    """The Routes that the gateway asks for, in the order of its spec."""
    parent = observed.parent
    there = {ref_of(o): o for o in observed.owned if o["kind"] == ROUTE}

    def view(route: GatewayRoute) -> RouteView:
        ref = Ref(API_VERSION, ROUTE, parent.namespace, name_route(parent.name, route))
        found = there.get(ref)
        if found is None:
            return RouteView(ref, route, "Unknown", "it is not there yet")
        return RouteView(ref, route, *_read_admission(found, route.host))

    return tuple(map(view, list_routes(observed.spec)))


def _read_admission(found: Manifest, host: str) -> tuple[Truth, str]:
    """Whether a router admits a Route with this host, and why not."""
    said = [entry for entry in _list_entries(found) if entry.get("host") == host]
    verdicts = [(entry, c) for entry in said for c in entry.get("conditions") or () if _is_admission(c)]
    if any(c.get("status") == "True" for _, c in verdicts):
        return "True", ""
    refusals = [_tell_refusal(entry, c) for entry, c in verdicts if c.get("status") == "False"]
    return ("False", join(refusals)) if refusals else ("Unknown", "")


def _list_entries(found: Manifest) -> Iterator[Mapping[str, Any]]:
    yield from (found.get("status") or {}).get("ingress") or ()


def _is_admission(condition: Mapping[str, Any]) -> bool:
    return condition.get("type") == "Admitted"


def _tell_refusal(entry: Mapping[str, Any], condition: Mapping[str, Any]) -> str:
    router, reason = shorten(entry.get("routerName", "")), shorten(condition.get("reason", ""))
    return f"router {router} refused it ({reason}): {shorten(condition.get('message', ''))}"


def determine_routes(observed: ObservedGateway) -> Verdict:
    """Whether routers send requests for each Route's host to the gateway."""
    views = view_routes(observed)
    if views and not observed.serves_routes:
        return Verdict("False", Reason.ROUTES_NOT_SERVED, f"{_UNSERVED}; {_REMEDY}")
    if refused := [view for view in views if view.admitted == "False"]:
        return Verdict("False", Reason.ROUTE_REFUSED, join(refused))
    if pending := [view for view in views if view.admitted == "Unknown"]:
        return Verdict("False", Reason.ROUTE_PENDING, join(pending))
    return Verdict("True", Reason.AS_EXPECTED)


def find_hosts(observed: ObservedGateway) -> list[str]:
    """Hosts at which clients reach the gateway through a router."""
    return [view.route.host for view in view_routes(observed) if view.admitted == "True"]


def summarise_routes(observed: ObservedGateway) -> list[dict[str, Any]]:
    """status.routes."""
    return [
        {"name": view.route.name, "host": view.route.host, "admitted": view.admitted == "True"}
        for view in view_routes(observed)
    ]
