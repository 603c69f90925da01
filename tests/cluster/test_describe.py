"""`navarch describe`, as a process: the tree of a mesh, and the reason at each node that is not well."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import yaml

from lab.cluster import Cluster, service_account_kubeconfig
from tests.cluster.conftest import a_mesh_namespace
from tests.golden.rendering import NEWEST
from tests.polling import eventually
from tests.support.activity import wait_for_rest
from tests.support.api import Api, Object
from tests.support.command import navarch
from tests.support.meshes import edit, read_condition, wait_for
from tests.support.operator import Operator

_numbers = count(1)


async def describe(kubeconfig: Path, namespace: str) -> Object:
    """The tree for programs."""
    ended = await asyncio.to_thread(
        navarch, "describe", "demo", "-n", namespace, "-o", "json", kubeconfig=kubeconfig
    )
    assert ended.code == 0, ended
    tree: Object = ended.json["tree"]
    return tree


def walk(node: Object) -> Iterator[Object]:
    yield node
    for child in node["children"]:
        yield from walk(child)


def find(tree: Object, kind: str, name: str = "") -> Object:
    """The one node of a kind (and a name)."""
    (found,) = [n for n in walk(tree) if n["kind"] == kind and name in ("", n["name"])]
    return found


def list_troubles(tree: Object) -> set[tuple[str, str]]:
    """What is not well: the kind of the node, and the id."""
    return {(n["kind"], t["id"]) for n in walk(tree) for t in n["troubles"]} - {
        ("MeshControlPlane", "UntestedKubernetes")
    }


def build_pod(namespace: str, name: str, mesh: str, *, stamp: str) -> Object:
    """A pod that says that it was injected; in the lab it does not run."""
    labels = {"service.istio.io/canonical-name": "web", "sidecar.istio.io/inject": "false", "app": name}
    annotations = {"sidecar.istio.io/status": f'{{"revision": "{mesh}"}}', "mesh.navarch.io/proxy": stamp}
    metadata = {"name": name, "namespace": namespace, "labels": labels, "annotations": annotations}
    containers = [{"name": "app", "image": "app.invalid/app:1"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}}


def build_deployment(namespace: str, name: str, mesh: str, *, stamp: str, replicas: int) -> Object:
    """A Deployment of such pods."""
    pod = build_pod(namespace, name, mesh, stamp=stamp)
    metadata = {key: pod["metadata"][key] for key in ("labels", "annotations")}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": metadata, "spec": pod["spec"]},
        },
    }


@pytest.fixture
def members(api: Api, running: str) -> Iterator[str]:
    """A namespace for workloads, of a name of its own: the one before may still be going."""
    with a_mesh_namespace(api, f"{running}-apps-{next(_numbers)}") as name:
        yield name


async def test_a_mesh_that_is_well_is_a_tree_without_a_trouble(
    api: Api, light: Cluster, operator: Operator, lent: str
) -> None:
    await wait_for_rest(operator)
    tree = await describe(light.kubeconfig, lent)
    assert list_troubles(tree) == set()
    assert (tree["kind"], tree["name"]) == ("MeshControlPlane", f"{lent}/demo")
    assert tree["facts"]["version"] == tree["facts"]["desired"] == NEWEST
    assert tree["facts"]["ready"] == "True"
    revision = find(tree, "MeshRevision", f"{lent}-demo-inplace")
    assert revision["facts"]["version"] == NEWEST
    istiod = find(revision, "Deployment", f"istiod-{lent}-demo-inplace")
    assert istiod["facts"] == {"ready": 1, "desired": 1}
    assert find(revision, "Injection")["summary"] == "proved"
    assert find(tree, "Proxies")["summary"] == "none"
    events = find(tree, "Events")["children"]
    said = [e["summary"] for e in events if e["name"] == "AsExpected"]
    assert any("Ready" in summary and "now True" in summary for summary in said), said
    assert {e["facts"]["source"] for e in events} == {"mesh.navarch.io/operator"}
    assert [e["facts"]["at"] for e in events] == sorted(e["facts"]["at"] for e in events)


async def test_a_reason_stands_at_the_node_that_is_not_well_and_nowhere_else(
    api: Api, light: Cluster, operator: Operator, lent: str
) -> None:
    edit(api, lent, controlPlane={"placement": {"nodeSelector": {"no": "where"}}})
    await wait_for(api, lent, condition="Progressing", reason="RolloutStuck")
    await wait_for_rest(operator)
    tree = await describe(light.kubeconfig, lent)
    assert list_troubles(tree) == {("Deployment", "RolloutStuck")}
    (trouble,) = find(tree, "Deployment")["troubles"]
    assert "Unschedulable" in trouble["message"]
    assert trouble["severity"] == "error"
    assert tree["facts"]["ready"] == "False"
    edit(api, lent, controlPlane={"placement": None}, meshConfig={"accesLogFile": "x"})
    await wait_for(api, lent)
    await wait_for_rest(operator)
    tree = await describe(light.kubeconfig, lent)
    assert list_troubles(tree) == {("MeshControlPlane", "UnknownField")}


async def test_proxies_are_counted_by_workload_and_what_must_be_restarted_is_told_there(
    api: Api, light: Cluster, operator: Operator, lent: str, members: str
) -> None:
    mesh = f"{lent}-demo-inplace"
    revision = api.get("revision", lent, mesh)
    assert revision is not None
    current = revision["status"]["proxy"]
    api.patch("namespace", "", members, {"metadata": {"labels": {"istio.io/rev": f"{lent}-demo"}}})
    api.create(build_deployment(members, "old", mesh, stamp="1.30.0-old", replicas=2))
    api.create(build_deployment(members, "new", mesh, stamp=current, replicas=1))
    api.create(build_pod(members, "bare", mesh, stamp="1.30.0-old"))

    def is_counted() -> bool:
        found = api.get("mesh", lent, "demo") or {}
        return bool(found["status"]["proxies"]["summary"] == "1/4")

    await eventually(is_counted, seconds=60, what="the census has all four")
    tree = await describe(light.kubeconfig, lent)
    namespace = find(tree, "Namespace", members)
    assert namespace["facts"] == {"current": 1, "outdated": 2, "manual": 1}
    assert list_troubles(tree) == {("Pod", "ProxiesOutdated"), ("Deployment", "ProxiesOutdated")}
    assert find(namespace, "Deployment", "new")["troubles"] == []
    (trouble,) = find(namespace, "Deployment", "old")["troubles"]
    assert trouble["message"] == "2 of 2 pods run an older proxy"
    assert trouble["remedy"] == f"kubectl rollout restart deployment/old -n {members}"
    assert "belongs to nothing" in find(namespace, "Pod", "bare")["troubles"][0]["remedy"]
    counted = (api.get("mesh", lent, "demo") or {})["status"]["proxies"]
    assert counted["manual"] == 1
    assert counted["manualWorkloads"] == [{"namespace": members, "kind": "Pod", "name": "bare", "pods": 1}]


async def test_a_namespace_and_a_pod_say_what_a_new_pod_would_get_and_by_which_webhook(
    api: Api, light: Cluster, operator: Operator, lent: str, members: str
) -> None:
    tag, revision = f"{lent}-demo", f"{lent}-demo-inplace"
    label = {"istio.io/rev": tag}
    api.patch("namespace", "", members, {"metadata": {"labels": label}})
    refusing = build_pod(members, "refusing", revision, stamp="1.30.0-old")
    api.create(refusing)
    place = await look(light.kubeconfig, f"namespace/{members}")
    assert place["facts"]["meshes"] == [f"{lent}/demo"]
    new = find(place, "Injection", "of a pod without labels")["facts"]
    expected = {"revision": revision, "tag": tag, "mesh": f"{lent}/demo", "asks": tag, "refusal": ""}
    assert new | expected == new
    assert new["by"] == f"label istio.io/rev={tag} of the namespace"
    # What it says is what the API server does: the webhook that is named exists, and its entry, too.
    webhook = api.get("mwc", "", new["webhook"])
    assert webhook is not None
    assert new["entry"] in [entry["name"] for entry in webhook["webhooks"]]
    pod = await look(light.kubeconfig, "pod/refusing", "-n", members)
    now, anew = (find(pod, "Injection", name)["facts"] for name in ("now", "if the pod were made anew"))
    assert (now["revision"], anew["revision"]) == (revision, "")
    assert anew["refusal"] == "label sidecar.istio.io/inject=false of the pod"
    api.patch("namespace", "", members, {"metadata": {"labels": {"istio-injection": "disabled"}}})
    mesh = await wait_for(api, lent, condition="SpecAccepted", reason="LabelsContradict")
    assert f"{members} (istio-injection=disabled)" in read_condition(mesh, "SpecAccepted")["message"]
    ended = await asyncio.to_thread(navarch, "describe", f"namespace/{members}", kubeconfig=light.kubeconfig)
    assert "of a pod without labels  no sidecar: label istio-injection=disabled of the namespace" in ended.out
    assert "LabelsContradict" in ended.out
    api.patch("namespace", "", members, {"metadata": {"labels": {"istio-injection": None}}})

    def is_over() -> bool:
        told = read_condition(api.get("mesh", lent, "demo"), "SpecAccepted")
        return bool(told["reason"] != "LabelsContradict")

    await eventually(is_over, seconds=30, what="the label is gone, and that is seen")


async def test_what_is_not_there_or_not_understood_is_said_on_standard_error(light: Cluster) -> None:
    for words in (("pod/none", "-n", "default"), ("roll/none",)):
        ended = await asyncio.to_thread(navarch, "describe", *words, kubeconfig=light.kubeconfig)
        assert (ended.code, ended.out) == (3, "")
        assert "none" in ended.err


async def look(kubeconfig: Path, *words: str) -> Object:
    """The tree of a namespace or a pod, for programs."""
    ended = await asyncio.to_thread(navarch, "describe", *words, "-o", "json", kubeconfig=kubeconfig)
    assert ended.code == 0, ended
    tree: Object = ended.json["tree"]
    return tree


async def test_the_tree_is_drawn_for_people_and_is_the_same_in_yaml(
    api: Api, light: Cluster, operator: Operator, lent: str
) -> None:
    await wait_for_rest(operator)
    ended = await asyncio.to_thread(navarch, "describe", "demo", "-n", lent, kubeconfig=light.kubeconfig)
    assert ended.code == 0
    assert "\x1b" not in ended.out
    lines = ended.out.splitlines()
    assert lines[0].startswith(f"MeshControlPlane {lent}/demo  Istio {NEWEST}, tag {lent}-demo, ready")
    assert f"├── MeshRevision {lent}-demo-inplace  serves Istio {NEWEST}" in lines
    assert f"│   ├── Deployment istiod-{lent}-demo-inplace  1 of 1 ready" in lines
    told = await asyncio.to_thread(
        navarch, "describe", "demo", "-n", lent, "-o", "yaml", kubeconfig=light.kubeconfig
    )
    assert yaml.safe_load(told.out)["tree"] == await describe(light.kubeconfig, lent)


async def test_a_user_who_may_see_one_namespace_gets_a_tree_of_what_is_in_it(
    api: Api, light: Cluster, operator: Operator, lent: str
) -> None:
    edit(api, lent, controlPlane={"placement": {"nodeSelector": {"no": "where"}}})
    await wait_for(api, lent, condition="Progressing", reason="RolloutStuck")
    await wait_for_rest(operator)
    metadata = {"name": "tenant", "namespace": lent}
    api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    api.create(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "ServiceAccount", "name": "tenant", "namespace": lent}],
        }
    )
    tenant = service_account_kubeconfig(light, lent, "tenant")
    tree = await describe(tenant, lent)
    expected = {("Deployment", "RolloutStuck"), ("MeshControlPlane", "ToldByOperator")}
    assert list_troubles(tree) == expected
    assert find(tree, "Proxies")["summary"].endswith("the only one that could be looked at")
    assert find(tree, "Events")["children"]
    edit(api, lent, controlPlane={"placement": None})
    await wait_for(api, lent)


async def test_a_mesh_that_is_not_there_is_said_on_standard_error(light: Cluster, operator: Operator) -> None:
    ended = await asyncio.to_thread(navarch, "describe", "none", "-n", "default", kubeconfig=light.kubeconfig)
    assert (ended.code, ended.out) == (3, "")
    assert "there is no mesh none in namespace default" in ended.err
