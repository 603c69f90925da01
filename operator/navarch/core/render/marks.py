"""Marks on rendered workloads.

Owns the label that tells pods of one template from those of another. Must never depend on a component.
Invariant: equal templates have equal marks.
"""

from __future__ import annotations

from navarch.core.model.hashing import stable_hash
from navarch.core.model.labels import TEMPLATE
from navarch.core.model.refs import Manifest

WORKLOADS = frozenset({"Deployment", "DaemonSet"})


def mark_template(manifest: Manifest) -> Manifest:
    """A workload whose pods carry the hash of the template they are made from; other objects as they are."""
    if manifest["kind"] not in WORKLOADS:
        return manifest
    template = manifest["spec"]["template"]
    labels = {**template["metadata"].get("labels", {}), TEMPLATE: stable_hash(template)}
    marked = {**template, "metadata": {**template["metadata"], "labels": labels}}
    return {**manifest, "spec": {**manifest["spec"], "template": marked}}
