"""The table of our kinds.

Owns one row for each. Must never hold a rule: a row only names what the kind's own modules have. Invariant:
every kind of which a CustomResourceDefinition is generated has a row, and every watch of role OWN belongs to
one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from navarch.api import controlplane, gateway, member, revision, roll
from navarch.controllers.authority import AuthorityKeeper
from navarch.controllers.controlplane import MeshController
from navarch.controllers.gateway import GatewayController
from navarch.controllers.kind import Kind
from navarch.controllers.member import MemberController
from navarch.controllers.report import Reporter
from navarch.controllers.revision import RevisionController
from navarch.controllers.roll import RollController
from navarch.core.gateway import status as of_a_gateway
from navarch.core.member import status as of_a_member
from navarch.core.mesh import status as of_a_mesh
from navarch.core.revision import status as of_a_revision
from navarch.core.roll import status as of_a_roll
from navarch.gather.watches import GATEWAYS, MEMBERS, MESHES, REVISIONS, ROLLS
from navarch.gather.world import World
from navarch.kube.apply import Applier
from navarch.kube.client import Client
from navarch.kube.contest import Contests
from navarch.kube.restarts import Restarter


@dataclass(frozen=True, slots=True)
class Tools:
    """What controllers work with."""

    world: World
    applier: Applier
    client: Client
    reporter: Reporter


_ROWS: tuple[Kind[Tools], ...] = (
    Kind(
        resource=controlplane.RESOURCE,
        watch=MESHES,
        conditions=of_a_mesh.CONDITIONS,
        awaited=of_a_mesh.AWAITED,
        has_events=True,
        build=lambda tools: MeshController(
            tools.world,
            tools.applier,
            tools.client,
            tools.reporter,
            Restarter(tools.client, tools.world.rolled, tools.world.refusals),
            AuthorityKeeper(tools.client, tools.world, Contests()),
        ),
    ),
    # The mesh sums up its revisions: a transition is told once, there.
    Kind(
        resource=revision.RESOURCE,
        watch=REVISIONS,
        conditions=of_a_revision.CONDITIONS,
        awaited=of_a_revision.AWAITED,
        has_events=False,
        build=lambda tools: RevisionController(tools.world, tools.applier, tools.reporter),
    ),
    Kind(
        resource=gateway.RESOURCE,
        watch=GATEWAYS,
        conditions=of_a_gateway.CONDITIONS,
        awaited=of_a_gateway.AWAITED,
        has_events=True,
        build=lambda tools: GatewayController(tools.world, tools.applier, tools.client, tools.reporter),
    ),
    Kind(
        resource=member.RESOURCE,
        watch=MEMBERS,
        conditions=of_a_member.CONDITIONS,
        awaited=of_a_member.AWAITED,
        has_events=True,
        build=lambda tools: MemberController(tools.world, tools.applier, tools.client, tools.reporter),
    ),
    Kind(
        resource=roll.RESOURCE,
        watch=ROLLS,
        conditions=of_a_roll.CONDITIONS,
        awaited=of_a_roll.AWAITED,
        has_events=True,
        build=lambda tools: RollController(tools.world, tools.applier, tools.client, tools.reporter),
    ),
)
KINDS: Mapping[str, Kind[Tools]] = {row.resource.kind: row for row in _ROWS}
