"""A mesh with an ingress gateway through which everything goes: HTTPS, mutual TLS, TCP, WebSocket and gRPC,
by Istio's Gateway and by that of Gateway API.

Owns the manifests of it and its certificates. Requests reach the mesh's server; downloads and streams a
backend outside of the mesh.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from lab.certificates import KeyPair, build_authority, issue
from tests.node import backend
from tests.node.callers import Settings
from tests.node.conftest import Mesh
from tests.node.programs import caller
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.gateways import build_gateway, wait_for_gateway
from tests.support.workloads import is_ready

NAME = "ingress"
WWW, MUTUAL, API = "www.example.com", "mutual.example.com", "api.example.com"
"""Hosts: with the gateway's certificate, with one of the client's besides, and of the HTTPRoute."""
EDGE = {"edge": "public"}
"""Label of the pods that the Gateway selects."""
DRAIN = 12
"""Seconds for which a pod drains: more than two downloads take. An answer that began before the drain says
nothing of it, so its connection is used once more."""
PORTS = {"http": backend.HTTP, "grpc": backend.GRPC, "tcp": backend.TCP, "https-metrics": backend.METRICS}


@dataclass(frozen=True)
class Edge:
    """The gateway at work."""

    mesh: Mesh
    address: str
    folder: Path
    authority: KeyPair

    @property
    def api(self) -> Api:
        return self.mesh.api

    @property
    def namespace(self) -> str:
        return self.mesh.apps

    def settings(self, *hosts: str, **more: Any) -> Settings:
        """Settings of a caller."""
        told = {"address": self.address, "port": 443, "ca": str(self.folder / "ca.pem"), **more}
        return Settings(hosts=list(hosts or (WWW, API)), **told)

    def load(self, *hosts: str, **more: Any) -> dict[str, Settings]:
        """Settings of requests, by both kinds of routes unless hosts are given, and of downloads beside
        them."""
        return {
            "requests": self.settings(*hosts, **more),
            "downloads": self.settings(WWW, **{**more, "connections": 4}),
        }

    def replace_certificate(self, name: str = "web", host: str = WWW) -> str:
        """Puts another certificate into a Secret; its hash."""
        pair = issue(self.authority, common_name=host, hosts=[host])
        self.api.apply(build_secret(self.namespace, name, pair, authority=self.authority))
        shown = x509.load_pem_x509_certificate(pair.certificate).public_bytes(Encoding.DER)
        return sha256(shown).hexdigest()

    def write_client(self, name: str, authority: KeyPair) -> str:
        """A file with a client's certificate and its key."""
        pair = issue(authority, common_name=name)
        path = self.folder / f"{name}.pem"
        path.write_bytes(pair.certificate + pair.key)
        return str(path)

    def edit(self, *, name: str = NAME, **spec: Any) -> None:
        """A merge patch on a gateway's spec; None takes a field away."""
        self.api.patch("gateway", self.namespace, name, {"spec": spec})

    def list_pods(self, labels: str = "", *, name: str = NAME) -> list[Object]:
        """A gateway's pods, or others of its namespace, those on their way out included."""
        labels = labels or f"mesh.navarch.io/gateway-name={name}"
        return self.api.list("pod", self.namespace, labels=labels)

    def list_names(self, labels: str = "", *, name: str = NAME) -> set[str]:
        return {pod["metadata"]["name"] for pod in self.list_pods(labels, name=name)}

    def list_versions(self, name: str = NAME) -> set[str]:
        """Of which versions the images of a gateway's pods are."""
        pods = self.list_pods(name=name)
        return {c["image"].rpartition(":")[2] for pod in pods for c in pod["spec"]["containers"]}

    @asynccontextmanager
    async def beside(self, name: str, **spec: Any) -> AsyncIterator[str]:
        """Another gateway that serves the first host, while the block runs; its address."""
        self.api.create(build_ingress(self.mesh, name, **spec))
        try:
            gateway = await wait_for_gateway(self.api, self.namespace, name)
            address = str(gateway["status"]["addresses"][0])
            with caller(
                self.mesh.cluster, "requests", self.settings(WWW, address=address, connections=1)
            ) as one:
                await one.see_more(1)
            yield address
        finally:
            self.api.delete("gateway", self.namespace, name)

    async def wait_until_replaced(self, before: set[str], name: str = NAME) -> None:
        """Until the gateway is ready and none of these pods is there any more."""
        await wait_for_gateway(self.api, self.namespace, name)
        await eventually(
            lambda: (
                before.isdisjoint(self.list_names(name=name))
                and all(map(is_ready, self.list_pods(name=name)))
            ),
            seconds=120,
            every=0.5,
            what="other pods in place of the earlier ones",
        )


def build_secret(namespace: str, name: str, pair: KeyPair, *, authority: KeyPair) -> Object:
    """A certificate with its key, and what signs certificates of clients."""
    parts = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": authority.certificate}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "kubernetes.io/tls",
        "data": {key: b64encode(value).decode() for key, value in parts.items()},
    }


def _build(api_version: str, kind: str, namespace: str, name: str, spec: Mapping[str, Any]) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": dict(spec)}


def build_backend(namespace: str, address: str) -> Iterator[Object]:
    """A Service that leads to the backend, which is no pod."""
    ports = [{"name": name, "port": number} for name, number in PORTS.items()]
    yield _build("v1", "Service", namespace, "backend", {"ports": ports})
    yield {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "backend",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": "backend"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": ports,
    }


def build_metrics_api(namespace: str) -> Object:
    """What leads the cluster's autoscalers to the backend's metrics."""
    spec = {
        "group": "external.metrics.k8s.io",
        "version": "v1beta1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "insecureSkipTLSVerify": True,
        "service": {"name": "backend", "namespace": namespace, "port": backend.METRICS},
    }
    metadata = {"name": "v1beta1.external.metrics.k8s.io"}
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": metadata,
        "spec": spec,
    }


def build_ingress(mesh: Mesh, name: str = NAME, **spec: Any) -> Object:
    """The MeshGateway, or another one like it."""
    ports = [{"name": "https", "port": 443}, {"name": "tcp", "port": 9000}]
    return build_gateway(
        mesh.apps,
        mesh.namespace,
        name,
        labels=EDGE,
        replicas=1,
        service={"type": "ClusterIP", "ports": ports},
        resources={"requests": {"cpu": "10m", "memory": "64Mi"}},
        **{"terminationDrainSeconds": DRAIN, **spec},
    )


def build_routes(namespace: str) -> Iterator[Object]:
    """What goes where, in Istio's words."""
    secure = {"number": 443, "name": "https", "protocol": "HTTPS"}
    servers = [
        {"port": secure, "hosts": [WWW], "tls": {"mode": "SIMPLE", "credentialName": "web"}},
        {
            "port": {**secure, "name": "https-mutual"},
            "hosts": [MUTUAL],
            "tls": {"mode": "MUTUAL", "credentialName": "mutual"},
        },
        {"port": {"number": 9000, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]},
    ]
    yield _build(
        "networking.istio.io/v1", "Gateway", namespace, "edge", {"selector": EDGE, "servers": servers}
    )
    yield build_http_route(namespace)
    routes = [{"match": [{"port": 9000}], "route": [_lead(namespace, "backend", backend.TCP)]}]
    yield _build(
        "networking.istio.io/v1",
        "VirtualService",
        namespace,
        "tcp",
        {"hosts": ["*"], "gateways": ["edge"], "tcp": routes},
    )


def build_http_route(namespace: str, **headers: str) -> Object:
    """The VirtualService of both hosts; `headers` are added to requests for the mesh's server."""
    routes = [
        {
            "match": [{"uri": {"prefix": "/bytes"}}, {"uri": {"prefix": "/ws"}}],
            "route": [_lead(namespace, "backend", backend.HTTP)],
        },
        {
            "match": [{"uri": {"prefix": "/echo.Echo/"}}],
            "route": [_lead(namespace, "backend", backend.GRPC)],
        },
        {"headers": {"request": {"set": headers}}, "route": [_lead(namespace, "server", 80)]},
    ]
    return _build(
        "networking.istio.io/v1",
        "VirtualService",
        namespace,
        "web",
        {"hosts": [WWW, MUTUAL], "gateways": ["edge"], "http": routes},
    )


def _lead(namespace: str, service: str, port: int) -> dict[str, Any]:
    return {"destination": {"host": f"{service}.{namespace}.svc.cluster.local", "port": {"number": port}}}


def build_authority_of_clients() -> KeyPair:
    """Another authority, which the gateway does not trust."""
    return build_authority(common_name="another authority")
