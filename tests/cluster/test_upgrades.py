"""From revision to revision: the tag moves when the new one is proved, what serves is left alone until then,
the way back needs no new istiod, and a revision goes on evidence only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import yaml
from navarch.assets import load_assets

from lab.cluster import Cluster
from tests.cluster.test_edits import NOWHERE
from tests.polling import eventually
from tests.support.activity import wait_for_rest
from tests.support.api import Api, Object, Refused
from tests.support.audit import Audit
from tests.support.command import Ended, navarch
from tests.support.meshes import build_mesh, edit, list_owned, read_condition, read_versions, wait_for
from tests.support.operator import Operator
from tests.support.workloads import build_pod, is_injected

CATALOG = load_assets().catalog
OLD, NEW = CATALOG.find("1.30").version, CATALOG.find("1.31").version  # type: ignore[union-attr]
UPGRADE = {
    "strategy": "RevisionBased",
    "progressDeadlineSeconds": 1,
    "inactiveRevisionGracePeriodSeconds": 0,
}


def name_revision(namespace: str, version: str) -> str:
    return f"{namespace}-demo-{version.replace('.', '-')}"


def find_tag(api: Api, namespace: str) -> tuple[Object, Object]:
    """The tag's webhook, and its Service."""
    found = (
        api.get("mwc", "", f"istio-revision-tag-{namespace}-demo"),
        api.get("service", namespace, f"istiod-revision-tag-{namespace}-demo"),
    )
    assert all(found)
    return found  # type: ignore[return-value]


def read_target(api: Api, namespace: str) -> str:
    """The revision to which the API server sends pods that carry the tag."""
    entries = find_tag(api, namespace)[0]["webhooks"]
    (name,) = {entry["clientConfig"]["service"]["name"] for entry in entries}
    return str(name).removeprefix("istiod-")


def read_sidecar(api: Api, namespace: str) -> str:
    """The revision that would inject a pod now."""
    pod = build_pod(namespace, "probe", labels={"istio.io/rev": f"{namespace}-demo"})
    made = api.create(pod, dry_run=True)
    assert is_injected(made)
    return str(made["metadata"]["annotations"]["istio.io/rev"])


def list_of(api: Api, namespace: str, version: str) -> list[Object]:
    """What is there of a revision: its MeshRevision, and all that carries its label."""
    return list_named(api, namespace, name_revision(namespace, version))


def list_named(api: Api, namespace: str, name: str) -> list[Object]:
    owned = list_owned(api, namespace)
    return [
        o
        for o in owned
        if o["metadata"]["labels"].get("mesh.navarch.io/revision") == name
        or (o["kind"] == "MeshRevision" and o["metadata"]["name"] == name)
    ]


def read_specs(objects: list[Object]) -> Mapping[tuple[str, str], Any]:
    """All of objects but what their own status writers change."""
    return {
        (o["kind"], o["metadata"]["name"]): (
            o["metadata"]["uid"],
            {k: v for k, v in o.items() if k not in ("status", "metadata")},
        )
        for o in objects
    }


async def test_a_mesh_goes_on_is_held_goes_back_and_on_and_what_serves_is_never_touched(
    api: Api, settled: str
) -> None:
    old, new = name_revision(settled, OLD), name_revision(settled, NEW)
    api.create(build_mesh(settled, version="1.30", upgrade=UPGRADE, mtls={"mode": "Strict"}))
    mesh = await wait_for(api, settled)
    assert mesh["status"]["activeRevision"] == old
    assert [(r["name"], r["phase"]) for r in mesh["status"]["revisions"]] == [(old, "Active")]
    assert "upgrade" not in mesh["status"]
    pod = build_pod(settled, "web", labels={"istio.io/rev": f"{settled}-demo"})
    api.create(pod)
    await wait_for(api, settled, condition="UpToDate")
    before, tag = read_specs(list_of(api, settled, OLD)), read_versions([*find_tag(api, settled)])
    uids = [o["metadata"]["uid"] for o in find_tag(api, settled)]

    # A new istiod that never comes up: held, and the older one serves on, untouched.
    edit(api, settled, version="1.31", controlPlane=NOWHERE)

    def quotes_the_scheduler() -> Object | None:
        held = api.get("mesh", settled, "demo") or {}
        return (
            held if "node affinity/selector" in read_condition(held, "Progressing").get("message") else None
        )

    await wait_for(api, settled, condition="Progressing", status="True", reason="UpgradeHeld")
    mesh: Object = await eventually(quotes_the_scheduler, what="the cause is told")  # type: ignore[no-redef,assignment]
    assert read_condition(mesh, "UpToDate")["reason"] == "UpgradeHeld"
    assert read_condition(mesh, "Ready")["status"] == "False"
    for condition in ("Available", "InjectionReady", "SpecAccepted", "Reconciled"):
        assert read_condition(mesh, condition)["status"] == "True", condition
    assert mesh["status"]["version"] == {"desired": NEW, "active": OLD, "upgradeTo": NEW}
    upgrade = mesh["status"]["upgrade"]
    assert (upgrade["from"], upgrade["to"], upgrade["phase"]) == (old, new, "Held")
    assert "node affinity/selector" in upgrade["waitingFor"]
    assert mesh["status"]["proxies"]["summary"] == "1/1", "what serves is what proxies are held against"
    assert read_specs(list_of(api, settled, OLD)) == before
    assert read_versions([*find_tag(api, settled)]) == tag
    assert read_sidecar(api, settled) == old

    # What held it is removed: the tag moves, and is the same object.
    edit(api, settled, controlPlane={"placement": None})
    mesh = await wait_for(api, settled, condition="UpToDate", status="False", reason="ProxiesOutdated")
    assert (mesh["status"]["activeRevision"], read_target(api, settled)) == (new, new)
    assert [o["metadata"]["uid"] for o in find_tag(api, settled)] == uids
    assert read_sidecar(api, settled) == new
    assert {r["name"]: r["phase"] for r in mesh["status"]["revisions"]} == {old: "Retiring", new: "Active"}
    assert "upgrade" not in mesh["status"]
    assert read_specs(list_of(api, settled, OLD)) == before, "a pod uses it"

    # Back: to the istiod that is still there; nothing uses the newer one, and it goes.
    edit(api, settled, upgrade={"rollback": True})
    mesh = await wait_for(api, settled, status="False", reason="RolledBack")
    assert mesh["spec"]["version"] == "1.31"
    await eventually(lambda: read_target(api, settled) == old, what="the tag is back")
    edit(api, settled, version="1.30", upgrade={"rollback": None})
    await eventually(lambda: not list_of(api, settled, NEW), what="the newer revision is gone")
    mesh = await wait_for(api, settled)
    assert (mesh["status"]["activeRevision"], read_target(api, settled)) == (old, old)
    assert read_condition(mesh, "UpToDate")["status"] == "True"
    assert read_specs(list_of(api, settled, OLD)) == before, "no new istiod"

    # And on again; with its last pod the older revision goes.
    edit(api, settled, version="1.31")
    await wait_for(api, settled, condition="UpToDate", status="False", reason="ProxiesOutdated")
    assert read_specs(list_of(api, settled, OLD)) == before
    api.delete("pod", settled, "web")
    await eventually(lambda: not list_of(api, settled, OLD), what="the older revision is gone")
    await wait_for(api, settled)

    def list_told() -> list[str]:
        return [r["name"] for r in (api.get("mesh", settled, "demo") or {})["status"]["revisions"]]

    await eventually(lambda: list_told() == [new], what="status tells of one revision")
    assert [o["metadata"]["uid"] for o in find_tag(api, settled)] == uids
    with pytest.raises(Refused, match="does not go back"):
        edit(api, settled, version="1.30")


def read_istiod(api: Api, namespace: str, revision: str) -> Any:
    """istiod's Deployment, but for its status."""
    return read_specs([o for o in list_named(api, namespace, revision) if o["kind"] == "Deployment"])


def list_written(audit: Audit, mark: int, namespace: str) -> set[tuple[str, str]]:
    """What the operator wrote of a mesh since: resource and name; its words about it are left out."""
    return {
        (request.resource, request.name)
        for request in audit.writes(mark)
        if request.subresource != "status"
        and request.resource not in ("events", "pods")
        and namespace in (request.namespace, *request.name.split("-"))
    }


async def test_a_mesh_changes_its_strategy_there_and_back_and_only_a_version_starts_an_istiod(
    api: Api, light: Cluster, operator: Operator, audit: Audit, settled: str
) -> None:
    stands, first = f"{settled}-demo-inplace", CATALOG.find("1.31").minor.patches[0]  # type: ignore[union-attr]
    beside = name_revision(settled, first)
    grace = {"inactiveRevisionGracePeriodSeconds": 0}
    api.create(build_mesh(settled, version="1.30", upgrade=grace, mtls={"mode": "Strict"}))
    await wait_for(api, settled)
    api.create(build_pod(settled, "web", labels={"istio.io/rev": f"{settled}-demo"}))
    await wait_for(api, settled, condition="UpToDate")
    uids = [o["metadata"]["uid"] for o in find_tag(api, settled)]
    istiod = read_istiod(api, settled, stands)

    async def change(strategy: str, serving: str) -> None:
        await wait_for_rest(operator)
        mark = audit.mark()
        edit(api, settled, upgrade={"strategy": strategy})
        mesh = await wait_for(api, settled, condition="SpecAccepted", reason="StrategyPending")
        assert read_condition(mesh, "Ready")["status"] == "True"
        planned = await asyncio.to_thread(navarch, "plan", "demo", "-n", settled, kubeconfig=light.kubeconfig)
        assert (planned.code, "StrategyPending" in planned.out) == (0, True), planned
        await wait_for_rest(operator)
        assert list_written(audit, mark, settled) == set()
        assert read_sidecar(api, settled) == serving

    await change("RevisionBased", stands)

    # What is to be restarted is announced: a new istiod beside, and none where one stands.
    upgrade = {**grace, "strategy": "RevisionBased"}
    following = build_mesh(settled, version=first, upgrade=upgrade, mtls={"mode": "Strict"})
    planned = await asyncio.to_thread(
        navarch, "plan", "-f", "-", "-o", "json", kubeconfig=light.kubeconfig, stdin=yaml.safe_dump(following)
    )
    assert planned.code == 2, planned
    (found,) = planned.json["plans"]
    deployments = {(o["change"], o["name"]) for o in found["objects"] if o["kind"] == "Deployment"}
    assert deployments == {("create", f"istiod-{beside}"), ("remove", f"istiod-{stands}")}
    assert [(r["name"], r["pods"]) for r in found["restarts"]] == [("web", 1)]

    # It comes up beside; the operator dies amid that.
    mark = audit.mark()
    edit(api, settled, version=first)
    await eventually(lambda: list_named(api, settled, beside), what="the next one is made")
    operator.kill()
    assert read_sidecar(api, settled) in (stands, beside)
    operator.start()
    await wait_for(api, settled, condition="UpToDate", status="False", reason="ProxiesOutdated")
    assert (read_target(api, settled), read_sidecar(api, settled)) == (beside, beside)
    assert [o["metadata"]["uid"] for o in find_tag(api, settled)] == uids
    assert read_istiod(api, settled, stands) == istiod
    assert ("deployments", f"istiod-{stands}") not in list_written(audit, mark, settled)
    api.delete("pod", settled, "web")
    await eventually(lambda: not list_named(api, settled, stands), what="the one in place is gone")
    await wait_for(api, settled)

    # And in place again.
    await change("InPlace", beside)
    mark = audit.mark()
    edit(api, settled, version=NEW)
    await eventually(lambda: not list_named(api, settled, beside), what="that of one version is gone")
    mesh = await wait_for(api, settled, condition="UpToDate")
    assert ("deployments", f"istiod-{stands}") in list_written(audit, mark, settled)
    assert (read_target(api, settled), read_sidecar(api, settled)) == (stands, stands)
    assert [o["metadata"]["uid"] for o in find_tag(api, settled)] == uids
    assert "spec.upgrade.strategy" not in read_condition(mesh, "SpecAccepted")["message"]


async def test_a_version_that_changes_while_another_one_is_proved_leaves_nothing_of_that(
    api: Api, fresh: str
) -> None:
    upgrade = {**UPGRADE, "progressDeadlineSeconds": 600}
    api.create(build_mesh(fresh, version="1.30", upgrade=upgrade))
    await wait_for(api, fresh)
    first = "1.31.1"
    edit(api, fresh, version=first, controlPlane=NOWHERE)
    await eventually(lambda: list_of(api, fresh, first), what="the first one is made")
    await wait_for(api, fresh, condition="Progressing", status="True", reason="Upgrading")
    edit(api, fresh, version="1.31", controlPlane={"placement": None})
    mesh = await wait_for(api, fresh)
    assert mesh["status"]["activeRevision"] == name_revision(fresh, NEW)
    await eventually(lambda: not list_of(api, fresh, first), what="the one in between is gone")
    await eventually(lambda: not list_of(api, fresh, OLD), what="the older one is gone")
    api.delete("mesh", fresh, "demo")
    await eventually(lambda: not list_owned(api, fresh), what="all of it is gone")


@asynccontextmanager
async def forbidding(
    api: Api, name: str, resource: Mapping[str, Any], labels: Mapping[str, str]
) -> AsyncIterator[str]:
    """A policy of the cluster's own, in force until it is taken back: no objects with these labels are to be
    made. Gives what it says."""
    group, words = "admissionregistration.k8s.io", f"the house wants none of {name}"
    asked = {"apiGroups": [""], "resources": ["configmaps"]}
    rules = [{"operations": ["CREATE"], "apiVersions": ["*"], **each} for each in (resource, asked)]
    policy = {
        "matchConstraints": {"resourceRules": rules, "objectSelector": {"matchLabels": dict(labels)}},
        "validations": [{"expression": "false", "message": words}],
    }
    specs = {"": policy, "Binding": {"policyName": name, "validationActions": ["Deny"]}}
    for end, spec in specs.items():
        kind = f"ValidatingAdmissionPolicy{end}"
        api.create({"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
    metadata = {"name": "asked", "namespace": "default", "labels": dict(labels)}

    def is_in_force() -> bool:
        try:
            api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}, dry_run=True)
        except Refused as refused:
            return words in str(refused)
        return False

    try:
        await eventually(is_in_force, what="the policy is in force")
        yield words
    finally:
        for kind in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
            api.request("DELETE", f"/apis/{group}/v1/{kind}/{name}")


async def test_before_the_tag_moves_configuration_is_validated_and_a_proxy_takes_it_and_nothing_of_that_stays(
    api: Api, operator: Operator, fresh: str
) -> None:
    old, new = name_revision(fresh, OLD), name_revision(fresh, NEW)
    upgrade = {**UPGRADE, "progressDeadlineSeconds": 600, "inactiveRevisionGracePeriodSeconds": 3600}
    api.create(build_mesh(fresh, version="1.30", upgrade=upgrade))
    await wait_for(api, fresh)
    tag = read_versions([*find_tag(api, fresh)])
    services = {"apiGroups": ["networking.istio.io"], "resources": ["virtualservices"]}
    pods = {"apiGroups": [""], "resources": ["pods"]}
    of_trials = {"mesh.navarch.io/component": "trial", "mesh.navarch.io/mesh-namespace": fresh}

    def list_trials() -> list[Object]:
        found = [o for kind in ("deployment", "serviceaccount", "pod") for o in api.list(kind, fresh)]
        return [o for o in found if "istio-trial-" in o["metadata"]["name"]]

    async def wait_for_words(words: str, to: str) -> Object:
        def says_so() -> Object | None:
            upgrade = ((api.get("mesh", fresh, "demo") or {}).get("status") or {}).get("upgrade") or {}
            held = upgrade.get("to") == to and words in upgrade.get("waitingFor", "")
            return upgrade if held else None

        return await eventually(says_so, what=f"the upgrade waits: {words}")  # type: ignore[return-value]

    async with forbidding(api, f"pods-{fresh}", pods, of_trials) as no_pods:
        async with forbidding(api, f"services-{fresh}", services, {"istio.io/rev": new}) as no_services:
            edit(api, fresh, version="1.31")
            await wait_for_words(no_services, new)
            assert list_trials() == []
        told = await wait_for_words(no_pods, new)
        assert "spec.upgrade.trialProxy: Never" in told["waitingFor"]
        assert len(list_trials()) == 2, "its workload and its account"
        assert read_versions([*find_tag(api, fresh)]) == tag
    mesh = await wait_for(api, fresh)
    assert (mesh["status"]["activeRevision"], read_target(api, fresh)) == (new, new)
    await eventually(lambda: list_trials() == [], what="the proxy is gone")
    assert mesh["status"]["proxies"]["total"] == 0, "it was no workload of the mesh"

    # On the way back the operator is killed, and the mesh deleted while nobody looks.
    async with forbidding(api, f"pods-again-{fresh}", pods, of_trials) as no_pods:
        edit(api, fresh, version="1.30")
        await wait_for_words(no_pods, old)
        operator.kill()
        assert len(list_trials()) == 2
        api.delete("mesh", fresh, "demo")
        operator.start()
        await eventually(lambda: not list_owned(api, fresh), what="all of it is gone")
    assert list_trials() == []


async def test_a_mesh_has_four_revisions_at_most_and_all_go_with_it(api: Api, fresh: str) -> None:
    first, *others, last = CATALOG.find("1.31").minor.patches[:5]  # type: ignore[union-attr]
    api.create(build_mesh(fresh, version=first, upgrade={"strategy": "RevisionBased"}))
    await wait_for(api, fresh)
    for version in others:
        edit(api, fresh, version=version)
        await wait_for(api, fresh)
    assert len(api.list("revision", fresh)) == 4, "in their grace period"
    edit(api, fresh, version=last)
    await wait_for(api, fresh, condition="SpecAccepted", status="False", reason="TooManyRevisions")
    assert len(api.list("revision", fresh)) == 4
    assert read_target(api, fresh) == name_revision(fresh, others[-1])
    api.delete("mesh", fresh, "demo")
    await eventually(lambda: not list_owned(api, fresh), what="all of it is gone")


async def test_in_place_what_is_not_proved_in_time_is_taken_back_once_and_tried_again_when_told_to(
    api: Api, light: Cluster, operator: Operator, settled: str
) -> None:
    name = f"{settled}-demo-inplace"

    async def roll_back(*options: str) -> Ended:
        arguments = ("rollback", "demo", "-n", settled, *options)
        return await asyncio.to_thread(navarch, *arguments, kubeconfig=light.kubeconfig)

    async def ask(*words: str) -> Ended:
        action, *options = words
        arguments = ("upgrade", action, "demo", "-n", settled, *options)
        return await asyncio.to_thread(navarch, *arguments, kubeconfig=light.kubeconfig)

    def read_revision() -> Object:
        return api.get("revision", settled, name) or {}

    def read_input() -> tuple[str, Any]:
        spec = read_revision()["spec"]
        return spec["version"], spec["config"]

    api.create(build_mesh(settled, version="1.30", upgrade={"rollback": True}))
    await wait_for(api, settled, condition="SpecAccepted", reason="NothingToGoBackTo")
    edit(api, settled, upgrade={"rollback": None})
    await wait_for(api, settled)
    first = read_input()

    # It never comes up: the older istiod serves, and after the deadline the mesh is as it was.
    edit(api, settled, version="1.31", controlPlane=NOWHERE, upgrade={"progressDeadlineSeconds": 1})
    mesh = await wait_for(api, settled, status="False", reason="RolledBack")
    assert f"Istio {NEW} was not available in 1 s" in read_condition(mesh, "Ready")["message"]
    stands = await ask("status")
    assert (stands.code, "RolledBack" in stands.out) == (1, True)
    assert read_condition(mesh, "Available")["status"] == "True"
    assert mesh["status"]["version"] == {"desired": NEW, "active": OLD}
    assert read_input() == first
    assert read_revision()["metadata"]["generation"] == 3, "made, changed, and changed back"
    operator.kill()
    operator.start()
    await eventually(operator.is_ready, seconds=60, what="the operator is ready again")
    await wait_for(api, settled, condition="UpToDate", status="False", reason="RolledBack")
    assert read_revision()["metadata"]["generation"] == 3

    # The same again, with the cause removed in the cluster's eyes: another spec, proved.
    edit(api, settled, controlPlane={"placement": None}, upgrade={"progressDeadlineSeconds": 600})
    await wait_for(api, settled)
    assert read_input()[0] == NEW

    followed = await ask("status", "--watch", "--timeout", "60")
    assert (followed.code, f"Istio {NEW}: Done" in followed.out) == (0, True)

    # By hand: back to what was proved before, and on again.
    assert (await roll_back()).code == 0
    mesh = await wait_for(api, settled, status="False", reason="RolledBack")
    assert "spec.upgrade.rollback is true" in read_condition(mesh, "Ready")["message"]
    assert read_input() == first
    twice = await roll_back()
    assert (twice.code, "is true already" in twice.err) == (1, True)
    assert (await roll_back("--retry")).code == 0
    await wait_for(api, settled)
    assert read_input()[0] == NEW
