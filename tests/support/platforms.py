"""What a test stands on: which Kubernetes, which Istio, and whether that is a real istiod.

Owns the names of platforms. Must never say what did not run: a cluster counts for a test that has it among
its fixtures, a version of Istio for the test in which a mesh of it was seen ready.
"""

from __future__ import annotations

import pytest

from lab.builds import kubernetes_modules
from lab.cluster import Cluster

STAND_IN, ALONE, WHOLE = "the stand-in for istiod", "a real istiod", "a real istiod and Envoy"
_met: set[tuple[str, str]] = set()


def begin() -> None:
    """A test begins."""
    _met.clear()


def meet(version: str, manner: str = "") -> None:
    """A version of Istio runs; without `manner` as the cluster of the test has it."""
    _met.add((".".join(version.split(".")[:2]), manner))


def list_met(item: pytest.Item) -> list[str]:
    """What a test stood on, now that it ends; nothing on an existing cluster, whose parts are not known."""
    fixtures = getattr(item, "funcargs", None) or {}
    clusters = [
        value for value in fixtures.values() if isinstance(value, Cluster) and value.kind != "current"
    ]
    if not clusters and not any(manner for _, manner in _met):
        return []
    found = {f"Kubernetes {_read_minor(cluster)}" for cluster in clusters}
    usual = WHOLE if any(cluster.kind == "node" for cluster in clusters) else STAND_IN
    found |= {f"Istio {minor}, {manner or usual}" for minor, manner in _met if minor}
    return sorted(found)


def _read_minor(cluster: Cluster) -> str:
    """The minor of a lab; a node lab is always of the newest."""
    return ".".join(cluster.kubernetes.split(".")[:2]) if cluster.kubernetes else [*kubernetes_modules()][-1]
