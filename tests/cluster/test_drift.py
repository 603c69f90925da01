"""Whatever somebody else does to an object of a mesh is put back by one write, and what is not ours stays theirs.

Everything happens to one mesh that has every kind of object there is. The audit log is the witness.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from lab.cluster import Cluster
from navarch.core.labels import APPLIED
from tests.cluster.conftest import remove_namespace
from tests.polling import eventually
from tests.support.activity import read_metric, wait_for_rest
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.meshes import build_mesh, list_owned, wait_for
from tests.support.operator import USER, Operator

NS = "drift"
TAG = f"{NS}-demo"
REV = f"{TAG}-inplace"
SPEC: dict[str, Any] = {
    "mtls": {"mode": "Strict"},
    "defaultTag": True,
    "controlPlane": {"autoscaling": {"minReplicas": 2, "maxReplicas": 4}, "networkPolicy": True},
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
    Case("clusterrole", f"istiod-clusterrole-{REV}-{NS}", {"rules": []}, ""),
    Case("clusterrole", f"istiod-gateway-controller-{REV}-{NS}", {"rules": []}, ""),
    Case("clusterrolebinding", f"istiod-clusterrole-{REV}-{NS}", {"subjects": []}, ""),
    Case("clusterrolebinding", f"istiod-gateway-controller-{REV}-{NS}", {"subjects": []}, ""),
    Case("role", f"istiod-{REV}", {"rules": []}),
    Case("rolebinding", f"istiod-{REV}", {"subjects": []}),
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


@pytest.fixture(scope="module")
async def drifting(api: Api, operator: Operator, installed: Cluster) -> AsyncIterator[Object]:
    """The mesh that has everything, settled."""
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}})
    api.create(build_mesh(NS, **SPEC))
    mesh = await wait_for(api, NS)
    await wait_for_rest(operator)
    yield mesh
    remove_namespace(api, NS)
    await eventually(
        lambda: api.get("namespace", "", NS) is None, seconds=60, every=0.2, what="the mesh is gone"
    )


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


def change(api: Api, installed: Cluster, case: Case, patch: Any) -> None:
    """Patch as a cluster administrator; a MeshRevision, which a policy keeps even from them, in the operator's name."""
    if case.kind != "revision":
        api.patch(case.kind, case.namespace, case.name, patch)
        return
    installed.run(
        "patch", "meshrevision", case.name, "-n", NS, f"--as={USER}", "--type=merge", "-p", json.dumps(patch)
    )


def remove(api: Api, installed: Cluster, case: Case) -> None:
    if case.kind == "revision":
        installed.run("delete", "meshrevision", case.name, "-n", NS, f"--as={USER}")
    else:
        api.delete(case.kind, case.namespace, case.name)


async def see_repaired(
    api: Api, audit: Audit, operator: Operator, case: Case, *, before: Object, mark: int
) -> Object:
    """Waits until the object is as it was; by then the operator must have written exactly it, exactly once."""
    wanted = strip(before)
    await eventually(
        lambda: strip(api.get(case.kind, case.namespace, case.name)) == wanted,
        seconds=30,
        every=0.05,
        what=f"{case} is as it was",
    )
    await wait_for(api, NS)
    await wait_for_rest(operator)
    writes = [write for write in audit.writes(mark) if write.subresource != "status"]
    assert [(w.verb, w.name, w.code // 100) for w in writes] == [("patch", case.name, 2)], list(
        map(str, writes)
    )
    after = api.get(case.kind, case.namespace, case.name)
    assert after is not None
    assert strip(after) == wanted
    return after


def count_repairs(operator: Operator) -> float:
    return read_metric(operator, "drift_repaired_total")


def test_the_cases_are_all_that_a_mesh_has(api: Api, drifting: Object) -> None:
    there = {
        (o["kind"], o["metadata"].get("namespace", ""), o["metadata"]["name"]) for o in list_owned(api, NS)
    }
    assert {(kind_of(api, c), c.namespace, c.name) for c in CASES} == there


def kind_of(api: Api, case: Case) -> str:
    found = api.get(case.kind, case.namespace, case.name)
    return found["kind"] if found else f"no {case.kind}"


@pytest.mark.parametrize("case", [*CASES, CRD], ids=str)
async def test_an_edited_object_is_put_back_by_one_write(
    api: Api, audit: Audit, operator: Operator, installed: Cluster, drifting: Object, case: Case
) -> None:
    before = api.get(case.kind, case.namespace, case.name)
    assert before is not None
    mark, repairs = audit.mark(), count_repairs(operator)
    change(api, installed, case, case.edit)
    after = await see_repaired(api, audit, operator, case, before=before, mark=mark)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert count_repairs(operator) == repairs + 1


@pytest.mark.parametrize("case", [*CASES, CRD], ids=str)
async def test_a_deleted_object_is_put_back_by_one_write(
    api: Api, audit: Audit, operator: Operator, installed: Cluster, drifting: Object, case: Case
) -> None:
    before = api.get(case.kind, case.namespace, case.name)
    assert before is not None
    mark, repairs = audit.mark(), count_repairs(operator)
    remove(api, installed, case)
    after = await see_repaired(api, audit, operator, case, before=before, mark=mark)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert count_repairs(operator) == repairs + 1


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=str)
async def test_an_object_whose_labels_were_taken_off_gets_them_back(
    api: Api, audit: Audit, operator: Operator, installed: Cluster, drifting: Object, case: Case
) -> None:
    before = api.get(case.kind, case.namespace, case.name)
    assert before is not None
    ours = [
        key
        for key in before["metadata"]["labels"]
        if key.startswith(("mesh.navarch.io/", "app.kubernetes.io/"))
    ]
    mark = audit.mark()
    change(api, installed, case, {"metadata": {"labels": dict.fromkeys(ours)}})
    after = await see_repaired(api, audit, operator, case, before=before, mark=mark)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


@pytest.mark.parametrize("label", ["revision", "component", "mesh-name", "mesh-uid"])
@pytest.mark.parametrize("value", [None, "tags"])
async def test_one_changed_label_does_not_make_an_object_surplus(
    api: Api,
    audit: Audit,
    operator: Operator,
    installed: Cluster,
    drifting: Object,
    label: str,
    value: str | None,
) -> None:
    case = next(case for case in CASES if case.kind == "deployment")
    before = api.get(case.kind, case.namespace, case.name)
    assert before is not None
    mark = audit.mark()
    change(api, installed, case, {"metadata": {"labels": {f"mesh.navarch.io/{label}": value}}})
    after = await see_repaired(api, audit, operator, case, before=before, mark=mark)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


async def test_repairs_are_told_as_events(api: Api, drifting: Object) -> None:
    told = " ".join(e["note"] for e in api.list("event", NS) if e["reason"] == "DriftRepaired")
    missing = [str(case) for case in CASES if case.name not in told]
    assert missing == []


ADDITIONS: dict[str, Object] = {
    "service": {"spec": {"ports": [{"name": "theirs", "port": 9999}]}},
    "configmap": {"data": {"theirs": "1"}},
    "deployment": {
        "spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}
    },
}


async def test_what_somebody_else_added_stays_theirs(
    api: Api, audit: Audit, operator: Operator, installed: Cluster, drifting: Object
) -> None:
    mark = audit.mark()
    for case in CASES:
        metadata = {"labels": {"theirs": "1"}, "annotations": {"theirs": "1"}}
        there = api.get(case.kind, case.namespace, case.name)
        assert there is not None
        manifest = {"apiVersion": there["apiVersion"], "kind": there["kind"]}
        manifest |= {"metadata": {"name": case.name, **metadata}, **ADDITIONS.get(case.kind, {})}
        if case.namespace:
            manifest["metadata"]["namespace"] = case.namespace
        if case.kind == "revision":
            change(api, installed, case, {"metadata": metadata})
        else:
            api.apply(manifest, manager="stranger")
    await wait_for(api, NS)
    await wait_for_rest(operator)
    assert [str(w) for w in audit.writes(mark) if w.subresource != "status"] == []
    # A repair leaves them alone, too.
    for case in (c for c in CASES if c.kind in ADDITIONS):
        change(api, installed, case, case.edit)
    await wait_for_rest(operator)
    await wait_for(api, NS)
    for case in CASES:
        found = api.get(case.kind, case.namespace, case.name)
        assert found is not None
        assert found["metadata"]["labels"]["theirs"] == found["metadata"]["annotations"]["theirs"] == "1", (
            str(case)
        )
        match case.kind:
            case "service":
                assert 9999 in [port["port"] for port in found["spec"]["ports"]]
            case "configmap":
                assert found["data"]["theirs"] == "1"
            case "deployment":
                assert found["spec"]["template"]["metadata"]["annotations"][
                    "kubectl.kubernetes.io/restartedAt"
                ]


async def test_what_istiod_writes_into_webhooks_is_left_to_istiod(
    api: Api, audit: Audit, operator: Operator, drifting: Object
) -> None:
    name = f"istio-validator-{REV}-{NS}"
    mark = audit.mark()
    policy = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
    api.patch("vwc", "", name, policy)
    bundle = [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]
    api.patch("mwc", "", f"istio-revision-tag-{TAG}", bundle)

    def is_restored() -> bool:
        validator = api.get("vwc", "", name) or {}
        injector = api.get("mwc", "", f"istio-revision-tag-{TAG}") or {}
        policies = {webhook["failurePolicy"] for webhook in validator["webhooks"]}
        return policies == {"Fail"} and all("caBundle" in w["clientConfig"] for w in injector["webhooks"])

    await eventually(is_restored, seconds=30, every=0.1, what="istiod has put its fields back")
    await wait_for(api, NS)
    await wait_for_rest(operator)
    assert [str(w) for w in audit.writes(mark) if w.subresource != "status"] == []


async def test_the_autoscalers_replicas_are_left_alone(
    api: Api, audit: Audit, operator: Operator, drifting: Object
) -> None:
    mark = audit.mark()
    api.patch("deployment", NS, f"istiod-{REV}", {"spec": {"replicas": 3}}, sub="scale")

    def is_scaled() -> bool:
        status = (api.get("deployment", NS, f"istiod-{REV}") or {}).get("status", {})
        return bool(status.get("availableReplicas") == 3)

    await eventually(is_scaled, seconds=30, every=0.1, what="three istiods run")
    await wait_for(api, NS)
    await wait_for_rest(operator)
    deployment = api.get("deployment", NS, f"istiod-{REV}")
    assert deployment is not None
    assert deployment["spec"]["replicas"] == 3
    assert [str(w) for w in audit.writes(mark) if w.subresource != "status"] == []


async def test_settled_meshes_cause_no_write_for_a_minute(
    api: Api, audit: Audit, operator: Operator, drifting: Object, fresh: str
) -> None:
    """However often they are looked at: a mesh with every object, and an older one with the fewest."""
    api.create(build_mesh(fresh, version="1.30"))
    await wait_for(api, fresh)
    await wait_for_rest(operator)
    mark, looks, started = audit.mark(), 0, time.monotonic()

    def is_over() -> bool:
        nonlocal looks
        elapsed = time.monotonic() - started
        if elapsed >= looks * CALM_SECONDS / 6:
            looks += 1
            for namespace in (NS, fresh):
                api.patch("mesh", namespace, "demo", {"metadata": {"annotations": {"look": str(looks)}}})
        return bool(audit.writes(mark)) or elapsed >= CALM_SECONDS

    await eventually(is_over, seconds=CALM_SECONDS + 10, every=0.5)
    assert [str(write) for write in audit.writes(mark)] == []
    assert looks >= 6
