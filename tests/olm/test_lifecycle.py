"""Navarch's own life under a real OLM: upgraded, refused, configured, removed and installed again, over a
mesh that must not notice any of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from navarch.api.export import RESOURCES, build_crd

from lab import processes
from tests.olm.conftest import RELEASE, a_hub
from tests.polling import eventually
from tests.support.activity import bring_up, wait_for_rest
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.command import navarch
from tests.support.hub import Hub, build_catalog, build_release
from tests.support.meshes import build_mesh, edit, get_istiod, list_owned, read_versions, wait_for
from tests.support.operator import SYSTEM, USER, Operator
from tests.support.workloads import build_pod, create_namespace, is_injected, is_ready

OLDEST, BEFORE = build_release("0.0.8"), build_release("0.0.9")
"""Releases before this one: the same generator with an older version."""
POLICY = "kinds.mesh.navarch.io"
_numbers = count(1)
_replicas = count(1)


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """An OLM of this module's own: Navarch comes and goes."""
    with a_hub("life") as hub:
        yield hub


@pytest.fixture
async def clean(hub: Hub) -> AsyncIterator[Hub]:
    """OLM without Navarch, before and after the test."""
    yield hub
    for mesh in hub.api.list("mesh"):
        where = mesh["metadata"]["namespace"], mesh["metadata"]["name"]
        force = {"annotations": {"mesh.navarch.io/force-delete": "true"}, "finalizers": None}
        hub.api.patch("mesh", *where, {"metadata": force})
        if "deletionTimestamp" not in mesh["metadata"]:
            hub.api.delete("mesh", *where)
    hub.cluster.run("delete", "operatorgroup", "-n", SYSTEM, "--all")
    await hub.uninstall()


@asynccontextmanager
async def a_replica(hub: Hub, **settings: str) -> AsyncIterator[Operator]:
    """The operator, with the account and the environment that OLM gave it; it leads and is at rest."""
    replica = hub.build_replica(f"operator-{next(_replicas)}", **settings)
    try:
        await bring_up(replica, seconds=180)
        yield replica
    finally:
        replica.stop()


@dataclass(frozen=True)
class Mesh:
    """A mesh that is ready, and a pod with a proxy of it."""

    api: Api
    namespace: str

    def look(self) -> Object:
        """Everything that changes when the mesh, its istiod or its proxy is written or started again."""
        mesh = self.api.get("mesh", self.namespace, "demo") or {}
        pods = [pod for where in (self.namespace, self.apps) for pod in self.api.list("pod", where)]
        return {
            "mesh": mesh["metadata"]["resourceVersion"],
            "owned": read_versions(list_owned(self.api, self.namespace)),
            "pods": {pod["metadata"]["uid"]: read_restarts(pod) for pod in pods},
        }

    @property
    def apps(self) -> str:
        return f"{self.namespace}-apps"

    async def see_injection(self, name: str) -> None:
        """The mesh serves: a further pod gets its proxy and becomes ready."""
        self.api.create(build_pod(self.apps, name))
        pods = lambda: [self.api.get("pod", self.apps, name) or {}]  # noqa: E731
        await eventually(
            lambda: all(is_injected(pod) and is_ready(pod) for pod in pods()), what="a pod has a proxy"
        )


def read_restarts(pod: Object) -> list[int]:
    return [status["restartCount"] for status in pod["status"].get("containerStatuses", ())]


async def make_mesh(api: Api, operator: Operator, *, version: str = "1.31") -> Mesh:
    """A mesh at rest, in a namespace of the test's own, with one injected pod."""
    mesh = Mesh(api, f"life{next(_numbers)}")
    await create_namespace(api, mesh.namespace)
    api.create(build_mesh(mesh.namespace, version=version, mtls={"mode": "Strict"}))
    await wait_for(api, mesh.namespace)
    await create_namespace(api, mesh.apps, {"istio.io/rev": f"{mesh.namespace}-demo"})
    await mesh.see_injection("app")
    await eventually(lambda: read_proxies(api, mesh) == 1, what="the proxy is counted")
    await wait_for_rest(operator)
    return mesh


def read_proxies(api: Api, mesh: Mesh) -> int:
    found = api.get("mesh", mesh.namespace, "demo") or {}
    return int(((found.get("status") or {}).get("proxies") or {}).get("total", 0))


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
        new = clean.build_replica(f"operator-{next(_replicas)}")
        new.start()
        try:
            # As the Deployment does it: the new one is ready before the old one is ended.
            await eventually(new.is_ready, seconds=60, every=0.1, what=f"ready, see {new.log}")
            assert old.stop() == 0
            await bring_up(new)
            assert [str(w) for w in audit.writes(mark)] == []
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
        assert [str(w) for w in audit.writes(mark)] == []
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


async def test_a_mesh_whose_deletion_navarch_did_not_see_is_deleted_when_it_is_back(clean: Hub) -> None:
    await clean.install(RELEASE)
    async with a_replica(clean) as operator:
        mesh = await make_mesh(clean.api, operator)
    clean.api.delete("namespace", "", mesh.apps)
    force = {"metadata": {"annotations": {"mesh.navarch.io/force-delete": "true"}}}
    clean.api.patch("mesh", mesh.namespace, "demo", force)
    clean.api.delete("mesh", mesh.namespace, "demo")
    await clean.uninstall()
    left = clean.api.get("mesh", mesh.namespace, "demo") or {}
    assert left["metadata"]["deletionTimestamp"]
    assert get_istiod(clean.api, mesh.namespace)["status"]["readyReplicas"] == 1
    await clean.install(RELEASE)
    async with a_replica(clean):
        await eventually(
            lambda: clean.api.get("mesh", mesh.namespace, "demo") is None, seconds=60, what="the mesh is gone"
        )
        assert list_owned(clean.api, mesh.namespace) == []


@pytest.mark.parametrize("has_older", [True, False])
async def test_a_release_may_be_skipped(clean: Hub, has_older: bool) -> None:
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


async def test_an_installation_for_one_namespace_is_refused_in_the_csv(clean: Hub) -> None:
    clean.publish(RELEASE)
    clean.subscribe(group={"targetNamespaces": [SYSTEM]})
    status = await clean.see(RELEASE, "Failed", reason="UnsupportedOperatorGroup")
    assert "OwnNamespace" in status["message"]
    assert clean.api.get("deployment", SYSTEM, "navarch") is None


async def test_a_second_navarch_is_refused_in_the_csv_and_the_first_goes_on(clean: Hub) -> None:
    await clean.install(RELEASE)
    other = "navarch-two"
    try:
        clean.subscribe(other)
        await clean.see(RELEASE, "Failed", reason="InterOperatorGroupOwnerConflict", namespace=other)
        assert clean.api.get("deployment", other, "navarch") is None
        assert clean.read_status(RELEASE)["phase"] == "Succeeded"
        async with a_replica(clean) as operator:
            await make_mesh(clean.api, operator)
    finally:
        clean.cluster.run("delete", "subscription,operatorgroup", "-n", other, "--all")
        await clean.uninstall(other)


async def test_env_and_resources_of_the_subscription_reach_the_operator(clean: Hub) -> None:
    resources = {"requests": {"cpu": "70m", "memory": "200Mi"}, "limits": {"memory": "1Gi"}}
    env = [{"name": "NAVARCH_LOG_LEVEL", "value": "debug"}, {"name": "ODD", "value": "a=b $(C) \u00e4"}]
    await clean.install(RELEASE, config={"env": env, "resources": resources})
    container = clean.read_container()
    assert container["resources"] == resources
    assert [each for each in container["env"] if each in env] == env
    assert {"name": "NAVARCH_PROBE_NAMESPACE", "value": "navarch-probe"} in container["env"]
    async with a_replica(clean) as operator:
        assert '"level": "debug"' in operator.log.read_text()


async def test_a_setting_of_the_subscription_that_is_wrong_is_named_by_the_operator(clean: Hub) -> None:
    env = [{"name": "NAVARCH_WORKERS", "value": "many"}]
    await clean.install(RELEASE, config={"env": env})
    operator = clean.build_replica(f"operator-{next(_replicas)}")
    operator.start()
    await eventually(lambda: not operator.is_running(), what="the operator gives up")
    assert operator.stop() != 0
    assert "NAVARCH_WORKERS" in operator.log.read_text()


def add_field(crd: Object) -> None:
    """A newer release's kind: with its name, and with a field that this one does not know."""
    crd["metadata"]["annotations"]["mesh.navarch.io/release"] = "0.2.0"
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    schema["newer"] = {"type": "string", "description": "What only a newer release knows."}


async def test_kinds_of_a_newer_navarch_are_never_replaced_by_those_of_an_older_bundle(clean: Hub) -> None:
    name = "meshcontrolplanes.mesh.navarch.io"
    await clean.install(RELEASE)
    async with a_replica(clean) as operator:
        await eventually(
            lambda: (
                "navarch_installation_missing_objects 0.0" in operator.fetch("/metrics")[1]
                and clean.cluster.run("get", "validatingadmissionpolicies", "--ignore-not-found", POLICY)
            ),
            every=0.2,
            what="the policy on kinds is there",
        )
    await clean.uninstall()
    newer = build_crd(RESOURCES[0])
    assert newer["metadata"]["name"] == name
    add_field(newer)
    clean.api.apply(newer, manager="newer")
    await eventually(lambda: knows_field(clean.api, name), what="the newer kind is served")
    mesh = build_mesh("default", newer="kept", paused=True)
    clean.api.create(mesh)
    clean.subscribe()
    refused = await eventually(
        lambda: find_refusal(clean), seconds=120, every=0.2, what="the InstallPlan is refused"
    )
    assert "0.1.0 (0.2.0 is there)" in refused
    assert "install that release or a newer one" in refused
    assert (clean.api.get("mesh", "default", "demo") or {})["spec"]["newer"] == "kept"
    clean.cluster.run("annotate", "crd", name, "mesh.navarch.io/release-")
    await clean.uninstall()
    clean.subscribe()
    await clean.see(RELEASE)
    assert not knows_field(clean.api, name)


def knows_field(api: Api, name: str) -> bool:
    crd = api.get("crd", "", name) or {}
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return "newer" in schema["properties"]


def find_refusal(hub: Hub) -> str:
    """What the InstallPlan of Navarch says of why it failed."""
    said = hub.cluster.run(
        "get",
        "installplans.operators.coreos.com",
        "-n",
        SYSTEM,
        "-o",
        "jsonpath={.items[*].status}",
    )
    return said if "denied request" in said else ""


async def test_an_upgrade_of_navarch_waits_for_an_istiod_that_is_being_replaced(clean: Hub) -> None:
    await clean.install(BEFORE)
    name = {"name": "OPERATOR_CONDITION_NAME", "value": BEFORE.name}
    await eventually(lambda: name in clean.read_container()["env"], what="OLM names its OperatorCondition")
    state = clean.cluster.state
    async with a_replica(clean) as operator:
        mesh = await make_mesh(clean.api, operator, version="1.30")
        assert read_upgradeable(clean) == {}
        scheduler = processes.halt(state, "kube-scheduler")
        try:
            edit(clean.api, mesh.namespace, version="1.31")
            await wait_for(
                clean.api, mesh.namespace, condition="Progressing", status="True", reason="RollingOut"
            )
            told = await eventually(lambda: read_upgradeable(clean), what="OLM is told")
            assert told["status"] == "False"
            assert f"{mesh.namespace}/demo" in told["message"]
            clean.publish(BEFORE, RELEASE)
            status = await clean.see(RELEASE, "Pending", reason="OperatorConditionNotUpgradeable")
            assert told["message"] in status["message"]
            assert clean.read_status(BEFORE)["phase"] != "Deleting"
            assert name in clean.read_container()["env"]
        finally:
            processes.resume(state, scheduler, log=state / "log" / "kube-scheduler.log")
        await clean.see(RELEASE)
        found = await wait_for(clean.api, mesh.namespace)
        assert found["status"]["version"]["active"].startswith("1.31.")


def read_upgradeable(hub: Hub) -> Object:
    """The condition Upgradeable that the operator gave OLM for the release before."""
    spec = hub.read("operatorcondition", BEFORE.name).get("spec") or {}
    return next((dict(c) for c in spec.get("conditions", ()) if c["type"] == "Upgradeable"), {})
