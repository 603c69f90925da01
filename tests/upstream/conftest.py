"""A cluster for istiods of the tests' own: others would find their root certificates everywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lab.cluster import Cluster
from lab.light import cluster as light_cluster
from tests.support.api import Api
from tests.upstream.installations import NAMESPACE

Object = dict[str, object]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    name = f"test-upstream-{os.getpid()}"
    try:
        cluster = light_cluster.up(name)
        Api(cluster.kubeconfig).create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        )
        yield cluster
    finally:
        light_cluster.down(name)
