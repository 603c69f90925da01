"""What istiod may do follows from one field, and from nothing beside it.

Owns the rule about spec.controlPlane.gatewayController. Must never judge profiles: resolved, the field counts
before the variable. Invariant: a mesh that passes has an istiod with the mode that its rights are for.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api.problems import build_path
from navarch.core.mesh.content import MeshContent
from navarch.core.model.findings import Finding
from navarch.core.model.reasons import Reason
from navarch.core.render.values import GATEWAY_CONTROLLER


def check_gateway_controller_is_said_once(content: MeshContent) -> Iterator[Finding]:
    """istiod's variable is not set beside the field: the field alone counts."""
    control_plane = content.spec.control_plane
    if control_plane is None or control_plane.gateway_controller is None:
        return
    for index, variable in enumerate(control_plane.environment or ()):
        if variable.name == GATEWAY_CONTROLLER:
            yield Finding(
                Reason.FIELD_REFUSED,
                build_path("controlPlane", "environment", index, "name"),
                variable.name,
                "is refused beside spec.controlPlane.gatewayController, which decides the same",
                "leave the variable out",
            )
