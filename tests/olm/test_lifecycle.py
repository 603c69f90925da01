"""Navarch's own life under a real OLM: upgraded, removed and installed again, over a mesh that must not
notice any of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import processes
from tests.olm.conftest import RELEASE
from tests.polling import eventually
from tests.support.activity import bring_up
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.command import navarch
from tests.support.hub import Hub, build_catalog, build_release
from tests.support.meshes import edit, get_istiod, list_owned, wait_for
from tests.support.navarch_by_olm import Mesh, a_replica, build_replica, make_mesh
from tests.support.operator import SYSTEM, USER
from tests.support.workloads import is_ready

OLDEST, BEFORE = build_release("0.0.8"), build_release("0.0.9")
"""Releases before this one: the same generator with an older version."""
PATCH, NEXT = build_release("0.1.1"), build_release("0.2.0")
"""Releases after it: of the same minor, and of the next."""


def list_writes(audit: Audit, mark: int, mesh: Mesh) -> list[str]:
    """What the operator wrote, but for what tests before this one left of their meshes (`life` and a
    number)."""
    written = map(str, audit.writes(mark))
    return [each for each in written if mesh.namespace in each or "life" not in each]


def build_audit(hub: Hub) -> Audit:
    return Audit(hub.cluster.audit_log or Path(), USER)


async def test_an_upgrade_writes_nothing_of_a_settled_mesh_and_restarts_nothing(clean: Hub) -> None:
    await clean.install(BEFORE)
    audit = build_audit(clean)
    async with a_replica(clean) as old:
        mesh = await make_mesh(clean.api, old)
        before, mark = mesh.look(), audit.mark()
        clean.publish(BEFORE, RELEASE)
        await clean.see(RELEASE)
        await eventually(lambda: clean.list_versions() == [RELEASE.name], what="the old release is gone")
        new = build_replica(clean)
        new.start()
        try:
            # As the Deployment does it: the new one is ready before the old one is ended.
            await eventually(new.is_ready, seconds=60, every=0.1, what=f"ready, see {new.log}")
            assert old.stop() == 0
            await bring_up(new)
            assert list_writes(audit, mark, mesh) == []
            assert [str(r) for r in audit.since(mark) if r.forbidden] == []
            assert mesh.look() == before
            await mesh.see_injection("afterwards")
        finally:
            new.stop()


def keep_pending(csv: Object) -> None:
    """No node takes the pods of this release."""
    (deployment,) = csv["spec"]["install"]["spec"]["deployments"]
    deployment["spec"]["template"]["spec"]["nodeSelector"] = {"lab.navarch.io/never": "true"}


async def test_a_release_that_never_gets_ready_leaves_the_one_before_it_running(clean: Hub) -> None:
    await clean.install(BEFORE)
    async with a_replica(clean) as old:
        mesh = await make_mesh(clean.api, old)
        running = list_ready(clean.api)
        assert len(running) == 2
        clean.publish(BEFORE, RELEASE, edits={RELEASE.version: keep_pending})
        await eventually(lambda: len(clean.api.list("pod", SYSTEM)) == 3, what="a pod of the new release")
        await eventually(
            lambda: (
                "deployment navarch" in (told := clean.read_status(RELEASE))["message"].lower()
                or '"navarch"' in told["message"]
            ),
            what="OLM says which Deployment it waits for",
        )
        assert clean.read_status(BEFORE)["phase"] == "Replacing"
        assert list_ready(clean.api) == running
        edit(clean.api, mesh.namespace, controlPlane={"autoscaling": {"enabled": False}, "replicas": 3})
        await wait_for(clean.api, mesh.namespace)
        assert get_istiod(clean.api, mesh.namespace)["spec"]["replicas"] == 3


def list_ready(api: Api) -> set[str]:
    """The operator's pods that are ready, by uid."""
    return {pod["metadata"]["uid"] for pod in api.list("pod", SYSTEM) if is_ready(pod)}


async def test_meshes_outlive_the_removal_of_navarch_and_are_adopted_afterwards(clean: Hub) -> None:
    await clean.install(RELEASE)
    async with a_replica(clean) as operator:
        mesh = await make_mesh(clean.api, operator)
    before = mesh.look()
    await clean.uninstall()
    assert mesh.look() == before
    assert clean.api.get("crd", "", "meshcontrolplanes.mesh.navarch.io")
    assert list_missing_roles(clean.api, mesh) == []
    await mesh.see_injection("without-navarch")
    report = navarch("check", "-o", "json", kubeconfig=clean.cluster.kubeconfig)
    assert "OperatorNotRunning" in report.ids
    clean.api.delete("pod", mesh.apps, "without-navarch")
    await eventually(lambda: clean.api.get("pod", mesh.apps, "without-navarch") is None, what="it is gone")
    await clean.install(RELEASE)
    audit = build_audit(clean)
    mark = audit.mark()
    async with a_replica(clean):
        assert list_writes(audit, mark, mesh) == []
        assert mesh.look() == before
        edit(clean.api, mesh.namespace, controlPlane={"autoscaling": {"enabled": False}, "replicas": 2})
        await wait_for(clean.api, mesh.namespace)
        assert get_istiod(clean.api, mesh.namespace)["spec"]["replicas"] == 2


def list_missing_roles(api: Api, mesh: Mesh) -> list[str]:
    """Roles that istiod's account is bound to and that are not there: it would be without its rights."""
    bindings = [o for o in list_owned(api, mesh.namespace) if o["kind"].endswith("RoleBinding")]
    named = [b["roleRef"]["name"] for b in bindings if b["roleRef"]["kind"] == "ClusterRole"]
    assert named
    return [name for name in named if api.get("clusterrole", "", name) is None]


@pytest.mark.long
@pytest.mark.usefixtures("in_full")
async def test_meshes_that_are_being_deleted_while_navarch_is_removed_go_when_it_is_back(clean: Hub) -> None:
    """One whose deletion waits for another client's finalizer, and one that was deleted after the operator
    had ended."""
    await clean.install(RELEASE)
    async with a_replica(clean) as operator:
        held, unseen = await make_mesh(clean.api, operator), await make_mesh(clean.api, operator)
        config = held.namespace, f"istio-{held.namespace}-demo-inplace"
        kept = {"metadata": {"finalizers": ["example.com/kept"]}}
        clean.api.patch("configmap", *config, kept)
        delete_mesh(clean.api, held)
        await wait_for(clean.api, held.namespace, condition="Deleting", status="True")
        await eventually(lambda: is_going(clean.api, "configmap", *config), what="it is being removed")
    delete_mesh(clean.api, unseen)
    await clean.uninstall()
    for mesh in (held, unseen):
        assert is_going(clean.api, "mesh", mesh.namespace, "demo")
    assert get_istiod(clean.api, unseen.namespace)["status"]["readyReplicas"] == 1
    report = navarch("check", "-o", "json", kubeconfig=clean.cluster.kubeconfig)
    (absent,) = report.find("OperatorNotRunning")
    for mesh in (held, unseen):
        assert f"{mesh.namespace}/demo" in absent["message"]
    await clean.install(RELEASE)
    clean.api.patch("configmap", *config, {"metadata": {"finalizers": None}})
    async with a_replica(clean):
        for mesh in (held, unseen):
            await eventually(
                lambda place=mesh.namespace: clean.api.get("mesh", place, "demo") is None,  # type: ignore[misc]
                seconds=60,
                what="the mesh is gone",
            )
            assert list_owned(clean.api, mesh.namespace) == []


def delete_mesh(api: Api, mesh: Mesh) -> None:
    """Without its members, and as a person does who does not wait for proxies to go."""
    api.delete("namespace", "", mesh.apps)
    force = {"metadata": {"annotations": {"mesh.navarch.io/force-delete": "true"}}}
    api.patch("mesh", mesh.namespace, "demo", force)
    api.delete("mesh", mesh.namespace, "demo")


def is_going(api: Api, kind: str, namespace: str, name: str) -> bool:
    """Whether an object was deleted and is still there."""
    return "deletionTimestamp" in ((api.get(kind, namespace, name) or {}).get("metadata") or {})


@pytest.mark.long
@pytest.mark.parametrize("has_older", [True, False])
async def test_a_release_may_be_skipped(request: pytest.FixtureRequest, clean: Hub, has_older: bool) -> None:
    if not has_older:
        request.getfixturevalue("in_full")
    await clean.install(OLDEST)
    blobs = build_catalog(OLDEST, BEFORE, RELEASE)
    if not has_older:
        blobs = [blob for blob in blobs if blob.get("name") not in (OLDEST.name, BEFORE.name)]
        for channel in (blob for blob in blobs if blob["schema"] == "olm.channel"):
            channel["entries"] = [entry for entry in channel["entries"] if entry["name"] == RELEASE.name]
        blobs = [blob for blob in blobs if blob.get("entries", True)]
    seen: set[str] = set()
    clean.publish_blobs(blobs)

    def has_succeeded() -> bool:
        seen.update(clean.list_versions())
        return clean.read_status(RELEASE).get("phase") == "Succeeded"

    await eventually(has_succeeded, seconds=120, every=0.05, what="the newest release succeeded")
    assert seen == {OLDEST.name, RELEASE.name}


async def test_an_upgrade_of_navarch_waits_for_an_istiod_that_is_being_replaced(clean: Hub) -> None:
    """In the channel of a minor, which the release of the next minor is not in."""
    await clean.install(RELEASE, channel=RELEASE.channels[1])
    name = {"name": "OPERATOR_CONDITION_NAME", "value": RELEASE.name}
    await eventually(lambda: name in clean.read_container()["env"], what="OLM names its OperatorCondition")
    state = clean.cluster.state
    async with a_replica(clean) as operator:
        mesh = await make_mesh(clean.api, operator, version="1.30")
        await eventually(
            lambda: read_upgradeable(clean).get("status") != "False", what="the first istiod is there"
        )
        scheduler = processes.halt(state, "kube-scheduler")
        try:
            edit(clean.api, mesh.namespace, version="1.31")
            await eventually(
                lambda: read_upgradeable(clean).get("status") == "False", seconds=30, what="OLM is told"
            )
            told = read_upgradeable(clean)
            assert f"MeshRevision {mesh.namespace}/{mesh.namespace}-demo-inplace" in told["message"]
            clean.publish(RELEASE, PATCH, NEXT)
            status = await clean.see(PATCH, "Pending", reason="OperatorConditionNotUpgradeable")
            assert told["message"] in status["message"]
            assert name in clean.read_container()["env"]
        finally:
            processes.resume(state, scheduler, log=state / "log" / "kube-scheduler.log")
        await clean.see(PATCH)
        await eventually(lambda: clean.list_versions() == [PATCH.name], what="the old release is gone")
        found = await wait_for(clean.api, mesh.namespace)
        assert found["status"]["version"]["active"].startswith("1.31.")


def read_upgradeable(hub: Hub) -> Object:
    """The condition Upgradeable that the operator gave OLM."""
    spec = hub.read("operatorcondition", RELEASE.name).get("spec") or {}
    return next((dict(c) for c in spec.get("conditions", ()) if c["type"] == "Upgradeable"), {})
