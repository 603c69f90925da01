"""The namespace of a hosted mesh's control plane.

Owns its form. Must never be applied by force where another one of its name stands. Invariant: its name
follows from the mesh's namespace and name alone.
"""

from __future__ import annotations

from navarch.core.model.naming import hosted_namespace
from navarch.core.model.parent import Parent
from navarch.core.model.refs import Manifest

COMPONENT = "hosting"
POD_SECURITY = {"pod-security.kubernetes.io/enforce": "restricted"}


def build_objects(parent: Parent) -> tuple[Manifest, ...]:
    """The Namespace of the control plane of the mesh `parent`."""
    name = hosted_namespace(parent.namespace, parent.name)
    labels = parent.labels(component=COMPONENT) | POD_SECURITY
    return ({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},)
