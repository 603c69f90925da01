"""Foreign objects are reported in conditions and left unchanged, under any name."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest
from navarch.assets import load_assets

from lab.cluster import Cluster
from tests.cluster.conftest import a_lab, a_mesh_namespace, a_running_operator, install
from tests.polling import eventually
from tests.support.activity import wait_for_rest
from tests.support.api import Api, Object
from tests.support.command import navarch
from tests.support.meshes import build_mesh, list_owned, read_condition, wait_for
from tests.support.operator import Operator

HELM = {"app.kubernetes.io/managed-by": "Helm", "release": "istio"}


def build_peer_authentication(namespace: str) -> Object:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "default", "namespace": namespace},
        "spec": {"mtls": {"mode": "PERMISSIVE"}},
    }


def touch(api: Api, namespace: str) -> None:
    """Has the mesh looked at: nothing tells the operator of objects that are not its own."""
    api.patch("mesh", namespace, "demo", {"metadata": {"annotations": {"look": "again"}}})


async def test_a_users_peer_authentication_is_named_and_left_untouched(
    api: Api, operator: Operator, lent: str
) -> None:
    theirs = api.create(build_peer_authentication(lent))
    api.patch("mesh", lent, "demo", {"spec": {"mtls": {"mode": "Strict"}}})
    mesh = await wait_for(api, lent, status="False", reason="ForeignObject")
    message = read_condition(mesh, "Reconciled")["message"]
    assert f"PeerAuthentication {lent}/default" in message
    assert "left untouched" in message
    assert read_condition(mesh, "Reconciled")["reason"] == "ForeignObject"
    assert read_condition(mesh, "Available")["status"] == "True"
    await wait_for_rest(operator)
    assert api.get("peerauthentication", lent, "default") == theirs
    api.delete("peerauthentication", lent, "default")
    touch(api, lent)
    await wait_for(api, lent)
    ours = api.get("peerauthentication", lent, "default")
    assert ours is not None
    assert ours["spec"]["mtls"]["mode"] == "STRICT"


def build_helms(kind: str, namespace: str) -> Object:
    """An object of an istiod of ours by name, and Helm's by its labels."""
    name = f"istiod-{namespace}-demo-inplace"
    labels = {"app": "helm-istiod"}
    container = {"name": "discovery", "image": "example.invalid/pilot:1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    kinds: dict[str, Object] = {
        "serviceaccount": {"apiVersion": "v1", "kind": "ServiceAccount"},
        "configmap": {"apiVersion": "v1", "kind": "ConfigMap", "data": {"mesh": "trustDomain: theirs"}},
        "deployment": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        },
    }
    if kind == "configmap":
        name = f"istio-{namespace}-demo-inplace"
    return kinds[kind] | {"metadata": {"name": name, "namespace": namespace, "labels": HELM}}


def find_untouched(manifest: Object | None) -> Object:
    """An object without what its own controllers write."""
    assert manifest is not None
    metadata = {
        k: v for k, v in manifest["metadata"].items() if k not in ("resourceVersion", "managedFields")
    }
    metadata["managers"] = sorted({entry["manager"] for entry in manifest["metadata"]["managedFields"]})
    return {key: value for key, value in manifest.items() if key not in ("status", "metadata")} | {
        "metadata": metadata
    }


async def test_an_istiod_of_helms_is_named_and_left_untouched(
    api: Api, operator: Operator, fresh: str
) -> None:
    """Each of its objects, of which the next one is in the way as soon as the one before it is gone."""
    kinds = ("serviceaccount", "configmap", "deployment")
    names = {kind: build_helms(kind, fresh)["metadata"]["name"] for kind in kinds}
    for kind in kinds:
        api.create(build_helms(kind, fresh))

    def is_observed() -> bool:
        found = api.get("deployment", fresh, names["deployment"]) or {}
        return (found.get("status") or {}).get("observedGeneration") == 1

    await eventually(is_observed, what="Kubernetes' own controllers are done with it")
    theirs = {kind: find_untouched(api.get(kind, fresh, name)) for kind, name in names.items()}
    api.create(build_mesh(fresh))
    for kind, name in names.items():
        named = f"{theirs[kind]['kind']} {fresh}/{name}"

        def is_named(named: str = named) -> bool:
            told = read_condition(api.get("mesh", fresh, "demo"), "Reconciled")
            return told.get("reason") == "ForeignObject" and named in told["message"]

        await eventually(is_named, seconds=30, what=f"{named} is named")
        mesh = await wait_for(api, fresh, condition="Reconciled", status="False", reason="ForeignObject")
        assert "managed by Helm" in read_condition(mesh, "Reconciled")["message"]
        await wait_for_rest(operator)
        left = {each: find_untouched(api.get(each, fresh, names[each])) for each in theirs}
        assert left == theirs
        # Nothing that comes after it in order stands on it.
        assert {o["kind"] for o in list_owned(api, fresh)}.isdisjoint(
            {"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}
        )
        api.delete(kind, fresh, name)
        await eventually(lambda kind=kind, name=name: api.get(kind, fresh, name) is None, what="it is gone")
        del theirs[kind]
        touch(api, fresh)
    await wait_for(api, fresh)


def build_injector(name: str, labels: dict[str, str]) -> Object:
    """A foreign injection webhook that selects no pod."""
    nowhere = {"matchLabels": {"kubernetes.io/metadata.name": "nowhere"}}
    webhook = {
        "name": "rev.namespace.sidecar-injector.istio.io",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Ignore",
        "clientConfig": {"service": {"name": "istiod", "namespace": "nowhere", "path": "/inject"}},
        "namespaceSelector": nowhere,
        "rules": [
            {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
        ],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name, "labels": labels | HELM},
        "webhooks": [webhook],
    }


@pytest.fixture
def injector(api: Api, running: str) -> Iterator[str]:
    """The name of a webhook configuration that is removed after the test."""
    name = f"theirs-{running}"
    yield name
    api.delete("mwc", "", name)


async def test_a_foreign_istio_that_comes_later_stops_nothing_that_runs(
    api: Api, operator: Operator, lent: str, injector: str
) -> None:
    before = {o["metadata"]["uid"]: o["metadata"].get("generation") for o in list_owned(api, lent)}
    api.create(build_injector(injector, {"istio.io/tag": f"{lent}-demo"}))
    mesh = await wait_for(api, lent, condition="SpecAccepted", status="False", reason="ForeignIstio")
    assert read_condition(mesh, "Available")["status"] == "True"
    await wait_for_rest(operator)
    assert {o["metadata"]["uid"]: o["metadata"].get("generation") for o in list_owned(api, lent)} == before
    api.delete("mwc", "", injector)
    await wait_for(api, lent)


def build_mesh_config(namespace: str, revision: str, *seen: str) -> Object:
    """The MeshConfig of a foreign istiod that looks at these namespaces."""
    names = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": [*seen]}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"istio-{revision}",
            "namespace": namespace,
            "labels": {"istio.io/rev": revision, "operator.istio.io/component": "Pilot"},
        },
        "data": {"mesh": json.dumps({"discoverySelectors": [{"matchExpressions": [names]}]})},
    }


def is_noted(api: Api, namespace: str, words: str) -> bool:
    """Whether an Event about the mesh says these words."""
    events = (e for e in api.list("event", namespace) if e["regarding"]["kind"] == "MeshControlPlane")
    return any(words in event["note"] for event in events)


async def test_a_foreign_istio_that_reaches_into_a_mesh_is_a_condition_an_event_and_a_finding(
    api: Api, light: Cluster, operator: Operator, fresh: str, injector: str
) -> None:
    api.create(build_mesh(fresh))
    await wait_for(api, fresh)

    async def wait_for_word(*words: str) -> str:
        def is_told() -> bool:
            told = read_condition(api.get("mesh", fresh, "demo"), "SpecAccepted")
            return told["reason"] == "AnotherIstioShares" and all(w in told["message"] for w in words)

        await eventually(is_told, seconds=30, what=f"the mesh says {words}")
        return str(read_condition(api.get("mesh", fresh, "demo"), "SpecAccepted")["message"])

    def is_silent() -> bool:
        told = read_condition(api.get("mesh", fresh, "demo"), "SpecAccepted")
        return told["status"] == "True" and "did not install" not in told["message"]

    with a_mesh_namespace(api, f"{fresh}-theirs") as theirs:
        api.create(build_mesh_config(theirs, injector, fresh, "elsewhere"))
        await wait_for_rest(operator)
        assert is_silent(), "anybody may make such a ConfigMap: without a webhook it counts for nothing"
        webhook = build_injector(injector, {"istio.io/rev": injector})
        webhook["webhooks"][0]["clientConfig"]["service"]["namespace"] = theirs
        api.create(webhook)
        message = await wait_for_word(f"ConfigMap {theirs}/istio-{injector}", "root certificate")
        assert read_condition(api.get("mesh", fresh, "demo"), "Ready")["status"] == "True"
        await eventually(lambda: is_noted(api, fresh, f"ConfigMap {theirs}/istio-{injector}"), seconds=30)
        report = await asyncio.to_thread(navarch, "check", "-o", "json", kubeconfig=light.kubeconfig)
        subject = {"kind": "MeshControlPlane", "namespace": fresh, "name": "demo"}
        (found,) = [f for f in report.find("AnotherIstioShares") if f["subject"] == subject]
        assert found["message"] in message
        away = build_mesh_config(theirs, injector, "elsewhere")["data"]
        api.patch("configmap", theirs, f"istio-{injector}", {"data": away})
        await eventually(is_silent, seconds=30, what="it looks elsewhere, and that is seen")
        service = {"name": "istiod", "namespace": fresh, "path": "/inject"}
        webhook["webhooks"][0]["clientConfig"] = {"service": service}
        webhook["webhooks"][0]["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": fresh}}
        webhook["webhooks"][0]["objectSelector"] = {"matchLabels": {"no": "pod"}}
        api.patch("mwc", "", injector, {"webhooks": webhook["webhooks"]})
        await wait_for_word("holds an Istio that Navarch did not install", injector)
        api.delete("mwc", "", injector)
        await eventually(is_silent, seconds=30, what="it is gone")
        await wait_for(api, fresh)


# --- Istio's CRDs, which are the whole cluster's: these tests have a cluster of their own -------------------

NS = "mesh"


@pytest.fixture(scope="module")
async def elsewhere() -> AsyncIterator[Api]:
    """Another cluster, with foreign CRDs of Istio, newer than any that Navarch has, and one mesh."""
    with a_lab("crds") as cluster:
        api = Api(cluster.kubeconfig)
        for crd in load_assets().crds["1.31"]:
            api.apply(make_newer(crd), manager="helm")
        await install(api)
        async with a_running_operator(cluster):
            api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}})
            api.create(build_mesh(NS, mtls={"mode": "Strict"}))
            yield api


def make_newer(crd: Mapping[str, Any]) -> Object:
    """A CRD with a field and a version that Navarch has never heard of."""
    newer = copy.deepcopy(dict(crd))
    newer.pop("status", None)
    versions = newer["spec"]["versions"]
    fields = versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"].setdefault("properties", {})
    fields["fromTheFuture"] = {"type": "string"}
    versions.append({**copy.deepcopy(versions[0]), "name": "v7", "storage": False})
    return newer


def list_versions(api: Api) -> dict[str, str]:
    return {
        crd["metadata"]["name"]: crd["metadata"]["resourceVersion"]
        for crd in api.list("crd")
        if crd["metadata"]["name"].endswith(".istio.io")
    }


async def test_newer_foreign_crds_are_reported_and_left_untouched(elsewhere: Api) -> None:
    before = list_versions(elsewhere)
    mesh = await wait_for(elsewhere, NS)
    condition = read_condition(mesh, "DependenciesReady")
    assert (condition["status"], condition["reason"]) == ("True", "CRDsForeign")
    assert "left untouched" in condition["message"]
    assert "authorizationpolicies.security.istio.io" in condition["message"]
    assert list_versions(elsewhere) == before


def without_field(crd: Object) -> Object:
    del crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["host"]
    return crd


def without_version(crd: Object) -> Object:
    crd["spec"]["versions"][1]["served"] = False
    return crd


@pytest.mark.parametrize(
    ("age", "lack"),
    [(without_field, "field v1.spec.host"), (without_version, "version v1alpha3")],
)
async def test_foreign_crds_that_lack_something_are_reported_with_what_they_lack(
    elsewhere: Api, age: Any, lack: str
) -> None:
    name = "destinationrules.networking.istio.io"
    good = elsewhere.get("crd", "", name)
    assert good is not None
    old = age(copy.deepcopy(good))
    elsewhere.request("PUT", elsewhere.path("crd", "", name), old)
    mesh = await wait_for(elsewhere, NS, condition="DependenciesReady", status="False", reason="CRDsOutdated")
    assert (
        f"CustomResourceDefinition {name} lacks {lack}"
        in read_condition(mesh, "DependenciesReady")["message"]
    )
    assert read_condition(mesh, "Ready")["reason"] == "CRDsOutdated"
    changed = elsewhere.get("crd", "", name)
    assert changed is not None
    assert changed["spec"] == old["spec"]
    changed["spec"] = good["spec"]
    elsewhere.request("PUT", elsewhere.path("crd", "", name), changed)
    await wait_for(elsewhere, NS)


async def test_a_crd_that_a_foreign_set_lacks_is_named_and_not_added(elsewhere: Api) -> None:
    name = "wasmplugins.extensions.istio.io"
    good = elsewhere.get("crd", "", name)
    assert good is not None
    elsewhere.delete("crd", "", name)
    mesh = await wait_for(elsewhere, NS, condition="DependenciesReady", status="False", reason="CRDsOutdated")
    message = read_condition(mesh, "DependenciesReady")["message"]
    assert f"CustomResourceDefinition {name} does not exist" in message
    assert elsewhere.get("crd", "", name) is None
    fields = {key: good[key] for key in ("apiVersion", "kind", "spec")}
    elsewhere.create(fields | {"metadata": {"name": name}})
    await wait_for(elsewhere, NS, condition="DependenciesReady", reason="CRDsForeign")
    await wait_for(elsewhere, NS)


def lacks_host(api: Api, name: str) -> bool:
    crd = api.get("crd", "", name)
    assert crd is not None
    fields = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    return "host" not in fields


def hand_over(api: Api, owner: str | None) -> None:
    """Has every CRD of Istio carry this owner, as `kubectl label` does it."""
    for name in list_versions(api):
        api.patch("crd", "", name, {"metadata": {"labels": {"app.kubernetes.io/managed-by": owner}}})


def replace_crd(api: Api, crd: Mapping[str, Any]) -> None:
    """Writes a CRD's spec as another client does that looks at nobody's fields."""
    name = crd["metadata"]["name"]
    api.patch("crd", "", name, {"spec": {"versions": crd["spec"]["versions"]}})


async def test_a_label_hands_crds_over_unless_what_they_have_would_be_lost(elsewhere: Api) -> None:
    name = "destinationrules.networking.istio.io"
    istios = {crd["metadata"]["name"]: copy.deepcopy(dict(crd)) for crd in load_assets().crds["1.31"]}
    rule = elsewhere.create(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": {"name": "kept", "namespace": NS},
            "spec": {"host": "kept.example"},
        }
    )
    elsewhere.patch("crd", "", name, {"metadata": {"labels": {"maistra-version": "2.6.0"}}})
    hand_over(elsewhere, "navarch")
    try:
        await eventually(
            lambda: (
                "not taken over"
                in read_condition(elsewhere.get("mesh", NS, "demo"), "DependenciesReady")["message"]
            ),
            seconds=60,
            what="they have a version of which Navarch knows nothing",
        )
        crd = elsewhere.get("crd", "", name)
        assert crd is not None
        assert "mesh.navarch.io/istio-minor" not in crd["metadata"]["labels"]

        for known in istios.values():
            replace_crd(elsewhere, known)
        replace_crd(elsewhere, without_field(copy.deepcopy(istios[name])))
        await wait_for(elsewhere, NS, condition="DependenciesReady", reason="DependenciesMet")
        await wait_for(elsewhere, NS)
        await eventually(lambda: not lacks_host(elsewhere, name), seconds=60, what="it is brought up to date")
        crd = elsewhere.get("crd", "", name)
        assert crd is not None
        labels = crd["metadata"]["labels"]
        assert (labels["mesh.navarch.io/istio-minor"], labels["maistra-version"]) == ("1.31", "2.6.0")
        kept = elsewhere.get("destinationrule", NS, "kept")
        assert kept is not None
        assert (kept["metadata"]["uid"], kept["spec"]) == (rule["metadata"]["uid"], rule["spec"])

        replace_crd(elsewhere, without_field(copy.deepcopy(istios[name])))
        await eventually(
            lambda: not lacks_host(elsewhere, name),
            seconds=60,
            what="the other tool is not followed any more",
        )
    finally:
        labels = {"app.kubernetes.io/managed-by": None, "mesh.navarch.io/istio-minor": None}
        for crd in istios.values():
            elsewhere.patch("crd", "", crd["metadata"]["name"], {"metadata": {"labels": labels}})
            replace_crd(elsewhere, make_newer(crd))
        elsewhere.delete("destinationrule", NS, "kept")
    await wait_for(elsewhere, NS, condition="DependenciesReady", reason="CRDsForeign")
    await wait_for(elsewhere, NS)
