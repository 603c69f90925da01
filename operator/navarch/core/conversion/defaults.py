"""What Service Mesh 2 does where a mesh says nothing, and what becomes of it.

Owns the fields whose default is something that Navarch does not do by itself. Pure. Source: profiles `base`
and `small` of releases 2.5 and 2.6, of which `default` is made, and their charts. Must never override what a
mesh says. Invariant: a default is told as one, with the field in which the mesh might have said it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from navarch.core.conversion import controlplane
from navarch.core.conversion.rules import (
    Note,
    Outcome,
    Rule,
    Value,
    apply_rule,
    by_hand,
    find,
    has_room,
    same,
)


@dataclass(frozen=True, slots=True)
class Default:
    """A field, what Service Mesh takes where it is not set, and where that goes."""

    field: str
    value: Value
    rule: Rule


def _take(field: str, value: Value) -> Default:
    """What is not said goes where the field goes when it is said."""
    rule = controlplane.RULES.get(field) or controlplane.RULES[f"{field.rpartition('.')[0]}.*"]
    return Default(field, value, rule)


_DNS = "meshConfig.defaultConfig.proxyMetadata.ISTIO_META_DNS_CAPTURE"
_PORTS = [
    {"name": "status-port", "port": 15021, "targetPort": 15021},
    {"name": "http2", "port": 80, "targetPort": 8080},
    {"name": "https", "port": 443, "targetPort": 8443},
]
"""Ports of an ingress gateway: Gateways may name 8080 as well as 80."""

DEFAULTS: Sequence[Default] = (
    _take("addons.grafana", {"enabled": True}),
    _take("addons.jaeger", {"name": "jaeger"}),
    _take("addons.kiali", {"enabled": True}),
    _take("addons.prometheus", {"enabled": True}),
    _take("general.logging.componentLevels", {"default": "warn"}),
    _take("proxy.injection.autoInject", False),
    _take("proxy.networking.initialization.type", "CNI"),
    _take("proxy.networking.protocol.autoDetect.inbound", False),
    _take("proxy.networking.protocol.autoDetect.outbound", False),
    _take("proxy.networking.dns.refreshRate", "300s"),
    _take("security.certificateAuthority.type", "Istiod"),
    _take("tracing.type", "Jaeger"),
    Default(f"techPreview.{_DNS}", "true", same(_DNS)),
    Default(
        "security.manageNetworkPolicy",
        True,
        by_hand("Service Mesh made NetworkPolicies that let in members only; set networkPolicies"),
    ),
    Default(
        "runtime",
        None,
        Rule(
            Outcome.CHANGED,
            text="profile small of Service Mesh runs one istiod without a budget, and asks for 10m and 128Mi "
            "for it and for each proxy; Navarch's profile default runs one to five istiods of 500m and 2Gi, "
            "and proxies ask for 100m: set profiles: [minimal] for about as little as before",
        ),
    ),
)
"""Of a mesh as a whole."""
OF_INGRESS: Sequence[Default] = (
    Default("service.type", "ClusterIP", same("service.type")),
    Default("service.ports", _PORTS, same("service.ports")),
    Default(
        "routeConfig.enabled",
        True,
        by_hand("Service Mesh made a Route without a host; name its host (openshift.routes of the gateway)"),
    ),
)
"""Of each gateway that lets traffic in. Others are of type ClusterIP in both."""


def fill_defaults(
    defaults: Sequence[Default], said: Value, made: dict[str, Any], *, root: str, to: str = "spec"
) -> list[Note]:
    """Put what `said` leaves to Service Mesh into `made`, with a note on each."""
    return [
        replace(note, field=f"{note.field} (not set{_show(default.value)})")
        for default in defaults
        if find(said, *default.field.split(".")) is None and has_room(made, default.rule)
        for note in [apply_rule(default.rule, default.value, f"{root}.{default.field}", made, to)]
    ]


def _show(value: Value) -> str:
    if isinstance(value, bool):
        return f": {str(value).lower()}"
    return f": {value}" if isinstance(value, str) else ""
