"""Fields that no user may set: the part of api/power that admission and checks enforce by path.

Owns nothing: the decisions and their reasons are api/power's. Invariant: the
checks refuse all that admission refuses.
"""

from __future__ import annotations

from collections.abc import Mapping

from navarch.api.power.meshconfig import MESH_CONFIG
from navarch.api.power.overlays import GATEWAY_KINDS, OVERLAY_KINDS, REFUSED_PATCH
from navarch.api.power.rules import Path, find_refused, list_refused, list_spellings
from navarch.api.power.values import VALUES
from navarch.api.power.variables import REFUSED_ENVIRONMENT

__all__ = [
    "GATEWAY_KINDS",
    "OVERLAY_KINDS",
    "REFUSED_ENVIRONMENT",
    "REFUSED_MESH_CONFIG",
    "REFUSED_PATCH",
    "REFUSED_VALUES",
    "Path",
    "find_refused",
    "list_spellings",
]

REFUSED_MESH_CONFIG: Mapping[Path, str] = list_refused(MESH_CONFIG)
"""Paths in spec.meshConfig, in Istio's JSON spelling."""

REFUSED_VALUES: Mapping[Path, str] = list_refused(VALUES)
"""Paths in spec.values, in the spelling of Istio's charts."""
