"""Gateways with a version of their own, as the real istiod makes their pods."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from navarch.core.gateway.plan import build_gateway
from navarch.core.world.proxies import read_proxy_pod

from lab.builds import ISTIO_LINES, IstioLine
from lab.cluster import Cluster
from tests.support.istiod import run_istiod
from tests.unit.gateways import a_gateway, find, pinned, with_mesh
from tests.upstream.installations import Setting, build_configuration, render_ours


@pytest.mark.parametrize("line", ISTIO_LINES, ids=lambda line: line.minor)
def test_the_injector_gives_the_image_of_the_pin_and_without_one_its_own(
    cluster: Cluster, line: IstioLine, tmp_path: Path
) -> None:
    follows = with_mesh(a_gateway(), "1.31.4")
    older = pinned("1.30.3")
    with run_istiod(
        cluster.kubeconfig, build_configuration(render_ours(Setting(), line)), tmp_path, line=line
    ) as istiod:
        pods = []
        for gateway in (older, follows):
            template = find(build_gateway(gateway), "Deployment")["spec"]["template"]
            metadata = {**template["metadata"], "name": "ingress-x", "namespace": "front"}
            pods.append(istiod.inject({"apiVersion": "v1", "kind": "Pod", **template, "metadata": metadata}))
    (image,), (own,) = ([c["image"] for c in pod["spec"]["containers"]] for pod in pods)
    assert image.endswith("/proxyv2:1.30.3")
    assert "auto" not in own
    assert own != image
    stamps = [proxy.proxy for pod in pods if (proxy := read_proxy_pod(pod)) is not None]
    annotation = pods[0]["metadata"]["annotations"]["mesh.navarch.io/restart"]
    assert stamps[0] == annotation, "the pod counts by the pin's stamp"
    assert annotation.startswith("1.30.3-")
    for pod in pods:
        said = yaml.safe_load(pod["metadata"]["annotations"]["proxy.istio.io/config"])
        (config,) = (e["value"] for e in pod["spec"]["containers"][0]["env"] if e["name"] == "PROXY_CONFIG")
        assert json.loads(config)["drainDuration"] == said["drainDuration"], "the gateway's own time"
