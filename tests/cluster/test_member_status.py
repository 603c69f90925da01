"""What meshes and members say of each other, and what stands between them, on a real API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from navarch.kube.contest import AT_ONCE

from lab.cluster import Cluster
from tests.cluster.conftest import a_mesh_namespace
from tests.polling import eventually
from tests.support.api import Api, Object, Refused
from tests.support.audit import Audit
from tests.support.command import navarch
from tests.support.members import ISTIO_REV, MEMBER_OF, build_member, read_labels, wait_for_member
from tests.support.meshes import build_mesh, edit, read_condition, wait_for
from tests.support.operator import Operator
from tests.support.workloads import build_pod, is_injected


@pytest.fixture
async def mesh(api: Api, operator: Operator, fresh: str) -> str:
    """A mesh of scope Members that is Ready; its namespace."""
    api.create(build_mesh(fresh, scope="Members"))
    await wait_for(api, fresh)
    return fresh


@contextmanager
def namespaces(api: Api, *names: str) -> Iterator[None]:
    """Namespaces of applications, in which nothing holds anything afterwards."""
    for name in names:
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield
    for name in names:
        api.delete("namespace", "", name)


@pytest.fixture
async def apps(api: Api, fresh: str) -> AsyncIterator[str]:
    """A namespace of applications. Its member leaves first, so that nothing of it is written later."""
    with a_mesh_namespace(api, f"{fresh}-apps") as name:
        yield name
        if api.get("member", name, "default") is not None:
            await leave(api, name)


async def leave(api: Api, apps: str) -> None:
    api.delete("member", apps, "default")
    await eventually(lambda: api.get("member", apps, "default") is None, seconds=60, what="the member goes")


def read_members(api: Api, mesh: str) -> Object:
    return ((api.get("mesh", mesh, "demo") or {}).get("status") or {}).get("members") or {}


async def be_injected(api: Api, apps: str) -> None:
    await eventually(
        lambda: is_injected(api.create(build_pod(apps, "probe"), dry_run=True)), what="pods are injected"
    )


async def wait_for_census(api: Api, apps: str, **counts: object) -> Object:
    def seen() -> Object | None:
        proxies: Object = (api.get("member", apps, "default") or {}).get("status", {}).get("proxies") or {}
        return proxies if {key: proxies.get(key) for key in counts} == counts else None

    found: Object = await eventually(seen, seconds=60, what=f"the census of {apps} says {counts}")
    return found


# --- what is counted --------------------------------------------------------------------------------------


async def test_a_mesh_counts_its_members_names_those_that_are_not_ready_and_is_ready_itself(
    api: Api, light: Cluster, mesh: str, apps: str
) -> None:
    other = f"{mesh}-other"
    with namespaces(api, other):
        light.run("label", "namespace", other, f"{ISTIO_REV}=elsewhere")
        api.create(build_member(apps, mesh))
        api.create(build_member(other, mesh))
        await wait_for_member(api, apps)
        await wait_for_member(api, other, status="False", reason="LabelConflict")
        told = await wait_for(api, mesh, condition="MembersReady", status="False", reason="MembersNotReady")
        assert f"{other} (LabelConflict)" in read_condition(told, "MembersReady")["message"]
        assert read_condition(told, "Ready")["status"] == "True", "for a member's fault no mesh is unready"
        pending = [{"namespace": other, "reason": "LabelConflict"}]
        assert told["status"]["members"] == {"total": 2, "ready": 1, "pending": pending, "summary": "1/2"}
        line = light.run("get", "meshcp", "demo", "-n", mesh).splitlines()
        assert dict(zip(line[0].split(), line[1].split(), strict=False))["MEMBERS"] == "1/2"
        report = navarch("check", "-o", "json", kubeconfig=light.kubeconfig)
        assert f"MeshMember {other}/default" in {name_subject(d) for d in report.find("LabelConflict")}
        assert f"MeshControlPlane {mesh}/demo" in {name_subject(d) for d in report.find("MembersNotReady")}
        tree = navarch("describe", "demo", "-n", mesh, kubeconfig=light.kubeconfig).out
        assert f"MeshMember {apps}" in tree
        assert "LabelConflict" in tree
        light.run("label", "namespace", other, f"{ISTIO_REV}-")
        await wait_for_member(api, other)
        await wait_for(api, mesh, condition="MembersReady")
        assert read_members(api, mesh) == {"total": 2, "ready": 2, "summary": "2/2"}
        await eventually(lambda: has_note(api, other, "MeshMember", "Ready", "now True"), what="it is told")
        assert has_note(
            api, mesh, "MeshControlPlane", "MembersReady is now False", f"{other} (LabelConflict)"
        )
        await leave(api, other)
        await eventually(lambda: read_members(api, mesh).get("total") == 1, what="who left is not counted")
    own = (api.get("namespace", "", mesh) or {})["metadata"]["labels"]
    assert MEMBER_OF not in own, "the mesh's own namespace carries no label of a member"


def has_note(api: Api, namespace: str, kind: str, *parts: str) -> bool:
    """Whether an Event about an object of the kind says all of this."""
    notes = [e["note"] for e in api.list("event", namespace) if e["regarding"]["kind"] == kind]
    return any(all(part in note for part in parts) for note in notes)


def name_subject(finding: Object) -> str:
    subject = finding["subject"]
    return f"{subject['kind']} {subject['namespace']}/{subject['name']}"


async def test_pods_that_no_rollout_replaces_are_counted_with_the_names_of_what_they_belong_to(
    api: Api, light: Cluster, mesh: str, apps: str, tmp_path: Path
) -> None:
    api.create(build_member(apps, mesh))
    await wait_for_member(api, apps)
    await be_injected(api, apps)
    api.create(build_pod(apps, "bare"))
    # The lab ends the pods of a Job as soon as they have a node.
    template = build_pod(apps, "report")["spec"] | {"restartPolicy": "Never", "nodeSelector": {"no": "node"}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "report", "namespace": apps}}
    manifest = tmp_path / "job.json"
    manifest.write_text(json.dumps({**job, "spec": {"template": {"spec": template}}}))
    light.run("apply", "-f", str(manifest))
    await wait_for_census(api, apps, total=2, current=2, manual=0)
    edit(api, mesh, proxy={"logLevel": "error"})
    told = await wait_for_census(api, apps, total=2, outdated=2, manual=2, summary="0/2")
    assert told["manualWorkloads"] == [
        {"kind": "Job", "name": "report", "pods": 1},
        {"kind": "Pod", "name": "bare", "pods": 1},
    ]
    member = await wait_for_member(api, apps, condition="UpToDate", status="False", reason="ProxiesOutdated")
    message = read_condition(member, "UpToDate")["message"]
    assert "bare" in message
    assert "report" in message
    assert "rollout restart" not in message, "a rollout replaces neither"
    whole = navarch("check", "-o", "json", kubeconfig=light.kubeconfig).find("ProxiesOutdated")
    about = {name_subject(found) for found in whole}
    assert f"MeshControlPlane {mesh}/demo" in about
    assert f"MeshMember {apps}/default" not in about, "the mesh says it once for all of them"


async def test_the_command_judges_a_member_that_no_operator_has_seen(
    api: Api, light: Cluster, operator: Operator, mesh: str, apps: str
) -> None:
    api.create(build_member(apps, mesh))
    await wait_for_member(api, apps)
    unseen = f"{mesh}-unseen"
    operator.stop()
    try:
        with namespaces(api, unseen):
            light.run("label", "namespace", unseen, f"{ISTIO_REV}=elsewhere")
            api.create(build_member(unseen, mesh))
            report = navarch("check", "-n", unseen, "-o", "json", kubeconfig=light.kubeconfig)
            assert {name_subject(d) for d in report.find("LabelConflict")} == {f"MeshMember {unseen}/default"}
            assert f"{ISTIO_REV}=elsewhere" in report.find("LabelConflict")[0]["message"]
            whole = navarch("check", "-o", "json", kubeconfig=light.kubeconfig)
            of_apps = [d for d in whole.json["findings"] if name_subject(d) == f"MeshMember {apps}/default"]
            assert of_apps == [], "of one that is well nothing is said"
    finally:
        operator.start()


# --- who contests -----------------------------------------------------------------------------------------


async def test_a_client_that_removes_the_tag_ten_times_a_second_is_answered_at_growing_intervals(
    api: Api, audit: Audit, mesh: str, apps: str
) -> None:
    api.create(build_member(apps, mesh))
    await wait_for_member(api, apps)
    mark, removed = audit.mark(), 0

    def is_contested() -> bool:
        ready = read_condition(api.get("member", apps, "default"), "Ready")
        return bool(ready.get("reason") == "ObjectContested")

    while removed < 600 and not is_contested():
        api.patch("namespace", "", apps, {"metadata": {"labels": {ISTIO_REV: None}}})
        removed += 1
        await asyncio.sleep(0.1)
    told = read_condition(api.get("member", apps, "default"), "Ready")
    assert told["reason"] == "ObjectContested", removed
    assert ISTIO_REV in told["message"]
    for _ in range(30):
        api.patch("namespace", "", apps, {"metadata": {"labels": {ISTIO_REV: None}}})
        await asyncio.sleep(0.1)
    writes = audit.writes(mark)
    assert AT_ONCE < len([w for w in writes if w.resource == "namespaces"]) <= AT_ONCE + 8
    assert len([w for w in writes if w.resource == "meshmembers"]) <= 6
    joined = {MEMBER_OF: f"{mesh}.demo", ISTIO_REV: f"{mesh}-demo"}
    await eventually(lambda: read_labels(api, apps) == joined, seconds=90, what="the label is put back")
    await leave(api, apps)
    assert read_labels(api, apps) == {}, "and who leaves need not wait"


# --- between two meshes -----------------------------------------------------------------------------------


async def test_a_namespace_between_two_meshes_is_ones_alone_and_says_what_to_restart_when_it_has_moved(
    api: Api, light: Cluster, mesh: str, apps: str
) -> None:
    with a_mesh_namespace(api, f"{mesh}-by-tag") as second:
        api.create(build_mesh(second))
        await wait_for(api, second)
        api.create(build_member(apps, second))
        await wait_for_member(api, apps)
        await be_injected(api, apps)
        api.create(build_pod(apps, "bare"))
        await wait_for_census(api, apps, total=1, current=1)
        await leave(api, apps)
        api.create(build_member(apps, mesh, injection="Disabled"))
        told = await wait_for_member(
            api, apps, condition="UpToDate", status="False", reason="ProxiesMisplaced"
        )
        assert "bare" in read_condition(told, "UpToDate")["message"]
        assert told["status"]["proxies"] | {"misplaced": 1, "manual": 1} == told["status"]["proxies"]
        assert read_labels(api, apps) == {MEMBER_OF: f"{mesh}.demo"}
        light.run("label", "namespace", apps, f"{ISTIO_REV}={second}-demo")
        told = await wait_for_member(api, apps, status="False", reason="NamespaceShared")
        message = read_condition(told, "Ready")["message"]
        assert f"{second}/demo" in message
        assert f"{ISTIO_REV}={second}-demo" in message
        assert read_labels(api, apps) == {ISTIO_REV: f"{second}-demo"}, "two roots never meet"
        light.run("label", "namespace", apps, f"{ISTIO_REV}-")
        await wait_for_member(api, apps)
        await leave(api, apps)
        api.delete("pod", apps, "bare")


async def test_a_namespace_that_cannot_end_is_released_and_is_no_error_of_the_mesh(
    api: Api, mesh: str
) -> None:
    name = f"{mesh}-going"
    with namespaces(api, name):
        api.create(build_member(name, mesh))
        await wait_for_member(api, name)
        held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "namespace": name}}
        held["metadata"]["finalizers"] = ["example.com/hold"]
        api.create(held)
        api.delete("namespace", "", name)
        try:
            await eventually(
                lambda: api.get("member", name, "default") is None, seconds=60, what="the member goes"
            )
            assert read_labels(api, name) == {}
            with pytest.raises(Refused, match="is being terminated"):
                api.create(build_member(name, mesh))
            await wait_for(api, mesh, condition="MembersReady")
            await eventually(lambda: read_members(api, mesh)["total"] == 0, what="it is not counted")
        finally:
            api.patch("configmap", name, "held", {"metadata": {"finalizers": None}})


@pytest.mark.parametrize("place", ["kube-system", "own"])
async def test_a_mesh_s_own_namespace_and_the_platforms_are_refused_as_members(
    api: Api, mesh: str, place: str
) -> None:
    where = mesh if place == "own" else place
    api.create(build_member(where, mesh))
    try:
        await wait_for_member(api, where, status="False", reason="NamespaceRefused")
        assert read_labels(api, where) == {}
        await wait_for(api, mesh)
    finally:
        await leave(api, where)


async def test_members_are_released_with_their_mesh_and_taken_over_when_both_are_restored(
    api: Api, mesh: str, apps: str
) -> None:
    api.create(build_member(apps, mesh))
    await wait_for_member(api, apps)
    joined = read_labels(api, apps)
    api.delete("mesh", mesh, "demo")
    await wait_for_member(api, apps, status="False", reason="MeshNotFound")
    assert read_labels(api, apps) == {}
    # A backup brings the namespace's labels before the mesh.
    api.patch("namespace", "", apps, {"metadata": {"labels": joined}})
    api.create(build_mesh(mesh, scope="Members"))
    await wait_for(api, mesh)
    await wait_for_member(api, apps)
    assert read_labels(api, apps) == joined
    await be_injected(api, apps)
    await leave(api, apps)
    left = {ISTIO_REV: joined[ISTIO_REV]}
    # Where the member was looked at before its mesh was back, the tag is Navarch's own.
    assert read_labels(api, apps) in (left, {}), "a tag is another client's where a restore wrote it"
    assert not is_injected(api.create(build_pod(apps, "probe"), dry_run=True)), "and has no effect"
