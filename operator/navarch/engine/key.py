"""The only thing that triggers, queue and workers share: the name of what has to be looked at.

Must never carry an event, a body or a difference: a reconcile starts from what is, not from what changed.
Invariant: two keys of one lane are never worked on at once.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Names one object to reconcile; `namespace` is empty for cluster-scoped kinds."""

    kind: str
    namespace: str
    name: str

    @property
    def lane(self) -> str:
        """What is serialised: the namespace, or the name of a cluster-scoped object."""
        return self.namespace or self.name

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"
