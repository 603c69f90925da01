"""Whether an object in the cluster was last applied from a given manifest.

Owns the reading of the `applied` annotation. Must never be taken as proof of the object's content:
kube/apply.py verifies that. Invariant: equal manifests have equal hashes.
"""

from __future__ import annotations

from navarch.core.model.hashing import hash_rendered
from navarch.core.model.labels import APPLIED
from navarch.core.model.refs import Manifest


def is_applied(there: Manifest, wanted: Manifest) -> bool:
    """Whether what stands in the cluster was last applied from `wanted`."""
    applied = (there["metadata"].get("annotations") or {}).get(APPLIED)
    return bool(applied) and bool(applied == hash_rendered(wanted))
