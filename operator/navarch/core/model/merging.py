"""JSON Merge Patch semantics, for layers of configuration and for overlays.

Owns how one tree is laid over another (RFC 7386), and how a gap is filled. Must never change either tree.
Invariant: null removes a key.
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


def fill(tree: Mapping[str, Any], base: Mapping[str, Any], *, whole: frozenset[str]) -> dict[str, Any]:
    """`tree` with what it lacks of `base`, map by map; a map under a key of `whole` is taken as it is."""
    filled = {**base, **tree}
    for key, lower in base.items():
        upper = filled[key]
        if isinstance(lower, Mapping) and isinstance(upper, Mapping) and key not in whole:
            filled[key] = fill(upper, lower, whole=whole)
    return filled
