"""What the stand-in's /validate refuses: a few plain mistakes that the real istiod refuses too.

Pure. Must never refuse what the real one lets through; it may let through what the real one refuses.
Facts: Istio's pkg/config/validation, and pkg/webhooks/validation/server for the form of the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

ALWAYS_REJECT = "internal.istio.io/webhook-always-reject"
"""The annotation by which istiod finds out whether its own webhook is reached (pkg/config/constants)."""


def validate(item: Mapping[str, Any]) -> str | None:
    """Why an Istio object is refused, or None."""
    faults = list(_faults(item))
    return f"configuration is invalid: {'; '.join(faults)}" if faults else None


def _faults(item: Mapping[str, Any]) -> Iterator[str]:
    if ALWAYS_REJECT in (item["metadata"].get("annotations") or {}):
        yield "the annotation says so"
    spec = item.get("spec") or {}
    match item.get("kind"):
        case "Gateway":
            if not spec.get("servers"):
                yield "a gateway needs a server"
        case "VirtualService":
            yield from _faults_of_virtual_service(spec)


def _faults_of_virtual_service(spec: Mapping[str, Any]) -> Iterator[str]:
    if not spec.get("hosts") and (spec.get("gateways") or spec.get("tls") or spec.get("tcp")):
        yield "without hosts it is a delegate, which has HTTP routes only and no gateways"
    if not any(spec.get(protocol) for protocol in ("http", "tcp", "tls")):
        yield "no http, tcp or tls routes"
    for route in spec.get("http") or ():
        yield from _faults_of_http_route(route)


def _faults_of_http_route(route: Mapping[str, Any]) -> Iterator[str]:
    destinations = route.get("route") or ()
    if not destinations and not any(route.get(key) for key in ("redirect", "directResponse", "delegate")):
        yield "an HTTP route without destination, redirect or direct response"
    for destination in destinations:
        if not (destination.get("destination") or {}).get("host"):
            yield "a destination without host"
        if destination.get("weight", 0) < 0:
            yield "a weight below 0"
    if len(destinations) > 1 and not sum(destination.get("weight", 0) for destination in destinations):
        yield "the destinations' weights add up to 0"
