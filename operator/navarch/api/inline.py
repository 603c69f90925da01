"""The gateways that a mesh makes: inline in its own spec, and in profiles.

Owns the layer of a mesh's configuration that has gateways beside what a revision is built from. Must never
hold a setting of a gateway: api/gateway.py does. Invariant: what is written here becomes MeshGateways, which
the API server checks once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from navarch.api.gateway import LONGEST_NAME, GatewaySettings
from navarch.api.meta import Model, Name, build_rule
from navarch.api.spec import RevisionConfig

MOST_INLINE = 16
"""Gateways of one type that a mesh can make."""

GatewayName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=LONGEST_NAME)]


class InlineGateway(GatewaySettings):
    """A MeshGateway that the mesh makes."""

    name: GatewayName = Field(
        description="Name of the MeshGateway, and of its Service and pods. Unique among the mesh's gateways."
    )
    namespace: Name | None = Field(
        None,
        description="Its namespace, which has to belong to the mesh; another one than the mesh's own needs "
        "the verb host. Default: the mesh's.",
    )


TYPES: Mapping[str, str] = {"ingress": "Ingress", "egress": "Egress"}
"""The lists of Gateways, each with the type of the MeshGateways that it makes."""

_BY_NAME: JsonDict = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}

_NAMES_RULE = build_rule(
    "!has(self.ingress) || !has(self.egress) || "
    "self.ingress.all(a, !self.egress.exists(b, a.name == b.name))",
    field=".egress",
    message="a gateway for ingress has this name; give each gateway of the mesh a name of its own",
    shown="self.egress.filter(b, self.ingress.exists(a, a.name == b.name))[0].name",
)


class Gateways(Model):
    """Gateways that the mesh makes, and what is common to them."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": [_NAMES_RULE]})

    defaults: GatewaySettings | None = Field(
        None,
        description="Settings below those of each gateway of the lists beside it. MeshGateways that others "
        "made do not get them.",
    )
    ingress: Annotated[list[InlineGateway], Field(max_length=MOST_INLINE)] | None = Field(
        None, json_schema_extra=_BY_NAME, description="Gateways through which traffic from outside comes in."
    )
    egress: Annotated[list[InlineGateway], Field(max_length=MOST_INLINE)] | None = Field(
        None, json_schema_extra=_BY_NAME, description="Gateways through which traffic of the mesh goes out."
    )


class MeshSettings(RevisionConfig):
    """What a layer of a mesh may say: a profile, or the mesh's own spec."""

    gateways: Gateways | None = Field(
        None,
        description="MeshGateways that the mesh makes and keeps as they are written here: they go with their "
        "entry, and with the mesh. The mesh is Ready only with them.",
    )
