"""What backup tools do: an object as `kubectl get -o yaml` shows it, and that object created again."""

from __future__ import annotations

from copy import deepcopy

import yaml

from lab.cluster import Cluster
from tests.support.api import Api, Object

OF_THE_CLUSTER = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
)
"""Metadata that belonged to the old object's existence, and that backup tools leave out."""


def save(cluster: Cluster, kind: str, namespace: str, name: str) -> Object:
    """An object, saved."""
    saved: Object = yaml.safe_load(cluster.run("get", kind, "-n", namespace, name, "-o", "yaml"))
    return saved


def restore(api: Api, saved: Object) -> Object:
    """Creates a saved object."""
    manifest = deepcopy(saved)
    manifest.pop("status", None)
    manifest["metadata"] = {k: v for k, v in manifest["metadata"].items() if k not in OF_THE_CLUSTER}
    if manifest["kind"] == "Service":  # its address was of the old cluster
        for key in ("clusterIP", "clusterIPs"):
            manifest["spec"].pop(key, None)
    return api.create(manifest)
