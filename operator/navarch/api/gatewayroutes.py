"""What OpenShift's own router sends to a gateway: Routes, each named with its host.

Owns the fields of `spec.openshift` and of `status.routes`. Must never hold a private key: a Route names the
Secret, which OpenShift's router reads itself. Invariant: a Route has a host that the user wrote; none follows
from Gateways or VirtualServices.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from navarch.api.gatewayparts import AnnotationValue
from navarch.api.meta import JSONObject, LabelValue, Model, Name, build_rule

API_VERSION, KIND, PLURAL = "route.openshift.io/v1", "Route", "routes"
GROUP = API_VERSION.partition("/")[0]
CUSTOM_HOST = "custom-host"
"""Subresource on which OpenShift asks for `create` and `update`, where a Route names its host."""
MOST_ROUTES = 16
"""Routes of one gateway."""

_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
Host = Annotated[str, Field(pattern=rf"^{_LABEL}(\.{_LABEL})+$", max_length=253)]
SecretName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]


def _build_item_rule(field: str, allowed: str, message: str) -> JSONObject:
    """A rule on a field that is refused beside some terminations."""
    return build_rule(
        f"!has(self.{field}) || {allowed}", field=f".{field}", message=message, shown="self.termination"
    )


_POLICY = "has({0}.wildcardPolicy) ? {0}.wildcardPolicy : 'None'"


class GatewayRoute(Model):
    """A Route of OpenShift that leads to the gateway's Service."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                _build_item_rule(
                    "externalCertificate",
                    "self.termination in ['Edge', 'Reencrypt']",
                    "the router ends TLS with a certificate for Edge and Reencrypt only; leave it out",
                ),
                _build_item_rule(
                    "destinationCACertificate",
                    "self.termination == 'Reencrypt'",
                    "the router checks the gateway's certificate for Reencrypt only; leave it out",
                ),
                _build_item_rule(
                    "insecureEdgeTerminationPolicy",
                    "self.termination in ['Edge', 'Reencrypt'] || (self.termination == 'Passthrough' && "
                    "self.insecureEdgeTerminationPolicy != 'Allow')",
                    "without TLS there is no such policy, and Passthrough takes Redirect and None only; "
                    "change it, or leave it out",
                ),
                build_rule(
                    f"({_POLICY.format('self')}) == ({_POLICY.format('oldSelf')})",
                    field=".wildcardPolicy",
                    message="OpenShift cannot change it in place; give the Route with the other policy "
                    "another name",
                    shown=_POLICY.format("self"),
                    reason="FieldValueForbidden",
                ),
            ]
        }
    )

    name: Name = Field(
        description="Name of the Route, unique in the gateway: the object is called `<gateway>-<name>`."
    )
    host: Host = Field(description="Host name at which clients reach it, with at least one dot.")
    port: Name = Field(description="Name of the port of the gateway's Service to which it leads.")
    termination: Literal["Passthrough", "Reencrypt", "Edge", "None"] = Field(
        description="Who ends the clients' TLS. Passthrough: the gateway; Reencrypt: the router, which opens "
        "TLS of its own to the gateway; Edge: the router, which goes on without TLS; None: there is no TLS."
    )
    insecure_edge_termination_policy: Literal["None", "Allow", "Redirect"] | None = Field(
        None,
        description="What becomes of requests without TLS at the same host: refused, let through, or sent "
        "to https. Default: None, which refuses them.",
    )
    wildcard_policy: Literal["None", "Subdomain"] | None = Field(
        None,
        description="Subdomain takes all names beside the host in its domain, too, where the router allows "
        "it. Immutable. Default: None.",
    )
    external_certificate: SecretName | None = Field(
        None,
        description="Secret beside the gateway, of type kubernetes.io/tls, with the certificate that the "
        "router shows for Edge and Reencrypt; the router's account needs the right to read it. Default: the "
        "router's own certificate.",
    )
    destination_ca_certificate: Annotated[str, Field(min_length=1, max_length=16384)] | None = Field(
        None,
        alias="destinationCACertificate",
        description="For Reencrypt: certificates (PEM) of the authority that signed the gateway's own "
        "certificate. Default: what the router trusts.",
    )
    labels: dict[str, LabelValue] | None = Field(
        None, max_length=16, description="More labels of the Route, by which routers choose their Routes."
    )
    annotations: dict[str, AnnotationValue] | None = Field(
        None, max_length=16, description="Annotations of the Route, for the router."
    )


class GatewayOpenShift(Model):
    """What a gateway has on OpenShift beside the rest."""

    routes: Annotated[list[GatewayRoute], Field(max_length=MOST_ROUTES)] | None = Field(
        None,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        description="Routes that lead to the gateway's Service. Whoever sets them needs the verb create on "
        f"{PLURAL}/{CUSTOM_HOST}.{GROUP} in the namespace.",
    )


class RouteStatus(Model):
    """A Route of the gateway, as the cluster's routers say of it."""

    name: Annotated[str, Field(max_length=63)] = Field(description="Its name in spec.openshift.routes.")
    host: Annotated[str, Field(max_length=253)] = Field(description="Its host.")
    admitted: bool = Field(description="Whether a router sends requests for its host to the gateway.")
