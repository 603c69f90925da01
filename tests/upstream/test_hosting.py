"""A hosted control plane as the real istiod takes it: it runs in one namespace, another is its root.

What the owner writes in the root namespace is to reach the mesh as configuration, and to give no part of
istiod's own power. What keeps that from the owner is shown beside an istiod without it.
"""

from __future__ import annotations

import json
import urllib.request
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
import yaml
from navarch.core.model.naming import hosted_namespace
from navarch.core.render.components.istiod import HOSTED_ENVIRONMENT

from lab.builds import ISTIO_LINES, IstioLine
from lab.cluster import Cluster, build_kubeconfig
from tests.golden.rendering import ASSETS, NAME
from tests.polling import eventually
from tests.support.api import Api, Object, Refused
from tests.support.istiod import Configuration, Istiod, run_istiod
from tests.support.workloads import find_proxy
from tests.upstream import gateways
from tests.upstream.installations import (
    NAMESPACE,
    REVISION,
    TAG,
    Setting,
    build_configuration,
    find_one,
    render_ours,
)

HOME = hosted_namespace(NAMESPACE, NAME)
ADDRESS = f"istiod-{REVISION}.{HOME}.svc:15012"
MEMBER = "hosted-member"
MEMBER_OF = "mesh.navarch.io/member-of"
ROOT, CA = "istio-ca-root-cert", "istio-ca-secret"
SECRET = "what a member keeps to itself"
OF_CLASS = {"gateway.istio.io/defaults-for-class": "istio"}
REMOTE = {"istio/multiCluster": "true"}
WIDE: dict[tuple[str, str], dict[str, Any]] = {
    ("PeerAuthentication", "security.istio.io/v1"): {"mtls": {"mode": "STRICT"}},
    ("Telemetry", "telemetry.istio.io/v1"): {"tracing": [{"randomSamplingPercentage": 1}]},
    ("Sidecar", "networking.istio.io/v1"): {"egress": [{"hosts": ["./*"]}]},
    ("ProxyConfig", "networking.istio.io/v1beta1"): {
        "environmentVariables": {"FROM_ROOT": "yes", "IPTABLES_TRACE_LOGGING": "true"}
    },
}
"""Configuration for a whole mesh, which holds where it lies in its root namespace."""
PLURALS = {
    "PeerAuthentication": "peerauthentications",
    "Telemetry": "telemetries",
    "Sidecar": "sidecars",
    "ProxyConfig": "proxyconfigs",
}


@dataclass(frozen=True)
class Scene:
    """A hosted mesh with a member; `configuration` is what its istiod is given."""

    cluster: Cluster
    api: Api
    line: IstioLine
    configuration: Configuration
    injector: str

    def without_guards(self) -> Configuration:
        """What istiod would be given if the mesh were not hosted, all else being the same."""
        given = self.configuration.environment.items()
        open_to_all = {name: value for name, value in given if name not in HOSTED_ENVIRONMENT}
        return replace(self.configuration, environment=open_to_all)


def fetch(istiod: Istiod, path: str) -> str:
    with urllib.request.urlopen(f"{istiod.url}/debug/{path}", timeout=10) as answer:
        return str(answer.read().decode())


def ask(istiod: Istiod, path: str) -> Any:
    return json.loads(fetch(istiod, path))


def place(kind: str, version: str) -> str:
    return f"/apis/{version}/namespaces/{NAMESPACE}/{PLURALS[kind]}/default"


def try_apply(api: Api, manifest: Object) -> bool:
    """Whether a kind whose CRD was made just now is served."""
    path = f"{place(manifest['kind'], manifest['apiVersion'])}?fieldManager=test&force=true"
    try:
        api.request("PATCH", path, manifest, media="application/apply-patch+yaml")
    except Refused as refused:
        if refused.code != 404:
            raise
        return False
    return True


def validate(istiod: Istiod, manifest: Object) -> str:
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


def inject(istiod: Istiod) -> Object:
    """The proxy of a member's pod, its variables by name in `env`."""
    spec = {"containers": [{"name": "app", "image": "app", "resources": {}}]}
    metadata = {"name": "a", "namespace": MEMBER}
    proxy = find_proxy(istiod.inject({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}))
    return {**proxy, "env": read_variables(proxy)}


def read_variables(container: Object) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in container["env"]}


def build_secret(
    namespace: str, name: str, data: Mapping[str, str], labels: Mapping[str, str] | None = None
) -> Object:
    metadata = {"name": name, "namespace": namespace, "labels": dict(labels or {})}
    encoded = {key: b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded}


def build_remote(namespace: str, cluster: str) -> Object:
    """What connects a mesh with another cluster, as `istioctl create-remote-secret` writes it; nobody
    listens at its address."""
    text = build_kubeconfig(cluster={"server": "https://127.0.0.1:1"}, token="none")
    return build_secret(namespace, f"remote-{cluster}", {cluster: text}, REMOTE)


def build_defaults(namespace: str, replicas: int) -> Object:
    """With how many pods Gateways of a class are deployed."""
    metadata = {"name": "of-class", "namespace": namespace, "labels": OF_CLASS}
    patch = yaml.safe_dump({"spec": {"replicas": replicas}})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"deployment": patch}}


async def set_up(api: Api, line: IstioLine) -> None:
    """The CRDs, the namespaces, and what people have written in them."""
    await gateways.set_up_crds(api, line)
    for crd in ASSETS.crds[line.minor]:
        api.apply(dict(crd))
    member = {MEMBER_OF: f"{NAMESPACE}.{NAME}", "istio.io/rev": TAG}
    for name, labels in ((HOME, {}), (MEMBER, member)):
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        api.delete("configmap", name, ROOT)
    # Other istiods of this API server have run in the tenant's namespace.
    api.delete("configmap", NAMESPACE, ROOT)
    for name in (NAMESPACE, HOME):
        api.delete("secret", name, CA)
    api.apply(build_secret(MEMBER, "own", {"password": SECRET}))
    for (kind, version), spec in WIDE.items():
        metadata = {"name": "default", "namespace": NAMESPACE}
        wide = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}

        def is_applied(wide: Object = wide) -> bool:
            return try_apply(api, wide)

        await eventually(is_applied, seconds=30, what=f"{kind} is served")


@pytest.fixture(params=ISTIO_LINES, ids=lambda line: line.minor)
async def scene(cluster: Cluster, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    line: IstioLine = request.param
    api = Api(cluster.kubeconfig)
    await set_up(api, line)
    # An administrator has switched waypoints on, to see where istiod deploys them.
    ambient = {"environment": [{"name": "PILOT_ENABLE_AMBIENT", "value": "true"}]}
    spec = {"hosting": "Hosted", "scope": "Members", "controlPlane": ambient}
    objects = render_ours(Setting(spec=spec), line)
    injector = find_one(objects, "MutatingWebhookConfiguration", "istio-sidecar-injector")
    tag = find_one(objects, "MutatingWebhookConfiguration", f"istio-revision-tag-{TAG}")
    made = (find_one(objects, "ConfigMap", f"istio-{REVISION}"), injector, tag)
    for one in made:
        api.apply(one)
    configuration = build_configuration(objects, namespace=HOME)
    try:
        yield Scene(cluster, api, line, configuration, injector["metadata"]["name"])
    finally:
        for one in (injector, tag):
            api.delete("mwc", "", one["metadata"]["name"])
        for kind, version in WIDE:
            api.request("DELETE", place(kind, version))
        for name in (NAMESPACE, HOME):
            api.delete("configmap", name, "of-class")
            api.delete("secret", name, f"remote-{name}")


async def test_istiod_runs_in_the_hosted_namespace_and_takes_its_mesh_from_the_tenants(
    scene: Scene, tmp_path: Path
) -> None:
    api = scene.api
    given = scene.without_guards()
    with run_istiod(scene.cluster.kubeconfig, given, tmp_path / "istiod", line=scene.line) as istiod:
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
            found = (c for c in ask(istiod, "configz") if c["metadata"].get("namespace") == NAMESPACE)
            return {one["kind"] for one in found if one["metadata"]["name"] == "default"}

        kinds = {kind for kind, _ in WIDE}
        await eventually(lambda: read_wide() >= kinds, seconds=60, what="mesh-wide configuration is read")
        variables = inject(istiod)["env"]
        assert variables["CA_ADDR"] == ADDRESS
        assert json.loads(variables["PROXY_CONFIG"])["discoveryAddress"] == ADDRESS

        def is_trusted() -> bool:
            found = api.get("mwc", "", scene.injector) or {"webhooks": []}
            return all(w["clientConfig"].get("caBundle") for w in found["webhooks"]) and bool(
                found["webhooks"]
            )

        await eventually(is_trusted, seconds=60, what="istiod writes its root into its webhooks")
        await show_what_the_owner_would_gain(api, istiod)


async def show_what_the_owner_would_gain(api: Api, istiod: Istiod) -> None:
    """Without what Navarch gives a hosted istiod besides. The test asks from this machine, to which istiod
    shows as much as to workloads of the root namespace; those ask in tests/node."""
    known = b64encode(SECRET.encode()).decode()
    await eventually(lambda: known in fetch(istiod, "krtz"), seconds=30, what="istiod shows members' Secrets")
    await eventually(
        lambda: inject(istiod)["env"].get("FROM_ROOT") == "yes", seconds=30, what="the ProxyConfig is read"
    )
    assert inject(istiod)["securityContext"]["privileged"] is True

    # What is written first has been seen when the other has.
    for name in (NAMESPACE, HOME):
        api.apply(build_remote(name, name))
    await eventually(lambda: HOME in fetch(istiod, "clusterz"), seconds=30, what="a remote cluster is known")
    assert NAMESPACE not in {one["id"] for one in ask(istiod, "clusterz")}


async def test_what_an_owner_writes_gives_no_part_of_istiods_own_power(scene: Scene, tmp_path: Path) -> None:
    """Neither what istiod knows, nor the environment of members' proxies, nor what Gateways are deployed
    with."""
    api = scene.api
    for name, replicas in ((NAMESPACE, 5), (HOME, 2)):
        api.apply(build_defaults(name, replicas))
    given = scene.configuration
    with run_istiod(scene.cluster.kubeconfig, given, tmp_path / "istiod", line=scene.line) as istiod:
        for path in ("krtz", "configz", "config_dump", "syncz"):
            with pytest.raises(HTTPError, match="404"):
                fetch(istiod, path)
        for waypoint in (False, True):
            await deploy(api, waypoint=waypoint)
        # An istiod that is ready has read what was there before it.
        proxy = inject(istiod)
        assert proxy["env"].keys().isdisjoint({"FROM_ROOT", "IPTABLES_TRACE_LOGGING"})
        assert not proxy["securityContext"].get("privileged")


async def deploy(api: Api, *, waypoint: bool) -> None:
    """A Gateway in the member's namespace: its proxies are of the hosted istiod, and no defaults of its class
    count, not those beside istiod either, which looks for them there and at that namespace not at all."""
    name, made = ("way", "way") if waypoint else ("web", "web-istio")
    gateway_class = "istio-waypoint" if waypoint else "istio"
    listener = ("mesh", 15008, "HBONE") if waypoint else ("http", 80, "HTTP")
    gateway = gateways.build_gateway(name, gateway_class, listener, metadata={"namespace": MEMBER})
    path = f"/apis/{gateways.API_VERSION}/namespaces/{MEMBER}/gateways"
    api.delete("deployment", MEMBER, made)
    api.request("POST", path, gateway)
    try:
        await eventually(lambda: api.get("deployment", MEMBER, made), seconds=60, what=f"{made} is deployed")
        deployment = api.get("deployment", MEMBER, made) or {}
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        variables = read_variables(container)
        assert variables["CA_ADDR"] == ADDRESS
        assert json.loads(variables["PROXY_CONFIG"])["discoveryAddress"] == ADDRESS
        assert deployment["spec"]["replicas"] == 1
        assert not container["securityContext"].get("privileged")
        assert "FROM_ROOT" not in variables
    finally:
        api.request("DELETE", f"{path}/{name}", {})
        api.delete("deployment", MEMBER, made)
