"""JSON Merge Patch semantics, for layers of configuration and for overlays.

Owns how one tree is laid over another (RFC 7386). Must never change either. Invariant: null removes a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge(lower: Any, upper: Any) -> Any:
    """`upper` laid over `lower`: maps key by key, everything else replaced; null takes a key away."""
    if not isinstance(upper, Mapping):
        return upper
    merged = dict(lower) if isinstance(lower, Mapping) else {}
    for key, value in upper.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged
