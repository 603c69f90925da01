"""Many requests at once: namespaces, pods and meshes in numbers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from navarch.kube.resources import resource_of

from lab.light.api import Api as Requests
from lab.light.cluster import ZONES
from tests.support.api import Object

SIDE_BY_SIDE = 32
NODE = "node-1"
NODES = [f"node-{number}" for number in range(1, len(ZONES) + 1)]


class Crowd:
    """Sends requests side by side as a cluster administrator."""

    def __init__(self, kubeconfig: Path) -> None:
        content = yaml.safe_load(kubeconfig.read_text())
        cluster = content["clusters"][0]["cluster"]
        self._requests = Requests(
            cluster["server"],
            ca_file=cluster["certificate-authority"],
            token=content["users"][0]["user"]["token"],
            agent="crowd",
        )
        self._slots = asyncio.Semaphore(SIDE_BY_SIDE)

    async def close(self) -> None:
        await self._requests.close()

    async def send(self, method: str, path: str, body: Object | None = None) -> Object:
        async with self._slots:
            return await self._requests.send(method, path, body=body)

    async def list(self, path: str) -> Object:
        """A whole collection."""
        return await self._requests.list(path, query={})

    async def watch(self, path: str, version: str) -> aiohttp.ClientResponse:
        """The stream of a collection's changes after a resource version."""
        return await self._requests.watch(path, query={}, version=version)

    async def create(self, manifests: Iterable[Object]) -> None:
        """Create all of these objects."""
        await asyncio.gather(*(self.send("POST", _collection(m), m) for m in manifests))

    async def count(self, path: str) -> int:
        """How many objects a collection has."""
        found = await self.send("GET", f"{path}?limit=1")
        return len(found["items"]) + int(found["metadata"].get("remainingItemCount") or 0)


def _collection(manifest: Object) -> str:
    resource = resource_of(manifest["apiVersion"], manifest["kind"])
    return resource.path(namespace=manifest["metadata"].get("namespace", ""))


def build_namespace(name: str, tag: str) -> Object:
    """A namespace that belongs to the mesh of this tag."""
    labels = {"istio.io/rev": tag}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def build_injected_pod(namespace: str, name: str, *, revision: str, stamp: str, node: str = NODE) -> Object:
    """A pod as it looks after injection. It asks not to be injected, so that no webhook is called for it, and
    names its node, so that no scheduler is: both would be measured along."""
    status = {"revision": revision, "containers": ["istio-proxy"]}
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "labels": {
            "app": "web",
            "sidecar.istio.io/inject": "false",
            "service.istio.io/canonical-name": "web",
            "service.istio.io/canonical-revision": "v1",
            "security.istio.io/tlsMode": "istio",
        },
        "annotations": {
            "istio.io/rev": revision,
            "sidecar.istio.io/status": json.dumps(status),
            "mesh.navarch.io/proxy": stamp,
        },
    }
    containers = [{"name": name, "image": f"{name}.invalid/{name}:1"} for name in ("app", "istio-proxy")]
    spec = {"nodeName": node, "containers": containers, "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def spread(items: Sequence[str], number: int) -> list[str]:
    """`number` items, taken from these in turn."""
    return [items[index % len(items)] for index in range(number)]
