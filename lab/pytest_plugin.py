"""pytest fixtures that bring a lab up for a test session; loaded by `pytest_plugins = ["lab.pytest_plugin"]`.

Must never leave a lab running: each belongs to the session's process and goes with it, and the labs of
sessions that were killed are ended by the next one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import cluster as clusters
from lab import slots
from lab.__main__ import stop
from lab.cluster import Cluster
from lab.light import cluster as light_cluster


@pytest.fixture(scope="session")
def light() -> Iterator[Cluster]:
    """A light cluster of this test session's own (with `CLUSTER=current`: the current context's)."""
    if clusters.is_current():
        yield clusters.find()
        return
    sweep()
    name = f"test-light-{os.getpid()}"
    try:
        yield light_cluster.up(name)
    finally:
        light_cluster.down(name)


@pytest.fixture(scope="session")
def node() -> Iterator[Cluster]:
    """A node cluster of this test session's own; an existing cluster has none of the lab's images."""
    if clusters.is_current():
        pytest.skip("CLUSTER=current: these tests need the images of a node lab")
    from lab.node import cluster as node_cluster

    sweep()
    name = f"test-node-{os.getpid()}"
    try:
        yield node_cluster.up(name)
    finally:
        node_cluster.down(name)


def sweep() -> None:
    """Ends the labs of test sessions whose process is gone."""
    for name in slots.names():
        parent = re.fullmatch(r"test-[a-z-]+-(\d+)", name)
        if parent and not Path(f"/proc/{parent.group(1)}").exists():
            stop(name)
