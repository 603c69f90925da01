"""A light lab with OLM, and Navarch installed there from its bundle.

Each module has a lab of its own, which ends with it: one with OLM computes also while nothing happens there.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from lab import cluster as clusters
from lab.cluster import Cluster
from lab.light import cluster as light_cluster
from lab.light import olm as light_olm
from tests.support.api import Api
from tests.support.guides import list_commands, run_command
from tests.support.hub import Hub, build_release
from tests.support.operator import SYSTEM

RELEASE = build_release()
"""The bundle of this checkout, in a catalog that holds its objects."""


@contextmanager
def a_hub(name: str) -> Iterator[Hub]:
    """A light lab with OLM of one's own."""
    if clusters.is_current():
        pytest.skip("CLUSTER=current: these tests bring an OLM of their own")
    name = f"test-{name}-{os.getpid()}"
    try:
        cluster = light_cluster.up(name)
        yield Hub(cluster, Api(cluster.kubeconfig), light_olm.add(cluster))
    finally:
        light_cluster.down(name)


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """The OLM of those tests that leave Navarch installed."""
    with a_hub("olm") as hub:
        yield hub


@pytest.fixture(scope="module")
def api(hub: Hub) -> Api:
    return hub.api


@pytest.fixture(scope="module")
async def installed(hub: Hub) -> Cluster:
    """Navarch as a person installs it from OperatorHub, once OLM says that it succeeded."""
    await hub.install(RELEASE)
    return hub.cluster


@pytest.fixture(scope="module")
def bare_hub() -> Iterator[Hub]:
    """The OLM of those tests that install Navarch themselves, and remove it."""
    with a_hub("life") as hub:
        yield hub


@pytest.fixture
async def clean(bare_hub: Hub) -> AsyncIterator[Hub]:
    """OLM without Navarch, before and after the test."""
    yield bare_hub
    api = bare_hub.api
    for mesh in api.list("mesh"):
        where = mesh["metadata"]["namespace"], mesh["metadata"]["name"]
        force = {"annotations": {"mesh.navarch.io/force-delete": "true"}, "finalizers": None}
        api.patch("mesh", *where, {"metadata": force})
        if "deletionTimestamp" not in mesh["metadata"]:
            api.delete("mesh", *where)
    await bare_hub.uninstall()
    bare_hub.cluster.run("delete", "operatorgroup", "-n", SYSTEM, "--all")
    # Kinds stay. The next test may install an older release, which takes what the guide says.
    (going_back,) = list_commands("upgrade-navarch.md", "Go back to an older release")
    if api.get("crd", "", "meshcontrolplanes.mesh.navarch.io"):
        run_command(bare_hub.cluster, going_back)
