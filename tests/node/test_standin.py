"""The light lab's stand-in for istiod against the real one: one mesh, the same mishaps, what each made of it.

What is compared is what anybody but the proxies can see: webhook configurations and who owns which of their
fields, ConfigMaps and Secret, injected pods, refusals, and every write that repaired something.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lab.cluster import Cluster
from lab.light import cluster as light_cluster
from scripts.demo.installation import install
from tests.polling import eventually
from tests.support.api import Api, Object, Refused
from tests.support.logs import find_end, read_events
from tests.support.meshes import build_mesh, wait_for
from tests.support.workloads import build_pod, create_namespace, load_profile

NAMESPACE, APPS, OUTSIDE = "same", "same-apps", "same-outside"
TAG, REVISION = "same-demo", "same-demo-inplace"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:istiod-{REVISION}"
DISTRIBUTED = "istio.io/config=true"
REPAIRED = {
    "configmaps",
    "gateways",
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
}
TIMING = {409, 500}
"""Answers to a write that met another one, or came before the API server knew of the webhook's new root:
on either side it is chance whether there are any."""
OWN_LOCKS = ("election", "leader", "autoallocate")
"""ConfigMaps that are the real istiod's own bookkeeping end with one of these."""
FORCE = {"metadata": {"annotations": {"mesh.navarch.io/force-delete": "true"}}}


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two clusters."""

    cluster: Cluster
    api: Api

    def list_webhooks(self) -> list[Object]:
        labels = f"istio.io/rev={REVISION}"
        return [*self.api.list("mwc", labels=labels), *self.api.list("vwc", labels=labels)]

    def read_writes(self, mark: int) -> list[dict[str, Any]]:
        """Audit events of what istiod's account wrote, or tried to, since a point in the log."""
        assert self.cluster.audit_log is not None
        return [
            event
            for event in read_events(self.cluster.audit_log, mark)
            if (event.get("impersonatedUser") or event["user"])["username"] == ACCOUNT
            and event["verb"] not in {"get", "list", "watch"}
            and event["stage"] == "ResponseComplete"
        ]

    def mark(self) -> int:
        assert self.cluster.audit_log is not None
        return find_end(self.cluster.audit_log)


async def set_up(cluster: Cluster) -> Side:
    side = Side(cluster, Api(cluster.kubeconfig))
    install(cluster)
    side.api.apply(load_profile())
    await create_namespace(side.api, NAMESPACE)
    await create_namespace(side.api, APPS, {"istio.io/rev": TAG})
    await create_namespace(side.api, OUTSIDE)
    side.api.create(build_mesh(NAMESPACE, profiles=["default", "lab"], mtls={"mode": "Strict"}))
    await wait_for(side.api, NAMESPACE, seconds=90)
    return side


@pytest.fixture(scope="module")
def own_light() -> Iterator[Cluster]:
    """A light lab of this module's own: other suites start operators in the session's."""
    name = f"test-standin-{os.getpid()}"
    try:
        yield light_cluster.up(name)
    finally:
        light_cluster.down(name)


@pytest.fixture(scope="module")
async def real(operator: Cluster) -> Side:
    return await set_up(operator)


@pytest.fixture(scope="module")
async def pretended(own_light: Cluster) -> Side:
    return await set_up(own_light)


@pytest.fixture(scope="module", autouse=True)
def _removed(real: Side) -> Iterator[None]:
    yield
    for name in (APPS, OUTSIDE):
        real.api.delete("namespace", "", name)
    real.api.patch("mesh", NAMESPACE, "demo", FORCE)
    real.api.delete("namespace", "", NAMESPACE)


def read_owned_fields(manifest: Object) -> dict[str, Any]:
    """The fields of an object by who owns them, without those of the operator and the tests."""
    return {
        f"{entry['manager']} {entry['operation']}": entry["fieldsV1"]
        for entry in manifest["metadata"]["managedFields"]
        if entry["manager"].startswith(("pilot", "istio"))
    }


def describe_webhooks(side: Side) -> dict[str, Any]:
    """Trust and policy of each entry, and which fields istiod owns."""
    secret = side.api.get("secret", NAMESPACE, "istio-ca-secret") or {}
    root = secret["data"]["root-cert.pem"]
    return {
        f"{manifest['kind']} {manifest['metadata']['name']}": {
            "owned": read_owned_fields(manifest),
            "entries": {
                entry["name"]: (entry["clientConfig"].get("caBundle") == root, entry["failurePolicy"])
                for entry in manifest["webhooks"]
            },
        }
        for manifest in side.list_webhooks()
    }


def describe_config_maps(side: Side) -> dict[str, Any]:
    """What istiod distributed, by namespace: names, keys, labels and owners."""
    secret = side.api.get("secret", NAMESPACE, "istio-ca-secret") or {}
    assert secret["type"] == "istio.io/ca-root"
    here = {NAMESPACE, APPS, OUTSIDE, "default", "kube-system", "navarch-probe", "navarch-system"}
    return {
        f"{manifest['metadata']['namespace']}/{manifest['metadata']['name']}": {
            "labels": manifest["metadata"]["labels"],
            "empty": {key: not value for key, value in manifest["data"].items()},
            "owned": read_owned_fields(manifest),
        }
        for manifest in side.api.list("configmap", labels=DISTRIBUTED)
        if manifest["metadata"]["namespace"] in here
    }


def describe_secret(side: Side) -> dict[str, Any]:
    secret = side.api.get("secret", NAMESPACE, "istio-ca-secret") or {}
    return {
        "type": secret["type"],
        "empty": {key: not value for key, value in secret["data"].items()},
        "labels": secret["metadata"].get("labels"),
        "owned": read_owned_fields(secret),
    }


def describe_pod(side: Side, pod: Object) -> dict[str, Any]:
    """What injection adds to a pod as far as the API shows it, without the proxy's own settings."""
    made = side.api.create(pod, dry_run=True)
    metadata, spec = made["metadata"], made["spec"]
    containers = [*spec.get("initContainers", ()), *spec["containers"]]
    return {
        "labels": metadata["labels"],
        "annotations": metadata.get("annotations"),
        "containers": [
            {
                "name": container["name"],
                "image": container["image"],
                "resources": container["resources"],
                "restartPolicy": container.get("restartPolicy"),
                "ports": container.get("ports"),
                "mounts": sorted(
                    (mount["name"], mount["mountPath"])
                    for mount in container["volumeMounts"]
                    if not mount["name"].startswith("kube-api-access-")
                ),
            }
            for container in containers
        ],
        "volumes": [v for v in spec["volumes"] if not v["name"].startswith("kube-api-access-")],
    }


def build_virtual_service(namespace: str, *, host: str) -> Object:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "shop", "namespace": namespace},
        "spec": {"hosts": ["shop"], "http": [{"route": [{"destination": {"host": host}}]}]},
    }


def try_virtual_service(side: Side, manifest: Object) -> tuple[int, str]:
    """The status, and a refusal's words as far as the API server and istiod have them in common."""
    try:
        side.api.create(manifest, dry_run=True)
    except Refused as refused:
        return refused.code, str(refused).partition("configuration is invalid")[0]
    return 201, ""


def test_the_same_webhooks_carry_the_bundle_and_belong_to_the_same_managers(
    real: Side, pretended: Side
) -> None:
    seen = describe_webhooks(real)
    assert len(seen) == 3
    assert all(entry["owned"].keys() == {"pilot-discovery Update"} for entry in seen.values())
    assert describe_webhooks(pretended) == seen


def test_the_same_config_maps_are_in_the_same_namespaces(real: Side, pretended: Side) -> None:
    seen = describe_config_maps(real)
    names = {"istio-ca-root-cert", "istio-ca-crl"}
    assert seen.keys() == {f"{namespace}/{name}" for namespace in (NAMESPACE, APPS) for name in names}
    assert describe_config_maps(pretended) == seen


def test_the_authority_is_kept_in_the_same_form(real: Side, pretended: Side) -> None:
    assert describe_secret(pretended) == describe_secret(real)


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"app": "shop", "version": "v2"}},
        {"labels": {}},
        {"labels": {}, "name": None, "generateName": "made-"},
        {"annotations": {"prometheus.io/scrape": "false", "sidecar.istio.io/proxyImage": "other"}},
        {"labels": {"sidecar.istio.io/inject": "false"}},
    ],
    ids=["labelled", "bare", "generated", "annotated", "refused"],
)
def test_an_injected_pod_looks_the_same(real: Side, pretended: Side, metadata: Any) -> None:
    pod = build_pod(APPS, "shop")
    pod["metadata"] = {k: v for k, v in (pod["metadata"] | metadata).items() if v is not None}
    seen = describe_pod(real, pod)
    refused = "sidecar.istio.io/inject" in seen["labels"]
    assert ("sidecar.istio.io/status" in (seen["annotations"] or {})) is not refused
    assert describe_pod(pretended, pod) == seen


@pytest.mark.parametrize("namespace", [NAMESPACE, APPS, OUTSIDE])
@pytest.mark.parametrize("host", ["", "shop"])
def test_the_same_virtual_services_are_refused_in_the_same_words(
    real: Side, pretended: Side, namespace: str, host: str
) -> None:
    manifest = build_virtual_service(namespace, host=host)
    seen = try_virtual_service(real, manifest)
    assert (seen[0] == 201) is (bool(host) or namespace == OUTSIDE)
    assert try_virtual_service(pretended, manifest) == seen


def is_right(side: Side) -> bool:
    """Whether every entry trusts the root and fails closed, and both namespaces have the root certificate."""
    entries = [e for seen in describe_webhooks(side).values() for e in seen["entries"].values()]
    secret = side.api.get("secret", NAMESPACE, "istio-ca-secret") or {}
    root = base64.b64decode(secret["data"]["root-cert.pem"]).decode()
    wanted = {("istio-ca-root-cert", "root-cert.pem"): root, ("istio-ca-crl", "ca-crl.pem"): ""}
    found = {
        (namespace, name, key): ((side.api.get("configmap", namespace, name) or {}).get("data") or {}).get(
            key
        )
        for namespace in (NAMESPACE, APPS)
        for name, key in wanted
    }
    return set(entries) == {(True, "Fail")} and all(
        data == wanted[name, key] for (_, name, key), data in found.items()
    )


def list_mishaps(side: Side) -> list[Callable[[], object]]:
    """What takes away, one thing each, what istiod keeps right."""
    mutating, validating = (
        f"istio-{kind}-{REVISION}-{NAMESPACE}" for kind in ("sidecar-injector", "validator")
    )
    blank = {"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}
    ignore = {"op": "replace", "path": "/webhooks/1/failurePolicy", "value": "Ignore"}
    api = side.api
    return [
        lambda: api.patch("mwc", "", mutating, [blank]),
        lambda: api.patch("vwc", "", validating, [blank, ignore]),
        lambda: api.patch("vwc", "", validating, [ignore]),
        lambda: api.delete("configmap", APPS, "istio-ca-root-cert"),
        lambda: api.delete("configmap", NAMESPACE, "istio-ca-crl"),
        lambda: api.patch("configmap", APPS, "istio-ca-crl", {"data": {"ca-crl.pem": "x", "mine": "y"}}),
        lambda: api.patch("configmap", NAMESPACE, "istio-ca-root-cert", {"data": {"root-cert.pem": "x"}}),
    ]


async def see_repairs(side: Side) -> list[set[tuple[str, str, str, int]]]:
    """istiod's writes after each of the mishaps: verb, resource, name and the answer's code."""
    repairs = []
    for mishap in list_mishaps(side):
        mark = side.mark()
        mishap()
        await eventually(lambda: is_right(side), seconds=30, every=0.1, what="istiod has put it right")
        repairs.append(
            {
                (event["verb"], about["resource"], about.get("name", ""), event["responseStatus"]["code"])
                for event in side.read_writes(mark)
                if (about := event["objectRef"])["resource"] in REPAIRED
                and not about.get("name", "").endswith(OWN_LOCKS)
                and event["responseStatus"]["code"] not in TIMING
            }
        )
    return repairs


async def test_the_same_mishaps_are_repaired_by_the_same_writes(real: Side, pretended: Side) -> None:
    seen = await see_repairs(real)
    assert all(seen)
    assert await see_repairs(pretended) == seen
    assert describe_webhooks(pretended) == describe_webhooks(real)
    assert describe_config_maps(pretended) == describe_config_maps(real)
