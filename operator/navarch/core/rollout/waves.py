"""Which wave a namespace belongs to.

Owns the order of namespaces. Must never depend on which other namespaces there are. Invariant: a namespace
stays in its wave while the number of waves, the canaries and its own annotation stay.
"""

from __future__ import annotations

import hashlib

from navarch.api.dataplane import WAVES, DataPlane

NEVER, FIRST, LAST = "Never", "First", "Last"
"""Values of the annotation ROLLOUT on a namespace or a workload; anything else counts as Never."""


def count_waves(policy: DataPlane) -> int:
    """All waves, that of the canaries included."""
    return (policy.waves or WAVES) + bool(policy.canary_namespaces)


def find_wave(policy: DataPlane, mesh: str, namespace: str, order: str) -> int:
    """The wave of a namespace, the first being 1. `mesh` is a mesh's uid: two meshes do not begin with the
    same names."""
    canaries, waves = policy.canary_namespaces or (), policy.waves or WAVES
    if namespace in canaries:
        return 1
    first = 2 if canaries else 1
    if order == FIRST:
        return first
    if order == LAST:
        return first + waves - 1
    digest = hashlib.sha256(f"{mesh}/{namespace}".encode()).digest()
    return first + int.from_bytes(digest[:8], "big") % waves


def rank_of(order: str) -> int:
    """The place of a workload among those of its namespace."""
    return {FIRST: 0, LAST: 2}.get(order, 1)


def is_opted_out(*orders: str) -> bool:
    """Whether an annotation keeps Navarch from restarting: one that cannot be read is no consent."""
    return any(order and order not in (FIRST, LAST) for order in orders)
