"""Every change of an object of a mesh is put back by one write, and what others added stays.

Everything happens to one mesh that has every kind of object there is. The audit log is the witness.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from navarch.assets import load_assets
from navarch.core.istio.roles import build_roles
from navarch.core.model.labels import APPLIED
from navarch.core.model.naming import Names

from lab.cluster import Cluster
from tests.cluster.conftest import remove_namespace
from tests.polling import eventually
from tests.support.activity import read_metric, wait_for_removals, wait_for_rest
from tests.support.api import Api, Object
from tests.support.audit import Audit, Request
from tests.support.meshes import build_mesh, list_owned, wait_for
from tests.support.operator import USER, Operator

NS = "drift"
TAG = f"{NS}-demo"
REV = f"{TAG}-inplace"
NAMES, ROLES = Names(NS, REV), build_roles(load_assets(), "1.31")
SPEC: dict[str, Any] = {
    "mtls": {"mode": "Strict"},
    "defaultTag": True,
    "controlPlane": {
        "autoscaling": {"minReplicas": 2, "maxReplicas": 4},
        "networkPolicy": True,
        "gatewayController": False,
    },
}
CALM_SECONDS = 60.0


@dataclass(frozen=True)
class Case:
    """An object of the mesh, and a patch that changes a field of it which is ours."""

    kind: str
    name: str
    edit: Any
    namespace: str = NS

    def __str__(self) -> str:
        return f"{self.kind}-{self.name}"


OTHER_RULES = [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["DELETE"]}]
OTHER_ARGUMENT = [
    {"op": "replace", "path": "/spec/template/spec/containers/0/args/1", "value": "--monitoringAddr=:1"}
]
OTHER_SELECTOR = {"spec": {"selector": {"app": "other"}}}
CASES = (
    Case("serviceaccount", f"istiod-{REV}", {"metadata": {"labels": {"app": "other"}}}),
    Case("clusterrole", NAMES.webhook_role, {"rules": []}, ""),
    Case("clusterrolebinding", NAMES.cluster_binding(ROLES.confined.name), {"subjects": []}, ""),
    Case("clusterrolebinding", NAMES.webhook_role, {"subjects": []}, ""),
    Case("rolebinding", NAMES.binding(ROLES.namespace.name), {"subjects": []}),
    Case("configmap", f"istio-{REV}", {"data": {"mesh": "trustDomain: other"}}),
    Case("configmap", f"istio-sidecar-injector-{REV}", {"data": {"values": "{}"}}),
    Case("configmap", f"values-{REV}", {"data": {"merged-values": "{}"}}),
    Case("service", f"istiod-{REV}", OTHER_SELECTOR),
    Case("service", f"istiod-revision-tag-{TAG}", OTHER_SELECTOR),
    Case("service", "istiod-revision-tag-default", OTHER_SELECTOR),
    Case("networkpolicy", f"istiod-{REV}", {"spec": {"ingress": []}}),
    Case("deployment", f"istiod-{REV}", OTHER_ARGUMENT),
    Case("hpa", f"istiod-{REV}", {"spec": {"maxReplicas": 7}}),
    Case("pdb", f"istiod-{REV}", {"spec": {"minAvailable": 0}}),
    Case("mwc", f"istio-sidecar-injector-{REV}-{NS}", OTHER_RULES, ""),
    Case("mwc", f"istio-revision-tag-{TAG}", OTHER_RULES, ""),
    Case("mwc", f"istio-revision-tag-default-{NS}", OTHER_RULES, ""),
    Case("vwc", f"istio-validator-{REV}-{NS}", OTHER_RULES, ""),
    Case("vwc", "istiod-default-validator", OTHER_RULES, ""),
    Case("peerauthentication", "default", {"spec": {"mtls": {"mode": "PERMISSIVE"}}}),
    Case("revision", REV, {"spec": {"config": {"mtls": {"mode": "Permissive"}}}}),
)
CRD = Case("crd", "wasmplugins.extensions.istio.io", {"spec": {"names": {"categories": ["other"]}}}, "")
ONE_OF_EACH = tuple({case.kind: case for case in CASES}.values())


def strip(manifest: Object | None) -> Object | None:
    """An object without what the API server, its controllers and istiod write."""
    if manifest is None or "deletionTimestamp" in manifest["metadata"]:
        return None
    metadata = {
        k: v for k, v in manifest["metadata"].items() if k in ("name", "namespace", "labels", "annotations")
    }
    metadata["annotations"] = {k: v for k, v in (metadata.get("annotations") or {}).items() if k == APPLIED}
    stripped = {k: v for k, v in manifest.items() if k != "status"} | {"metadata": metadata}
    theirs = {"Deployment": ["replicas"], "Service": ["clusterIP", "clusterIPs"]}.get(manifest["kind"], [])
    if theirs:
        stripped["spec"] = {k: v for k, v in manifest["spec"].items() if k not in theirs}
    return stripped


@dataclass
class Scene:
    """The mesh that has everything, settled; and who can change it, repair it, and tell."""

    api: Api
    audit: Audit
    operator: Operator
    cluster: Cluster

    def get(self, case: Case) -> Object:
        found = self.api.get(case.kind, case.namespace, case.name)
        assert found is not None, f"there is no {case}"
        return found

    def change(self, case: Case, patch: Any) -> None:
        """Patch as a cluster administrator; a MeshRevision, which is kept from them, as the operator."""
        if case.kind == "revision":
            how = ("-n", NS, f"--as={USER}", "--type=merge", "-p", json.dumps(patch))
            self.cluster.run("patch", "meshrevision", case.name, *how)
        else:
            self.api.patch(case.kind, case.namespace, case.name, patch)

    def remove(self, case: Case) -> None:
        if case.kind == "revision":
            self.cluster.run("delete", "meshrevision", case.name, "-n", NS, f"--as={USER}")
        else:
            self.api.delete(case.kind, case.namespace, case.name)

    async def settle(self) -> None:
        await wait_for(self.api, NS)
        await wait_for_rest(self.operator)

    def list_writes(self, mark: int) -> list[Request]:
        """The operator's writes, status aside."""
        return [write for write in self.audit.writes(mark) if write.subresource != "status"]

    async def see_repaired(self, case: Case, *, before: Object, mark: int) -> Object:
        """The object, once it is as it was; by then the operator has written it, once, and nothing else."""
        wanted = strip(before)
        await eventually(
            lambda: strip(self.api.get(case.kind, case.namespace, case.name)) == wanted,
            seconds=30,
            every=0.05,
            what=f"{case} is as it was",
        )
        await self.settle()
        writes, after = self.list_writes(mark), self.get(case)
        records = [w for w in writes if w.name == f"inventory.{NS}.demo"]
        repairs = [(w.verb, w.name, w.code // 100) for w in writes if w not in records]
        assert repairs == [("patch", case.name, 2)], list(map(str, writes))
        # An object that was made anew is another one, which the inventory says.
        assert len(records) <= (after["metadata"]["uid"] != before["metadata"]["uid"]), list(map(str, writes))
        assert strip(after) == wanted
        return after

    def count_repairs(self) -> float:
        return read_metric(self.operator, "drift_repaired_total")


@pytest.fixture(scope="module")
async def scene(api: Api, audit: Audit, operator: Operator, installed: Cluster) -> AsyncIterator[Scene]:
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}})
    api.create(build_mesh(NS, **SPEC))
    await wait_for_removals(api)
    scene = Scene(api, audit, operator, installed)
    await scene.settle()
    yield scene
    remove_namespace(api, NS)
    await eventually(lambda: api.get("namespace", "", NS) is None, seconds=60, every=0.2, what="it is gone")


def test_the_cases_are_all_that_a_mesh_has(scene: Scene) -> None:
    def name(manifest: Object) -> tuple[str, str, str]:
        metadata = manifest["metadata"]
        return manifest["kind"], metadata.get("namespace", ""), metadata["name"]

    assert {name(scene.get(case)) for case in CASES} == {name(o) for o in list_owned(scene.api, NS)}


@pytest.mark.parametrize("case", [*CASES, CRD], ids=str)
async def test_an_edited_object_is_put_back_by_one_write_and_an_event_tells(scene: Scene, case: Case) -> None:
    before, mark, repairs = scene.get(case), scene.audit.mark(), scene.count_repairs()
    scene.change(case, case.edit)
    after = await scene.see_repaired(case, before=before, mark=mark)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert scene.count_repairs() == repairs + 1
    told = [event["note"] for event in scene.api.list("event") if event["reason"] == "DriftRepaired"]
    assert [note for note in told if case.name in note]


@pytest.mark.parametrize("case", [*CASES, CRD], ids=str)
async def test_a_deleted_object_is_put_back_by_one_write(scene: Scene, case: Case) -> None:
    before, mark, repairs = scene.get(case), scene.audit.mark(), scene.count_repairs()
    scene.remove(case)
    after = await scene.see_repaired(case, before=before, mark=mark)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert scene.count_repairs() == repairs + 1


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=str)
async def test_an_object_whose_labels_were_taken_off_gets_them_back(scene: Scene, case: Case) -> None:
    before, mark = scene.get(case), scene.audit.mark()
    prefixes = ("mesh.navarch.io/", "app.kubernetes.io/")
    ours = [label for label in before["metadata"]["labels"] if label.startswith(prefixes)]
    scene.change(case, {"metadata": {"labels": dict.fromkeys(ours)}})
    after = await scene.see_repaired(case, before=before, mark=mark)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


@pytest.mark.parametrize("label", ["revision", "component", "mesh-name", "mesh-uid"])
@pytest.mark.parametrize("value", [None, "tags"])
async def test_one_changed_label_does_not_make_an_object_surplus(
    scene: Scene, label: str, value: str | None
) -> None:
    case = next(case for case in CASES if case.kind == "deployment")
    before, mark = scene.get(case), scene.audit.mark()
    scene.change(case, {"metadata": {"labels": {f"mesh.navarch.io/{label}": value}}})
    after = await scene.see_repaired(case, before=before, mark=mark)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


THEIRS = {"labels": {"theirs": "1"}, "annotations": {"theirs": "1"}}
RESTART = "kubectl.kubernetes.io/restartedAt"
ADDITIONS: dict[str, Object] = {
    "service": {"spec": {"ports": [{"name": "theirs", "port": 9999}]}},
    "configmap": {"data": {"theirs": "1"}},
    "deployment": {"spec": {"template": {"metadata": {"annotations": {RESTART: "now"}}}}},
}


def add_theirs(scene: Scene, case: Case) -> None:
    """Apply something beside our own fields, as another field manager."""
    if case.kind == "revision":
        scene.change(case, {"metadata": THEIRS})
        return
    there = scene.get(case)
    metadata = {"name": case.name, **THEIRS} | ({"namespace": case.namespace} if case.namespace else {})
    manifest = {"apiVersion": there["apiVersion"], "kind": there["kind"], "metadata": metadata}
    scene.api.apply(manifest | ADDITIONS.get(case.kind, {}), manager="stranger")


def has_theirs(manifest: Object) -> bool:
    """Whether all that was added is still there."""
    if any(manifest["metadata"][key].get("theirs") != "1" for key in THEIRS):
        return False
    match manifest["kind"]:
        case "Service":
            return 9999 in [port["port"] for port in manifest["spec"]["ports"]]
        case "ConfigMap":
            return bool(manifest["data"].get("theirs") == "1")
        case "Deployment":
            return RESTART in manifest["spec"]["template"]["metadata"]["annotations"]
    return True


async def test_what_another_client_added_stays(scene: Scene) -> None:
    mark = scene.audit.mark()
    for case in CASES:
        add_theirs(scene, case)
    await scene.settle()
    assert list(map(str, scene.list_writes(mark))) == []
    assert [str(case) for case in CASES if not has_theirs(scene.get(case))] == []
    # A repair beside them leaves them alone, too.
    edited = [case for case in CASES if case.kind in ADDITIONS]
    before = [strip(scene.get(case)) for case in edited]
    for case in edited:
        scene.change(case, case.edit)
    await eventually(
        lambda: [strip(scene.get(case)) for case in edited] == before, seconds=30, what="all are put back"
    )
    await scene.settle()
    assert [str(case) for case in CASES if not has_theirs(scene.get(case))] == []


async def test_what_istiod_writes_into_webhooks_is_left_to_istiod(scene: Scene) -> None:
    validator = Case("vwc", f"istio-validator-{REV}-{NS}", None, "")
    injector = Case("mwc", f"istio-revision-tag-{TAG}", None, "")
    mark = scene.audit.mark()
    scene.change(validator, [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}])
    scene.change(injector, [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}])

    def is_restored() -> bool:
        policies = {webhook["failurePolicy"] for webhook in scene.get(validator)["webhooks"]}
        bundles = ["caBundle" in webhook["clientConfig"] for webhook in scene.get(injector)["webhooks"]]
        return policies == {"Fail"} and all(bundles)

    await eventually(is_restored, seconds=30, every=0.1, what="istiod has put its fields back")
    await scene.settle()
    assert list(map(str, scene.list_writes(mark))) == []


async def test_the_autoscalers_replicas_are_left_alone(scene: Scene) -> None:
    deployment = next(case for case in CASES if case.kind == "deployment")
    mark = scene.audit.mark()
    scene.api.patch("deployment", NS, deployment.name, {"spec": {"replicas": 3}}, sub="scale")
    await eventually(
        lambda: scene.get(deployment)["status"].get("availableReplicas") == 3,
        seconds=30,
        every=0.1,
        what="three istiods run",
    )
    await scene.settle()
    assert scene.get(deployment)["spec"]["replicas"] == 3
    assert list(map(str, scene.list_writes(mark))) == []


async def test_settled_meshes_cause_no_write_for_a_minute(scene: Scene, fresh: str) -> None:
    """However often they are looked at: a mesh with every object, and an older one with the fewest."""
    scene.api.create(build_mesh(fresh, version="1.30"))
    await wait_for(scene.api, fresh)
    await scene.settle()
    mark, looks, started = scene.audit.mark(), 0, time.monotonic()

    def is_over() -> bool:
        nonlocal looks
        elapsed = time.monotonic() - started
        if elapsed >= looks * CALM_SECONDS / 6:
            looks += 1
            look = {"metadata": {"annotations": {"look": str(looks)}}}
            for namespace in (NS, fresh):
                scene.api.patch("mesh", namespace, "demo", look)
        return bool(scene.audit.writes(mark)) or elapsed >= CALM_SECONDS

    await eventually(is_over, seconds=CALM_SECONDS + 10, every=0.5)
    assert list(map(str, scene.audit.writes(mark))) == []
    assert looks >= 6
