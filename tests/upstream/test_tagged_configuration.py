"""Configuration that names a tag is not read: what ConfigurationNotRead says, asked of the real istiod."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from lab.builds import ISTIO_LINES, IstioLine
from lab.cluster import Cluster
from tests.golden.rendering import ASSETS
from tests.polling import eventually
from tests.support.api import Api, Refused
from tests.support.istiod import Istiod, run_istiod
from tests.upstream.installations import NAMESPACE, REVISION, TAG, Setting, build_configuration, render_ours

LABELS = {"by-tag": TAG, "by-revision": REVISION, "by-nothing": ""}
KINDS = {"PeerAuthentication": "security.istio.io/v1", "VirtualService": "networking.istio.io/v1"}
SPECS = {
    "PeerAuthentication": {"mtls": {"mode": "PERMISSIVE"}},
    "VirtualService": {"hosts": ["web.example"], "http": [{"route": [{"destination": {"host": "web"}}]}]},
}


def read_names(istiod: Istiod) -> dict[str, set[str]]:
    """What istiod has read of these kinds, by its own account."""
    with urllib.request.urlopen(f"{istiod.url}/debug/configz", timeout=10) as answer:
        found = json.loads(answer.read())
    return {
        kind: {one["metadata"]["name"] for one in found if one["kind"] == kind} & {*LABELS} for kind in KINDS
    }


@pytest.mark.parametrize("line", ISTIO_LINES, ids=lambda line: line.minor)
async def test_istiod_reads_what_names_its_revision_or_nothing_and_not_what_names_its_tag(
    cluster: Cluster, line: IstioLine, tmp_path: Path
) -> None:
    api = Api(cluster.kubeconfig)
    for crd in ASSETS.crds[line.minor]:
        api.apply(dict(crd))
    for kind, version in KINDS.items():
        for name, revision in LABELS.items():
            labels = {"istio.io/rev": revision} if revision else {}
            metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
            manifest = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": SPECS[kind]}

            def is_applied(manifest: dict[str, object] = manifest) -> bool:
                return try_apply(api, manifest)

            await eventually(is_applied, seconds=30, what=f"{kind} is served")
    objects = render_ours(Setting(), line)
    for one in objects:
        if one["metadata"]["name"] == f"istio-{REVISION}" and one["kind"] == "ConfigMap":
            api.apply(one)
    with run_istiod(cluster.kubeconfig, build_configuration(objects), tmp_path, line=line) as istiod:
        wanted = {kind: {"by-revision", "by-nothing"} for kind in KINDS}
        await eventually(
            lambda: all(read_names(istiod)[k] >= wanted[k] for k in KINDS), seconds=60, every=0.2
        )
        assert read_names(istiod) == wanted


def try_apply(api: Api, manifest: dict[str, object]) -> bool:
    """Whether a kind whose CRD was made just now is served."""
    try:
        api.apply(manifest)
    except Refused as refused:
        if refused.code != 404:
            raise
        return False
    return True
