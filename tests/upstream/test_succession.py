"""Istiods of two minors in one namespace, one after the other in either order: they share one root."""

from __future__ import annotations

from pathlib import Path

from lab.builds import ISTIO_LINES
from lab.cluster import Cluster
from tests.polling import eventually
from tests.support.api import Api
from tests.support.istiod import run_istiod
from tests.upstream.installations import Setting, build_configuration, render_ours

NAMESPACE = "succession"
OLDER, NEWER = ISTIO_LINES[-2:]


async def test_an_older_istiod_that_starts_after_a_newer_one_signs_by_the_same_root(
    cluster: Cluster, tmp_path: Path
) -> None:
    """As on the way back to a revision whose istiod is started anew, and on the way on after that."""
    api, roots = Api(cluster.kubeconfig), []
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})

    def read_root() -> str | None:
        return ((api.get("configmap", NAMESPACE, "istio-ca-root-cert") or {}).get("data") or {}).get(
            "root-cert.pem"
        )

    for number, line in enumerate((NEWER, OLDER, NEWER)):
        tag = f"v{number}"
        objects = render_ours(Setting(), line, namespace=NAMESPACE, tag=tag)
        configuration = build_configuration(objects, namespace=NAMESPACE, revision=f"{tag}-inplace")
        with run_istiod(cluster.kubeconfig, configuration, tmp_path / tag, line=line):
            roots.append(await eventually(read_root, seconds=60, what=f"the root of {line.minor}"))
        api.delete("configmap", NAMESPACE, "istio-ca-root-cert")
    assert len({*roots}) == 1
    authority = api.get("secret", NAMESPACE, "istio-ca-secret") or {}
    assert authority["data"], "the first one made it, and it is there for the next"
