"""The namespace in which the control plane of a hosted mesh runs.

Owns the record of it, and how it is found among a mesh's objects. Must never take a namespace for ours by its
labels. Invariant: nothing is applied into a namespace that is not there, is going, or is not ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from navarch.core.model.actions import Waiting
from navarch.core.model.naming import hosted_namespace
from navarch.core.model.ownership import Inventory, is_proved
from navarch.core.model.parent import Parent
from navarch.core.model.refs import Manifest, Ref

KIND = "Namespace"


@dataclass(frozen=True, slots=True)
class Home:
    """The namespace of a mesh's control plane: whether it is there as ours, and whether it is going."""

    name: str
    exists: bool
    terminating: bool = False

    @property
    def obstacle(self) -> Waiting | None:
        """Why nothing can be applied into it; None where it can."""
        ref = Ref("v1", KIND, "", self.name)
        if not self.exists:
            return Waiting(ref, f"Namespace {self.name}, for the control plane, is not there as Navarch's")
        if self.terminating:
            return Waiting(ref, f"Namespace {self.name}, of the control plane, is being deleted")
        return None


def read_home(parent: Parent, owned: Iterable[Manifest], inventory: Inventory) -> Home:
    """The namespace of a hosted mesh's control plane, as it is among the mesh's objects."""
    name = hosted_namespace(parent.namespace, parent.name)
    for manifest in owned:
        metadata = manifest["metadata"]
        is_it = manifest["kind"] == KIND and metadata["name"] == name
        if is_it and is_proved(manifest, parent, inventory):
            return Home(name, exists=True, terminating="deletionTimestamp" in metadata)
    return Home(name, exists=False)
