"""Pods of the lab's own small image, and requests between them: for tests on a node lab."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.cluster import Cluster
from tests.polling import eventually
from tests.support.api import Api, Object

MANIFESTS = Path(__file__).parents[2] / "lab" / "manifests"
ECHO = "lab.local/echo:1"
STATUS = "sidecar.istio.io/status"
PATIENCE = 60
"""Seconds after which a request counts as lost: on a machine that is busy an answer may be late."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client printed, and whether every one of its requests was answered."""

    ok: bool
    text: str


def load_profile() -> Object:
    """The user profile `lab`."""
    profile: Object = yaml.safe_load((MANIFESTS / "profile-lab.yaml").read_text())
    return profile


def build_apps(namespace: str, tag: str, *, outside: str = "") -> list[Object]:
    """A server and a client in a namespace with this tag and, in `outside`, a client without a proxy."""
    text = (MANIFESTS / "apps.yaml").read_text().replace("istio.io/rev: mesh-demo", f"istio.io/rev: {tag}")
    names = {"shop": namespace, "outside": outside}
    found = []
    for manifest in yaml.safe_load_all(text):
        key = "name" if manifest["kind"] == "Namespace" else "namespace"
        manifest["metadata"][key] = names[manifest["metadata"][key]]
        if manifest["metadata"][key]:
            found.append(manifest)
    return found


def build_pod(
    namespace: str, name: str, *, labels: Mapping[str, str] | None = None, args: Sequence[str] = ("sleep",)
) -> Object:
    """A pod that does next to nothing."""
    container: Object = {"name": "app", "image": ECHO, "imagePullPolicy": "IfNotPresent", "args": list(args)}
    container["resources"] = {"requests": {"cpu": "1m", "memory": "8Mi"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name, **(labels or {})}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }


async def create_namespace(api: Api, name: str, labels: Mapping[str, str] | None = None) -> None:
    """A namespace in which pods can be made."""
    metadata = {"name": name, "labels": dict(labels or {})}
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    await eventually(lambda: api.get("serviceaccount", name, "default"), every=0.1, what=f"{name}'s account")


def is_ready(manifest: Object) -> bool:
    """Whether a pod is ready, and not on its way out."""
    conditions = (manifest.get("status") or {}).get("conditions") or ()
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and "deletionTimestamp" not in manifest["metadata"]


def is_injected(pod: Object) -> bool:
    """Whether a pod carries a proxy."""
    return STATUS in (pod["metadata"].get("annotations") or {})


def find_proxy(pod: Object) -> Object:
    """The proxy's container in a pod."""
    spec: Mapping[str, Any] = pod["spec"]
    containers = (*(spec.get("initContainers") or ()), *spec["containers"])
    return next(dict(c) for c in containers if c["name"] == "istio-proxy")


def is_rolled_out(deployment: Object | None) -> bool:
    """Whether a Deployment has all its pods, of its present template only, and all available."""
    if deployment is None or "status" not in deployment:
        return False
    status = deployment["status"]
    counts = {status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")}
    current = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return current and counts == {deployment["spec"]["replicas"]}


async def wait_for_deployments(
    api: Api, namespace: str, names: Sequence[str], *, seconds: float = 90
) -> None:
    """Until each Deployment is rolled out."""

    def are_rolled_out() -> bool:
        return all(is_rolled_out(api.get("deployment", namespace, name)) for name in names)

    what = f"the rollout of {', '.join(names)} in {namespace}"
    await eventually(are_rolled_out, seconds=seconds, every=0.3, what=what)


async def start_apps(api: Api, namespace: str, tag: str, *, outside: str = "") -> None:
    """Server and client of a namespace, ready."""
    for manifest in build_apps(namespace, tag, outside=outside):
        api.apply(manifest)
    await wait_for_deployments(api, namespace, ("server", "client"))
    if outside:
        await wait_for_deployments(api, outside, ("stranger",))


def restart(cluster: Cluster, namespace: str, *names: str) -> None:
    """A new pod for each pod of these Deployments."""
    cluster.run("-n", namespace, "rollout", "restart", *(f"deployment/{name}" for name in names))


def _build_command(
    cluster: Cluster, namespace: str, url: str, *, client: str, flags: Sequence[str]
) -> list[str]:
    kubectl = [str(cluster.kubectl), "--kubeconfig", str(cluster.kubeconfig), "-n", namespace]
    return [*kubectl, "exec", f"deploy/{client}", "-c", "client", "--", "/echo", "get", *flags, url]


def ask(
    cluster: Cluster, namespace: str, url: str, *, client: str = "client", count: int = 1, seconds: int = 5
) -> Answer:
    """Requests from a client's pod, one after the other, each of which is given up after so many seconds."""
    flags = ("-n", str(count), "-t", f"{seconds}s")
    command = _build_command(cluster, namespace, url, client=client, flags=flags)
    done = subprocess.run(command, capture_output=True, text=True, timeout=240 + count, check=False)
    return Answer(done.returncode == 0, done.stdout + done.stderr)


@contextmanager
def traffic(
    cluster: Cluster, namespace: str, url: str, *, count: int, client: str = "client"
) -> Iterator[None]:
    """Five requests a second from a client's pod, each on a connection of its own, while the block runs and
    until `count` were sent; at the end each of them must have been answered."""
    flags = ("-n", str(count), "-i", "200ms", "-t", f"{PATIENCE}s", "-q")
    command = _build_command(cluster, namespace, url, client=client, flags=flags)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        try:
            yield
            told, _ = running.communicate(timeout=240 + count)
        except BaseException:
            running.kill()
            raise
    assert f"requests={count} failed=0" in told, told
