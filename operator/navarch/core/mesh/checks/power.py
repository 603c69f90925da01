"""Keys that would move namespaces, trust or images, or give a mesh's administrator more than the mesh.

Owns the walk over the free-form fields of the mesh's own spec; what is refused, and why, is api/refused.py's.
Must never judge profiles: who writes those is trusted. Invariant: what rendering would drop in silence is
reported here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from navarch.api.problems import build_path
from navarch.api.refused import REFUSED_ENVIRONMENT, REFUSED_MESH_CONFIG, REFUSED_VALUES, Path, find_refused
from navarch.core.mesh.content import MeshContent
from navarch.core.model.findings import Finding
from navarch.core.model.messages import shorten
from navarch.core.model.reasons import Reason
from navarch.core.render.values import OWN_ENVIRONMENT, OWN_MESH_CONFIG, OWN_VALUES

_DROPPED = "Navarch sets it itself; leave it out"


def build_refusal(field: str, value: Any, why: str) -> Finding:
    """A finding from a sentence of api/refused.py, which has the form `why; what to do`."""
    message, _, remedy = why.rpartition("; ")
    return Finding(Reason.FIELD_REFUSED, field, shorten(value), f"is refused: {message}", remedy)


def _check_keys(
    tree: Mapping[str, Any], root: str, *, refused: Mapping[Path, str], own: tuple[str, ...]
) -> Iterator[Finding]:
    table = {tuple(path.split(".")): _DROPPED for path in own} | dict(refused)
    for path, value, why in find_refused(tree, table):
        yield build_refusal(build_path(*path, root=root), value, why)


def check_mesh_config_keys(content: MeshContent) -> Iterator[Finding]:
    """spec.meshConfig has no key that is Navarch's own."""
    tree = content.spec.mesh_config or {}
    yield from _check_keys(tree, "spec.meshConfig", refused=REFUSED_MESH_CONFIG, own=OWN_MESH_CONFIG)


def check_values_keys(content: MeshContent) -> Iterator[Finding]:
    """spec.values has no key that is Navarch's own."""
    tree = content.spec.values or {}
    yield from _check_keys(tree, "spec.values", refused=REFUSED_VALUES, own=OWN_VALUES)


def check_environment_names(content: MeshContent) -> Iterator[Finding]:
    """istiod's environment has no variable that is Navarch's own."""
    refused = dict.fromkeys(OWN_ENVIRONMENT, _DROPPED) | dict(REFUSED_ENVIRONMENT)
    control_plane = content.spec.control_plane
    for index, variable in enumerate((control_plane and control_plane.environment) or ()):
        if why := refused.get(variable.name):
            field = build_path("controlPlane", "environment", index, "name")
            yield build_refusal(field, variable.name, why)
