"""What stands in for Argo Rollouts on the light lab: a CustomResourceDefinition of its Rollouts, and a
controller that a test plays, over real ReplicaSets.

Must never be taken for Argo Rollouts: it knows no canary, no traffic and no analysis. The fields are those
that Argo Rollouts documents for argoproj.io/v1alpha1.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.workloads import ECHO, is_ready

API_VERSION = "argoproj.io/v1alpha1"
CRD = "rollouts.argoproj.io"
HASH = "5d8f9c7b6d"
REPLICAS = 2
_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def build_crd() -> Object:
    """Rollouts, with a status of its own and fields of any kind."""
    schema = {"type": "object", "properties": {"spec": _ANYTHING, "status": _ANYTHING}}
    version = {"name": "v1alpha1", "served": True, "storage": True, "subresources": {"status": {}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": CRD},
        "spec": {
            "group": "argoproj.io",
            "scope": "Namespaced",
            "names": {"kind": "Rollout", "plural": "rollouts", "singular": "rollout"},
            "versions": [version | {"schema": {"openAPIV3Schema": schema}}],
        },
    }


def _is_served(api: Api) -> bool:
    return any(group["name"] == "argoproj.io" for group in api.request("GET", "/apis")["groups"])


@asynccontextmanager
async def rollouts_served(api: Api) -> AsyncIterator[None]:
    """The API of Rollouts for a while, and all Rollouts with it."""
    api.create(build_crd())
    try:
        await eventually(lambda: _is_served(api), seconds=60, what="Rollouts are served")
        yield
    finally:
        api.delete("crd", "", CRD)
        await eventually(lambda: not _is_served(api), seconds=60, what="Rollouts are gone")


async def start_rollout(api: Api, namespace: str, name: str, **spec: object) -> None:
    """A Rollout with its pods, healthy."""
    labels = {"app": name}
    pod = {"containers": [{"name": "app", "image": ECHO}], "terminationGracePeriodSeconds": 0}
    template = {"metadata": {"labels": labels}, "spec": pod}
    about = {"selector": {"matchLabels": labels}, "template": template, "strategy": {"canary": {}}}
    made = api.create(
        {
            "apiVersion": API_VERSION,
            "kind": "Rollout",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"replicas": REPLICAS, **about, **spec},
        }
    )
    owner = {"apiVersion": API_VERSION, "kind": "Rollout", "name": name, "uid": made["metadata"]["uid"]}
    labels = labels | {"rollouts-pod-template-hash": HASH}
    metadata = {
        "namespace": namespace,
        "name": f"{name}-{HASH}",
        "ownerReferences": [owner | {"controller": True}],
    }
    api.create(
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": metadata,
            "spec": {
                "replicas": REPLICAS,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }
    )
    await eventually(lambda: len(list_ready(api, namespace, name)) == REPLICAS, what=f"pods of {name}")
    tell(api, namespace, name, "Healthy")


def list_ready(api: Api, namespace: str, name: str) -> list[Object]:
    """The pods of a Rollout that are ready."""
    return [*filter(is_ready, api.list("pod", namespace, labels=f"app={name}"))]


def tell(api: Api, namespace: str, name: str, phase: str, **more: object) -> None:
    """What the controller says of the present spec."""
    rollout = api.get("rollout", namespace, name)
    assert rollout is not None
    counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), REPLICAS)
    status = {
        "observedGeneration": str(rollout["metadata"]["generation"]),
        "phase": phase,
        "currentPodHash": HASH,
        "stableRS": HASH,
        **counts,
        **more,
    }
    api.patch("rollout", namespace, name, {"status": status}, sub="status")


async def carry_out_restart(api: Api, namespace: str, name: str) -> None:
    """As the controller does it: one pod after the other that was made before the moment is evicted, and its
    ReplicaSet makes another one."""
    asked = (api.get("rollout", namespace, name) or {})["spec"]["restartAt"]
    tell(api, namespace, name, "Progressing", message="rollout is restarting")
    for pod in list_ready(api, namespace, name):
        place = {"namespace": namespace, "name": pod["metadata"]["name"]}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": place}
        api.request("POST", api.path("pod", namespace, place["name"], "eviction"), eviction)

        def is_replaced(gone: str = place["name"]) -> bool:
            names = [each["metadata"]["name"] for each in list_ready(api, namespace, name)]
            return len(names) == REPLICAS and gone not in names

        await eventually(is_replaced, seconds=60, what=f"{place['name']} is replaced")
    tell(api, namespace, name, "Healthy", message="", restartedAt=asked)
