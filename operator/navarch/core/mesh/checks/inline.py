"""Gateways of a mesh's own spec: what the schema cannot see, because a profile has a part in it.

Owns rules on the sum of the layers. Must never look at what runs. Invariant: with no finding here, no two
MeshGateways of a mesh are one object.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from navarch.api.gateway import GatewaySettings
from navarch.api.inline import TYPES
from navarch.api.problems import build_path
from navarch.core.mesh.content import MeshContent
from navarch.core.mesh.resolve import resolve_gateways
from navarch.core.model.findings import Finding
from navarch.core.model.reasons import Reason
from navarch.core.render.overlays import check_kinds, check_patches


def check_gateways_have_names_of_their_own(content: MeshContent) -> Iterator[Finding]:
    """No gateway of a profile has the name of one of another type."""
    gateways = resolve_gateways(content.parent, content.spec, content.assets, profiles=content.profiles)
    said = gateways.to_json() if gateways is not None else {}
    names = Counter(entry["name"] for key in TYPES for entry in said.get(key) or ())
    for name, count in sorted(names.items()):
        if count > 1:
            message = "profiles and spec together have gateways of this name of more than one type"
            remedy = "rename one of them"
            yield Finding(Reason.INVALID_SPEC, "spec.gateways", name, message, remedy)


def check_overlays_of_gateways(content: MeshContent) -> Iterator[Finding]:
    """No overlay of a gateway of the mesh's own spec touches what is refused to everybody."""
    gateways = content.spec.gateways
    if gateways is None:
        return
    lists = {"ingress": gateways.ingress, "egress": gateways.egress, "eastWest": gateways.east_west}
    places: list[tuple[tuple[str | int, ...], GatewaySettings | None]] = [(("defaults",), gateways.defaults)]
    places += [((key, n), entry) for key, entries in lists.items() for n, entry in enumerate(entries or ())]
    for path, settings in places:
        overlays, root = (settings and settings.overlays) or (), build_path("gateways", *path)
        yield from check_kinds(overlays, root)
        yield from check_patches(overlays, root)
