"""MeshGateways in tests: their manifests, what there is of them, and when they are ready."""

from __future__ import annotations

from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.meshes import is_current, read_condition

KINDS = ("serviceaccount", "rolebinding", "deployment", "daemonset", "service", "hpa", "pdb", "networkpolicy")


def build_gateway(namespace: str, mesh: str, name: str = "ingress", **spec: object) -> Object:
    """A MeshGateway of the mesh `demo` in namespace `mesh`, reached by NodePorts."""
    said = {"controlPlaneRef": {"name": "demo", "namespace": mesh}, "type": "Ingress"}
    return {
        "apiVersion": "mesh.navarch.io/v1beta1",
        "kind": "MeshGateway",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**said, "service": {"type": "NodePort"}, **spec},
    }


def list_objects(api: Api, namespace: str, name: str = "ingress") -> list[Object]:
    """What there is of a gateway."""
    labels = f"mesh.navarch.io/gateway-name={name}"
    return [o for kind in KINDS for o in api.list(kind, namespace, labels=labels)]


async def wait_for_gateway(
    api: Api, namespace: str, name: str = "ingress", *, status: str = "True", reason: str = ""
) -> Object:
    """The gateway once its condition Ready says so of its present spec."""

    def said() -> Object | None:
        gateway = api.get("gateway", namespace, name)
        ready = read_condition(gateway, "Ready")
        as_asked = ready.get("status") == status and reason in ("", ready.get("reason"))
        return gateway if is_current(gateway) and as_asked else None

    found: Object = await eventually(
        said, seconds=90, what=f"gateway {namespace}/{name} is {status} {reason}"
    )
    return found


def count_proxies(api: Api, mesh: str) -> int:
    """The proxies that the status of a namespace's mesh counts."""
    return int((api.get("mesh", mesh, "demo") or {})["status"]["proxies"]["total"])


class Serving:
    """How many pods of a gateway serve at every moment from now on: ready ones that are not told to end."""

    def __init__(self, api: Api, namespace: str, name: str = "ingress") -> None:
        self._api, self._namespace = api, namespace
        self._labels = f"mesh.navarch.io/gateway-name={name}"
        listing = api.request("GET", f"{api.path('pod', namespace)}?labelSelector={self._labels}")
        self._since = listing["metadata"]["resourceVersion"]
        self._pods = {pod["metadata"]["uid"]: _serves(pod) for pod in listing["items"]}

    def count(self) -> list[int]:
        """The numbers so far: at first, and after each change of a pod."""
        pods = dict(self._pods)
        counts = [sum(pods.values())]
        for event, pod in self._api.replay_all(
            "pod", self._namespace, since=self._since, labels=self._labels
        ):
            pods[pod["metadata"]["uid"]] = event != "DELETED" and _serves(pod)
            counts.append(sum(pods.values()))
        return counts


def _serves(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]
