"""The only thing that triggers, queue and workers share: the name of what has to be looked at.

Must never carry an event, a body or a difference: a reconcile starts from what is, not from what changed.
Invariants: two keys of one lane are never worked on at once; keys that differ in their lane alone are equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Names one object to reconcile; `namespace` is empty for cluster-scoped kinds. Keys of one
    `lane` never run at the same time; the default is the object's namespace, or the name of a cluster-scoped
    object."""

    kind: str
    namespace: str
    name: str
    lane: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        """Give a key without a lane the one that its object has by itself."""
        if not self.lane:
            object.__setattr__(self, "lane", self.namespace or self.name)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"
