"""Gateways with a real Envoy: requests from outside go through them, also while they are rolled."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.node.conftest import Mesh
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.meshes import is_current, read_condition
from tests.support.workloads import ask, traffic

NAME = "ingress"


def build_route(namespace: str) -> list[Object]:
    """A Gateway of Istio's on the gateway's pods, and a route from it to the mesh's server."""
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    destination = {"host": f"server.{namespace}.svc.cluster.local", "port": {"number": 80}}
    return [
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": kind,
            "metadata": {"name": NAME, "namespace": namespace},
            "spec": spec,
        }
        for kind, spec in (
            ("Gateway", {"selector": {"istio": NAME}, "servers": [server]}),
            (
                "VirtualService",
                {"hosts": ["*"], "gateways": [NAME], "http": [{"route": [{"destination": destination}]}]},
            ),
        )
    ]


async def wait_until_ready(api: Api, namespace: str, *, generation: int = 0) -> Object:
    """The gateway once it is Ready as it is now, and its Deployment is at least of this generation."""

    def said() -> Object | None:
        gateway = api.get("gateway", namespace, NAME)
        deployment = api.get("deployment", namespace, NAME) or {"metadata": {"generation": 0}}
        ready = is_current(gateway) and read_condition(gateway, "Ready")["status"] == "True"
        return gateway if ready and deployment["metadata"]["generation"] >= generation else None

    found: Object = await eventually(said, seconds=240, every=0.5, what="the gateway is ready")
    return found


@pytest.fixture
async def gateway(mesh: Mesh, api: Api) -> AsyncIterator[str]:
    """A gateway in the namespace of the mesh's applications with a route to their server; its URL."""
    api.create(
        {
            "apiVersion": "mesh.navarch.io/v1beta1",
            "kind": "MeshGateway",
            "metadata": {"name": NAME, "namespace": mesh.apps},
            "spec": {
                "controlPlaneRef": {"name": mesh.name, "namespace": mesh.namespace},
                "type": "Ingress",
                "service": {"type": "ClusterIP", "ports": [{"name": "http", "port": 80}]},
                "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
                "terminationDrainSeconds": 10,
            },
        }
    )
    routes = build_route(mesh.apps)
    for manifest in routes:
        api.create(manifest)
    await wait_until_ready(api, mesh.apps)
    url = f"http://{NAME}.{mesh.apps}/"
    await eventually(
        lambda: ask(mesh.cluster, mesh.outside, url, client="stranger").ok,
        seconds=60,
        every=1,
        what="the route is in force",
    )
    yield url
    for manifest in routes:
        path = {"Gateway": "gateways", "VirtualService": "virtualservices"}[manifest["kind"]]
        api.request("DELETE", f"/apis/networking.istio.io/v1/namespaces/{mesh.apps}/{path}/{NAME}")
    api.delete("gateway", mesh.apps, NAME)
    await eventually(lambda: api.get("gateway", mesh.apps, NAME) is None, seconds=120, what="it is gone")
    labels = f"mesh.navarch.io/gateway-name={NAME}"
    await eventually(
        lambda: api.list("pod", mesh.apps, labels=labels) == [], seconds=60, what="its pods have drained"
    )


async def test_requests_from_outside_reach_the_mesh_and_none_fails_while_the_gateway_is_rolled(
    mesh: Mesh, api: Api, gateway: str
) -> None:
    before = (api.get("deployment", mesh.apps, NAME) or {})["metadata"]["generation"]
    with traffic(mesh.cluster, mesh.outside, gateway, count=600, client="stranger"):
        api.patch("gateway", mesh.apps, NAME, {"spec": {"labels": {"tier": "edge"}}})
        rolled = await wait_until_ready(api, mesh.apps, generation=before + 1)
        assert rolled["status"]["outdated"] == 0
    pods = api.list("pod", mesh.apps, labels=f"mesh.navarch.io/gateway-name={NAME},tier=edge")
    images = {c["image"] for pod in pods for c in pod["spec"]["containers"]}
    assert images
    assert not any(image == "auto" for image in images)
