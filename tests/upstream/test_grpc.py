"""Applications that speak xDS themselves find their istiod by what injection put into their environment."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from lab.cluster import Cluster
from tests.polling import eventually
from tests.support.istiod import Object, run_istiod
from tests.upstream.installations import NAMESPACE, REVISION, Setting, build_configuration, render_ours

FIELDS = {"status.podIP": "192.0.2.9", "metadata.name": "shop-1", "metadata.namespace": "shops"}
CLIENT = """
import grpc
channel = grpc.insecure_channel("xds:///anything.shops.svc.cluster.local:80")
grpc.channel_ready_future(channel).result(timeout=60)
"""


def read_environment(container: Object) -> dict[str, str]:
    """A container's variables as the kubelet expands them: each may name those before it."""
    environment: dict[str, str] = {}
    for variable in container["env"]:
        value = variable.get("value") or FIELDS[variable["valueFrom"]["fieldRef"]["fieldPath"]]
        environment[variable["name"]] = re.sub(
            r"\$\((\w+)\)", lambda found: environment.get(found[1], found[0]), value
        )
    return environment


async def test_grpc_connects_by_the_bootstrap_in_its_environment(cluster: Cluster, tmp_path: Path) -> None:
    metadata = {
        "name": "shop-1",
        "namespace": "shops",
        "annotations": {"inject.istio.io/templates": "grpc-simple"},
    }
    own = [{"name": "POD_NAME", "value": "not-the-pods"}]
    containers = [{"name": "app", "image": "app", "env": own, "resources": {}}]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}}
    configuration = build_configuration(render_ours(Setting()))
    with run_istiod(cluster.kubeconfig, configuration, tmp_path / "istiod") as istiod:
        (container,) = istiod.inject(pod)["spec"]["containers"]
        environment = read_environment(container)
        assert environment["POD_NAME"] == "not-the-pods"
        bootstrap = environment["GRPC_XDS_BOOTSTRAP_CONFIG"]
        address = f"dns:///istiod-{REVISION}.{NAMESPACE}.svc:15010"
        assert address in bootstrap
        here = {**os.environ, "GRPC_XDS_BOOTSTRAP_CONFIG": bootstrap.replace(address, istiod.xds)}
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CLIENT, env=here, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            line = "new connection for node:shop-1.shops"
            await eventually(lambda: line in istiod.log.read_text(), seconds=60, every=0.1)
        finally:
            client.kill()
            await client.wait()
