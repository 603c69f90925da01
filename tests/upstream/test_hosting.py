"""A hosted control plane as the real istiod takes it: it runs in one namespace, another is its root."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from navarch.core.model.naming import hosted_namespace

from lab.builds import ISTIO_LINES, IstioLine
from lab.cluster import Cluster
from tests.golden.rendering import ASSETS, NAME
from tests.polling import eventually
from tests.support.api import Api, Refused
from tests.support.istiod import Istiod, run_istiod
from tests.upstream.installations import (
    NAMESPACE,
    REVISION,
    Setting,
    build_configuration,
    find_one,
    render_ours,
)

HOME = hosted_namespace(NAMESPACE, NAME)
MEMBER = "hosted-member"
MEMBER_OF = "mesh.navarch.io/member-of"
ROOT, CA = "istio-ca-root-cert", "istio-ca-secret"
WIDE: dict[tuple[str, str], dict[str, Any]] = {
    ("PeerAuthentication", "security.istio.io/v1"): {"mtls": {"mode": "STRICT"}},
    ("Telemetry", "telemetry.istio.io/v1"): {"tracing": [{"randomSamplingPercentage": 1}]},
    ("Sidecar", "networking.istio.io/v1"): {"egress": [{"hosts": ["./*"]}]},
    ("ProxyConfig", "networking.istio.io/v1beta1"): {"environmentVariables": {"FROM_ROOT": "yes"}},
}
"""Configuration for a whole mesh, which holds where it lies in its root namespace."""
PLURALS = {
    "PeerAuthentication": "peerauthentications",
    "Telemetry": "telemetries",
    "Sidecar": "sidecars",
    "ProxyConfig": "proxyconfigs",
}


def ask(istiod: Istiod, path: str) -> Any:
    with urllib.request.urlopen(f"{istiod.url}/debug/{path}", timeout=10) as answer:
        return json.loads(answer.read())


def place(kind: str, version: str) -> str:
    return f"/apis/{version}/namespaces/{NAMESPACE}/{PLURALS[kind]}/default"


def try_apply(api: Api, manifest: dict[str, Any]) -> bool:
    """Whether a kind whose CRD was made just now is served."""
    path = f"{place(manifest['kind'], manifest['apiVersion'])}?fieldManager=test&force=true"
    try:
        api.request("PATCH", path, manifest, media="application/apply-patch+yaml")
    except Refused as refused:
        if refused.code != 404:
            raise
        return False
    return True


def validate(istiod: Istiod, manifest: dict[str, Any]) -> str:
    """What istiod's validation says against an object; empty where it takes it."""
    group, version = manifest["apiVersion"].split("/")
    request = {
        "uid": "1",
        "kind": {"group": group, "version": version, "kind": manifest["kind"]},
        "namespace": NAMESPACE,
        "operation": "CREATE",
        "object": manifest,
    }
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    headers = {"Content-Type": "application/json"}
    asked = urllib.request.Request(f"{istiod.url}/validate", json.dumps(review).encode(), headers)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        response = json.loads(answer.read())["response"]
    return "" if response["allowed"] else str(response["status"]["message"])


def build_pod(namespace: str) -> dict[str, Any]:
    spec = {"containers": [{"name": "app", "image": "app", "resources": {}}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "namespace": namespace},
        "spec": spec,
    }


@pytest.mark.parametrize("line", ISTIO_LINES, ids=lambda line: line.minor)
async def test_istiod_runs_in_the_hosted_namespace_and_takes_its_mesh_from_the_tenants(
    cluster: Cluster, line: IstioLine, tmp_path: Path
) -> None:
    api = Api(cluster.kubeconfig)
    for crd in ASSETS.crds[line.minor]:
        api.apply(dict(crd))
    member = {MEMBER_OF: f"{NAMESPACE}.{NAME}", "istio.io/rev": "blue"}
    for name, labels in ((HOME, {}), (MEMBER, member)):
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        api.delete("configmap", name, ROOT)
    # Other istiods of this API server have run in the tenant's namespace.
    api.delete("configmap", NAMESPACE, ROOT)
    for name in (NAMESPACE, HOME):
        api.delete("secret", name, CA)
    for (kind, version), spec in WIDE.items():
        metadata = {"name": "default", "namespace": NAMESPACE}
        wide = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}

        def is_applied(wide: dict[str, Any] = wide) -> bool:
            return try_apply(api, wide)

        await eventually(is_applied, seconds=30, what=f"{kind} is served")
    objects = render_ours(Setting(spec={"hosting": "Hosted", "scope": "Members"}), line)
    injector = find_one(objects, "MutatingWebhookConfiguration", "istio-sidecar-injector")
    for one in (find_one(objects, "ConfigMap", f"istio-{REVISION}"), injector):
        api.apply(one)
    try:
        await judge(cluster, api, build_configuration(objects, namespace=HOME), line, tmp_path)
    finally:
        api.delete("mwc", "", injector["metadata"]["name"])
        for kind, version in WIDE:
            api.request("DELETE", place(kind, version))


async def judge(cluster: Cluster, api: Api, configuration: Any, line: IstioLine, folder: Path) -> None:
    """What such an istiod does and says."""
    with run_istiod(cluster.kubeconfig, configuration, folder / "istiod", line=line) as istiod:
        await eventually(lambda: api.get("configmap", MEMBER, ROOT), seconds=60, what="the member's root")
        await eventually(lambda: api.get("configmap", NAMESPACE, ROOT), seconds=60, what="the tenant's root")
        assert api.get("configmap", HOME, ROOT) is None
        assert api.get("secret", HOME, CA) is not None
        assert api.get("secret", NAMESPACE, CA) is None
        assert f"istiod-{REVISION}.{HOME}.svc" in istiod.log.read_text()
        assert ask(istiod, "mesh")["rootNamespace"] == NAMESPACE

        wrong = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService"}
        wrong |= {"metadata": {"name": "wrong", "namespace": NAMESPACE}, "spec": {"hosts": ["a"]}}
        assert "http, tcp or tls must be provided" in validate(istiod, wrong)

        def read_wide() -> set[str]:
            found = (c for c in ask(istiod, "configz") if c["metadata"]["namespace"] == NAMESPACE)
            return {one["kind"] for one in found if one["metadata"]["name"] == "default"}

        kinds = {kind for kind, _ in WIDE}
        await eventually(lambda: read_wide() >= kinds, seconds=60, what="mesh-wide configuration is read")

        def read_proxy() -> dict[str, Any]:
            pod = istiod.inject(build_pod(MEMBER))
            every = [*pod["spec"]["containers"], *pod["spec"].get("initContainers", ())]
            proxy = next(one for one in every if one["name"] == "istio-proxy")
            return {one["name"]: one.get("value", "") for one in proxy["env"]}

        await eventually(
            lambda: read_proxy().get("FROM_ROOT") == "yes", seconds=30, what="root is the tenant's"
        )
        address = f"istiod-{REVISION}.{HOME}.svc:15012"
        variables = read_proxy()
        assert variables["CA_ADDR"] == address
        assert json.loads(variables["PROXY_CONFIG"])["discoveryAddress"] == address

        def is_trusted() -> bool:
            found = api.get("mwc", "", f"istio-sidecar-injector-{REVISION}-{HOME}") or {"webhooks": []}
            return all(w["clientConfig"].get("caBundle") for w in found["webhooks"]) and bool(
                found["webhooks"]
            )

        await eventually(is_trusted, seconds=60, what="istiod writes its root into its webhooks")
