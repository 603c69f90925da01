"""Everything that a MeshMemberRoll's reconcile depends on, as one frozen value.

Owns the input of checks, plan and status of a roll. Must never be read from anywhere but gather. Invariant:
equal observations give equal findings, plans and statuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from navarch.api.roll import MeshMemberRollSpec
from navarch.core.model.parent import Parent
from navarch.core.model.refs import Manifest
from navarch.core.model.removal import is_withheld
from navarch.core.world.cluster import Environment, Namespace
from navarch.core.world.kinds import CURRENT, ServedKinds


@dataclass(frozen=True, slots=True)
class ObservedRoll:
    """Everything a MeshMemberRoll's reconcile depends on.

    `body` is the object itself, `spec` its parsed form (None with `spec_error` when it does not parse).
    `mesh` is the MeshControlPlane beside it, None where there is none. `namespaces` are those that its spec
    may mean, `holds` names the meshes in them, `members` has their MeshMembers, and `own` are the MeshMembers
    that were made for this roll; all but the last by the name of the namespace. `kind_deleted` is when the
    deletion of the kind itself was asked for; empty where it was not.
    """

    environment: Environment
    parent: Parent
    body: Manifest
    spec: MeshMemberRollSpec | None
    spec_error: str
    mesh: Manifest | None
    namespaces: Mapping[str, Namespace] = field(default_factory=dict)
    holds: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, Manifest] = field(default_factory=dict)
    own: tuple[Manifest, ...] = ()
    now: str = ""
    kinds: ServedKinds = CURRENT
    kind_deleted: str = ""

    @property
    def generation(self) -> int:
        """metadata.generation of the roll."""
        return int(self.body["metadata"].get("generation", 0))

    @property
    def is_being_deleted(self) -> bool:
        """Whether the object itself is being deleted."""
        return "deletionTimestamp" in self.body["metadata"]

    @property
    def withheld(self) -> bool:
        """Whether it is being deleted only because its kind is: then its members stay."""
        return is_withheld(self.body, self.kind_deleted)

    @property
    def deleting(self) -> bool:
        """Whether what the roll made is to go."""
        return self.is_being_deleted and not self.withheld


def is_held(observed: ObservedRoll) -> bool:
    """Whether nothing may be written but status and Events: the mesh is paused."""
    return bool(((observed.mesh or {}).get("spec") or {}).get("paused"))
