"""The node of a mesh's MeshMemberRoll.

Owns what is said of a roll in a few words. Must never say why a namespace is pending: status does. Invariant:
its size does not depend on how many namespaces the roll asks for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from navarch.api.roll import KIND
from navarch.core.diagnosis.node import Node, Trouble
from navarch.core.model.refs import Manifest


def build_roll(roll: Manifest, told: Mapping[tuple[str, str], Sequence[Trouble]]) -> Node:
    """The node of a roll: how many of its namespaces are members."""
    metadata, members = roll["metadata"], (roll.get("status") or {}).get("members") or {}
    name = f"{metadata['namespace']}/{metadata['name']}"
    facts = {key: members.get(key, 0) for key in ("total", "ready", "pending")}
    summary = f"{facts['ready']} of {facts['total']} namespaces are members"
    return Node(KIND, name, summary, facts, tuple(told.get((KIND, name), ())))
