"""Ownership is proved by recorded uids and by values, under any user and any field manager.

The policies keep others from writing what is ours, so that what gets past them is written here as a cluster
administrator: the second net has to hold without the first. The audit log is the witness.
"""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from navarch.core.model.labels import APPLIED, FINALIZER, FORCE_DELETE, GATEWAY_CLASS_DEFAULTS, MESH_NAME
from navarch.kube.shared_fields import find_shared

from lab.cluster import Cluster
from tests.cluster.conftest import a_mesh_namespace, assert_quiet, remove_namespace
from tests.polling import eventually
from tests.support.activity import is_leading, wait_for_rest
from tests.support.api import Api, Object, Refused
from tests.support.audit import Audit
from tests.support.backup import restore
from tests.support.meshes import build_mesh, edit, list_owned, read_condition, read_versions, wait_for
from tests.support.operator import SYSTEM, Operator

NS = "owned"
REV = f"{NS}-demo-inplace"
INJECTOR, MESH_CONFIG, ISTIOD = f"istio-sidecar-injector-{REV}", f"istio-{REV}", f"istiod-{REV}"
WEBHOOK = f"istio-revision-tag-{NS}-demo"
DORA, BEN, OTTO = "dora", "ben", "otto"
"""Who may write ConfigMaps and pods beside the mesh; who may write meshes there; and a namespace's admin."""
PREFIX = "mesh.navarch.io/"


def grant(api: Api, namespace: str, user: str, rules: list[Object]) -> None:
    rbac = "rbac.authorization.k8s.io/v1"
    metadata = {"name": user, "namespace": namespace}
    api.apply({"apiVersion": rbac, "kind": "Role", "metadata": metadata, "rules": rules})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    binding = {"apiVersion": rbac, "kind": "RoleBinding", "metadata": metadata}
    api.apply({**binding, "roleRef": role, "subjects": [subject]})


def allow(resources: list[str], group: str = "") -> Object:
    return {
        "apiGroups": [group],
        "resources": resources,
        "verbs": ["get", "list", "create", "update", "patch", "delete"],
    }


@pytest.fixture(scope="module")
async def mesh(api: Api, operator: Operator, installed: Cluster) -> AsyncIterator[Api]:
    """A settled mesh, and people with rights beside it."""
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}})
    grant(api, NS, DORA, [allow(["configmaps", "pods", "services"]), allow(["deployments"], "apps")])
    grant(api, NS, BEN, [allow(["meshcontrolplanes"], "mesh.navarch.io")])
    api.create(build_mesh(NS, mtls={"mode": "Strict"}))
    await wait_for(api, NS)
    await wait_for_rest(operator)
    yield api
    remove_namespace(api, NS)


async def see_quiet(api: Api, audit: Audit, operator: Operator) -> None:
    """The mesh is ready again, its istiod is rolled out, and a further look writes nothing."""

    def is_rolled_out() -> bool:
        deployment = get(api, "deployment", ISTIOD)
        status, replicas = deployment.get("status") or {}, deployment["spec"]["replicas"]
        counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
        return status.get("observedGeneration") == deployment["metadata"]["generation"] and counts == [
            replicas
        ] * len(counts)

    await eventually(is_rolled_out, seconds=90, every=0.2, what="istiod is rolled out")
    await wait_for_rest(operator)
    await wait_for(api, NS)
    await wait_for_rest(operator)
    await assert_quiet(api, audit, operator, NS, "demo")


def get(api: Api, kind: str, name: str, namespace: str = NS) -> Object:
    found = api.get(kind, namespace, name)
    assert found is not None, f"there is no {kind} {name}"
    return found


def read(manifest: Object) -> Object:
    """What an object says, but for what others than Navarch write."""
    metadata = manifest["metadata"]
    kept = {key: value for key, value in manifest.items() if key not in ("status", "metadata")}
    kept["labels"] = metadata["labels"]
    kept["applied"] = metadata["annotations"][APPLIED]
    if manifest["kind"] == "Deployment":
        kept["spec"] = {key: value for key, value in kept["spec"].items() if key != "replicas"}
    return kept


async def see_as_before(api: Api, kind: str, before: Object, *, seconds: float = 60) -> Object:
    name, namespace = before["metadata"]["name"], before["metadata"].get("namespace", "")

    def look() -> Object | None:
        found = api.get(kind, namespace, name)
        same = found is not None and "labels" in found["metadata"] and APPLIED in str(found["metadata"])
        return found if same and found is not None and read(found) == read(before) else None

    return await eventually(look, seconds=seconds, every=0.1, what=f"{kind} {name} is as it was")  # type: ignore[return-value]


def forge(manifest: Object, change: Callable[[Object], None]) -> Object:
    """The same object as Navarch would apply it, with another content."""
    metadata = manifest["metadata"]
    kept = {key: metadata[key] for key in ("name", "namespace", "labels") if key in metadata}
    kept["annotations"] = {APPLIED: metadata["annotations"][APPLIED]}
    forged = {key: copy.deepcopy(v) for key, v in manifest.items() if key not in ("metadata", "status")}
    forged["metadata"] = kept
    change(forged)
    return forged


def evil_data(key: str) -> Callable[[Object], None]:
    def change(manifest: Object) -> None:
        manifest["data"][key] = "EVIL: true\n"

    return change


def evil_image(manifest: Object) -> None:
    manifest["spec"]["template"]["spec"]["containers"][0]["image"] = "evil.invalid/x:1"


def evil_selector(manifest: Object) -> None:
    for webhook in manifest["webhooks"]:
        webhook["namespaceSelector"]["matchLabels"] = {"nowhere": "nowhere"}
        webhook["clientConfig"].pop("caBundle", None)


STEALTH: tuple[tuple[str, str, str, Callable[[Object], None]], ...] = (
    ("configmap", INJECTOR, NS, evil_data("config")),
    ("configmap", MESH_CONFIG, NS, evil_data("mesh")),
    ("deployment", ISTIOD, NS, evil_image),
    ("mwc", WEBHOOK, "", evil_selector),
    ("clusterrolebinding", "", "", lambda o: o.update(subjects=[])),
)
STEALTHY = [f"{kind} {name}".strip() for kind, name, *_ in STEALTH]


@pytest.mark.parametrize(
    ("kind", "name", "namespace", "change"),
    STEALTH,
    ids=[f"{kind} {name}".strip() for kind, name, *_ in STEALTH],
)
async def test_a_writer_under_navarchs_own_name_is_found_by_the_values(
    mesh: Api,
    operator: Operator,
    audit: Audit,
    kind: str,
    name: str,
    namespace: str,
    change: Callable[[Object], None],
) -> None:
    names = (o["metadata"]["name"] for o in mesh.list(kind))
    name = name or next(found for found in names if f"-{REV}-{NS}" in found)
    before = get(mesh, kind, name, namespace)
    mesh.apply(forge(before, change), manager="navarch")
    after = await see_as_before(mesh, kind, before)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    await see_quiet(mesh, audit, operator)


async def test_what_was_forged_while_the_operator_was_away_is_found_and_a_settled_mesh_costs_nothing(
    mesh: Api, operator: Operator, audit: Audit
) -> None:
    before = get(mesh, "configmap", INJECTOR)
    await wait_for_rest(operator)
    operator.stop()
    mesh.apply(forge(before, evil_data("config")), manager="navarch")
    mark = audit.mark()
    operator.start()
    await eventually(lambda: is_leading(operator), seconds=90, every=0.2, what="leading")
    await see_as_before(mesh, "configmap", before)
    await wait_for_rest(operator)
    writes = [w for w in audit.writes(mark) if w.namespace == NS and w.subresource != "status"]
    assert [(w.verb, w.name) for w in writes] == [("patch", INJECTOR)]


@pytest.mark.parametrize("name", [INJECTOR, MESH_CONFIG])
async def test_an_object_without_its_labels_and_managed_fields_is_still_ours(
    mesh: Api, operator: Operator, name: str
) -> None:
    before = get(mesh, "configmap", name)
    key = "config" if name == INJECTOR else "mesh"
    mesh.patch(
        "configmap",
        NS,
        name,
        [
            {"op": "replace", "path": "/metadata/managedFields", "value": [{}]},
            {"op": "replace", "path": "/metadata/labels", "value": {}},
            {"op": "replace", "path": f"/data/{key}", "value": "EVIL: true"},
        ],
    )
    after = await see_as_before(mesh, "configmap", before)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    await wait_for(mesh, NS)


async def test_an_object_that_was_made_immutable_is_made_anew(mesh: Api, operator: Operator) -> None:
    before = get(mesh, "configmap", INJECTOR)
    mesh.patch("configmap", NS, INJECTOR, {"immutable": True, "data": {"config": "EVIL: true"}})
    after = await see_as_before(mesh, "configmap", before)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    await wait_for(mesh, NS)


# --- lists that are wholly ours

ISTIOD_SPEC = "/spec/template/spec"
INTRUDERS: dict[str, tuple[str, str, Any]] = {
    "a webhook entry": ("mwc", WEBHOOK, {"op": "add", "path": "/webhooks/-", "value": None}),
    "a renamed webhook entry": (
        "mwc",
        WEBHOOK,
        {"op": "replace", "path": "/webhooks/0/name", "value": "x.example.io"},
    ),
    "a match condition": (
        "mwc",
        WEBHOOK,
        {
            "op": "add",
            "path": "/webhooks/0/matchConditions",
            "value": [{"name": "never", "expression": "false"}],
        },
    ),
    "a variable": (
        "deployment",
        ISTIOD,
        {
            "op": "add",
            "path": f"{ISTIOD_SPEC}/containers/0/env/-",
            "value": {"name": "XDS_AUTH", "value": "false"},
        },
    ),
    "a container": (
        "deployment",
        ISTIOD,
        {
            "op": "add",
            "path": f"{ISTIOD_SPEC}/containers/-",
            "value": {"name": "evil", "image": "evil.invalid/x:1"},
        },
    ),
    "a volume": (
        "deployment",
        ISTIOD,
        {"op": "add", "path": f"{ISTIOD_SPEC}/volumes/-", "value": {"name": "evil", "emptyDir": {}}},
    ),
    "the node's network": (
        "deployment",
        ISTIOD,
        {"op": "add", "path": f"{ISTIOD_SPEC}/hostNetwork", "value": True},
    ),
    "a selector": (
        "peerauthentication",
        "default",
        {"op": "add", "path": "/spec/selector", "value": {"matchLabels": {"app": "none"}}},
    ),
}


@pytest.mark.parametrize("case", INTRUDERS)
async def test_what_others_put_where_everything_is_ours_is_removed(
    mesh: Api, operator: Operator, audit: Audit, case: str
) -> None:
    kind, name, operation = INTRUDERS[case]
    namespace = "" if kind == "mwc" else NS
    before = get(mesh, kind, name, namespace)
    if case == "a webhook entry":
        operation = {**operation, "value": {**before["webhooks"][0], "name": "x.example.io"}}
    mesh.patch(kind, namespace, name, [operation])
    await eventually(
        lambda: "x.example.io" not in str(mesh.get(kind, namespace, name)), seconds=60, every=0.1
    )
    await see_as_before(mesh, kind, before)
    await see_quiet(mesh, audit, operator)


async def test_an_istiod_that_was_scaled_to_zero_gets_its_autoscalers_minimum(
    mesh: Api, operator: Operator
) -> None:
    mesh.patch("deployment", NS, ISTIOD, {"spec": {"replicas": 0}}, sub="scale")
    await eventually(lambda: get(mesh, "deployment", ISTIOD)["spec"]["replicas"] >= 1, seconds=60, every=0.1)
    await wait_for(mesh, NS)
    told = [e["note"] for e in mesh.list("event", NS) if e["reason"] == "DriftRepaired"]
    assert [note for note in told if ISTIOD in note]


# --- what is removed


async def test_a_labelled_object_of_others_is_not_removed_and_disturbs_nothing(
    mesh: Api, operator: Operator, audit: Audit
) -> None:
    labels = {
        f"{PREFIX}mesh-namespace": NS,
        f"{PREFIX}mesh-name": "demo",
        f"{PREFIX}component": "tags",
        f"{PREFIX}revision": REV,
    }
    names = [f"theirs-{number}" for number in range(3)]
    for name, component in zip(names, ("tags", "injection", "istiod"), strict=True):
        metadata = {"name": name, "namespace": NS, "labels": labels | {f"{PREFIX}component": component}}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}
        mesh.apply(body, manager="navarch")
    before = [get(mesh, "configmap", name) for name in names]
    await see_quiet(mesh, audit, operator)
    await wait_for(mesh, NS)
    assert [get(mesh, "configmap", name) for name in names] == before
    for name in names:
        mesh.delete("configmap", NS, name)


async def test_every_removal_is_told_on_the_mesh(mesh: Api, operator: Operator) -> None:
    edit(mesh, NS, controlPlane={"networkPolicy": True})
    await eventually(lambda: mesh.get("networkpolicy", NS, ISTIOD), seconds=60, every=0.1)
    await wait_for(mesh, NS)
    edit(mesh, NS, controlPlane=None)
    await eventually(lambda: mesh.get("networkpolicy", NS, ISTIOD) is None, seconds=60, every=0.1)

    def notes() -> list[str]:
        told = [e for e in mesh.list("event", NS) if e["reason"] == "ObjectRemoved"]
        return [e["note"] for e in told if e["regarding"]["kind"] == "MeshControlPlane"]

    await eventually(lambda: any(f"NetworkPolicy {NS}/{ISTIOD}" in note for note in notes()), seconds=30)
    await wait_for(mesh, NS)


async def test_what_a_mesh_left_is_removed_by_the_next_process_although_labels_were_taken_off(
    api: Api, operator: Operator, fresh: str
) -> None:
    api.create(build_mesh(fresh))
    await wait_for(api, fresh)
    await wait_for_rest(operator)
    inventory = get(api, "configmap", f"inventory.{fresh}.demo", SYSTEM)
    objects = json.loads(inventory["data"]["inventory.json"])["objects"]
    binding = next(o for o in objects if o["kind"] == "ClusterRoleBinding")
    operator.stop()
    api.patch("mesh", fresh, "demo", {"metadata": {"finalizers": None}})
    api.delete("mesh", fresh, "demo")
    api.patch("clusterrolebinding", "", binding["name"], {"metadata": {"labels": {MESH_NAME: None}}})
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs", "namespace": fresh}}
    api.create(theirs)
    operator.start()
    await eventually(lambda: is_leading(operator), seconds=90, every=0.2, what="leading")
    await eventually(
        lambda: (
            not list_owned(api, fresh)
            and api.get("clusterrolebinding", "", binding["name"]) is None
            and api.get("configmap", SYSTEM, inventory["metadata"]["name"]) is None
        ),
        seconds=90,
        every=0.5,
        what="all of it is removed",
    )
    assert api.get("configmap", fresh, "theirs") is not None


# --- adoption


async def test_what_a_backup_brought_goes_when_the_mesh_no_longer_wants_it(
    api: Api, operator: Operator, fresh: str
) -> None:
    """A value that another field manager owns as well would stay when we leave it out."""
    image = {"pullPolicy": "Always"}
    api.create(build_mesh(fresh, images=image))
    await wait_for(api, fresh)
    await wait_for_rest(operator)
    name = f"istiod-{fresh}-demo-inplace"
    saved = get(api, "deployment", name, fresh)
    operator.stop()
    api.delete("deployment", fresh, name)
    await eventually(lambda: api.get("deployment", fresh, name) is None, seconds=60, every=0.2)
    saved["metadata"].pop("ownerReferences", None)
    restore(api, saved)
    operator.start()
    await eventually(lambda: is_leading(operator), seconds=90, every=0.2, what="leading")
    await wait_for(api, fresh, seconds=120)
    await wait_for_rest(operator)
    adopted = get(api, "deployment", name, fresh)
    assert list(find_shared(adopted)) == []
    edit(api, fresh, images=None)
    await wait_for(api, fresh, seconds=120)
    container = get(api, "deployment", name, fresh)["spec"]["template"]["spec"]["containers"][0]
    assert container["imagePullPolicy"] == "IfNotPresent"


# --- policies


def list_tricks(api: Api, before: Object) -> Iterator[tuple[str, Callable[[Api], object]]]:
    """Everything that a writer of ConfigMaps and pods may try on a mesh."""
    stolen = {f"{PREFIX}mesh-namespace": NS, f"{PREFIX}mesh-name": "demo", f"{PREFIX}component": "tags"}

    def config_map(name: str, labels: Object) -> Object:
        metadata = {"name": name, "namespace": NS, "labels": labels}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}

    forged = forge(before, evil_data("config"))
    yield "stealth", lambda user: user.apply(forged, manager="navarch")
    yield "data", lambda user: user.patch("configmap", NS, INJECTOR, {"data": {"config": "EVIL"}})
    wiped = [
        {"op": "replace", "path": "/metadata/managedFields", "value": [{}]},
        {"op": "replace", "path": "/metadata/labels", "value": {}},
        {"op": "replace", "path": "/data/config", "value": "EVIL"},
    ]
    yield "wiped", lambda user: user.patch("configmap", NS, INJECTOR, wiped)
    yield "immutable", lambda user: user.patch("configmap", NS, INJECTOR, {"immutable": True})
    yield "mesh config", lambda user: user.patch("configmap", NS, MESH_CONFIG, {"data": {"mesh": ""}})
    yield "deletion", lambda user: user.request("DELETE", user.path("configmap", NS, MESH_CONFIG))
    yield "labelled", lambda user: user.create(config_map("labelled", stolen))
    labels = {"metadata": {"labels": stolen}}
    yield "deputy", lambda user: user.patch("configmap", NS, "theirs", labels)
    defaults = {GATEWAY_CLASS_DEFAULTS: "istio"}
    yield "gateways", lambda user: user.create(config_map("gateways", defaults))
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "forged", "namespace": NS, "labels": stolen},
        "spec": {"containers": [{"name": "c", "image": "c.invalid/c:1"}]},
    }
    yield "pod", lambda user: user.create(pod)
    yield "image", lambda user: user.patch("deployment", NS, ISTIOD, {"spec": {"paused": True}})
    yield "service", lambda user: user.patch("service", NS, ISTIOD, {"spec": {"selector": {"a": "b"}}})


def build_theirs() -> Object:
    metadata = {"name": "theirs", "namespace": NS}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}


def try_all(user: Api, before: Object) -> dict[str, str]:
    """What became of each trick: why it was refused, or nothing."""
    answers = {}
    for name, trick in list_tricks(user, before):
        try:
            trick(user)
            answers[name] = ""
        except Refused as refused:
            answers[name] = str(refused)
    return answers


async def test_none_of_the_tricks_gets_past_the_policies_and_plain_objects_do(
    mesh: Api, operator: Operator, audit: Audit
) -> None:
    dora = mesh.impersonating(DORA)
    dora.apply(build_theirs(), manager="kubectl")
    answers = try_all(dora, get(mesh, "configmap", INJECTOR))
    assert [name for name, why in answers.items() if "mesh.navarch.io" not in why] == []
    dora.patch("configmap", NS, "theirs", {"data": {"a": "c"}})
    dora.delete("configmap", NS, "theirs")
    await see_quiet(mesh, audit, operator)


async def test_a_label_of_a_mesh_is_refused_in_any_namespace_and_a_gateway_default_only_beside_istiod(
    api: Api, mesh: Api, fresh: str
) -> None:
    grant(api, fresh, OTTO, [allow(["configmaps"])])
    otto = api.impersonating(OTTO)

    def build(name: str, labels: Object) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": fresh, "labels": labels},
        }

    def tell() -> str:
        try:
            otto.create(build("labelled", {MESH_NAME: "x"}))
        except Refused as refused:
            return str(refused)
        return ""

    # The API server knows of a binding a moment after it was made.
    await eventually(lambda: "is forbidden: User" not in tell(), what="the right has been given")
    assert "mesh.navarch.io/mesh-name" in tell()
    otto.create(build("gateways", {GATEWAY_CLASS_DEFAULTS: "istio"}))


async def test_a_mesh_editor_cannot_take_the_finalizer_off_and_may_do_the_rest(mesh: Api) -> None:
    ben = mesh.impersonating(BEN)
    for patch in ({"metadata": {"finalizers": None}}, {"metadata": {"finalizers": ["example.com/other"]}}):
        with pytest.raises(Refused, match=r"metadata\.finalizers"):
            ben.patch("mesh", NS, "demo", patch)
    ben.patch("mesh", NS, "demo", {"metadata": {"annotations": {"by": BEN}}})
    ben.patch("mesh", NS, "demo", {"metadata": {"finalizers": [FINALIZER, "example.com/other"]}})
    ben.patch("mesh", NS, "demo", {"metadata": {"finalizers": [FINALIZER]}})


async def test_a_mesh_editor_cannot_insist_on_a_deletion_that_leaves_proxies_behind(
    mesh: Api, fresh: str
) -> None:
    ben, insisting = mesh.impersonating(BEN), {"metadata": {"annotations": {FORCE_DELETE: "true"}}}
    with pytest.raises(Refused, match=r"metadata\.annotations: .*force-delete=true on demo .*verb host"):
        ben.patch("mesh", NS, "demo", insisting)
    other = build_mesh(NS, name="other")
    other["metadata"]["annotations"] = {FORCE_DELETE: "true"}
    with pytest.raises(Refused, match="verb host"):  # of the version as well, and one refusal is told
        ben.create(other)
    ben.patch("mesh", NS, "demo", {"metadata": {"annotations": {FORCE_DELETE: "no"}}})
    mesh.patch("mesh", NS, "demo", insisting)
    ben.patch("mesh", NS, "demo", {"metadata": {"annotations": {"by": BEN}}})
    ben.patch("mesh", NS, "demo", {"metadata": {"annotations": {FORCE_DELETE: None}}})


def build_makers(labels: Object) -> Iterator[Object]:
    """One object of each of Kubernetes' kinds that make pods."""
    pod = {
        "metadata": {"labels": {"app": "maker", **labels}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]},
    }
    always = {**pod, "spec": {**pod["spec"], "restartPolicy": "Always"}}
    selector = {"matchLabels": {"app": "maker"}}
    job = {"template": pod}
    for kind, version, spec in (
        ("ReplicationController", "v1", {"replicas": 0, "selector": {"app": "maker"}, "template": always}),
        ("DaemonSet", "apps/v1", {"selector": selector, "template": always}),
        ("Deployment", "apps/v1", {"replicas": 0, "selector": selector, "template": always}),
        ("ReplicaSet", "apps/v1", {"replicas": 0, "selector": selector, "template": always}),
        ("StatefulSet", "apps/v1", {"replicas": 0, "selector": selector, "template": always}),
        ("Job", "batch/v1", job),
        ("CronJob", "batch/v1", {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job}}),
    ):
        metadata = {"name": "maker", "namespace": NS}
        yield {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def place(manifest: Object) -> str:
    version, namespace = manifest["apiVersion"], manifest["metadata"]["namespace"]
    root = "/api" if version == "v1" else "/apis"
    return f"{root}/{version}/namespaces/{namespace}/{manifest['kind'].lower()}s"


async def test_nothing_that_makes_pods_may_give_them_a_mesh_s_labels(mesh: Api) -> None:
    everything = [allow(["replicationcontrollers"]), allow(["*"], "apps"), allow(["*"], "batch")]
    grant(mesh, NS, "mia", everything)
    mia = mesh.impersonating("mia")
    for manifest in build_makers({MESH_NAME: "demo"}):
        with pytest.raises(Refused, match=r"template\.metadata\.labels: .*pods of istiod and of gateways"):
            mia.request("POST", place(manifest), manifest)
    for manifest in build_makers({}):
        mia.request("POST", place(manifest) + "?dryRun=All", manifest)


async def test_a_field_manager_of_our_name_makes_nothing_ours(
    api: Api, operator: Operator, fresh: str
) -> None:
    """A client that may patch a foreign object cannot hand it over, to have it overwritten and removed."""
    name = f"istio-{fresh}-demo-inplace"
    metadata = {"name": name, "namespace": fresh}
    theirs = api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}})
    api.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"c": "d"}}, manager="navarch"
    )
    api.create(build_mesh(fresh))
    await wait_for(api, fresh, status="False", reason="ForeignObject")
    api.delete("mesh", fresh, "demo")
    await eventually(lambda: api.get("mesh", fresh, "demo") is None, seconds=60, what="the mesh is gone")
    there = get(api, "configmap", name, fresh)
    assert (there["metadata"]["uid"], there["data"]) == (theirs["metadata"]["uid"], {"a": "b", "c": "d"})


async def test_a_namespace_with_a_mesh_is_deleted_all_the_same(api: Api, operator: Operator) -> None:
    with a_mesh_namespace(api, "owned-gone") as name:
        api.create(build_mesh(name))
        await wait_for(api, name)
        api.delete("namespace", "", name)
        await eventually(lambda: api.get("namespace", "", name) is None, seconds=120, every=0.5)
        assert list_owned(api, name) == []


# --- a fight


@pytest.mark.long
async def test_a_hostile_client_changes_nothing_of_a_mesh_and_nothing_of_its_own_is_removed(
    request: pytest.FixtureRequest, mesh: Api, operator: Operator, audit: Audit
) -> None:
    """With rights on ConfigMaps, pods, Services and Deployments beside the mesh, as fast as it can."""
    seconds = 60 if request.config.getoption("--full") else 10
    dora = mesh.impersonating(DORA)
    dora.apply(build_theirs(), manager="kubectl")
    await wait_for_rest(operator)
    before = {(o["kind"], o["metadata"]["name"]): read_versions([o]) for o in list_owned(mesh, NS)}
    injector, theirs = get(mesh, "configmap", INJECTOR), get(mesh, "configmap", "theirs")
    mark, end = audit.mark(), time.monotonic() + seconds
    answers: list[dict[str, str]] = []
    while time.monotonic() < end or len(answers) < 2:
        answers.append(await asyncio.to_thread(try_all, dora, injector))
    assert {name for answer in answers for name, why in answer.items() if not why} == set()
    written = [r for r in audit.everybody(mark) if r.is_mutating and r.namespace == NS and r.code < 400]
    mine = {"configmaps", "pods", "services", "deployments"}
    assert [str(r) for r in written if r.resource in mine and not r.subresource] == []
    assert [str(r) for r in audit.writes(mark) if r.namespace == NS and r.subresource != "status"] == []
    assert {(o["kind"], o["metadata"]["name"]): read_versions([o]) for o in list_owned(mesh, NS)} == before
    assert get(mesh, "configmap", "theirs") == theirs
    dora.delete("configmap", NS, "theirs")
    await see_quiet(mesh, audit, operator)


async def test_a_client_that_goes_on_is_named_and_put_back_at_growing_intervals(
    mesh: Api, operator: Operator, audit: Audit
) -> None:
    """As a platform's controller does that adds an expression to every webhook."""
    before, mark = get(mesh, "mwc", WEBHOOK, ""), audit.mark()
    extra = {"key": "control-plane", "operator": "DoesNotExist"}
    path = "/webhooks/0/namespaceSelector/matchExpressions"
    original = before["webhooks"][0]["namespaceSelector"].get("matchExpressions", [])
    edits = 0
    while edits < 200:
        edits += 1
        mesh.patch("mwc", "", WEBHOOK, [{"op": "add", "path": path, "value": [*original, extra]}])
        found = mesh.get("mesh", NS, "demo") or {}
        if read_condition(found, "Reconciled").get("reason") == "ObjectContested":
            break
        await eventually(lambda: is_put_back_or_contested(mesh, read(before)), seconds=60, every=0.02)
    told = await wait_for(mesh, NS, condition="Reconciled", status="False", reason="ObjectContested")
    message = read_condition(told, "Reconciled")["message"]
    assert WEBHOOK in message
    assert "webhooks[0].namespaceSelector" in message
    assert "field manager" in message
    repairs = [w for w in audit.writes(mark) if w.name == WEBHOOK]
    assert len(repairs) <= edits + 1
    await see_as_before(mesh, "mwc", before, seconds=90)


def is_put_back_or_contested(api: Api, wanted: Object) -> bool:
    condition = read_condition(api.get("mesh", NS, "demo"), "Reconciled")
    return condition.get("reason") == "ObjectContested" or read(get(api, "mwc", WEBHOOK, "")) == wanted
