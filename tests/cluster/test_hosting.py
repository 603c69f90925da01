"""A hosted mesh on a real API server: who may have one, where it runs, and that it goes without a trace."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from navarch.core.model.naming import hosted_namespace

from lab.cluster import Cluster, service_account_kubeconfig
from tests.polling import eventually
from tests.support.admission import TENANT, bind, change, nest, say, submit
from tests.support.api import Api, Object, Refused
from tests.support.command import navarch
from tests.support.meshes import OWNED, build_mesh, edit, list_owned, read_condition, wait_for
from tests.support.operator import USER, Operator
from tests.support.workloads import build_pod, is_injected

CLUSTER_SCOPED = ("clusterrole", "clusterrolebinding", "mwc", "vwc")
HOSTED: dict[str, Any] = {"hosting": "Hosted", "scope": "Members"}


FRONT = {"ingress": [{"name": "front", "service": {"type": "ClusterIP"}}]}


def build_hosted(namespace: str, **spec: Any) -> Object:
    return build_mesh(namespace, **HOSTED, **spec)


def name_home(namespace: str) -> str:
    """Where the control plane of the mesh `demo` of a namespace runs."""
    return hosted_namespace(namespace, "demo")


@pytest.fixture
async def owned(api: Api, operator: Operator, fresh: str) -> str:
    """A namespace whose mesh administrator is TENANT, who has no other rights; policies are in force."""
    api.create(bind(fresh, "navarch-mesh-admin"))
    tenant = api.impersonating(TENANT)

    def is_in_force() -> bool:
        try:
            tenant.create(build_hosted(fresh), dry_run=True)
            tenant.create(build_mesh(fresh), dry_run=True)
        except Refused as refused:
            return "needs the verb host" in str(refused)
        return False

    await eventually(is_in_force, seconds=60, what="the tenant's role and the policies are in force")
    return fresh


def admit_viewer(api: Api, cluster: Cluster, namespace: str) -> Path:
    """A kubeconfig with the right to see one namespace, and nothing else."""
    account = {"name": "viewer", "namespace": namespace}
    api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    binding = bind(namespace, "view", user="viewer")
    api.apply({**binding, "subjects": [{"kind": "ServiceAccount", **account}]})
    return service_account_kubeconfig(cluster, namespace, "viewer")


async def wait_for_removal(api: Api, namespace: str) -> None:
    await eventually(lambda: api.get("mesh", namespace, "demo") is None, seconds=90, what="the mesh is gone")
    assert list_owned(api, namespace) == []
    assert api.get("namespace", "", name_home(namespace)) is None


async def test_a_tenant_makes_a_mesh_that_runs_where_the_tenant_cannot_enter(
    api: Api, installed: Cluster, owned: str
) -> None:
    tenant, home = api.impersonating(TENANT), name_home(owned)
    tenant.create(build_hosted(owned, profiles=["production"]))
    mesh = await wait_for(tenant, owned)
    assert mesh["status"]["controlPlaneNamespace"] == home
    namespace = api.get("namespace", "", home) or {}
    labels = namespace["metadata"]["labels"]
    assert labels["mesh.navarch.io/mesh-namespace"] == owned
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert api.get("secret", home, "istio-ca-secret") is not None
    objects = (o["metadata"] | {"kind": o["kind"]} for o in list_owned(api, owned))
    placed = {(o["kind"], o["namespace"]) for o in objects if "namespace" in o}
    assert {kind for kind, place in placed if place == owned} == {"MeshRevision"}
    assert {place for _, place in placed} == {owned, home}
    for kind in ("secret", "pod", "configmap", "deployment"):
        for method in ("get", "list", "create", "delete"):
            told = say(installed, "auth", "can-i", method, f"{kind}s", "-n", home)
            assert told, f"the tenant may {method} {kind}s"
    pod = api.create(build_pod(owned, "app", labels={"istio.io/rev": f"{owned}-demo"}), dry_run=True)
    assert is_injected(pod)
    assert f"istiod-{owned}-demo-inplace.{home}.svc:15012" in str(pod)
    tenant.delete("mesh", owned, "demo")
    await wait_for_removal(api, owned)


CODE: dict[tuple[str, ...], Any] = {
    ("tag",): "mine",
    ("defaultTag",): True,
    ("profiles",): ["of-an-administrator"],
    ("trust", "domain"): "example.org",
    ("trust", "additionalDomains"): ["victim.example.org"],
    ("images", "hub"): "registry.example.org/evil",
    ("images", "digests", "pilot"): "sha256:" + "0" * 64,
    ("images", "pullSecrets"): [{"name": "stolen"}],
    ("controlPlane", "environment"): [{"name": "PILOT_ENABLE_STATUS", "value": "true"}],
    ("controlPlane", "placement", "nodeSelector"): {"role": "master"},
    ("controlPlane", "placement", "priorityClassName"): "system-cluster-critical",
    ("controlPlane", "replicas"): 100,
    ("controlPlane", "resources", "requests", "cpu"): "64",
    ("controlPlane", "autoscaling", "maxReplicas"): 100,
    ("controlPlane", "logging", "level"): "all:debug",
    ("overlays",): [{"target": {"kind": "Deployment", "name": "istiod-x"}, "patch": {"spec": {}}}],
    ("proxy", "lifecycle"): {"postStart": {"exec": {"command": ["sh"]}}},
    ("proxy", "trafficCapture", "excludeOutboundPorts"): "443",
    ("mtls", "mode"): "Permissive",
    ("meshConfig", "extensionProviders"): [{"name": "x", "zipkin": {"service": "x.y", "port": 1}}],
    ("meshConfig", "defaultConfig", "proxyMetadata", "LD_PRELOAD"): "/tmp/x.so",
    ("values", "global", "meshNetworks"): {"n": {}},
    ("values", "pilot", "env"): {"X": "y"},
    ("values", "gatewayClasses"): {"istio": {"deployment": {}}},
    ("values", "global", "priorityClassName"): "system-cluster-critical",
}
"""What would run code with istiod's rights, or widen them or the mesh, each with a value."""


async def test_each_field_that_would_widen_what_a_hosted_istiod_is_needs_host(
    api: Api, installed: Cluster, owned: str
) -> None:
    for path, value in CODE.items():
        told = submit(installed, build_hosted(owned, **nest(path, value)))
        assert f"spec.{path[0]}" in told, (path, told)
    for spec in ({"scope": "Members"}, {**HOSTED, "hosting": "InNamespace"}, {}):
        assert "needs the verb host" in submit(installed, build_mesh(owned, **spec))
    assert "scope: Members" in submit(installed, build_mesh(owned, hosting="Hosted"))
    api.create(bind(owned, "navarch-mesh-host"))
    trusted = build_hosted(owned, trust={"domain": "example.org"})
    await eventually(lambda: submit(installed, trusted) == "", what="a holder of host may")


async def test_the_hosting_of_a_mesh_never_changes_and_its_gateways_are_beside_it(
    api: Api, owned: str
) -> None:
    tenant = api.impersonating(TENANT)
    tenant.create(build_hosted(owned, gateways=FRONT))
    told = change(api, owned, {"spec": {"hosting": None}})
    assert "the hosting of a mesh never changes" in told
    edit(tenant, owned, meshConfig={"accessLogFile": "/dev/stdout"})
    await wait_for(api, owned)
    await wait_for(api, owned, condition="GatewaysReady")
    assert api.get("deployment", owned, "front") is not None
    api.delete("mesh", owned, "demo")
    await wait_for_removal(api, owned)


async def test_what_another_does_to_a_hosted_namespace_is_put_back_and_its_pods_problems_are_told(
    api: Api, installed: Cluster, owned: str
) -> None:
    tenant, home = api.impersonating(TENANT), name_home(owned)
    tenant.create(build_hosted(owned))
    await wait_for(api, owned)
    wrong = {"pod-security.kubernetes.io/enforce": "privileged"}
    api.patch("namespace", "", home, {"metadata": {"labels": wrong}})

    def is_put_back() -> bool:
        labels = (api.get("namespace", "", home) or {})["metadata"]["labels"]
        return bool(labels["pod-security.kubernetes.io/enforce"] == "restricted")

    await eventually(is_put_back, what="the label is put back")
    before = (api.get("namespace", "", home) or {})["metadata"]["uid"]
    api.delete("namespace", "", home)

    def is_anew() -> bool:
        found = api.get("namespace", "", home)
        return found is not None and found["metadata"]["uid"] != before

    await eventually(is_anew, seconds=90, what="the namespace is made anew")
    await wait_for(api, owned, seconds=90)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": home}}
    api.create({**quota, "spec": {"hard": {"pods": "0"}}})
    for pod in api.list("pod", home):
        api.delete("pod", home, pod["metadata"]["name"])

    def is_told() -> bool:
        told = read_condition(tenant.get("mesh", owned, "demo"), "Progressing").get("message", "")
        return "exceeded quota: none" in told

    await eventually(is_told, seconds=60, what="the mesh quotes why istiod's pods cannot be made")
    for command in ("check", "describe"):
        ended = await asyncio.to_thread(
            navarch, command, "demo", "-n", owned, kubeconfig=admit_viewer(api, installed, owned)
        )
        assert "exceeded quota: none" in ended.out, ended
    api.request("DELETE", api.path("quota", home, "none"))
    await wait_for(api, owned, seconds=90)
    tenant.delete("mesh", owned, "demo")
    await wait_for_removal(api, owned)


@pytest.mark.parametrize("labelled", [False, True])
async def test_a_namespace_of_that_name_that_another_made_is_never_taken(
    api: Api, owned: str, labelled: bool
) -> None:
    home = name_home(owned)
    own = {"mesh.navarch.io/mesh-namespace": owned, "mesh.navarch.io/mesh-name": "demo"}
    labels = {**own, "mesh.navarch.io/component": "hosting"} if labelled else {}
    foreign = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": home, "labels": labels}}
    api.create(foreign)
    api.create(build_hosted(owned))
    mesh = await wait_for(api, owned, condition="Reconciled", status="False", reason="ForeignObject")
    assert home in read_condition(mesh, "Reconciled")["message"]
    objects = (o for kind in OWNED if kind not in CLUSTER_SCOPED for o in api.list(kind, home))
    assert [o for o in objects if "navarch" in str(o["metadata"].get("labels"))] == []
    if labelled:  # an administrator hands it over, as after a restore
        api.apply(foreign, manager="navarch")
    else:
        api.delete("namespace", "", home)
    await wait_for(api, owned, seconds=90)
    api.delete("mesh", owned, "demo")
    await wait_for_removal(api, owned)


async def test_a_hosted_mesh_goes_with_its_namespace(api: Api, owned: str) -> None:
    api.create(build_hosted(owned))
    await wait_for(api, owned)
    api.delete("namespace", "", owned)
    await eventually(lambda: api.get("namespace", "", name_home(owned)) is None, seconds=90, what="both go")
    await eventually(
        lambda: api.get("namespace", "", owned) is None, seconds=90, what="its namespace is gone"
    )
    assert list_owned(api, owned) == []


async def test_the_operator_makes_and_deletes_no_other_namespaces_and_no_other_makes_those(
    api: Api, installed: Cluster, owned: str
) -> None:
    other = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{owned}-x"}}
    assert "hosts the control planes" in submit(installed, other, user=USER)
    bare = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name_home("another")}}
    assert "hosts the control planes" in submit(installed, bare, user=USER)
    told = say(installed, "delete", "namespace", owned, "--dry-run=server", user=USER)
    assert "hosts the control planes" in told
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"{owned}-namespaces"},
        "rules": [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["create", "patch", "get"]}],
    }
    api.create(role)
    binding = bind("", f"{owned}-namespaces")
    metadata = {"name": f"{owned}-namespaces"}
    api.create({**binding, "kind": "ClusterRoleBinding", "metadata": metadata})
    try:
        await eventually(lambda: submit(installed, other) == "", what="the tenant may make namespaces")
        assert "hosts control planes" in submit(installed, bare)
    finally:
        api.delete("clusterrolebinding", "", f"{owned}-namespaces")
        api.delete("clusterrole", "", f"{owned}-namespaces")
