"""The end of a mesh: everything of ours goes in our order, foreign objects stay, and no client is held up."""

from __future__ import annotations

import pytest
from navarch.core.model.naming import Names

from lab.cluster import Cluster
from tests.cluster.test_neighbours import another_namespace, list_crds, see_gone
from tests.polling import eventually
from tests.support.activity import wait_for_rest
from tests.support.api import Api, Object, Refused
from tests.support.audit import Audit
from tests.support.meshes import build_mesh, edit, list_owned, read_condition, read_versions, wait_for
from tests.support.operator import Operator

FORCE = {"metadata": {"annotations": {"mesh.navarch.io/force-delete": "true"}}}
WEBHOOKS = {"mutatingwebhookconfigurations", "validatingwebhookconfigurations"}


def build_pod(namespace: str, name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "app"}},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    }


async def build_ready_mesh(api: Api, namespace: str) -> Object:
    api.create(build_mesh(namespace, defaultTag=True, mtls={"mode": "Strict"}))
    return await wait_for(api, namespace)


def list_webhooks(api: Api, namespace: str) -> list[Object]:
    return [o for o in list_owned(api, namespace) if o["kind"].endswith("WebhookConfiguration")]


def assert_webhooks_went_first(audit: Audit, mark: int, namespace: str) -> None:
    """By the audit log: no other object of the mesh was removed before the last webhook configuration."""
    removed = [
        r
        for r in audit.since(mark)
        if r.verb == "delete"
        and r.code == 200
        and (r.namespace == namespace or namespace in r.name or r.resource in WEBHOOKS)
    ]
    kinds = [r.resource in WEBHOOKS for r in removed]
    assert kinds.count(True) >= 3, removed
    assert "deployments" in {r.resource for r in removed} or not any(
        r.namespace == namespace for r in removed
    )
    assert kinds == sorted(kinds, reverse=True), [str(r) for r in removed]


async def see_no_injection(api: Api, namespace: str) -> None:
    """The API server learns of a webhook's end by a watch of its own: in a moment, and not at once."""

    def is_left_alone() -> bool:
        try:
            pod = api.create(build_pod(namespace, "after"), dry_run=True)
        except Refused:
            return False
        return "sidecar.istio.io/status" not in (pod["metadata"].get("annotations") or {})

    await eventually(is_left_alone, every=0.1, what=f"pods in {namespace} are left alone")


# --- four ways ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["Background", "Foreground", "Orphan"])
async def test_deleting_a_mesh_removes_all_that_is_ours_webhooks_first(
    api: Api, audit: Audit, operator: Operator, fresh: str, way: str
) -> None:
    async with another_namespace(api, f"{fresh}-app", {"istio.io/rev": f"{fresh}-demo"}) as members:
        await build_ready_mesh(api, fresh)
        pod = api.create(build_pod(members, "before"), dry_run=True)
        assert "sidecar.istio.io/status" in pod["metadata"]["annotations"]
        crds, mark = read_versions(list_crds(api)), audit.mark()
        api.delete("mesh", fresh, "demo", propagation=way)
        await eventually(lambda: list_webhooks(api, fresh) == [], seconds=5, what="the webhooks are gone")
        await see_no_injection(api, members)
        created = api.create(build_pod(members, "after"))
        assert "sidecar.istio.io/status" not in (created["metadata"].get("annotations") or {})
        await see_gone(api, fresh)
        assert list_owned(api, fresh) == []
        assert_webhooks_went_first(audit, mark, fresh)
        assert read_versions(list_crds(api)) == crds
        assert api.get("secret", fresh, "istio-ca-secret") is not None


async def test_deleting_the_namespace_of_a_mesh_takes_all_of_it(
    api: Api, audit: Audit, operator: Operator, fresh: str
) -> None:
    async with another_namespace(api, f"{fresh}-app", {"istio.io/rev": f"{fresh}-demo"}) as members:
        await build_ready_mesh(api, fresh)
        mark = audit.mark()
        api.delete("namespace", "", fresh)
        await eventually(lambda: list_webhooks(api, fresh) == [], seconds=5, what="the webhooks are gone")
        await see_no_injection(api, members)
        api.create(build_pod(members, "after"))
        await eventually(
            lambda: api.get("namespace", "", fresh) is None, seconds=60, what="the namespace is gone"
        )
        assert list_owned(api, fresh) == []
        refused = [str(r) for r in audit.since(mark) if r.code == 403 and r.is_write]
        assert refused == []
        assert list_crds(api)


async def test_a_namespace_that_is_made_again_takes_the_same_mesh_again(
    api: Api, operator: Operator, fresh: str
) -> None:
    await build_ready_mesh(api, fresh)
    api.delete("namespace", "", fresh)
    await eventually(lambda: api.get("namespace", "", fresh) is None, seconds=60, what=f"{fresh} is gone")
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": fresh}})
    await build_ready_mesh(api, fresh)
    api.delete("mesh", fresh, "demo")
    await see_gone(api, fresh)
    assert list_owned(api, fresh) == []


async def test_what_a_dead_mesh_of_the_same_name_left_behind_is_adopted(api: Api, settled: str) -> None:
    names = Names(settled, f"{settled}-demo-inplace")
    labels = {
        "app.kubernetes.io/managed-by": "navarch",
        "mesh.navarch.io/mesh-namespace": settled,
        "mesh.navarch.io/mesh-name": "demo",
        "mesh.navarch.io/mesh-uid": "00000000-0000-4000-8000-000000000000",
        "mesh.navarch.io/component": "istiod",
        "mesh.navarch.io/revision": names.revision,
    }
    rbac = "rbac.authorization.k8s.io/v1"
    # The one that this release could have made was applied by Navarch, as its entry says.
    surplus, foreign = f"istiod-gateway-controller-{names.revision}-{settled}", f"left-behind-{settled}"
    for name in (names.webhook_role, surplus, foreign):
        role = {"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": name, "labels": labels}}
        api.apply({**role, "rules": []}, manager="navarch" if name != foreign else "another")
    api.create(build_mesh(settled, controlPlane={"gatewayController": False}))
    mesh = await wait_for(api, settled)
    adopted = api.get("clusterrole", "", names.webhook_role)
    assert adopted is not None
    assert adopted["metadata"]["labels"]["mesh.navarch.io/mesh-uid"] == mesh["metadata"]["uid"]
    assert adopted["rules"]
    assert api.get("clusterrole", "", surplus) is None
    assert api.get("clusterrole", "", foreign) is not None
    api.delete("clusterrole", "", foreign)


# --- protection --------------------------------------------------------------------------------------------


async def test_a_mesh_with_proxies_is_not_deleted_by_accident(
    api: Api, audit: Audit, operator: Operator, fresh: str
) -> None:
    async with another_namespace(api, f"{fresh}-app", {"istio.io/rev": f"{fresh}-demo"}) as members:
        await build_ready_mesh(api, fresh)
        api.create(build_pod(members, "app"))

        def count() -> Object:
            return (api.get("mesh", fresh, "demo") or {})["status"]["proxies"]

        expected = {"total": 1, "current": 1, "outdated": 0, "misplaced": 0, "summary": "1/1"}
        await eventually(lambda: expected.items() <= count().items(), what="the pod is counted")
        with pytest.raises(Refused, match=r"status\.proxies\.total: 1.*force-delete"):
            api.delete("mesh", fresh, "demo")
        assert "deletionTimestamp" not in api.get("mesh", fresh, "demo")["metadata"]  # type: ignore[index]

        annotated = api.patch("mesh", fresh, "demo", FORCE)
        api.delete("mesh", fresh, "demo")
        await see_gone(api, fresh)
        states = api.replay("mesh", fresh, "demo", since=annotated["metadata"]["resourceVersion"])
        told = [c for s in states if (c := read_condition(s, "Deleting"))["status"] == "True"]
        assert told
        assert {c["reason"] for c in told} == {"PodsLeftBehind"}
        assert f"{members}/app" in told[0]["message"]
        notes = [e["note"] for e in api.list("event", fresh) if e["reason"] == "PodsLeftBehind"]
        (note,) = (note for note in notes if note.startswith("Deleting"))
        assert f"{members}/app" in note
        assert api.get("pod", members, "app") is not None


async def test_a_namespace_takes_a_mesh_with_proxies_along(api: Api, operator: Operator, fresh: str) -> None:
    async with another_namespace(api, f"{fresh}-app", {"istio.io/rev": f"{fresh}-demo"}) as members:
        await build_ready_mesh(api, fresh)
        api.create(build_pod(members, "app"))
        await eventually(lambda: (api.get("mesh", fresh, "demo") or {})["status"]["proxies"]["total"] == 1)
        api.delete("namespace", "", fresh)
        await eventually(
            lambda: api.get("namespace", "", fresh) is None, seconds=60, what="the namespace is gone"
        )
        assert list_owned(api, fresh) == []


async def test_a_mesh_revision_is_not_for_people_to_delete_and_comes_back(
    api: Api, light: Cluster, settled: str
) -> None:
    api.create(build_mesh(settled))
    await wait_for(api, settled)
    name = f"{settled}-demo-inplace"
    before = api.get("revision", settled, name)
    assert before is not None
    with pytest.raises(Refused, match="MeshRevisions are Navarch's own"):
        api.delete("revision", settled, name)
    path = api.path("revision", settled, name)
    user = "system:serviceaccount:kube-system:namespace-controller"
    light.run("delete", "--raw", path, f"--as={user}")

    def is_back() -> bool:
        found = api.get("revision", settled, name)
        return found is not None and found["metadata"]["uid"] != before["metadata"]["uid"]

    await eventually(is_back, what="the revision is there again")
    await wait_for(api, settled)


# --- odd moments -------------------------------------------------------------------------------------------


async def test_a_mesh_whose_istiod_never_became_ready_goes_all_the_same(
    api: Api, operator: Operator, fresh: str
) -> None:
    api.create(build_mesh(fresh, controlPlane={"placement": {"nodeSelector": {"no-such": "node"}}}))
    mesh = await wait_for(api, fresh, condition="Available", status="False", reason="NoReplicaAvailable")
    assert read_condition(mesh, "Ready")["status"] == "False"
    await wait_for(api, fresh, condition="InjectionReady", status="False", reason="WebhookMissing")
    assert list_webhooks(api, fresh) == []
    api.delete("mesh", fresh, "demo")
    await see_gone(api, fresh)
    assert list_owned(api, fresh) == []


async def test_the_deletion_of_a_paused_mesh_waits(
    api: Api, audit: Audit, operator: Operator, fresh: str
) -> None:
    await build_ready_mesh(api, fresh)
    edit(api, fresh, paused=True)
    await wait_for(api, fresh, condition="Paused")
    mark = audit.mark()
    api.delete("mesh", fresh, "demo")
    mesh = await wait_for(api, fresh, condition="Deleting", reason="Paused")
    assert "spec.paused" in read_condition(mesh, "Deleting")["message"]
    assert read_condition(mesh, "Ready")["status"] == "False"
    writes = [r for r in audit.writes(mark) if r.namespace == fresh or fresh in r.name]
    assert {r.subresource for r in writes} == {"status"}, writes
    unpaused = edit(api, fresh, paused=None)
    await see_gone(api, fresh)
    assert list_owned(api, fresh) == []
    states = api.replay("mesh", fresh, "demo", since=unpaused["metadata"]["resourceVersion"])
    assert "Removing" in {read_condition(s, "Deleting")["reason"] for s in states}


async def test_a_mesh_that_never_was_accepted_goes_at_once(api: Api, operator: Operator, fresh: str) -> None:
    api.create(build_mesh(fresh, version="9.9"))
    await wait_for(api, fresh, condition="SpecAccepted", status="False", reason="UnknownVersion")
    api.delete("mesh", fresh, "demo")
    await see_gone(api, fresh)


async def test_a_mesh_that_a_foreign_finalizer_holds_costs_one_request_for_each_look(
    api: Api, audit: Audit, operator: Operator, fresh: str
) -> None:
    mesh = build_mesh(fresh)
    api.create({**mesh, "metadata": {**mesh["metadata"], "finalizers": ["test.example/hold"]}})
    await wait_for(api, fresh)
    mark = audit.mark()
    api.delete("mesh", fresh, "demo")

    def is_let_go() -> bool:
        found = api.get("mesh", fresh, "demo")
        return found is not None and found["metadata"]["finalizers"] == ["test.example/hold"]

    def list_asked(since: int) -> list[str]:
        return [r.uri for r in audit.since(since) if r.verb == "list" and fresh in r.uri]

    await eventually(is_let_go, seconds=60, every=0.1, what="Navarch lets it go")
    held = "everything is removed; this object is held by finalizers that others take off: test.example/hold"
    await eventually(
        lambda: read_condition(api.get("mesh", fresh, "demo"), "Deleting").get("message") == held,
        seconds=30,
        what="what holds it is told",
    )
    assert list_asked(mark), "the API server itself was asked before"
    assert list_owned(api, fresh) == []
    await wait_for_rest(operator)
    mark = audit.mark()
    for number in range(5):
        api.patch("mesh", fresh, "demo", {"metadata": {"annotations": {"touched": str(number)}}})
        await eventually(
            lambda number=number: (  # type: ignore[misc]
                len([r for r in audit.since(mark) if r.verb == "get" and r.namespace == fresh]) > number
            ),
            what="it is looked at",
        )
    await wait_for_rest(operator)
    assert list_asked(mark) == []
    api.patch("mesh", fresh, "demo", {"metadata": {"finalizers": None}})
    await see_gone(api, fresh)
