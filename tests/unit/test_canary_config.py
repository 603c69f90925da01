"""A change of the configuration as a canary, look by look, in a cluster in memory: a second revision of the
same version, proved before the tag moves, while proxies of the first one are as they were until restarted."""

from __future__ import annotations

import json
from typing import Any

from navarch.core.model.naming import is_revision_like
from navarch.core.model.refs import Ref

from tests.support.memory import build_namespace
from tests.support.meshes import read_condition
from tests.unit.test_rollback import NS, OLD, InPlace
from tests.unit.test_strategies import BY_REVISION, IN_PLACE, STANDING, a_mesh, ask
from tests.unit.test_successions import TAG, named, put_pod

CANARY = {**BY_REVISION, "canaryConfig": True}
FIRST = named(OLD)


def level(text: str) -> dict[str, Any]:
    return {"controlPlane": {"logging": {"level": f"default:{text}"}}}


def find_others(cluster: InPlace, *known: str) -> list[str]:
    return [name for name in cluster.list_revisions() if name not in known]


async def test_another_configuration_is_proved_beside_what_serves_and_goes_back_the_same_way() -> None:
    cluster = await a_mesh(upgrade=CANARY)
    assert cluster.list_revisions() == [FIRST]
    put_pod(cluster, FIRST)
    before = {
        name: o for name, o in cluster.objects.items() if FIRST in json.dumps(name) and name[0] != "Pod"
    }
    written = await ask(cluster, **level("debug"))
    (second,) = find_others(cluster, FIRST)
    assert second.startswith(f"{FIRST}-")
    assert is_revision_like(second), "no tag may be named so"
    assert cluster.find_injector(TAG) == second
    assert f"Deployment {NS}/istiod-{FIRST}" not in written
    now = {name: cluster.objects[name] for name in before}
    assert [k for k, v in now.items() if k[0] != "MeshRevision" and v != before[k]] == []
    stamps = {
        name: cluster.objects["MeshRevision", NS, name]["status"]["proxy"]
        for name in cluster.list_revisions()
    }
    assert stamps[FIRST] != stamps[second], (
        "so proxies of the first are counted, and rolled where that is asked"
    )
    seen = await cluster.tell()
    assert seen.mesh["status"]["proxies"]["outdated"] == 1
    assert read_condition(seen.mesh, "UpToDate")["reason"] == "ProxiesOutdated"
    assert seen.mesh["status"]["version"] == {"desired": OLD, "active": OLD}

    # By hand to the first, which needs no new istiod, and on again.
    await ask(cluster, upgrade={**CANARY, "rollback": True})
    assert (cluster.find_injector(TAG), cluster.list_revisions()) == (FIRST, [FIRST])
    await ask(cluster, upgrade=CANARY)
    assert (cluster.find_injector(TAG), find_others(cluster, FIRST)) == (second, [second]), "the same name"

    # The spec as it was before is the first one; so is a third configuration none of the two.
    await ask(cluster, controlPlane={})
    assert (cluster.find_injector(TAG), cluster.list_revisions()) == (FIRST, [FIRST])
    await ask(cluster, **level("warn"))
    (third,) = find_others(cluster, FIRST)
    assert third != second

    # With the next version the digits go.
    cluster.remove(Ref("v1", "Pod", NS, "web"))
    await ask(cluster, version="1.31")
    (last,) = cluster.list_revisions()
    assert last == cluster.find_injector(TAG) == named("1.31.4")


async def test_a_configuration_that_does_not_come_up_is_held_and_another_one_takes_its_place() -> None:
    cluster = await a_mesh(upgrade=CANARY)
    before = cluster.objects["Deployment", NS, f"istiod-{FIRST}"]["spec"]
    (bad,) = (await a_canary_of("error")).list_revisions()
    cluster.down = {bad}
    await ask(cluster, **level("error"))
    assert find_others(cluster, FIRST) == [bad], "equal meshes give equal names"
    cluster.wait(700)
    seen = await cluster.tell()
    assert (seen.find_injector(TAG), seen.list_revisions()) == (FIRST, sorted([FIRST, bad]))
    assert read_condition(seen.mesh, "Ready")["reason"] == "UpgradeHeld"
    assert read_condition(seen.mesh, "Available")["status"] == "True"
    assert seen.objects["Deployment", NS, f"istiod-{FIRST}"]["spec"] == before
    await ask(seen, **level("debug"))
    (good,) = seen.list_revisions()
    assert good not in (FIRST, bad)
    assert seen.find_injector(TAG) == good


async def a_canary_of(text: str) -> InPlace:
    """A mesh in which this configuration serves as a canary."""
    cluster = await a_mesh(upgrade=CANARY)
    await ask(cluster, **level(text))
    return cluster


async def test_a_canary_waits_for_the_gate_of_configurations() -> None:
    cluster = await a_mesh(upgrade={**CANARY, "approval": {"config": "Manual"}})
    assert await ask(cluster, **level("debug")) == []
    plan = cluster.mesh["status"]["plan"]
    assert (plan["change"], plan["from"], plan["to"]) == ("config", OLD, OLD)
    annotations = {"mesh.navarch.io/approved": plan["hash"]}
    cluster.put({**cluster.mesh, "metadata": {**cluster.mesh["metadata"], "annotations": annotations}})
    await cluster.settle()
    (second,) = cluster.list_revisions()
    assert second == cluster.find_injector(TAG) != FIRST


async def test_who_belongs_to_the_mesh_is_no_configuration() -> None:
    cluster = await a_mesh(upgrade=CANARY)
    await ask(cluster, defaultTag=True)
    cluster.put(build_namespace("apps", rev=TAG))
    await cluster.settle()
    assert cluster.list_revisions() == [FIRST]


async def test_canaries_are_few_and_need_revisions() -> None:
    cluster = await a_mesh(upgrade={**CANARY, "inactiveRevisionGracePeriodSeconds": 900})
    for text in ("debug", "warn", "error"):
        await ask(cluster, **level(text))
    assert len(cluster.list_revisions()) == 4
    await ask(cluster, **level("fatal"))
    refused = read_condition(cluster.mesh, "SpecAccepted")
    assert (refused["status"], refused["reason"]) == ("False", "TooManyRevisions")
    assert "spec.upgrade.canaryConfig" in refused["message"]
    assert len(cluster.list_revisions()) == 4

    other = await a_mesh()
    await ask(other, upgrade={**STANDING, "canaryConfig": True}, **level("debug"))
    assert read_condition(other.mesh, "SpecAccepted")["reason"] == "CanaryInPlace"
    await ask(other, upgrade=CANARY)
    (beside,) = other.list_revisions()
    assert beside == other.find_injector(TAG) != IN_PLACE
    await ask(other, upgrade=BY_REVISION, **level("warn"))
    assert other.list_revisions() == [beside], "without the field, where it stands"
