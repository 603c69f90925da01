"""Which configuration of a mesh's namespaces its webhooks validate.

Owns the selectors of that configuration which names no revision. Must never decide membership itself.
Invariant (tests/property): what is validated is exactly the mesh's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from navarch.core.membership.rule import Membership
from navarch.core.membership.selectors import build_discovery_selectors
from navarch.core.model.labels import ISTIO_REV


@dataclass(frozen=True, slots=True)
class ValidationSelector:
    """One entry of a validator: its name's prefix and its two selectors."""

    prefix: str
    namespace_selector: dict[str, Any]
    object_selector: dict[str, Any]


def build_unnamed_selectors(mesh: Membership) -> list[ValidationSelector]:
    """Configuration that names no revision, in the mesh's own namespaces: one entry for each way of belonging
    to it."""
    unnamed = {"matchExpressions": [{"key": ISTIO_REV, "operator": "DoesNotExist"}]}
    return [
        ValidationSelector(f"member-{index}.", selector, unnamed)
        for index, selector in enumerate(build_discovery_selectors(mesh))
    ]
