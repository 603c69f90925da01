"""The light cluster of these tests is of the oldest Kubernetes that the lab has."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lab import builds
from lab import cluster as clusters
from lab.cluster import Cluster
from lab.light import cluster as light_cluster
from tests.cluster.conftest import (  # noqa: F401 (fixtures, and the hook that orders tests)
    api,
    audit,
    client,
    counted,
    crds,
    edge,
    fresh,
    guarded,
    installed,
    namespace,
    operator,
    parent,
    pytest_collection_modifyitems,
    settled,
    stranger,
    tenancy,
    unattended,
    unique,
)


@pytest.fixture(scope="session")
def light() -> Iterator[Cluster]:
    """A light cluster of the oldest Kubernetes; an existing cluster is of the version that it is."""
    if clusters.is_current():
        pytest.skip("CLUSTER=current: these tests choose the version of Kubernetes themselves")
    name = f"test-oldest-{os.getpid()}"
    try:
        yield light_cluster.up(name, kubernetes=next(iter(builds.kubernetes_modules())))
    finally:
        light_cluster.down(name)
