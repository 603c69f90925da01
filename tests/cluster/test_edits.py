"""Edits of a mesh that runs: what is taken live, what rolls istiod, what cannot be done, what is told."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

import pytest

from lab.cluster import Cluster
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.meshes import (
    build_mesh,
    edit,
    get_istiod,
    is_current,
    list_owned,
    read_condition,
    wait_for,
)

NOWHERE = {"placement": {"nodeSelector": {"no-such": "node"}}}
"""A placement that no node of the cluster answers to."""


def read_template(deployment: Object) -> Any:
    return deployment["spec"]["template"]


def read_environment(deployment: Object) -> dict[str, str]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable.get("value", "") for variable in container["env"]}


def read_statuses(api: Api, mesh: Object, kind: str) -> list[tuple[str, str]]:
    """Every (status, reason) that a condition of the mesh had since it was seen, repetitions left out."""
    metadata = mesh["metadata"]
    states = api.replay("mesh", metadata["namespace"], metadata["name"], since=metadata["resourceVersion"])
    found = [read_condition(state, kind) for state in states]
    return [pair for pair, _ in groupby((c["status"], c["reason"]) for c in found)]


def list_generations_ready_too_early(api: Api, mesh: Object, *, is_edited: Any) -> list[int]:
    """Generations that were called ready at a moment when istiod's Deployment did not have the edit."""
    metadata = mesh["metadata"]
    states = api.replay("mesh", metadata["namespace"], metadata["name"], since=metadata["resourceVersion"])
    ready = [s for s in states if read_condition(s, "Ready").get("status") == "True" and is_current(s)]
    edits = [
        int(s["metadata"]["resourceVersion"])
        for s in api.replay(
            "deployment",
            metadata["namespace"],
            get_istiod(api, metadata["namespace"])["metadata"]["name"],
            since=metadata["resourceVersion"],
        )
        if is_edited(s)
    ]
    first = min(edits, default=0)
    return [
        s["metadata"]["generation"]
        for s in ready
        if s["metadata"]["generation"] > metadata["generation"]
        and int(s["metadata"]["resourceVersion"]) < first
    ]


# --- taken live --------------------------------------------------------------------------------------------


async def test_mesh_config_is_taken_live(api: Api, settled: str) -> None:
    api.create(build_mesh(settled))
    before = await wait_for(api, settled)
    istiod = get_istiod(api, settled)
    edited = edit(api, settled, meshConfig={"accessLogFile": "/dev/stdout"})
    after = await wait_for(api, settled)
    assert (
        after["status"]["observedGeneration"]
        == edited["metadata"]["generation"]
        > before["metadata"]["generation"]
    )
    config = api.get("configmap", settled, f"istio-{settled}-demo-inplace")
    assert config is not None
    assert "accessLogFile: /dev/stdout" in config["data"]["mesh"]
    now = get_istiod(api, settled)
    assert read_template(now) == read_template(istiod)
    assert now["metadata"]["generation"] == istiod["metadata"]["generation"]


# --- a roll ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"environment": [{"name": "PILOT_TRACE_SAMPLING", "value": "7"}]},
        {"resources": {"requests": {"cpu": "333m"}}},
    ],
    ids=["environment", "resources"],
)
async def test_an_edit_rolls_istiod_with_surge_and_the_mesh_stays_available(
    api: Api, settled: str, change: dict[str, Any]
) -> None:
    api.create(build_mesh(settled))
    before = await wait_for(api, settled)
    istiod = get_istiod(api, settled)
    edit(api, settled, controlPlane=change)
    await wait_for(api, settled)
    now = get_istiod(api, settled)
    assert read_template(now) != read_template(istiod)
    assert read_statuses(api, before, "Available") == [("True", "AsExpected")]
    progress = read_statuses(api, before, "Progressing")
    assert ("True", "Progressing") in progress
    assert progress[-1] == ("False", "Settled")
    assert [truth for truth, _ in groupby(status for status, _ in read_statuses(api, before, "Ready"))] == [
        *("True", "False", "True")
    ]
    rolled = api.replay(
        "deployment", settled, now["metadata"]["name"], since=istiod["metadata"]["resourceVersion"]
    )
    assert max(state["status"].get("replicas", 0) for state in rolled) == 2
    assert min(state["status"].get("availableReplicas", 0) for state in rolled) == 1


async def test_a_version_moves_up_in_place(api: Api, settled: str) -> None:
    api.create(build_mesh(settled, version="1.29"))
    assert (await wait_for(api, settled))["status"]["version"] == {"desired": "1.29.6", "active": "1.29.6"}
    for version in ("1.30.3", "1.31.0", "1.31.1"):
        before = api.get("mesh", settled, "demo")
        assert before is not None
        edit(api, settled, version=version)
        after = await wait_for(api, settled)
        assert after["status"]["version"] == {"desired": version, "active": version}
        assert after["status"]["activeRevision"] == before["status"]["activeRevision"]
        assert [status for status, _ in read_statuses(api, before, "Available")] == ["True"]
        image = read_template(get_istiod(api, settled))["spec"]["containers"][0]["image"]
        assert image.endswith(f":{version}")
    told = [event["note"] for event in api.list("event", settled) if event["reason"] == "Upgraded"]
    assert any("1.31.1 serves now, after 1.31.0" in note for note in told), told
    names = {o["metadata"]["name"] for o in list_owned(api, settled) if o["kind"] == "Deployment"}
    assert names == {f"istiod-{settled}-demo-inplace"}


async def test_while_istiod_rolls_to_a_version_status_says_what_is_desired_and_what_serves(
    api: Api, settled: str
) -> None:
    api.create(build_mesh(settled, version="1.31.0"))
    await wait_for(api, settled)
    edit(api, settled, version="1.31.1", controlPlane=NOWHERE)
    mesh = await wait_for(api, settled, condition="UpToDate", status="False", reason="VersionPending")
    assert mesh["status"]["version"] == {"desired": "1.31.1", "active": "1.31.0"}
    edit(api, settled, controlPlane={"placement": None})
    mesh = await wait_for(api, settled)
    assert mesh["status"]["version"] == {"desired": "1.31.1", "active": "1.31.1"}


# --- what cannot be done -----------------------------------------------------------------------------------


async def test_an_edit_that_no_node_can_take_leaves_the_mesh_available_and_says_why(
    api: Api, settled: str
) -> None:
    api.create(build_mesh(settled))
    before = await wait_for(api, settled)
    edit(api, settled, controlPlane=NOWHERE)
    mesh = await wait_for(api, settled, condition="Progressing", status="True", reason="RolloutStuck")
    assert "node affinity/selector" in read_condition(mesh, "Progressing")["message"]
    assert read_condition(mesh, "Ready")["status"] == "False"
    assert "node affinity/selector" in mesh["status"]["components"][0]["message"]
    edit(api, settled, controlPlane={"placement": None})
    await wait_for(api, settled)
    assert read_statuses(api, before, "Available") == [("True", "AsExpected")]


async def test_an_event_about_istiod_s_pod_changes_nothing_that_is_said_of_the_mesh(
    api: Api, settled: str
) -> None:
    """Who may create Events in the mesh's namespace can write one about istiod's pod, in the kubelet's and
    the scheduler's name."""
    api.create(build_mesh(settled))
    await wait_for(api, settled)
    edit(api, settled, controlPlane=NOWHERE)
    before = await wait_for(api, settled, condition="Progressing", status="True", reason="RolloutStuck")
    pods = {p["metadata"]["name"] for p in api.list("pod", settled) if "nodeName" not in p["spec"]}
    assert pods
    for number, reason in enumerate(("RolesMissing", "Failed", "FailedScheduling")):
        for pod in pods:
            api.create(
                {
                    "apiVersion": "v1",
                    "kind": "Event",
                    "metadata": {"name": f"forged-{pod}-{number}", "namespace": settled},
                    "involvedObject": {"kind": "Pod", "name": pod, "namespace": settled},
                    "source": {"component": "default-scheduler" if number else "kubelet"},
                    "type": "Warning",
                    "reason": reason,
                    "message": "forged: run this \x1b[2J\n" + f"forged-{number} " * 100,
                }
            )
    edit(api, settled, meshConfig={"accessLogFile": "/dev/stdout"})  # after which the operator looked again
    after = await wait_for(api, settled, condition="Progressing", status="True", reason="RolloutStuck")
    assert "forged" not in json.dumps(after["status"])
    for kind in ("Available", "Progressing", "Ready", "InjectionReady"):
        was, now = read_condition(before, kind), read_condition(after, kind)
        assert (now["status"], now["reason"]) == (was["status"], was["reason"]), kind
    edit(api, settled, controlPlane={"placement": None}, meshConfig=None)
    await wait_for(api, settled)


async def test_an_edit_that_a_quota_forbids_leaves_the_mesh_available_and_says_why(
    api: Api, settled: str
) -> None:
    api.create(build_mesh(settled))
    before = await wait_for(api, settled)
    quota = {"name": "no-more", "namespace": settled}
    api.create(
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": quota, "spec": {"hard": {"pods": "1"}}}
    )
    await eventually(
        lambda: (api.get("quota", settled, "no-more") or {}).get("status", {}).get("used"), seconds=30
    )
    edit(api, settled, controlPlane={"environment": [{"name": "PILOT_TRACE_SAMPLING", "value": "7"}]})
    mesh = await wait_for(api, settled, condition="Progressing", status="True", reason="RolloutStuck")
    assert "exceeded quota: no-more" in read_condition(mesh, "Progressing")["message"]
    api.delete("quota", settled, "no-more")
    await wait_for(api, settled)
    assert read_statuses(api, before, "Available") == [("True", "AsExpected")]


# --- kubectl wait ------------------------------------------------------------------------------------------


async def test_kubectl_wait_right_after_an_edit_returns_when_the_edit_is_ready(
    api: Api, light: Cluster, settled: str
) -> None:
    api.create(build_mesh(settled))
    ready = ("wait", "--for=condition=Ready", "meshcp/demo", "-n", settled, "--timeout=180s")
    light.run(*ready)
    for sampling in ("11", "12", "13"):
        variable = {"name": "PILOT_TRACE_SAMPLING", "value": sampling}
        edited = edit(api, settled, controlPlane={"environment": [variable]})
        light.run(
            "wait", "--for=condition=Ready", "meshcp/demo", "-n", settled, "--timeout=180s", timeout=190
        )
        mesh, istiod = api.get("mesh", settled, "demo"), get_istiod(api, settled)
        assert mesh is not None
        assert mesh["status"]["observedGeneration"] == edited["metadata"]["generation"]
        assert read_environment(istiod)["PILOT_TRACE_SAMPLING"] == sampling
        assert istiod["status"]["observedGeneration"] == istiod["metadata"]["generation"]
        assert istiod["status"]["updatedReplicas"] == istiod["status"]["replicas"] == 1


async def test_no_state_ever_calls_an_edit_ready_before_istiod_has_it(api: Api, settled: str) -> None:
    api.create(build_mesh(settled))
    before = await wait_for(api, settled)
    edit(api, settled, controlPlane={"environment": [{"name": "PILOT_TRACE_SAMPLING", "value": "42"}]})
    await wait_for(api, settled)
    assert not list_generations_ready_too_early(
        api, before, is_edited=lambda state: read_environment(state).get("PILOT_TRACE_SAMPLING") == "42"
    )
