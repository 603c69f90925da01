"""Pods that Istio's own tests of injection start from, read from the pinned module: never copied here."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import yaml

from lab.builds import NEWEST_ISTIO, IstioLine, find_source

Object = dict[str, Any]
FOLDER = ("pkg", "kube", "inject", "testdata", "inject")
HASH = "5d4f8c7b9d"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


ANNOTATED: dict[str, dict[str, str]] = {
    "every sidecar annotation": {
        "apm.datadoghq.com/env": '{"DD_ENV": "prod"}',
        "inject.istio.io/templates": "sidecar",
        "proxy.istio.io/config": '{"concurrency": 4, "proxyMetadata": {"OWN": "a: b #c"}}',
        "readiness.status.sidecar.istio.io/failureThreshold": "11",
        "readiness.status.sidecar.istio.io/initialDelaySeconds": "12",
        "readiness.status.sidecar.istio.io/periodSeconds": "13",
        "sidecar.istio.io/agentLogLevel": "all:warn",
        "sidecar.istio.io/bootstrapOverride": "own-bootstrap",
        "sidecar.istio.io/capNetBindService": "true",
        "sidecar.istio.io/componentLogLevel": "jwt:debug",
        "sidecar.istio.io/logLevel": "error",
        "sidecar.istio.io/proxyCPU": "33m",
        "sidecar.istio.io/proxyImage": "mirror.example.org/proxyv2:own",
        "sidecar.istio.io/proxyMemoryLimit": "333Mi",
        "sidecar.istio.io/userVolume": '{"own": {"emptyDir": {"sizeLimit": "1Mi"}}}',
        "sidecar.istio.io/userVolumeMount": '{"own": {"mountPath": "/own", "readOnly": true}}',
        "traffic.sidecar.istio.io/excludeInterfaces": "eth1,eth2",
        "traffic.sidecar.istio.io/excludeOutboundPorts": "5432",
        "traffic.sidecar.istio.io/includeOutboundPorts": "8080,9090",
    },
    "quotes in metadata": {"proxy.istio.io/config": '{"proxyMetadata": {"OWN": "say \\"b\\""}}'},
    "no capture": {"sidecar.istio.io/interceptionMode": "NONE"},
    "no capture, native": {
        "sidecar.istio.io/interceptionMode": "NONE",
        "sidecar.istio.io/nativeSidecar": "true",
    },
    "every agent annotation": {
        "inject.istio.io/templates": "grpc-agent",
        "readiness.status.sidecar.istio.io/periodSeconds": "13",
        "sidecar.istio.io/logLevel": "error",
        "sidecar.istio.io/proxyCPULimit": "1",
        "sidecar.istio.io/proxyImage": "mirror.example.org/proxyv2:own",
        "sidecar.istio.io/userVolume": '{"own": {"emptyDir": {"sizeLimit": "1Mi"}}}',
        "sidecar.istio.io/userVolumeMount": '{"own": {"mountPath": "/own", "readOnly": true}}',
    },
    "every gateway annotation": {
        "inject.istio.io/templates": "gateway",
        "sidecar.istio.io/bootstrapOverride": "own-bootstrap",
        "sidecar.istio.io/componentLogLevel": "jwt:debug",
        "sidecar.istio.io/proxyImage": "mirror.example.org/proxyv2:own",
    },
}
"""Annotations that Istio's inputs leave out."""
LONG = f"{'long' * 15}-a-name-of-more-than-63-characters"
"""A name of a Deployment that is no label, from which Istio derives the canonical name of its pods."""


def build_annotated_pods() -> dict[str, Object]:
    """A pod of two containers for each set of annotations, by its name."""
    ports = [{"name": "http", "containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}]
    containers = [
        {"name": "app", "image": "app", "ports": ports, "env": [{"name": "A", "value": "b"}]},
        {"name": "other", "image": "other", "livenessProbe": {"httpGet": {"port": 8080, "path": "/live"}}},
    ]
    spec = {"containers": containers, "initContainers": [{"name": "before", "image": "before"}]}
    parent = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"shop-{HASH}"}
    labels = {"app": "shop", "version": "v7", "service.istio.io/workload-name": "shop-workload"}
    return {
        name: build_pod(
            {"metadata": {"annotations": annotations, "labels": labels}, "spec": spec}, parent=parent
        )
        for name, annotations in ANNOTATED.items()
    }


def build_long_named_pods() -> dict[str, Object]:
    """A pod of a Deployment with a long name for each template that derives a label from it."""
    parent = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{LONG}-{HASH}"}
    pods: dict[str, Object] = {}
    for template, container in (("sidecar", "app"), ("gateway", "istio-proxy"), ("grpc-agent", "app")):
        annotations = {"inject.istio.io/templates": template}
        spec = {"containers": [{"name": container, "image": "auto"}]}
        pods[f"long name, {template}"] = build_pod(
            {"metadata": {"annotations": annotations}, "spec": spec}, parent=parent
        )
    return pods


def read_pods(line: IstioLine = NEWEST_ISTIO) -> dict[str, Object]:
    """Every pod of every input, by file and place in it, as its controller would create it."""
    folder = find_source(line.module, "istio.io/istio").joinpath(*FOLDER)
    pods: dict[str, Object] = {}
    for path in sorted(folder.glob("*.yaml")):
        if path.name.endswith(".iop.yaml"):
            continue
        found = [pod for document in yaml.load_all(path.read_text(), LOADER) for pod in find_pods(document)]
        pods |= {f"{path.stem}#{number}": pod for number, pod in enumerate(found)}
    return pods


def find_pods(manifest: Object | None) -> Iterator[Object]:
    """The pods that a manifest asks for: itself, those of a list, or the one of a controller's template."""
    if not manifest or "kind" not in manifest:
        return
    if manifest["kind"] == "List":
        for item in manifest["items"]:
            yield from find_pods(item)
    elif manifest["kind"] == "Pod":
        yield build_pod(manifest, parent=None)
    elif manifest["kind"] == "CronJob":
        job = manifest["spec"]["jobTemplate"]["spec"]["template"]
        parent = {"apiVersion": "batch/v1", "kind": "Job", "name": f"{name_of(manifest)}-29000000"}
        yield build_pod(job, parent=parent, around=manifest)
    elif "template" in (manifest.get("spec") or {}):
        yield build_pod(manifest["spec"]["template"], parent=parent_of(manifest), around=manifest)


def name_of(manifest: Object) -> str:
    metadata = manifest.get("metadata") or {}
    return str(metadata.get("name") or metadata.get("generateName", "nameless"))


def parent_of(manifest: Object) -> Object:
    """The owner that Kubernetes writes into a controller's pods: of a Deployment, its ReplicaSet."""
    if manifest["kind"] == "Deployment":
        return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{name_of(manifest)}-{HASH}"}
    if manifest["kind"] == "DeploymentConfig":
        return {"apiVersion": "v1", "kind": "ReplicationController", "name": f"{name_of(manifest)}-1"}
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "name": name_of(manifest)}


def build_pod(template: Object, *, parent: Object | None, around: Object | None = None) -> Object:
    """A pod as the API server hands it to webhooks."""
    pod = {"apiVersion": "v1", "kind": "Pod", **deepcopy(template)}
    metadata = pod["metadata"] = dict(pod.get("metadata") or {})
    namespace = ((around or template).get("metadata") or {}).get("namespace")
    metadata["namespace"] = metadata.get("namespace") or namespace or "default"
    for container in (*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())):
        container.setdefault(
            "resources", {}
        )  # the API server always writes it, and istiod's patch counts on it
    if parent is None:
        return pod
    metadata.pop("name", None)
    metadata["generateName"] = f"{parent['name']}-"
    metadata["ownerReferences"] = [{**parent, "uid": "1", "controller": True}]
    if parent["kind"] == "ReplicaSet":
        metadata["labels"] = {**(metadata.get("labels") or {}), "pod-template-hash": HASH}
    return pod
