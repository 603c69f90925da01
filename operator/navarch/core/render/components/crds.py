"""Istio's CustomResourceDefinitions: one set for the whole cluster.

Owns how they are labelled. They belong to no mesh: they serve all, outlive each, and only ever go up a minor.
Invariant: apart from metadata a CRD is Istio's own, unchanged.
"""

from __future__ import annotations

from functools import cache

from navarch.core.istio.assets import Assets
from navarch.core.model.labels import crd_labels
from navarch.core.model.refs import Manifest


@cache
def build_objects(minor: str, assets: Assets) -> tuple[Manifest, ...]:
    """All CRDs of a minor: the same dictionaries each time, so that their hashes have to be computed once
    only."""
    return tuple(
        {
            **{key: value for key, value in crd.items() if key != "status"},
            "metadata": {"name": crd["metadata"]["name"], "labels": crd_labels(minor)},
        }
        for crd in assets.crds[minor]
    )
