"""Istio's CustomResourceDefinitions: one set for the whole cluster.

Owns how they are labelled. They belong to no mesh: they serve all, outlive each, and only ever go up a minor.
Invariant: apart from metadata a CRD is Istio's own, unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.core.assets import Assets
from navarch.core.labels import crd_labels
from navarch.core.refs import Manifest


def build_objects(minor: str, assets: Assets) -> Iterator[Manifest]:
    """All CRDs of a minor."""
    for crd in assets.crds[minor]:
        metadata = {"name": crd["metadata"]["name"], "labels": crd_labels(minor)}
        yield {**{key: value for key, value in crd.items() if key != "status"}, "metadata": metadata}
