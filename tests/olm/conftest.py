"""A light lab with OLM, and Navarch installed there from its bundle."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
from navarch.api.olm.catalog import extend_catalog
from navarch.api.olm.release import CHANNEL, PACKAGE

from lab import cluster as clusters
from lab.cluster import Cluster
from lab.light import cluster as light_cluster
from lab.light import olm as light_olm
from lab.light.olm import CATALOG, NAMESPACE, OLM
from scripts import olm
from scripts.files import dump_for_olm
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.operator import SYSTEM

COREOS = "operators.coreos.com"
RELEASE = replace(olm.build_release(), bundle_image="")
"""The bundle of this checkout, in a catalog that holds its objects."""


@pytest.fixture(scope="session")
def light() -> Iterator[Cluster]:
    """A light lab of this session's own."""
    if clusters.is_current():
        pytest.skip("CLUSTER=current: these tests bring an OLM of their own")
    name = f"test-olm-{os.getpid()}"
    try:
        yield light_cluster.up(name)
    finally:
        light_cluster.down(name)


@pytest.fixture(scope="session")
def api(light: Cluster) -> Api:
    return Api(light.kubeconfig)


@pytest.fixture(scope="session")
def hub(light: Cluster) -> OLM:
    """OLM with a catalog that offers this checkout's bundle."""
    hub = light_olm.add(light)
    blobs = extend_catalog([], RELEASE, olm.build_objects(RELEASE).values())
    hub.publish(dump_for_olm(*blobs), package=PACKAGE)
    return hub


def read(cluster: Cluster, kind: str, name: str, namespace: str = SYSTEM) -> Object:
    """An object of OLM's; empty when it is not there."""
    asked = ["get", f"{kind}.{COREOS}", name, "-n", namespace, "--ignore-not-found", "-o", "json"]
    found: Object = json.loads(cluster.run(*asked) or "{}")
    return found


@pytest.fixture(scope="session")
async def installed(light: Cluster, hub: OLM) -> Cluster:
    """Navarch as a person installs it from OperatorHub, once OLM says that it succeeded."""
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM, "labels": enforce}}
    group = build("OperatorGroup", "v1", spec={})
    source = {"source": CATALOG, "sourceNamespace": NAMESPACE}
    subscription = build("Subscription", "v1alpha1", spec={"name": PACKAGE, "channel": CHANNEL, **source})
    wanted = "\n---\n".join(map(json.dumps, (namespace, group, subscription)))
    light.run("apply", "-f", "-", stdin=wanted)

    def has_succeeded() -> bool:
        status = read(light, "clusterserviceversion", RELEASE.name).get("status", {})
        return bool(status.get("phase") == "Succeeded")

    await eventually(has_succeeded, seconds=120, every=0.2, what="OLM says that the installation succeeded")
    return light


def build(kind: str, version: str, *, spec: Object) -> Object:
    metadata = {"name": PACKAGE, "namespace": SYSTEM}
    return {"apiVersion": f"{COREOS}/{version}", "kind": kind, "metadata": metadata, "spec": spec}
