"""The gateways that a mesh makes: inline in its own spec, and in profiles.

Owns the layer of a mesh's configuration that has gateways beside what a revision is built from. Must never
hold a setting of a gateway: api/gateway.py does. Invariant: what is written here becomes MeshGateways, which
the API server checks once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from navarch.api.gateway import LONGEST_NAME, GatewaySettings
from navarch.api.meta import JSONObject, Model, Name, build_rule
from navarch.api.spec import RevisionConfig

MOST_INLINE = 16
"""Gateways of one type that a mesh can make."""

GatewayName = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=LONGEST_NAME)]


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


TYPES: Mapping[str, str] = {"ingress": "Ingress", "egress": "Egress", "eastWest": "EastWest"}
"""The lists of Gateways, each with the type of the MeshGateways that it makes."""

_BY_NAME: JsonDict = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}


def _build_names_rule(one: str, other: str) -> JSONObject:
    return build_rule(
        f"!has(self.{one}) || !has(self.{other}) || "
        f"self.{one}.all(a, !self.{other}.exists(b, a.name == b.name))",
        field=f".{other}",
        message=f"a gateway of {one} has this name; give each gateway of the mesh a name of its own",
        shown=f"self.{other}.filter(b, self.{one}.exists(a, a.name == b.name))[0].name",
    )


_OWN_RULES = [
    build_rule(
        f"!has(self.{key}) || self.{key}.all(gateway, !has(gateway.networkGateway))",
        field=f".{key}",
        message="only a gateway of eastWest serves a network; leave networkGateway out",
        shown=f"self.{key}.filter(gateway, has(gateway.networkGateway))[0].networkGateway",
    )
    for key, kind in TYPES.items()
    if kind != "EastWest"
] + [
    build_rule(
        "!has(self.defaults) || !has(self.defaults.networkGateway)",
        field=".defaults.networkGateway",
        message="each gateway of eastWest serves a network of its own, and others none; set it there",
        shown="self.defaults.networkGateway",
    ),
    build_rule(
        "!has(self.defaults) || !has(self.defaults.openshift)",
        field=".defaults.openshift",
        message="no two gateways have one host; set it for each gateway that has Routes",
        shown="has(self.defaults) ? 'set' : 'unset'",
    ),
]


class Gateways(Model):
    """Gateways that the mesh makes, and what is common to them."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                *(_build_names_rule(*pair) for pair in combinations(TYPES, 2)),
                *_OWN_RULES,
            ]
        }
    )

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
    east_west: Annotated[list[InlineGateway], Field(max_length=MOST_INLINE)] | None = Field(
        None,
        json_schema_extra=_BY_NAME,
        description="Gateways through which traffic of the mesh comes in from another network, each with "
        "networkGateway.",
    )


class MeshSettings(RevisionConfig):
    """What a layer of a mesh may say: a profile, or the mesh's own spec."""

    gateways: Gateways | None = Field(
        None,
        description="MeshGateways that the mesh makes and keeps as they are written here: they go with their "
        "entry, and with the mesh. The mesh is Ready only with them.",
    )
