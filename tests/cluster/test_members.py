"""MeshMembers on a real API server: who may join, what joining and leaving do, and what nobody can forge."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from lab.cluster import Cluster
from tests.cluster.conftest import a_mesh_namespace, assert_quiet
from tests.polling import eventually
from tests.support.admission import TENANT, bind, say, submit
from tests.support.api import Api, Object, Refused
from tests.support.audit import Audit
from tests.support.members import ISTIO_REV, MEMBER_OF, build_member, read_labels, wait_for_member
from tests.support.meshes import build_mesh, edit, read_condition, wait_for
from tests.support.operator import USER, Operator
from tests.support.workloads import build_pod, is_injected

MERGE = "application/merge-patch+json"
PARTS = ("namespaces/finalize", "namespaces/status")
"""Further paths at which the API server takes a namespace's labels."""


@pytest.fixture
async def mesh(api: Api, operator: Operator, fresh: str) -> str:
    """A mesh of scope Members that is Ready; its namespace."""
    api.create(build_mesh(fresh, scope="Members"))
    await wait_for(api, fresh)
    return fresh


@pytest.fixture
async def apps(api: Api, fresh: str) -> AsyncIterator[str]:
    """A namespace of applications. Its member leaves first, so that nothing of it is written later."""
    with a_mesh_namespace(api, f"{fresh}-apps") as name:
        yield name
        if api.get("member", name, "default") is not None:
            await leave(api, name)


def joined(mesh: str) -> dict[str, str]:
    return {MEMBER_OF: f"{mesh}.demo", ISTIO_REV: f"{mesh}-demo"}


async def leave(api: Api, apps: str) -> None:
    api.delete("member", apps, "default")
    await eventually(lambda: api.get("member", apps, "default") is None, seconds=60, what="the member goes")


async def test_a_namespace_joins_by_a_member_is_quiet_and_leaves_without_a_trace(
    api: Api, audit: Audit, operator: Operator, mesh: str, apps: str
) -> None:
    api.create(build_member(apps, mesh))
    member = await wait_for_member(api, apps)
    assert member["status"]["tag"] == f"{mesh}-demo"
    assert read_labels(api, apps) == joined(mesh)
    await eventually(
        lambda: is_injected(api.create(build_pod(apps, "app"), dry_run=True)), what="pods are injected"
    )
    await wait_for_members(api, mesh, "1/1")
    await assert_quiet(api, audit, operator, mesh, "demo")
    mark = audit.mark()
    api.patch("member", apps, "default", {"metadata": {"annotations": {"example.com/touched": "1"}}})
    await eventually(
        lambda: [r for r in audit.since(mark) if r.resource == "meshmembers"], what="the member is looked at"
    )
    assert [str(write) for write in audit.writes(mark)] == []
    before = (api.get("namespace", "", apps) or {})["metadata"]["labels"]
    await leave(api, apps)
    after = (api.get("namespace", "", apps) or {})["metadata"]["labels"]
    assert {**after, **joined(mesh)} == before
    assert not is_injected(api.create(build_pod(apps, "app"), dry_run=True))


async def test_a_label_by_hand_takes_no_namespace_into_a_mesh_of_members(
    api: Api, mesh: str, apps: str
) -> None:
    api.patch("namespace", "", apps, {"metadata": {"labels": {ISTIO_REV: f"{mesh}-demo"}}})
    await wait_for(api, mesh)
    assert not is_injected(api.create(build_pod(apps, "app"), dry_run=True))


async def test_member_mesh_and_namespace_come_in_any_order(
    api: Api, operator: Operator, fresh: str, apps: str
) -> None:
    api.create(build_member(apps, fresh))
    await wait_for_member(api, apps, status="False", reason="MeshNotFound")
    assert read_labels(api, apps) == {}
    api.create(build_mesh(fresh, scope="Members"))
    await wait_for_member(api, apps)
    assert read_labels(api, apps) == joined(fresh)
    held = (api.get("mesh", fresh, "demo") or {})["metadata"]["finalizers"]
    api.patch("mesh", fresh, "demo", {"metadata": {"finalizers": [*held, "example.com/hold"]}})
    api.delete("mesh", fresh, "demo")
    await wait_for_member(api, apps, status="False", reason="MeshNotFound")
    assert read_labels(api, apps) == {}, "it is released with the mesh, whoever holds that object"
    api.patch("mesh", fresh, "demo", {"metadata": {"finalizers": None}})


async def test_a_mesh_s_administrator_puts_a_namespace_out_that_joined_by_itself_and_it_stays_out(
    api: Api, audit: Audit, light: Cluster, operator: Operator, mesh: str, apps: str
) -> None:
    api.create(bind(mesh, "navarch-mesh-admin"))
    api.create(build_member(apps, mesh))
    await wait_for_member(api, apps)
    await wait_for_members(api, mesh, "1/1")
    put_out = json.dumps({"spec": {"excludedNamespaces": [apps]}})
    patch = ("patch", "meshcp", "demo", "-n", mesh, "--type=merge", "-p", put_out)
    await eventually(lambda: say(light, *patch) == "", what="it takes no right but to edit the mesh")
    told = await wait_for_member(api, apps, status="False", reason="NamespaceExcluded")
    assert f"spec.excludedNamespaces of mesh {mesh}/demo" in read_condition(told, "Ready")["message"]
    assert read_labels(api, apps) == {}
    assert not is_injected(api.create(build_pod(apps, "app"), dry_run=True))
    await wait_for_members(api, mesh, "0/0")
    await wait_for(api, mesh, condition="MembersReady")

    # Made anew it joins no more, and neither does a label bring it in.
    await leave(api, apps)
    api.create(build_member(apps, mesh))
    await wait_for_member(api, apps, status="False", reason="NamespaceExcluded")
    api.patch("namespace", "", apps, {"metadata": {"labels": {ISTIO_REV: f"{mesh}-demo"}}})
    assert not is_injected(api.create(build_pod(apps, "app"), dry_run=True))
    api.patch("namespace", "", apps, {"metadata": {"labels": {ISTIO_REV: None}}})
    assert read_labels(api, apps) == {}
    await assert_quiet(api, audit, operator, mesh, "demo")

    edit(api, mesh, excludedNamespaces=None)
    await wait_for_member(api, apps)
    assert read_labels(api, apps) == joined(mesh)


async def wait_for_members(api: Api, mesh: str, summary: str) -> None:
    await eventually(
        lambda: (api.get("mesh", mesh, "demo") or {})["status"]["members"]["summary"] == summary,
        seconds=30,
        what=f"the mesh counts {summary} members",
    )


async def test_a_member_may_do_without_injection_and_take_it_up_again(api: Api, mesh: str, apps: str) -> None:
    api.create(build_member(apps, mesh, injection="Disabled"))
    await wait_for_member(api, apps)
    assert read_labels(api, apps) == {MEMBER_OF: f"{mesh}.demo"}
    api.patch("member", apps, "default", {"spec": {"injection": "Enabled"}})
    await eventually(lambda: read_labels(api, apps) == joined(mesh), what="the tag is there")


async def test_anothers_label_is_named_with_its_manager_and_left_until_it_is_removed(
    api: Api, light: Cluster, mesh: str, apps: str
) -> None:
    light.run("label", "namespace", apps, f"{ISTIO_REV}=elsewhere")
    api.create(build_member(apps, mesh))
    told = await wait_for_member(api, apps, status="False", reason="LabelConflict")
    message = read_condition(told, "Ready")["message"]
    assert "kubectl-label" in message
    assert ISTIO_REV in message
    assert read_labels(api, apps) == {ISTIO_REV: "elsewhere"}
    light.run("label", "namespace", apps, f"{ISTIO_REV}-")
    await wait_for_member(api, apps)


async def test_labels_that_are_removed_by_hand_come_back(
    api: Api, light: Cluster, mesh: str, apps: str
) -> None:
    api.create(build_member(apps, mesh))
    await wait_for_member(api, apps)
    api.patch("namespace", "", apps, {"metadata": {"labels": {MEMBER_OF: None, ISTIO_REV: None}}})
    await eventually(lambda: read_labels(api, apps) == joined(mesh), seconds=60, what="they are back")


async def test_what_another_client_writes_in_the_name_of_membership_stays_and_holds_nobody(
    api: Api, mesh: str, apps: str
) -> None:
    """A restored backup holds both labels as well; another client writes under their field manager."""
    api.create(build_member(apps, mesh))
    await wait_for_member(api, apps)
    both: Object = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": apps, "labels": joined(mesh)},
    }
    api.apply(both, manager="restore")
    both["metadata"] = {"name": apps, "labels": {**joined(mesh), "team": "x"}, "annotations": {"a": "b"}}
    api.apply(both, manager="navarch-members")
    api.patch("member", apps, "default", {"spec": {"injection": "Disabled"}})
    await eventually(
        lambda: read_labels(api, apps) == {MEMBER_OF: f"{mesh}.demo"}, seconds=60, what="the tag is gone"
    )
    await leave(api, apps)
    metadata = (api.get("namespace", "", apps) or {})["metadata"]
    assert read_labels(api, apps) == {}
    assert (metadata["labels"]["team"], metadata["annotations"]) == ("x", {"a": "b"})


async def test_what_a_member_left_whose_finalizer_was_taken_off_is_removed_by_the_next_process(
    api: Api, operator: Operator, mesh: str, apps: str
) -> None:
    api.create(build_member(apps, mesh))
    await wait_for_member(api, apps)
    operator.stop()
    try:
        api.patch("member", apps, "default", {"metadata": {"finalizers": None}})
        api.delete("member", apps, "default")
        assert read_labels(api, apps) == joined(mesh)
    finally:
        operator.start()
    await eventually(lambda: read_labels(api, apps) == {}, seconds=90, what="the namespace has left")


async def test_a_member_that_a_foreign_finalizer_holds_says_so_once_its_namespace_has_left(
    api: Api, mesh: str, apps: str
) -> None:
    member = build_member(apps, mesh)
    api.create({**member, "metadata": {**member["metadata"], "finalizers": ["test.example/hold"]}})
    await wait_for_member(api, apps)
    api.delete("member", apps, "default")
    held = "the namespace has left the mesh; this object is held by finalizers that others take off: "
    await eventually(
        lambda: (
            read_condition(api.get("member", apps, "default"), "Deleting").get("message")
            == f"{held}test.example/hold"
        ),
        seconds=60,
        what="what holds it is told",
    )
    assert read_labels(api, apps) == {}
    api.patch("member", apps, "default", {"metadata": {"finalizers": None}})


async def test_a_namespace_with_a_member_is_deleted_all_the_same(api: Api, mesh: str, apps: str) -> None:
    api.create(build_member(apps, mesh))
    await wait_for_member(api, apps)
    api.delete("namespace", "", apps)
    await eventually(lambda: api.get("namespace", "", apps) is None, seconds=90, what="it is gone")


async def test_a_namespace_that_holds_a_mesh_joins_no_other(api: Api, mesh: str, apps: str) -> None:
    api.create(build_mesh(apps))
    await wait_for(api, apps)
    api.create(build_member(apps, mesh))
    await wait_for_member(api, apps, status="False", reason="NamespaceRefused")
    assert read_labels(api, apps) == {}
    await leave(api, apps)


async def test_older_proxies_of_a_member_are_counted_until_they_are_restarted(
    api: Api, mesh: str, apps: str
) -> None:
    api.create(build_member(apps, mesh))
    await wait_for_member(api, apps)
    await eventually(
        lambda: is_injected(api.create(build_pod(apps, "app"), dry_run=True)), what="pods are injected"
    )
    api.create(build_pod(apps, "app"))
    await eventually(
        lambda: (api.get("member", apps, "default") or {})["status"]["proxies"]["summary"] == "1/1",
        seconds=30,
        what="it is counted",
    )
    edit(api, mesh, proxy={"logLevel": "error"})
    told = await wait_for_member(api, apps, condition="UpToDate", status="False", reason="ProxiesOutdated")
    assert told["status"]["proxies"]["outdated"] == 1
    assert read_condition(told, "Ready")["status"] == "True"
    api.delete("pod", apps, "app")
    await wait_for_member(api, apps, condition="UpToDate")


# --- who may ------------------------------------------------------------------------------------------------


@pytest.fixture
async def owned(api: Api, guarded: Cluster, apps: str) -> str:
    """A namespace of which TENANT is administrator, in a cluster without an operator."""
    api.create(bind(apps, "admin"))
    api.create(bind(apps, "navarch-mesh-admin"))
    await eventually(
        lambda: guarded.run("auth", "can-i", "create", "meshmembers", "-n", apps, f"--as={TENANT}"),
        what="the tenant's role is in force",
    )
    return apps


async def test_to_join_a_mesh_takes_the_verb_use_on_it(
    api: Api, guarded: Cluster, fresh: str, owned: str
) -> None:
    said = submit(guarded, build_member(owned, fresh))
    assert f"spec.controlPlaneRef: {fresh}/demo" in said
    assert "navarch-mesh-user" in said
    api.create(bind(fresh, "navarch-mesh-user"))
    await eventually(
        lambda: submit(guarded, build_member(owned, fresh)) == "", what="the binding is in force"
    )
    elsewhere = submit(guarded, build_member(owned, "default"))
    assert "default/demo" in elsewhere, "on that one mesh alone"


def test_no_label_of_membership_is_forged_moved_or_taken_off(
    api: Api, guarded: Cluster, fresh: str, owned: str
) -> None:
    """Not by the owner of a namespace, and not by an account that may write every namespace."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"{fresh}-namespaces"},
        "rules": [{"apiGroups": [""], "resources": ["namespaces", *PARTS], "verbs": ["*"]}],
    }
    binding = bind("", f"{fresh}-namespaces", user=TENANT)
    binding["kind"] = "ClusterRoleBinding"
    del binding["metadata"]["namespace"]
    api.create(role)
    api.create(binding)
    label, dry = f"{MEMBER_OF}={fresh}.demo", "--dry-run=server"
    refused = "this label is Navarch's to write"
    assert refused in say(guarded, "label", "namespace", owned, label, dry)
    assert say(guarded, "label", "namespace", owned, "team=x", dry) == "", "others are free"
    new = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{fresh}-new"}}
    new["metadata"]["labels"] = {MEMBER_OF: f"{fresh}.demo"}
    assert refused in submit(guarded, new)
    forged = api.get("namespace", "", owned) or {}
    forged["metadata"]["labels"][MEMBER_OF] = f"{fresh}.demo"
    for part in PARTS:
        path = api.path("namespace", "", owned, part.partition("/")[2])
        with pytest.raises(Refused, match=refused):
            api.impersonating(TENANT).request("PUT", f"{path}?dryRun=All", forged)
    api.patch("namespace", "", owned, {"metadata": {"labels": {MEMBER_OF: f"{fresh}.demo"}}})
    assert refused in say(guarded, "label", "namespace", owned, f"{MEMBER_OF}-", dry)
    assert refused in say(guarded, "label", "namespace", owned, f"{MEMBER_OF}=b.c", "--overwrite", dry)


@pytest.mark.parametrize(
    ("metadata", "refused"),
    [
        ({"labels": {MEMBER_OF: "mesh.demo", ISTIO_REV: "mesh-demo"}}, False),
        ({"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}, True),
        ({"annotations": {"example.com/a": "b"}}, True),
        ({"finalizers": ["example.com/hold"]}, True),
    ],
)
def test_of_namespaces_the_operator_writes_the_labels_of_membership_and_nothing_else(
    api: Api, guarded: Cluster, apps: str, metadata: Object, refused: bool
) -> None:
    path = f"{api.path('namespace', '', apps)}?dryRun=All"
    media, own = MERGE, api.impersonating(USER)
    if refused:
        with pytest.raises(Refused, match="and nothing else"):
            own.request("PATCH", path, {"metadata": metadata}, media=media)
    else:
        own.request("PATCH", path, {"metadata": metadata}, media=media)


def test_a_member_is_named_default_and_stays_with_its_mesh(
    api: Api, guarded: Cluster, fresh: str, apps: str
) -> None:
    odd = build_member(apps, fresh)
    odd["metadata"]["name"] = "other"
    with pytest.raises(Refused, match="name it default"):
        api.create(odd, dry_run=True)
    api.create(build_member(apps, fresh))
    with pytest.raises(Refused, match="a member stays with its mesh"):
        api.patch("member", apps, "default", {"spec": {"controlPlaneRef": {"name": "b", "namespace": "c"}}})
