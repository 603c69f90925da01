"""Routes of OpenShift before a gateway: what the template of one reads.

Owns the words that a Route has for what a gateway's spec says. Must never hold a private key. Invariant: a
Route leads to the Service of its own gateway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from navarch.api.gateway import MeshGatewaySpec
from navarch.api.gatewayroutes import KIND, GatewayRoute

ROUTE = KIND


def list_routes(spec: MeshGatewaySpec | None) -> tuple[GatewayRoute, ...]:
    """The Routes that a gateway asks for."""
    return tuple((spec and spec.openshift and spec.openshift.routes) or ())


def name_route(gateway: str, route: GatewayRoute) -> str:
    """The name of a gateway's Route."""
    return f"{gateway}-{route.name}"


def describe_route(route: GatewayRoute, *, gateway: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """What the template of a Route reads beside its gateway."""
    return {
        "name": name_route(gateway, route),
        "labels": {**(route.labels or {}), **labels},
        "annotations": route.annotations,
        "host": route.host,
        "port": route.port,
        "policy": route.wildcard_policy or "None",
        "tls": _describe_tls(route),
    }


def _describe_tls(route: GatewayRoute) -> dict[str, Any] | None:
    if route.termination == "None":
        return None
    said = {
        "destinationCACertificate": route.destination_ca_certificate,
        "externalCertificate": route.external_certificate and {"name": route.external_certificate},
    }
    return {
        "termination": route.termination.lower(),
        "insecureEdgeTerminationPolicy": route.insecure_edge_termination_policy or "None",
        **{key: value for key, value in said.items() if value},
    }
