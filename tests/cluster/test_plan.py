"""`navarch plan`, as a process: that what it says comes true, and that it changes nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import yaml

from lab.cluster import Cluster, service_account_kubeconfig
from scripts.files import ROOT
from tests.cluster.conftest import a_mesh_namespace
from tests.cluster.test_describe import build_deployment, build_pod
from tests.polling import eventually
from tests.support.activity import wait_for_rest
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.command import Ended, navarch
from tests.support.meshes import build_mesh, edit, wait_for
from tests.support.operator import Operator


async def plan(light: Cluster, *arguments: str, **more: Any) -> Ended:
    return await asyncio.to_thread(navarch, "plan", *arguments, kubeconfig=light.kubeconfig, **more)


def read(ended: Ended) -> Object:
    """The one plan of an output in JSON."""
    assert ended.out.startswith("{"), ended
    (found,) = ended.json["plans"]
    return dict(found)


def list_objects(found: Object) -> set[tuple[str, str, str]]:
    """What changes how: change, kind and name."""
    return {(o["change"], o["kind"], o["name"]) for o in found["objects"]}


def list_written(audit: Audit, mark: int, namespace: str) -> set[tuple[str, str]]:
    """Objects of the mesh that the operator wrote since: resource and name. Its own kinds' status, and the
    record of what a mesh has, are no part of a plan."""
    return {
        (request.resource, request.name)
        for request in audit.writes(mark)
        if not request.subresource
        and namespace in (request.namespace, *request.name.split("-"))
        and not request.name.startswith("inventory.")
        and request.resource != "meshcontrolplanes"
    }


async def test_what_is_planned_is_what_is_written_and_nothing_is_written_before(
    api: Api, light: Cluster, operator: Operator, audit: Audit, settled: str
) -> None:
    api.create(build_mesh(settled))
    await wait_for(api, settled)
    await wait_for_rest(operator)
    mark = audit.mark()
    nothing = await plan(light, "demo", "-n", settled)
    assert (nothing.code, nothing.err) == (0, "")
    assert nothing.out.splitlines()[0] == f"MeshControlPlane {settled}/demo: nothing to do"
    spec = {"mtls": {"mode": "Strict"}, "controlPlane": {"resources": {"requests": {"cpu": "123m"}}}}
    wanted = yaml.safe_dump(build_mesh(settled, **spec))
    first, second = [await plan(light, "-f", "-", "-o", "json", stdin=wanted) for _ in range(2)]
    assert first.code == 2, first
    assert first.out == second.out
    found = read(first)
    istiod = f"istiod-{settled}-demo-inplace"
    told = list_objects(found)
    assert ("create", "PeerAuthentication", "default") in told
    assert ("change", "MeshRevision", f"{settled}-demo-inplace") in told
    (deployment,) = [o for o in found["objects"] if o["kind"] == "Deployment"]
    paths = {f["path"]: (f["before"], f["after"]) for f in deployment["fields"] if "before" in f}
    assert all(o["exact"] for o in found["objects"])
    cpu = "spec.template.spec.containers[discovery].resources.requests.cpu"
    assert paths[cpu][1] == "123m", paths
    assert [request for request in audit.since(mark) if request.is_write] == []

    mark = audit.mark()
    edit(api, settled, **spec)
    await wait_for(api, settled)
    await wait_for_rest(operator)
    await eventually(
        lambda: api.get("peerauthentication", settled, "default") is not None, what="the policy is there"
    )
    plurals = {"PeerAuthentication": "peerauthentications", "MeshRevision": "meshrevisions"}
    planned = {(plurals.get(kind, f"{kind.lower()}s"), name) for _, kind, name in told}
    assert list_written(audit, mark, settled) == planned
    live = api.get("deployment", settled, istiod)
    assert live is not None
    requests = live["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
    assert requests["cpu"] == "123m"
    done = await plan(light, "-f", "-", stdin=wanted)
    assert done.code == 0, done.out


async def test_workloads_to_restart_are_named_with_who_does_it_and_why(
    api: Api, light: Cluster, operator: Operator, settled: str
) -> None:
    api.create(build_mesh(settled))
    await wait_for(api, settled)
    mesh = f"{settled}-demo-inplace"
    current = (api.get("revision", settled, mesh) or {})["status"]["proxy"]
    with a_mesh_namespace(api, f"{settled}-apps") as apps:
        api.patch("namespace", "", apps, {"metadata": {"labels": {"istio.io/rev": f"{settled}-demo"}}})
        api.create(build_deployment(apps, "old", mesh, stamp="1.30.0-old", replicas=2))
        api.create(build_deployment(apps, "new", mesh, stamp=current, replicas=1))
        api.create(build_pod(apps, "bare", mesh, stamp="1.30.0-old"))

        def is_counted() -> bool:
            found = api.get("mesh", settled, "demo") or {}
            return bool(found["status"]["proxies"]["summary"] == "1/4")

        await eventually(is_counted, seconds=60, what="the census has all four")
        await wait_for_rest(operator)
        ended = await plan(light, "demo", "-n", settled, "-o", "yaml")
        assert ended.code == 2, ended
        (found,) = yaml.safe_load(ended.out)["plans"]
        assert found["objects"] == []
        told = {(r["kind"], r["name"], r["pods"], r["total"], r["by"]) for r in found["restarts"]}
        assert told == {("Deployment", "old", 2, 2, "rollout"), ("Pod", "bare", 1, 1, "hand")}
        assert {why for r in found["restarts"] for why in r["why"]} == {
            f"Istio 1.30.0 to {current.split('-')[0]}"
        }
        # What starts with every proxy restarts all of them.
        wanted = yaml.safe_dump(build_mesh(settled, proxy={"resources": {"requests": {"cpu": "77m"}}}))
        ended = await plan(light, "-f", "-", "-o", "markdown", stdin=wanted)
        assert ended.code == 2, ended
        assert ended.out.startswith(f"### MeshControlPlane {settled}/demo: ")
        assert f"Deployment {apps}/new: 1 of 1 pods, by rollout: the configuration" in ended.out
        assert "workloads are to be restarted by you (3 pods)" in ended.out


async def test_a_plan_that_cannot_be_carried_out_says_why_and_ends_with_one(
    api: Api, light: Cluster, operator: Operator, settled: str
) -> None:
    for spec, expected in (
        ({"version": "1.17"}, "UnknownVersion"),
        ({"nonsense": 1}, "InvalidSpec"),
    ):
        refused = await plan(
            light, "-f", "-", "-o", "json", stdin=yaml.safe_dump(build_mesh(settled, **spec))
        )
        assert refused.code == 1, refused
        assert read(refused)["refused"]
        assert expected in {finding["id"] for finding in read(refused)["findings"]}
    name = f"istio-{settled}-demo-inplace"
    metadata = {"name": name, "namespace": settled}
    api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {}})
    ended = await plan(light, "-f", "-", "-o", "json", stdin=yaml.safe_dump(build_mesh(settled)))
    assert ended.code == 1, ended
    assert ("foreign", "ConfigMap", name) in list_objects(read(ended))
    assert ("create", "MeshRevision", f"{settled}-demo-inplace") in list_objects(read(ended))
    assert api.get("mesh", settled, "demo") is None
    missing = await plan(light, "nothing", "-n", settled)
    assert missing.code == 1
    assert f"there is no mesh nothing in namespace {settled}" in missing.err


async def test_who_may_read_little_is_told_what_the_plan_lacks_and_the_guides_role_is_enough(
    api: Api, light: Cluster, operator: Operator, settled: str
) -> None:
    api.create(build_mesh(settled, version="1.30"))
    await wait_for(api, settled)
    kubeconfig = service_account_kubeconfig(light, settled, "default")
    ended = await asyncio.to_thread(navarch, "plan", "-n", settled, kubeconfig=kubeconfig)
    assert ended.code == 1, ended
    assert "not permitted" in ended.out + ended.err

    guide = (ROOT / "docs" / "how-to" / "plan-a-change.md").read_text()
    role = yaml.safe_load(guide.partition("```yaml\n")[2].partition("```")[0])
    planners = role["metadata"]["name"]
    account = {"kind": "ServiceAccount", "name": "default", "namespace": settled}

    def bind(role: str, place: str = "") -> None:
        group = "rbac.authorization.k8s.io"
        api.create(
            {
                "apiVersion": f"{group}/v1",
                "kind": "RoleBinding" if place else "ClusterRoleBinding",
                "metadata": {"name": settled if place else planners}
                | ({"namespace": place} if place else {}),
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
                "subjects": [account],
            }
        )

    async def succeeds(*arguments: str, code: int, stdin: str = "") -> None:
        ended = await asyncio.to_thread(navarch, *arguments, "-o", "json", kubeconfig=kubeconfig, stdin=stdin)
        assert "not permitted" not in ended.out + ended.err, ended
        assert ended.code == code, ended

    api.create(role)
    bind(planners)
    bind("navarch-dry-run", "navarch-probe")
    try:
        await succeeds("plan", "demo", "-n", settled, code=0)
        await succeeds("check", "demo", "-n", settled, "--for-version", "1.31", code=0)
        bind("navarch-mesh-admin", settled)  # a manifest itself is sent as a dry run
        manifest = yaml.safe_dump(build_mesh(settled, version="1.30", meshConfig={"enableTracing": True}))
        await succeeds("plan", "-f", "-", code=2, stdin=manifest)
    finally:
        api.delete("clusterrolebinding", "", planners)
        api.delete("rolebinding", "navarch-probe", settled)
        api.delete("clusterrole", "", planners)


def make_obstacles(api: Api, namespace: str) -> set[tuple[str, str, str]]:
    """What is worth knowing before an upgrade from 1.30: id, kind and name of each."""

    def create(api_version: str, kind: str, name: str, spec: Object) -> None:
        metadata = {"name": name, "namespace": namespace}
        api.create({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec})

    chain = {"filter": {"name": "envoy.filters.network.http_connection_manager"}}
    chain["filter"]["subFilter"] = {"name": "envoy.filters.http.cors"}
    match = {"context": "SIDECAR_INBOUND", "listener": {"filterChain": chain}}
    patch = {"operation": "INSERT_AFTER", "value": {"name": "envoy.filters.http.buffer"}}
    for name, proxy in (("pinned", {"proxy": {"proxyVersion": "^1\\.30.*"}}), ("free", {})):
        patches = [{"applyTo": "HTTP_FILTER", "match": {**match, **proxy}, "patch": patch}]
        create("networking.istio.io/v1alpha3", "EnvoyFilter", name, {"configPatches": patches})
    http = [{"route": [{"destination": {"host": "a"}}], "mirror": {"host": "b"}, "mirrorPercent": 3}]
    create("networking.istio.io/v1", "VirtualService", "mirrored", {"hosts": ["a"], "http": http})
    budget = {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "istiod"}}}
    create("policy/v1", "PodDisruptionBudget", "closed", budget)
    return {
        ("EnvoyFilterPinned", "EnvoyFilter", "pinned"),
        ("EnvoyFilterRelative", "EnvoyFilter", "pinned"),
        ("EnvoyFilterRelative", "EnvoyFilter", "free"),
        ("ConfigurationDeprecated", "VirtualService", "mirrored"),
        ("DisruptionForbidden", "PodDisruptionBudget", "closed"),
    }


def list_findings(found: list[Object], namespace: str) -> set[tuple[str, str, str]]:
    """Findings about objects of others in a namespace: id, kind and name."""
    subjects = ((finding["id"], finding["subject"]) for finding in found)
    return {
        (id_, subject["kind"], subject["name"])
        for id_, subject in subjects
        if subject["namespace"] == namespace and not subject["kind"].startswith("Mesh")
    }


async def test_a_change_waits_until_its_hash_is_approved_and_what_is_worth_knowing_is_told_before(
    api: Api, light: Cluster, operator: Operator, audit: Audit, settled: str
) -> None:
    async def approve(hash_: str) -> Ended:
        arguments = ("approve", "demo", hash_, "-n", settled)
        return await asyncio.to_thread(navarch, *arguments, kubeconfig=light.kubeconfig)

    def read_mesh() -> Object:
        return api.get("mesh", settled, "demo") or {}

    gates = {"minor": "Manual", "patch": "Manual"}
    api.create(build_mesh(settled, version="1.30", upgrade={"approval": gates}))
    await wait_for(api, settled)
    before = read_mesh()["status"]["version"]["active"]
    obstacles = make_obstacles(api, settled)

    async def check(*arguments: str, version: str) -> Ended:
        wanted = ("check", *arguments, "-o", "json", "--for-version", version)
        return await asyncio.to_thread(navarch, *wanted, kubeconfig=light.kubeconfig)

    mark = audit.mark()
    told = await check("demo", "-n", settled, version="1.31")
    assert told.code == 1, told
    assert list_findings(told.json["findings"], settled) == obstacles
    assert "NoRoomForSurge" not in told.ids
    same = await check("demo", "-n", settled, version=before)
    assert list_findings(same.json["findings"], settled) == set(), same
    unknown = await check("demo", "-n", settled, version="1.99")
    assert (unknown.code, "UnknownVersion" in unknown.ids) == (2, True)
    back = await check("demo", "-n", settled, version="1.29")
    assert (back.code, "Downgrade" in back.ids) == (2, True)
    asked = [r for r in audit.everybody(mark) if r.agent == "navarch-cli"]
    assert [str(r) for r in asked if r.resource == "secrets" or (r.is_write and not r.dry_run)] == []
    nothing = await approve("0123456789ab")
    assert (nothing.code, "no change waits for an approval" in nothing.err) == (1, True)
    edit(api, settled, version="1.31")
    await wait_for(api, settled, condition="UpToDate", status="False", reason="ApprovalPending")
    # What is no part of an upgrade goes on meanwhile: an object that is removed is made again.
    api.delete("configmap", settled, f"istio-{settled}-demo-inplace")
    await eventually(
        lambda: api.get("configmap", settled, f"istio-{settled}-demo-inplace"), what="the drift is repaired"
    )
    held = (await wait_for(api, settled))["status"]
    assert held["version"] == {"desired": held["plan"]["to"], "active": before}
    assert held["plan"]["from"] == before
    found = read(await plan(light, "demo", "-n", settled, "-o", "json"))
    assert found["approval"] == held["plan"]
    assert list_findings(found["findings"], settled) == obstacles
    wrong = await approve("0123456789ab")
    assert wrong.code == 1
    assert f"the change that waits is {held['plan']['hash']} and not 0123456789ab" in wrong.err
    right = await approve(held["plan"]["hash"])
    assert (right.code, right.err) == (0, "")
    await eventually(
        lambda: read_mesh()["status"]["version"].get("active") == held["plan"]["to"],
        seconds=120,
        what="the approved version serves",
    )
    await wait_for(api, settled)
    assert "plan" not in read_mesh()["status"]
