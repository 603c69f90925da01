"""Navarch where OLM installed it: its operator as a process, and a mesh that must not notice what happens
to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

from tests.polling import eventually
from tests.support.activity import bring_up, wait_for_rest
from tests.support.api import Api, Object
from tests.support.hub import Hub
from tests.support.meshes import build_mesh, list_owned, read_versions, wait_for
from tests.support.operator import Operator
from tests.support.workloads import build_pod, create_namespace, is_injected, is_ready

_numbers = count(1)
_replicas = count(1)


def build_replica(hub: Hub, **settings: str) -> Operator:
    """The operator, with the account and the environment that OLM gave it; it is not started yet."""
    return hub.build_replica(f"operator-{next(_replicas)}", **settings)


@asynccontextmanager
async def a_replica(hub: Hub, **settings: str) -> AsyncIterator[Operator]:
    """The operator, with the account and the environment that OLM gave it; it leads and is at rest."""
    replica = build_replica(hub, **settings)
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
