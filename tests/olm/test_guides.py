"""The guides that install, upgrade and remove Navarch, command by command as they stand there, both ways."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lab.light.olm import CATALOG
from tests.olm.conftest import RELEASE, a_hub
from tests.polling import eventually
from tests.support.activity import bring_up
from tests.support.guides import list_commands, read_yaml, run_command
from tests.support.hub import Hub
from tests.support.meshes import build_mesh, wait_for
from tests.support.operator import SYSTEM


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """An OLM of this module's own: each test installs Navarch and removes it without a trace."""
    with a_hub("guides") as hub:
        yield hub


LEFT = (
    *("namespaces", "customresourcedefinitions", "clusterroles", "clusterrolebindings"),
    *("validatingadmissionpolicies", "validatingadmissionpolicybindings"),
)


def list_left(hub: Hub) -> list[str]:
    """What of Navarch is in the cluster, beside what lies in its namespaces."""
    found = json.loads(hub.cluster.run("get", ",".join(LEFT), "-o", "json"))["items"]
    names = (f"{each['kind']} {each['metadata']['name']}" for each in found)
    return [name for name in names if "navarch" in name and "olm.og." not in name]


async def see_a_mesh(hub: Hub) -> None:
    """The operator works: it brings a mesh to Ready and removes it."""
    operator = hub.build_replica("guided")
    try:
        await bring_up(operator, seconds=180)
        hub.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "guided"}})
        hub.api.create(build_mesh("guided"))
        await wait_for(hub.api, "guided")
        hub.api.delete("mesh", "guided", "demo")
        await eventually(lambda: hub.api.get("mesh", "guided", "demo") is None, what="the mesh is gone")
        hub.api.delete("namespace", "", "guided")
    finally:
        operator.stop()


async def test_navarch_is_installed_and_removed_by_olm_as_the_guides_say(hub: Hub) -> None:
    hub.publish(RELEASE)
    manifests = read_yaml("install.md", "From OperatorHub").replace("YOUR_CATALOG", CATALOG)
    hub.cluster.run("apply", "-f", "-", stdin=manifests)
    waiting, _ = list_commands("install.md", "From OperatorHub")
    run_command(hub.cluster, waiting)
    assert hub.read_status(RELEASE)["phase"] == "Succeeded"
    await see_a_mesh(hub)
    ending, rest = list_commands("remove-navarch.md", "From OperatorHub")
    run_command(hub.cluster, ending)
    assert hub.list_versions() == []
    run_command(hub.cluster, rest)
    await eventually(lambda: list_left(hub) == [], seconds=90, every=0.5, what="nothing is left")


async def test_navarch_is_installed_upgraded_and_removed_by_kubectl_as_the_guides_say(hub: Hub) -> None:
    _, installing = list_commands("install.md", "By kubectl")
    run_command(hub.cluster, installing)
    deployment = hub.api.get("deployment", SYSTEM, "navarch") or {}
    assert deployment["status"]["readyReplicas"] == 2
    await see_a_mesh(hub)
    upgrading, looking = list_commands("upgrade-navarch.md", "By kubectl")
    run_command(hub.cluster, upgrading)
    assert "navarch-istiod-1.31" in run_command(hub.cluster, looking)
    ending, rest = list_commands("remove-navarch.md", "By kubectl")
    run_command(hub.cluster, ending)
    run_command(hub.cluster, rest)
    await eventually(lambda: list_left(hub) == [], seconds=90, every=0.5, what="nothing is left")
