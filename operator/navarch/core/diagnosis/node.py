"""A node of the tree that `navarch describe` prints, and what is wrong at it.

Owns their form, as text's and JSON's common source. Must never decide what is wrong. Invariant: a node is
plain data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from navarch.core.model.findings import Severity


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is not well, at the node where it is."""

    id: str
    severity: Severity
    message: str
    remedy: str

    def to_json(self) -> dict[str, str]:
        """As a part of the tree."""
        return {
            "id": self.id,
            "severity": self.severity.value,
            "message": self.message,
            "remedy": self.remedy,
        }


@dataclass(frozen=True, slots=True)
class Node:
    """One thing and what it consists of. `summary` says how it is in a few words, `facts` the same for
    programs."""

    kind: str
    name: str
    summary: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    troubles: tuple[Trouble, ...] = ()
    children: tuple[Node, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "kind": self.kind,
            "name": self.name,
            "summary": self.summary,
            "facts": dict(self.facts),
            "troubles": [trouble.to_json() for trouble in self.troubles],
            "children": [child.to_json() for child in self.children],
        }
