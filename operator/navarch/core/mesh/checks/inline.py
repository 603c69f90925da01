"""Gateways of a mesh's own spec: what the schema cannot see, because a profile has a part in it.

Owns rules on the sum of the layers. Must never look at what runs. Invariant: with no finding here, no two
MeshGateways of a mesh are one object.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from navarch.api.inline import TYPES
from navarch.core.mesh.content import MeshContent
from navarch.core.mesh.resolve import resolve_gateways
from navarch.core.model.findings import Finding
from navarch.core.model.reasons import Reason


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
