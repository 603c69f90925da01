"""What the API server refuses by our schema and policies, and what it lets through; all on a real one.

Requests are dry runs wherever the answer is the same. Meshes that have to exist are paused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from navarch.api.install import build_install
from navarch.api.refused import (
    OVERLAY_KINDS,
    REFUSED_ENVIRONMENT,
    REFUSED_MESH_CONFIG,
    REFUSED_PATCH,
    REFUSED_VALUES,
    Path,
    list_spellings,
)
from navarch.assets import load_assets
from navarch.core.grants import list_roles

from lab.cluster import Cluster
from tests.polling import eventually
from tests.support.admission import TENANT, bind, build_revision, change, nest, refusal, say, submit
from tests.support.api import GVK, Api, Object, Refused
from tests.support.members import build_member
from tests.support.meshes import build_mesh
from tests.support.operator import USER
from tests.support.workloads import build_pod

POLICIES = ("host", "refused", "version", "placement", "deletion", "revisions")
BINDING = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/refused.mesh.navarch.io"


# --- the kinds
# --------------------------------------------------------------------------------------------------


def test_our_kinds_answer_to_their_short_names_and_categories(installed: Cluster) -> None:
    for category in ("mesh", "navarch"):
        found = installed.run("api-resources", f"--categories={category}", "-o", "name").split()
        assert {"meshcontrolplanes.mesh.navarch.io", "meshrevisions.mesh.navarch.io"} <= set(found)
    for name in ("meshcp", "meshrev"):
        installed.run("get", name, "-A")


MEMBER_COLUMNS = ["NAME", "MESH", "READY", "STATUS", "PROXIES", "MANUAL"]


def test_columns_show_the_state_at_a_glance(api: Api, installed: Cluster, fresh: str) -> None:
    api.create(build_mesh(fresh, paused=True))
    head = installed.run("get", "meshcp", "-n", fresh).splitlines()[0].split()
    assert head == ["NAME", "VERSION", "REVISION", "READY", "STATUS", "MEMBERS", "PROXIES", "TAG", "AGE"]
    wide = installed.run("get", "meshcp", "-n", fresh, "-o", "wide").splitlines()[0].split()
    assert wide == [*head[:-1], "CA-EXPIRES", "AGE", "MESSAGE"]
    api.create(build_member(fresh, fresh))
    row = installed.run("get", "meshm", "-n", fresh, "-o", "wide").splitlines()[0].split()
    assert row == [*MEMBER_COLUMNS, "AGE", "MESH-NAMESPACE", "MESSAGE"]


async def test_no_expression_of_a_policy_earns_a_warning(api: Api, guarded: Cluster) -> None:
    root = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
    for name in POLICIES:

        def read(name: str = name) -> Object | None:
            found = api.request("GET", f"{root}/{name}.mesh.navarch.io")
            status: Object = found.get("status") or {}
            return status if status.get("observedGeneration") == found["metadata"]["generation"] else None

        status = await eventually(read, what=f"{name} was type-checked")
        assert status is not None
        assert not status["typeChecking"].get("expressionWarnings")


# --- rules of the schema
# ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"version": "one"}, ("spec.version", "one", "should match")),
        ({"tag": "prod-inplace"}, ("spec.tag", "prod-inplace", "choose a tag that does not")),
        ({"tag": "prod-1-31-1"}, ("spec.tag", "prod-1-31-1", "choose a tag that does not")),
        ({"tag": "prod-1-31-1-2"}, ("spec.tag", "prod-1-31-1-2", "choose a tag that does not")),
        ({"tag": "default"}, ("spec.tag", "default", "set defaultTag: true")),
        ({"tag": "a" * 41}, ("spec.tag", "may not be more than 40")),
        ({"tag": "Prod"}, ("spec.tag", "Prod", "should match")),
        ({"upgrade": {"strategy": "Sideways"}}, ("spec.upgrade.strategy", "Sideways", "InPlace")),
        (
            {"controlPlane": {"autoscaling": {"minReplicas": 7, "maxReplicas": 3}}},
            ("spec.controlPlane.autoscaling.minReplicas", "7: more than", "raise maxReplicas"),
        ),
        (
            {"controlPlane": {"replicas": 3, "autoscaling": {"enabled": True}}},
            ("spec.controlPlane.replicas", "3: the autoscaler", "set autoscaling.enabled: false"),
        ),
        (
            {"controlPlane": {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "500m"}}}},
            ("spec.controlPlane.resources.requests.cpu", "2: more than", "raise the limit"),
        ),
        (
            {"proxy": {"resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "512Mi"}}}},
            ("spec.proxy.resources.requests.memory", "1Gi: more than", "raise the limit"),
        ),
        *(
            (
                {"overlays": [{"target": {"kind": kind, "name": "x"}, "patch": {}}]},
                ("spec.overlays[0].target.kind", kind, "choose one of"),
            )
            for kind in ("ClusterRole", "MutatingWebhookConfiguration", "Namespace", "Role")
        ),
    ],
    ids=str,
)
def test_the_schema_refuses_with_field_value_and_remedy(
    api: Api, installed: Cluster, spec: Object, words: tuple[str, ...]
) -> None:
    said = refusal(api, build_mesh("default", **spec))
    assert [word for word in words if word not in said] == []


@pytest.mark.parametrize("name", ["a" * 64, "a.b"])
def test_a_name_that_no_label_or_service_can_carry_is_refused(
    api: Api, installed: Cluster, name: str
) -> None:
    said = refusal(api, build_mesh("default", name))
    assert f"metadata.name: {name}" in said
    assert "at most 63 characters" in said


@pytest.mark.parametrize(
    "spec",
    [
        {"tag": "prod"},
        {"tag": "prod-1-31"},
        {"tag": "inplace"},
        {"tag": "default-2"},
        {"version": "1.30.3", "upgrade": {"strategy": "InPlace"}},
        {"controlPlane": {"replicas": 3, "autoscaling": {"enabled": False}}},
        {"controlPlane": {"replicas": 3}},
        {"controlPlane": {"autoscaling": {"minReplicas": 3, "maxReplicas": 3}}},
        {"controlPlane": {"resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "0.5"}}}},
        {
            "overlays": [
                {"target": {"kind": kind, "name": "x"}, "patch": {"spec": {}}} for kind in OVERLAY_KINDS
            ]
        },
        {"meshConfig": {"accessLogFile": "/dev/stdout", "defaultConfig": {"proxyMetadata": {"A": "b"}}}},
        {
            "values": {
                "global": {"proxy": {"tracer": "none"}, "network": "n"},
                "pilot": {"cni": {"enabled": True}},
            }
        },
    ],
)
def test_what_is_in_order_is_admitted(api: Api, guarded: Cluster, spec: Object) -> None:
    assert refusal(api, build_mesh("default", **spec)) == ""


@pytest.mark.parametrize(("before", "after"), [("prod", "test"), ("prod", None), (None, "prod")])
def test_the_tag_never_changes(
    api: Api, installed: Cluster, fresh: str, before: str | None, after: str | None
) -> None:
    api.create(build_mesh(fresh, paused=True, **({"tag": before} if before else {})))
    said = change(api, fresh, {"spec": {"tag": after}})
    assert "spec.tag" in said
    assert (after or "unset") in said
    assert "put it back as it was" in said
    assert change(api, fresh, {"spec": {"tag": before, "mtls": {"mode": "Strict"}}}) == ""


def test_a_revision_keeps_its_mesh_and_its_tag(api: Api, guarded: Cluster, fresh: str) -> None:
    revision = build_revision(fresh)
    guarded.run("create", "-f", "-", f"--as={USER}", stdin=json.dumps(revision))
    for field in ("mesh", "tag"):
        patch = json.dumps({"spec": {field: "other"}})
        edit = ("patch", "meshrev", revision["metadata"]["name"], "-n", fresh, "--type=merge", "-p", patch)
        said = say(guarded, *edit, "--dry-run=server", user=USER)
        assert f"spec.{field}" in said
        assert "other" in said
        assert "never changes" in said
    patch = json.dumps({"spec": {"version": "1.31.0"}})
    name = revision["metadata"]["name"]
    assert say(guarded, "patch", "meshrev", name, "-n", fresh, "--type=merge", "-p", patch, user=USER) == ""


# --- hosting
# ----------------------------------------------------------------------------------------------------

OPEN: list[Object] = [
    {"spec": {"mtls": {"mode": "Strict"}}},
    {"spec": {"paused": False}},
    {"spec": {"meshConfig": {"accessLogFile": "/dev/stdout"}}},
    {"spec": {"proxy": {"logLevel": "info"}}},
    {"spec": {"upgrade": {"strategy": "InPlace"}}},
    {"metadata": {"annotations": {"a": "b"}}},
]


def edit(cluster: Cluster, namespace: str, patch: Object) -> str:
    """What TENANT is told when editing the mesh."""
    command = ("patch", "meshcp", "demo", "-n", namespace, "--type=merge", "-p", json.dumps(patch))
    return say(cluster, *command, "--dry-run=server")


def test_creating_a_mesh_needs_the_verb_host(api: Api, guarded: Cluster, tenancy: str) -> None:
    said = submit(guarded, build_mesh(tenancy))
    assert "host.mesh.navarch.io" in said
    assert f"spec.version set by {TENANT}" in said
    assert "bind the ClusterRole navarch-mesh-host in that namespace" in said


async def test_who_holds_the_verb_host_may_create_a_mesh_there_and_nowhere_else(
    api: Api, guarded: Cluster, tenancy: str
) -> None:
    api.create(bind(tenancy, "navarch-mesh-host"))
    await eventually(
        lambda: submit(guarded, build_mesh(tenancy)) == "", every=0.2, what="the role is in force"
    )
    api.create(build_mesh(tenancy, paused=True))
    assert edit(guarded, tenancy, {"spec": {"images": {"hub": "example.invalid"}}}) == ""
    assert "host.mesh.navarch.io" in submit(guarded, build_mesh("default"), user=f"{TENANT}-cluster")


def test_a_mesh_administrator_may_change_the_rest_of_it(api: Api, guarded: Cluster, tenancy: str) -> None:
    api.create(build_mesh(tenancy, paused=True))
    for patch in OPEN:
        assert edit(guarded, tenancy, patch) == ""


# --- refused keys
# -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "path"),
    [
        *(("meshConfig", spelling) for path in REFUSED_MESH_CONFIG for spelling in list_spellings(path)),
        *(("values", spelling) for path in REFUSED_VALUES for spelling in list_spellings(path)),
    ],
    ids=lambda value: value if isinstance(value, str) else ".".join(value),
)
def test_a_key_that_would_widen_power_is_refused(api: Api, guarded: Cluster, field: str, path: Path) -> None:
    table = REFUSED_MESH_CONFIG if field == "meshConfig" else REFUSED_VALUES
    canonical = next(known for known in table if path in list_spellings(known))
    said = refusal(api, build_mesh("default", **{field: nest(path, "surprise")}))
    assert f"spec.{field}.{'.'.join(canonical)}: surprise" in said
    assert table[canonical] in said


@pytest.mark.parametrize("value", [{}, {"a": 1}, [], [{"matchLabels": {}}], None, False, 0])
def test_a_refused_key_is_refused_with_any_value(api: Api, guarded: Cluster, value: Any) -> None:
    said = refusal(api, build_mesh("default", meshConfig={"discoverySelectors": value}))
    assert "spec.meshConfig.discoverySelectors: " in said
    assert "label namespaces instead" in said


@pytest.mark.parametrize(
    "config", [{"defaultConfig": "text"}, {"defaultConfig": [1]}, {"defaultConfig": None}]
)
def test_a_value_of_the_wrong_type_is_left_to_the_checks(api: Api, guarded: Cluster, config: Object) -> None:
    assert refusal(api, build_mesh("default", meshConfig=config)) == ""


def test_variables_of_istiod_that_are_navarchs_own_are_refused(api: Api, guarded: Cluster) -> None:
    def build(*names: str) -> Object:
        variables = [{"name": name, "value": "x"} for name in names]
        return build_mesh("default", controlPlane={"environment": variables})

    for name, why in REFUSED_ENVIRONMENT.items():
        assert f"spec.controlPlane.environment {name}: x: {why}" in refusal(
            api, build("PILOT_TRACE_SAMPLING", name)
        )
    said = refusal(api, build("REVISION", "POD_NAME"))
    assert "environment REVISION: x" in said
    assert "environment POD_NAME: x" in said
    assert refusal(api, build("PILOT_TRACE_SAMPLING", "PILOT_ENABLE_ALPN_FILTER")) == ""


@pytest.mark.parametrize(
    ("patch", "remedy"),
    [
        *((nest(path, "x"), why) for path, why in REFUSED_PATCH.items()),
        ({"metadata": {"labels": {"mesh.navarch.io/mesh-name": "x"}}}, "leave them out"),
        ({"metadata": {"labels": None}}, "leave them out"),
        ({"metadata": {"annotations": {"mesh.navarch.io/applied": "x"}}}, "leave them out"),
    ],
    ids=str,
)
def test_a_patch_of_what_navarch_finds_objects_by_is_refused(
    api: Api, guarded: Cluster, patch: Object, remedy: str
) -> None:
    fine = {"target": {"kind": "Service", "name": "fine"}, "patch": {"metadata": {"labels": {"team": "a"}}}}
    bad = {"target": {"kind": "Deployment", "name": "istiod-x"}, "patch": patch}
    said = refusal(api, build_mesh("default", overlays=[fine, bad]))
    assert "spec.overlays of Deployment istiod-x: " in said
    assert "Service fine" not in said
    assert remedy in said
    assert refusal(api, build_mesh("default", overlays=[fine])) == ""


@pytest.fixture
def unrefused(api: Api, guarded: Cluster) -> Iterator[Object]:
    """The cluster as it was before the policy about refused keys came; yields the binding that brings it."""
    binding = api.request("GET", BINDING)
    kept = {key: binding[key] for key in ("apiVersion", "kind", "spec")} | {
        "metadata": {"name": binding["metadata"]["name"]}
    }
    api.request("DELETE", BINDING)
    yield kept
    api.apply(kept)


async def test_an_object_older_than_a_refusal_can_still_be_released(
    api: Api, guarded: Cluster, fresh: str, unrefused: Object
) -> None:
    old = build_mesh(fresh, paused=True, values={"revision": "x"})
    await eventually(lambda: refusal(api, old) == "", what="the policy is out of force")
    api.create(old)
    api.apply(unrefused)
    await eventually(
        lambda: refusal(api, build_mesh("default", values={"revision": "x"})), what="it is in force"
    )
    assert change(api, fresh, {"metadata": {"finalizers": ["example.org/kept"]}}) == ""
    assert "spec.values.revision: x" in change(api, fresh, {"spec": {"mtls": {"mode": "Strict"}}})
    assert change(api, fresh, {"spec": {"values": None}}) == ""
    api.patch("mesh", fresh, "demo", {"spec": {"values": None}})


# --- versions, names and namespaces
# -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("versions", "remedy"),
    [
        ("1.31.1 1.30", "does not go back"),
        ("1.31.1 1.30.3", "does not go back"),
        ("1.31.1 1.31.0", ""),
        ("1.31.10 1.31.9", ""),
        ("1.9.0 1.8", "does not go back"),
        ("1.30.3 1.32", "choose the next minor first"),
        ("1.31.1 1.31", ""),
        ("1.31.1 1.31.2", ""),
        ("1.31.9 1.31.10", ""),
        ("1.30.3 1.31.0", ""),
        ("1.9.0 1.10", ""),
    ],
)
def test_a_version_moves_forward_by_a_minor_at_most(
    api: Api, guarded: Cluster, fresh: str, versions: str, remedy: str
) -> None:
    active, wanted = versions.split()
    api.create(build_mesh(fresh, version="1.0", paused=True))
    api.patch("mesh", fresh, "demo", {"status": {"version": {"active": active}}}, sub="status")
    said = change(api, fresh, {"spec": {"version": wanted}})
    if remedy:
        assert f"spec.version: {wanted} ({active} runs)" in said
        assert remedy in said
    else:
        assert said == ""


def test_before_anything_runs_every_version_may_be_corrected(api: Api, guarded: Cluster, fresh: str) -> None:
    api.create(build_mesh(fresh, version="1.99", paused=True))
    assert change(api, fresh, {"spec": {"version": "1.30"}}) == ""


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "navarch-system", "navarch-probe"])
def test_no_mesh_is_made_in_namespaces_of_kubernetes_and_navarch(
    api: Api, guarded: Cluster, namespace: str
) -> None:
    said = refusal(api, build_mesh(namespace))
    assert f"metadata.namespace: {namespace}" in said
    assert "create the mesh in one of its own" in said


@pytest.mark.parametrize("name", ["a-inplace", "a-1-31-1", "1-31-1"])
def test_a_name_that_would_make_a_revision_of_the_tag_is_refused(
    api: Api, guarded: Cluster, name: str
) -> None:
    said = refusal(api, build_mesh("default", name))
    assert f"metadata.name: {name} (tag default-{name})" in said
    assert "set spec.tag" in said
    assert refusal(api, build_mesh("default", name, tag="prod")) == ""


def test_namespace_and_name_have_room_in_one_label(api: Api, guarded: Cluster) -> None:
    room = 62 - len("default")
    said = refusal(api, build_mesh("default", "a" * (room + 1)))
    assert "choose a shorter name" in said
    assert refusal(api, build_mesh("default", "a" * room)) == ""


# --- deletion
# ---------------------------------------------------------------------------------------------------


async def make_busy(api: Api, namespace: str) -> None:
    """Give the mesh three proxies; again and again, since an operator that runs would count for itself."""
    counts = {"total": 3, "current": 2, "outdated": 1, "summary": "2/3"}

    def is_busy() -> bool:
        api.patch("mesh", namespace, "demo", {"status": {"proxies": counts}}, sub="status")
        return "status.proxies.total: 3" in delete(api, namespace)

    await eventually(is_busy, what="the deletion is refused")


def delete(api: Api, namespace: str, *, name: str = "demo", dry_run: bool = True) -> str:
    """What is said to deleting the mesh, or with an empty name all meshes of the namespace."""
    try:
        api.request("DELETE", api.path("mesh", namespace, name), {"dryRun": ["All"]} if dry_run else {})
    except Refused as refused:
        return str(refused)
    return ""


async def test_a_mesh_with_proxies_is_not_deleted_by_accident(api: Api, guarded: Cluster, fresh: str) -> None:
    api.create(build_mesh(fresh, paused=True))
    assert delete(api, fresh) == ""
    await make_busy(api, fresh)
    said = delete(api, fresh)
    assert "status.proxies.total: 3: pods still carry proxies" in said
    assert "mesh.navarch.io/force-delete=true" in said
    assert "pods still carry proxies" in delete(api, fresh, name="")
    api.patch("mesh", fresh, "demo", {"metadata": {"annotations": {"mesh.navarch.io/force-delete": "yes"}}})
    assert "pods still carry proxies" in delete(api, fresh)
    api.patch("mesh", fresh, "demo", {"metadata": {"annotations": {"mesh.navarch.io/force-delete": "true"}}})
    assert delete(api, fresh) == ""


async def test_a_deletion_that_was_accepted_may_be_asked_for_again(
    api: Api, guarded: Cluster, fresh: str
) -> None:
    held = build_mesh(fresh, paused=True)
    held["metadata"]["finalizers"] = ["example.org/held"]
    api.create(held)
    assert delete(api, fresh, dry_run=False) == ""
    counts = {"total": 3, "current": 3, "outdated": 0, "summary": "3/3"}
    api.patch("mesh", fresh, "demo", {"status": {"proxies": counts}}, sub="status")
    assert delete(api, fresh, dry_run=False) == ""
    api.patch("mesh", fresh, "demo", {"metadata": {"finalizers": None}})


async def test_a_namespace_takes_its_mesh_with_it(api: Api, guarded: Cluster, fresh: str) -> None:
    api.create(build_mesh(fresh))
    await make_busy(api, fresh)
    api.delete("namespace", "", fresh)
    await eventually(
        lambda: api.get("namespace", "", fresh) is None, seconds=60, every=0.2, what="it is gone"
    )


# --- revisions and roles
# ----------------------------------------------------------------------------------------


def test_only_the_operator_writes_revisions(api: Api, guarded: Cluster, fresh: str) -> None:
    revision = build_revision(fresh)
    name = revision["metadata"]["name"]
    assert f"metadata.name: {name} (CREATE by" in refusal(api, revision)
    assert submit(guarded, revision, user=USER) == ""
    guarded.run("create", "-f", "-", f"--as={USER}", stdin=json.dumps(revision))
    for sub, patch in (("", {"spec": {"version": "1.30.0"}}), ("status", {"status": {"version": "1.30.0"}})):
        with pytest.raises(Refused, match=r"\(UPDATE by .*change the MeshControlPlane instead"):
            api.patch("revision", fresh, name, patch, sub=sub)
    with pytest.raises(Refused, match=r"\(DELETE by .*change the MeshControlPlane instead"):
        api.request("DELETE", api.path("revision", fresh, name))


async def test_revisions_go_with_their_namespace(api: Api, guarded: Cluster, fresh: str) -> None:
    guarded.run("create", "-f", "-", f"--as={USER}", stdin=json.dumps(build_revision(fresh)))
    api.delete("namespace", "", fresh)
    await eventually(
        lambda: api.get("namespace", "", fresh) is None, seconds=60, every=0.2, what="it is gone"
    )


def test_the_operators_own_pod_passes_the_strictest_pod_security(api: Api, installed: Cluster) -> None:
    manifests = build_install(grants=[], roles=list_roles(load_assets()))
    deployment = next(m for m in manifests if m["kind"] == "Deployment")
    pod = {"apiVersion": "v1", "kind": "Pod", **deployment["spec"]["template"]}
    pod["metadata"] = {**pod["metadata"], "name": "trial", "namespace": deployment["metadata"]["namespace"]}
    assert refusal(api, deployment) == ""
    assert refusal(api, pod) == ""
    pod["spec"] = {**pod["spec"], "hostNetwork": True}
    assert 'violates PodSecurity "restricted' in refusal(api, pod)


@pytest.mark.parametrize(
    ("question", "allowed"),
    [
        ("create pods -n navarch-probe", True),
        ("create pods -n default", False),
        ("delete pods -n navarch-probe", False),
        ("update leases.coordination.k8s.io/navarch -n navarch-system", True),
        ("update leases.coordination.k8s.io/another -n navarch-system", False),
        ("patch meshcontrolplanes --subresource=status -n default", True),
        ("update meshcontrolplanes -n default", False),
        ("create meshcontrolplanes -n default", False),
        ("delete meshcontrolplanes -n default", False),
        ("delete customresourcedefinitions", False),
        ("bind clusterroles", False),
        ("escalate clusterroles", False),
        ("impersonate users", False),
    ],
)
def test_the_operator_may_do_what_it_needs_and_no_more(
    guarded: Cluster, question: str, allowed: bool
) -> None:
    assert (say(guarded, "auth", "can-i", *question.split(), user=USER) == "") is allowed


@pytest.mark.parametrize(
    ("question", "allowed"),
    [
        ("create meshcontrolplanes", True),
        ("get meshrevisions", True),
        ("create meshrevisions", False),
        ("patch meshcontrolplanes --subresource=status", False),
        ("host meshcontrolplanes --subresource=host", False),
    ],
)
def test_a_mesh_administrator_has_the_spec_and_not_the_rest(
    guarded: Cluster, question: str, allowed: bool
) -> None:
    answer = say(guarded, "auth", "can-i", *question.split(), "-n", "default", user=f"{TENANT}-cluster")
    assert (answer == "") is allowed


@pytest.mark.parametrize("label", ["mesh.navarch.io/mesh-name", "mesh.navarch.io/gateway-name"])
async def test_a_pod_gets_no_label_that_services_select_by_its_status_or_its_binding(
    api: Api, guarded: Cluster, fresh: str, label: str
) -> None:
    """The API server takes metadata at both: so who schedules pods could name endpoints."""
    rules = [{"apiGroups": [""], "resources": ["pods/binding", "pods/status"], "verbs": ["create", "patch"]}]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": rules}
    api.create({**role, "metadata": {"name": "scheduler", "namespace": fresh}})
    binding = bind(fresh, "scheduler")
    binding["roleRef"]["kind"] = "Role"
    api.create(binding)
    api.create(build_pod(fresh, "app"))
    tenant, refused = api.impersonating(TENANT), "whose Services would send this one"

    def is_free() -> bool:
        with suppress(Refused):  # until the tenant's role is in force
            tenant.patch("pod", fresh, "app", {"metadata": {"labels": {"team": "x"}}}, sub="status")
            return True
        return False

    await eventually(is_free, what="other labels may be written")
    with pytest.raises(Refused, match=refused):
        tenant.patch("pod", fresh, "app", {"metadata": {"labels": {label: "x"}}}, sub="status")
    bound: Object = {"apiVersion": "v1", "kind": "Binding", "target": {"kind": "Node", "name": "x"}}
    bound["metadata"] = {"name": "app", "labels": {label: "x"}}
    with pytest.raises(Refused, match=refused):
        tenant.request("POST", api.path("pod", fresh, "app", "binding"), bound)


LABELS_OF_A_MESH = {"mesh.navarch.io/mesh-name": "demo", "mesh.navarch.io/gateway-name": "ingress"}


def build_service(namespace: str, name: str, **labels: str) -> Object:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 80}]}}


async def test_no_label_of_a_mesh_and_no_owner_is_given_or_taken_by_a_status(
    api: Api, guarded: Cluster, fresh: str
) -> None:
    """Without the label nothing else would be asked about the object, which anybody might then change."""
    template = {"metadata": {"labels": {"a": "b"}}, "spec": build_pod(fresh, "x")["spec"]}
    selected = {"selector": {"matchLabels": {"a": "b"}}}
    scaled = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "own"}
    specs: dict[str, Object] = {
        "daemonset": {**selected, "template": template},
        "hpa": {"maxReplicas": 2, "scaleTargetRef": scaled},
        "pdb": {**selected, "maxUnavailable": 1},
    }
    own = build_service(fresh, "own", **LABELS_OF_A_MESH)
    for manifest in (
        own,
        build_service(fresh, "plain"),
        *(
            {**own, "apiVersion": GVK[kind][0], "kind": GVK[kind][1], "spec": spec}
            for kind, spec in specs.items()
        ),
    ):
        api.create(manifest)
    rights = {
        "": ["services/status"],
        "apps": ["daemonsets/status"],
        "autoscaling": ["horizontalpodautoscalers/status"],
        "policy": ["poddisruptionbudgets/status"],
    }
    rules = [{"apiGroups": [g], "resources": found, "verbs": ["patch"]} for g, found in rights.items()]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": rules}
    api.create({**role, "metadata": {"name": "statuses", "namespace": fresh}})
    binding = bind(fresh, "statuses")
    binding["roleRef"]["kind"] = "Role"
    api.create(binding)
    tenant = api.impersonating(TENANT)

    def tell(kind: str, metadata: Object, name: str = "own") -> str:
        try:
            tenant.patch(kind, fresh, name, {"metadata": metadata}, sub="status")
        except Refused as refused:
            return str(refused)
        return ""

    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "gone"}
    for kind in ("service", *specs):
        await eventually(lambda kind=kind: tell(kind, {"labels": {"team": "x"}}) == "", what="the role")  # type: ignore[misc]
        for metadata in (
            {"labels": {"mesh.navarch.io/mesh-name": None}},
            {"labels": {"mesh.navarch.io/mesh-name": "other"}},
            {"ownerReferences": [owner]},
        ):
            assert "a status gives and takes no label of Navarch's" in tell(kind, metadata), (kind, metadata)
    assert "a status gives and takes no label" in tell("service", {"labels": LABELS_OF_A_MESH}, "plain")
    assert tell("service", {"finalizers": ["example.com/balancer"], "annotations": {"a": "b"}}) == ""


async def test_the_controller_of_a_load_balancer_marks_a_gateways_service_from_any_namespace_and_no_more(
    api: Api, guarded: Cluster, fresh: str
) -> None:
    balancer, neighbour = f"system:serviceaccount:{fresh}-lb:controller", f"{TENANT}-{fresh}"
    rules = [{"apiGroups": [""], "resources": ["services"], "verbs": ["get", "patch", "delete"]}]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "rules": rules}
    everywhere = bind("", f"balancer-{fresh}", user=balancer) | {"kind": "ClusterRoleBinding"}
    everywhere["metadata"] = {"name": f"balancer-{fresh}"}
    own = build_service(fresh, "ingress", **LABELS_OF_A_MESH)
    own["metadata"]["annotations"] = {"mesh.navarch.io/applied": "x"}
    marks: Object = {"metadata": {"finalizers": ["example.com/lb"], "annotations": {"example.com/pool": "a"}}}
    for manifest in (
        {**role, "metadata": {"name": f"balancer-{fresh}"}},
        everywhere,
        bind(fresh, f"balancer-{fresh}", user=neighbour),
        own,
    ):
        api.create(manifest)

    def tell(user: str, patch: Object) -> str:
        try:
            api.impersonating(user).patch("service", fresh, "ingress", patch)
        except Refused as refused:
            return str(refused)
        return ""

    await eventually(lambda: "is forbidden: User" not in tell(neighbour, marks), what="both roles")
    assert "Navarch's own" in tell(neighbour, marks), "who may write the Services of one namespace"
    await eventually(lambda: tell(balancer, marks) == "", what="who may write all Services")
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "gone"}
    for patch in (
        {"spec": {"selector": {"a": "b"}}},
        {"metadata": {"labels": {"mesh.navarch.io/mesh-name": None}}},
        {"metadata": {"annotations": {"mesh.navarch.io/applied": None}}},
        {"metadata": {"ownerReferences": [owner]}},
    ):
        assert "Navarch's own" in tell(balancer, patch), patch
    with pytest.raises(Refused, match="Navarch's own"):
        api.impersonating(balancer).delete("service", fresh, "ingress")
    assert tell(balancer, {"metadata": {"finalizers": None}}) == ""


async def test_a_kubelet_writes_the_status_of_a_pod_with_any_number_of_our_labels(
    api: Api, guarded: Cluster, fresh: str
) -> None:
    """Maps give their keys in another order each time: labels that are compared as lists differ now and
    then, and an istiod that runs would never be told to be ready."""
    rules = [{"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]}]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": rules}
    api.create({**role, "metadata": {"name": "kubelet", "namespace": fresh}})
    binding = bind(fresh, "kubelet")
    binding["roleRef"]["kind"] = "Role"
    api.create(binding)
    pod, names = (
        build_pod(fresh, "istiod"),
        ("mesh-namespace", "mesh-name", "component", "gateway-name", "revision"),
    )
    pod["metadata"]["labels"] = {f"mesh.navarch.io/{name}": fresh for name in names} | {"app": "istiod"}
    api.create(pod)
    kubelet = api.impersonating(TENANT)

    def is_free() -> bool:
        with suppress(Refused):  # until its role is in force
            kubelet.patch("pod", fresh, "istiod", {"status": {"message": "0"}}, sub="status")
            return True
        return False

    await eventually(is_free, what="a status is written")
    for count in range(1, 40):
        kubelet.patch("pod", fresh, "istiod", {"status": {"message": str(count)}}, sub="status")
    for changed in ({"mesh.navarch.io/component": "other"}, {"mesh.navarch.io/component": None}):
        with pytest.raises(Refused, match="whose Services would send this one"):
            kubelet.patch("pod", fresh, "istiod", {"metadata": {"labels": changed}}, sub="status")
    with pytest.raises(Refused, match="whose Services would send this one"):
        kubelet.patch(
            "pod", fresh, "istiod", {"metadata": {"labels": {"mesh.navarch.io/new": ""}}}, sub="status"
        )
