"""The table of our kinds.

Owns one row for each. Must never hold a rule: a row only names what the kind's own modules have. Invariant:
every kind of which a CustomResourceDefinition is generated has a row, and every watch of role OWN belongs to
one.
"""

from __future__ import annotations

from navarch.api import controlplane, revision
from navarch.controllers.controlplane import MeshController
from navarch.controllers.kind import Kind, Kinds
from navarch.controllers.revision import RevisionController
from navarch.core.model.conditions import MESH_CONDITIONS, REVISION_CONDITIONS
from navarch.core.model.urgency import OF_A_MESH, OF_A_REVISION
from navarch.gather.watches import MESHES, REVISIONS
from navarch.telemetry.metrics import SERIES_OF_A_MESH

_ROWS = (
    Kind(
        resource=controlplane.RESOURCE,
        watch=MESHES,
        conditions=MESH_CONDITIONS,
        awaited=OF_A_MESH,
        has_events=True,
        series=SERIES_OF_A_MESH,
        build=lambda tools: MeshController(tools.world, tools.applier, tools.client, tools.reporter),
    ),
    # The mesh sums up its revisions: a transition is told once, there.
    Kind(
        resource=revision.RESOURCE,
        watch=REVISIONS,
        conditions=REVISION_CONDITIONS,
        awaited=OF_A_REVISION,
        has_events=False,
        series=(),
        build=lambda tools: RevisionController(tools.world, tools.applier, tools.reporter),
    ),
)
KINDS: Kinds = {row.resource.kind: row for row in _ROWS}
