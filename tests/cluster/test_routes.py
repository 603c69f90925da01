"""`navarch check` and `describe` on routes and the Gateways that they name, as processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.cluster import Cluster, service_account_kubeconfig
from tests.cluster.test_describe import describe, walk
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.certificates import build_data, issue
from tests.support.command import navarch
from tests.support.gateways import count_proxies
from tests.support.meshes import build_mesh, edit, wait_for
from tests.support.operator import Operator

ISTIO = "networking.istio.io/v1"
API = "gateway.networking.k8s.io/v1"
HTTP = {"port": {"number": 8080, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
OF_ROUTES = (
    "RouteWithoutGateway",
    "GatewayWithoutPods",
    "GatewayNotProgrammed",
    "GatewayOutsideMeshes",
    "ListenerWithoutCertificate",
    "ListenerBehindNoPort",
    "PortProtocolsClash",
    "RoutesConflict",
    "CertificateMissing",
    "CertificateBroken",
    "CertificateOtherNames",
    "CertificateExpires",
    "CertificateExpired",
)


def build(api_version: str, kind: str, namespace: str, name: str, spec: Any) -> Object:
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def build_crd(kind: str) -> Object:
    """A CRD of Gateway API that takes any spec: its own are not part of the lab."""
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.gateway.networking.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": "gateway.networking.k8s.io",
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [version],
        },
    }


@pytest.fixture
async def gateway_api(api: Api, light: Cluster) -> AsyncIterator[None]:
    """Kinds of Gateway API, as far as they are asked about here."""
    crds = [build_crd(kind) for kind in ("Gateway", "HTTPRoute")]
    for crd in crds:
        api.create(crd)
    names = [crd["metadata"]["name"] for crd in crds]

    def are_established() -> bool:
        # A CRD that nobody has looked at yet has null for its conditions.
        found = ((api.get("crd", "", name) or {}).get("status") or {} for name in names)
        conditions = (status.get("conditions") or () for status in found)
        return all(
            any(c["type"] == "Established" and c["status"] == "True" for c in each) for each in conditions
        )

    await eventually(are_established, what="the CRDs are established")
    yield
    for name in names:
        api.delete("crd", "", name)


@pytest.fixture
async def mesh(api: Api, operator: Operator, fresh: str) -> AsyncIterator[str]:
    """A mesh with an ingress gateway; its namespace."""
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    ports += [{"name": f"tls-{port}", "port": port} for port in (8443, 9443)]
    ingress = {"name": "ingress", "service": {"type": "NodePort", "ports": ports}}
    api.create(build_mesh(fresh, gateways={"ingress": [ingress]}))
    await wait_for(api, fresh)
    yield fresh
    edit(api, fresh, gateways=None)
    await eventually(lambda: count_proxies(api, fresh) == 0, seconds=60, what="no proxies are counted")


@pytest.fixture
def member(api: Api, mesh: str) -> Iterator[str]:
    """Another namespace of the mesh."""
    name = f"{mesh}-apps"
    labels = {"istio.io/rev": f"{mesh}-demo"}
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    yield name
    api.delete("namespace", "", name)


async def check(
    kubeconfig: Path, namespace: str, *, mesh: tuple[str, ...] = ("demo",)
) -> tuple[set[tuple[str, str]], str]:
    """Ids and subjects of what is said of routes, and what could not be looked at."""
    arguments = ("check", *mesh, "-n", namespace, "-o", "json")
    ended = await asyncio.to_thread(navarch, *arguments, kubeconfig=kubeconfig)
    found = [f for f in ended.json["findings"] if f["id"] in OF_ROUTES]
    said = {(f["id"], "{kind} {namespace}/{name}".format(**f["subject"])) for f in found}
    gaps = (f["message"] for f in ended.json["findings"] if f["id"] in ("NotLookedAt", "ToldByOperator"))
    return said, "; ".join(gaps)


async def test_routes_are_told_with_their_gateway_and_what_is_wrong_with_them(
    api: Api, light: Cluster, mesh: str, member: str, gateway_api: None
) -> None:
    shop = {"hosts": ["shop.example.com"], "gateways": [f"{mesh}/web"]}
    cart = [{"match": [{"uri": {"prefix": "/cart"}}], "route": [{"destination": {"host": "web"}}]}]
    api.create(build(ISTIO, "Gateway", mesh, "web", {"selector": {"istio": "ingress"}, "servers": [HTTP]}))
    api.create(build(ISTIO, "VirtualService", mesh, "cart", {**shop, "http": cart}))
    tree = await describe(light.kubeconfig, mesh)
    (gateway,) = [n for n in walk(tree) if n["kind"] == "MeshGateway"]
    assert gateway["facts"]["inline"] is True
    (entrance,) = gateway["children"]
    assert (entrance["kind"], entrance["name"], entrance["facts"]["ports"]) == (
        "Gateway",
        f"{mesh}/web",
        [8080],
    )
    assert [(n["kind"], n["name"]) for n in entrance["children"]] == [("VirtualService", f"{mesh}/cart")]
    api.create(build(ISTIO, "VirtualService", member, "cart", {**shop, "http": cart}))
    lost = {"hosts": ["shop.example.com"], "gateways": ["nowhere"], "http": cart}
    api.create(build(ISTIO, "VirtualService", member, "lost", lost))
    api.create(build(ISTIO, "Gateway", member, "dead", {"selector": {"istio": "none"}, "servers": [HTTP]}))
    tcp = {"port": {"number": 8080, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]}
    api.create(build(ISTIO, "Gateway", member, "db", {"selector": {"istio": "ingress"}, "servers": [tcp]}))
    listener = {"name": "https", "port": 443, "protocol": "HTTPS"}
    own = build(API, "Gateway", member, "own", {"gatewayClassName": "istio", "listeners": [listener]})
    gone = build(API, "HTTPRoute", member, "gone", {"parentRefs": [{"name": "gone"}], "rules": []})
    far = {"port": {"number": 7443, "name": "far", "protocol": "HTTP"}, "hosts": ["*"]}
    api.create(build(ISTIO, "Gateway", member, "far", {"selector": {"istio": "ingress"}, "servers": [far]}))
    for manifest in (own, gone):
        light.run("create", "-f", "-", stdin=json.dumps(manifest))
    expected = {
        ("RoutesConflict", f"VirtualService {member}/cart"),
        ("RouteWithoutGateway", f"VirtualService {member}/lost"),
        ("GatewayWithoutPods", f"Gateway {member}/dead"),
        ("ListenerBehindNoPort", f"Gateway {member}/far"),
        ("PortProtocolsClash", f"Gateway {mesh}/web"),
        ("PortProtocolsClash", f"Gateway {member}/db"),
        ("ListenerWithoutCertificate", f"Gateway.gateway.networking.k8s.io {member}/own"),
        ("GatewayNotProgrammed", f"Gateway.gateway.networking.k8s.io {member}/own"),
        ("RouteWithoutGateway", f"HTTPRoute {member}/gone"),
    }
    assert await check(light.kubeconfig, mesh) == (expected, "")
    stray = build(API, "Gateway", "default", "stray", own["spec"])
    light.run("create", "-f", "-", stdin=json.dumps(stray))
    said, _ = await check(light.kubeconfig, "default", mesh=())
    light.run("delete", "-f", "-", stdin=json.dumps(stray))
    assert said == {("GatewayOutsideMeshes", "Gateway.gateway.networking.k8s.io default/stray")}
    light.run("create", "-f", "-", stdin=json.dumps(build_deployed(api, mesh, member)))
    await eventually(lambda: count_proxies(api, mesh) == 2, seconds=60, what="its pod is counted")
    tree = await describe(light.kubeconfig, mesh)
    (deployed,) = [n for n in walk(tree) if n["kind"] == "Gateway.gateway.networking.k8s.io"]
    assert (deployed["name"], deployed["facts"]["current"]) == (f"{member}/own", 1)


def build_deployed(api: Api, mesh: str, namespace: str) -> Object:
    """What istiod would deploy for the Gateway `own`, as far as it is looked at."""
    revision = f"{mesh}-demo-inplace"
    stamp = (api.get("revision", mesh, revision) or {})["status"]["proxy"]
    labels = {
        "gateway.networking.k8s.io/gateway-name": "own",
        "service.istio.io/canonical-name": "own-istio",
        "sidecar.istio.io/inject": "false",
    }
    annotations = {"istio.io/rev": revision, "mesh.navarch.io/proxy": stamp}
    containers = [{"name": "istio-proxy", "image": "example.invalid/proxyv2"}]
    template = {
        "metadata": {"labels": labels, "annotations": annotations},
        "spec": {"containers": containers},
    }
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return build("apps/v1", "Deployment", namespace, "own-istio", spec)


def build_reader(namespace: str) -> Iterator[Object]:
    """An account that may read everything but Secrets, with its rights."""
    groups = ["apps", "autoscaling", "policy", "networking.k8s.io", "rbac.authorization.k8s.io"]
    groups += ["admissionregistration.k8s.io", "apiextensions.k8s.io", "coordination.k8s.io", "events.k8s.io"]
    groups += ["mesh.navarch.io", "networking.istio.io", "security.istio.io", "gateway.networking.k8s.io"]
    core = ["namespaces", "pods", "configmaps", "services", "serviceaccounts", "events"]
    verbs = ["get", "list", "watch"]
    rules = [
        {"apiGroups": groups, "resources": ["*"], "verbs": verbs},
        {"apiGroups": [""], "resources": core, "verbs": verbs},
    ]
    name = f"reader-{namespace}"
    rbac = "rbac.authorization.k8s.io"
    yield {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "reader", "namespace": namespace},
    }
    yield {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}
    yield {
        "apiVersion": f"{rbac}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": namespace}],
    }


async def test_certificates_are_told_to_who_may_read_them_and_others_are_told_that_they_may_not(
    api: Api, light: Cluster, mesh: str
) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "soon", "namespace": mesh},
        "data": build_data(issue("www.example.com", days=6.5)),
    }
    api.create(secret)

    def build_server(port: int, name: str) -> Object:
        tls = {"mode": "SIMPLE", "credentialName": name}
        said = {"number": port, "name": name, "protocol": "HTTPS"}
        return {"port": said, "hosts": ["shop.example.com"], "tls": tls}

    servers = [build_server(8443, "soon"), build_server(9443, "gone")]
    api.create(build(ISTIO, "Gateway", mesh, "web", {"selector": {"istio": "ingress"}, "servers": servers}))
    said, gaps = await check(light.kubeconfig, mesh)
    ids = ("CertificateExpires", "CertificateOtherNames", "CertificateMissing")
    assert said == {(which, f"Gateway {mesh}/web") for which in ids}
    assert "secrets" not in gaps
    reader = [*build_reader(mesh)]
    for manifest in reader:
        api.create(manifest)
    said, gaps = await check(service_account_kubeconfig(light, mesh, "reader"), mesh)
    assert said == set()
    assert f"get secrets in namespace {mesh}: not permitted" in gaps
    for manifest in reader[1:]:
        api.delete(manifest["kind"].lower(), "", manifest["metadata"]["name"])
