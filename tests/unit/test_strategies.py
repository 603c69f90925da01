"""A mesh changes its strategy while it serves, both ways, look by look, in a cluster in memory: what is
written, who injects and validates at each moment, and that an operator killed after any write is followed by
one that ends in the same place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from navarch.core.model.refs import Ref

from tests.support.memory import build_namespace, build_root_config
from tests.support.meshes import build_mesh, read_condition
from tests.unit.test_rollback import BAD, NEW, NS, OLD, InPlace
from tests.unit.test_rollback import NAME as IN_PLACE
from tests.unit.test_successions import TAG, Killed, named, put_pod, tell

NONE = {"inactiveRevisionGracePeriodSeconds": 0}
BY_REVISION = {"strategy": "RevisionBased", **NONE}
STANDING = {"strategy": "InPlace", **NONE}
ADMISSION = "admissionregistration.k8s.io/v1"
TAGGED = f"istio-tag-validator-{TAG}"


async def a_mesh(version: str = "1.30", upgrade: Any = STANDING, **spec: Any) -> InPlace:
    cluster = InPlace()
    cluster.put(build_namespace(NS))
    cluster.put(build_root_config(NS))
    cluster.put(build_mesh(NS, version=version, upgrade=upgrade, mtls={"mode": "Strict"}, **spec))
    await cluster.settle()
    assert read_condition(cluster.mesh, "Ready")["status"] == "True", cluster.mesh["status"]
    return cluster


async def ask(cluster: InPlace, **spec: Any) -> list[str]:
    """Edit the mesh, and look until nothing is written; the objects that were."""
    before = len(cluster.requests)
    cluster.edit(**spec)
    await cluster.settle()
    return [
        r.removeprefix("apply ").strip()
        for r in cluster.requests[before:]
        if r.startswith(("apply", "delete")) and not r.endswith("status")
    ]


def find_validators(cluster: InPlace) -> set[str]:
    """The istiods that validate configuration of the mesh's namespaces that names no revision."""
    unnamed = '"operator": "DoesNotExist"'
    return {
        entry["clientConfig"]["service"]["name"].removeprefix("istiod-")
        for webhook in cluster.list_kind("ValidatingWebhookConfiguration")
        for entry in webhook["webhooks"]
        if unnamed in json.dumps(entry["objectSelector"])
    }


async def test_a_change_of_the_strategy_alone_writes_nothing_in_either_direction_and_says_so() -> None:
    cluster = await a_mesh()
    for upgrade in (BY_REVISION, STANDING, BY_REVISION):
        assert await ask(cluster, upgrade=upgrade) == []
        assert tell(cluster) == (IN_PLACE, [IN_PLACE])
        assert read_condition(cluster.mesh, "Ready")["status"] == "True"
    assert read_condition(cluster.mesh, "SpecAccepted")["reason"] == "StrategyPending"
    assert cluster.mesh["status"]["revisions"][0]["phase"] == "Active"

    other = await a_mesh(upgrade=BY_REVISION)
    for upgrade in (STANDING, BY_REVISION, STANDING):
        assert await ask(other, upgrade=upgrade) == []
        assert tell(other) == (named(OLD), [named(OLD)])
        assert read_condition(other.mesh, "Ready")["status"] == "True"
    assert read_condition(other.mesh, "SpecAccepted")["reason"] == "StrategyPending"


async def test_the_next_version_comes_up_beside_and_the_next_but_one_as_the_strategy_has_it() -> None:
    cluster = await a_mesh(defaultTag=True)
    put_pod(cluster, IN_PLACE)
    deployment = cluster.objects["Deployment", NS, f"istiod-{IN_PLACE}"]
    tag = cluster.objects["MutatingWebhookConfiguration", "", f"istio-revision-tag-{TAG}"]["metadata"]["uid"]
    cluster.down = {named(NEW)}
    await ask(cluster, upgrade=BY_REVISION, version="1.31")
    assert tell(cluster) == (IN_PLACE, sorted([IN_PLACE, named(NEW)]))
    assert (cluster.find_injector(TAG), find_validators(cluster)) == (IN_PLACE, {IN_PLACE})
    seen = await cluster.tell()
    assert read_condition(seen.mesh, "Progressing")["message"].startswith(f"Istio {NEW} ({named(NEW)})")

    cluster.come_up(named(NEW))
    await cluster.settle()
    assert tell(cluster) == (named(NEW), sorted([IN_PLACE, named(NEW)])), "its pod keeps the older one"
    assert (cluster.find_injector(TAG), find_validators(cluster)) == (named(NEW), {named(NEW)})
    assert cluster.objects["Deployment", NS, f"istiod-{IN_PLACE}"] == deployment
    assert cluster.mesh["status"]["proxies"]["outdated"] == 1

    # Back to what is there still, and on again: nothing is started.
    await ask(cluster, version="1.30")
    assert tell(cluster)[0] == IN_PLACE
    assert (cluster.find_injector(TAG), find_validators(cluster)) == (IN_PLACE, {IN_PLACE})
    await ask(cluster, version="1.31")
    cluster.remove(Ref("v1", "Pod", NS, "web"))
    await cluster.settle()
    assert tell(cluster) == (named(NEW), [named(NEW)])
    assert cluster.list_of(IN_PLACE) == []

    # In place again: a revision of that kind comes up beside, and from then on is the only one.
    await ask(cluster, upgrade=STANDING)
    cluster.down = {IN_PLACE}
    await ask(cluster, version="1.32")
    assert tell(cluster) == (named(NEW), sorted([IN_PLACE, named(NEW)]))
    assert find_validators(cluster) == {named(NEW)}, "what is not proved refuses nobody's configuration"
    cluster.come_up(IN_PLACE)
    await cluster.settle()
    assert tell(cluster) == (IN_PLACE, [IN_PLACE])
    assert (cluster.find_injector(TAG), find_validators(cluster)) == (IN_PLACE, {IN_PLACE})
    told = (await cluster.tell()).mesh
    assert read_condition(told, "SpecAccepted")["reason"] != "StrategyPending"
    assert [r["name"] for r in told["status"]["revisions"] if "phase" not in r] == [IN_PLACE]
    changed = await ask(cluster, controlPlane={"logging": {"level": "default:debug"}})
    assert f"Deployment {NS}/istiod-{IN_PLACE}" in changed
    assert tell(cluster) == (IN_PLACE, [IN_PLACE])
    kept = cluster.objects["MutatingWebhookConfiguration", "", f"istio-revision-tag-{TAG}"]["metadata"]["uid"]
    assert kept == tag


async def test_a_change_of_strategy_and_version_killed_after_any_write_ends_as_one_that_was_not() -> None:
    for before, upgrade, first, last in (
        (await a_mesh(), BY_REVISION, IN_PLACE, named(NEW)),
        (await a_mesh(upgrade=BY_REVISION), STANDING, named(OLD), IN_PLACE),
    ):
        whole = before.restart()
        await ask(whole, upgrade=upgrade, version="1.31")
        wanted = whole.list_names()
        for writes in range(1, 200, 3):
            cluster, killed = before.restart(), False
            cluster.left = writes
            try:
                await ask(cluster, upgrade=upgrade, version="1.31")
            except Killed:
                killed = True
            pointed = cluster.find_injector(TAG)
            assert pointed in (first, last)
            assert f"Deployment/istiod-{pointed}" in cluster.list_of(pointed)
            assert find_validators(cluster), "somebody validates at every moment"
            other = cluster.restart()
            await other.settle()
            assert other.list_names() ^ wanted == set(), writes
            assert tell(other) == (last, [last])
            if not killed:
                break
        else:
            pytest.fail("there was no end of writes")
        assert writes > 20


async def test_namespaces_that_name_the_revision_are_told_of_before_they_would_be_left_behind() -> None:
    cluster = await a_mesh()
    cluster.put(build_namespace("apps", rev=IN_PLACE))
    await cluster.settle()
    assert await ask(cluster, upgrade=BY_REVISION, version="1.31") == []
    refused = read_condition(cluster.mesh, "SpecAccepted")
    assert (refused["status"], refused["reason"]) == ("False", "RevisionNamed")
    assert f"kubectl label namespace apps istio.io/rev={TAG} --overwrite" in refused["message"]
    assert tell(cluster) == (IN_PLACE, [IN_PLACE])
    cluster.put(build_namespace("apps", rev=TAG))
    await cluster.settle()
    assert tell(cluster) == (named(NEW), [named(NEW)])


async def test_what_was_begun_in_place_and_given_up_is_taken_back_beside_what_follows() -> None:
    cluster = await a_mesh()
    cluster.bad = {BAD}
    level = {"controlPlane": {"logging": {"level": BAD}}}
    await ask(cluster, **level)
    before = cluster.revision["spec"]["config"]
    cluster.down = {named(NEW)}
    await ask(cluster, upgrade=BY_REVISION, version="1.31", controlPlane={})
    assert tell(cluster) == (IN_PLACE, sorted([IN_PLACE, named(NEW)]))
    assert cluster.revision["spec"]["config"] == before, "half way"
    cluster.wait(601)
    await cluster.settle()
    assert BAD not in json.dumps(cluster.revision["spec"])
    assert cluster.find_injector(TAG) == IN_PLACE
    cluster.come_up(named(NEW))
    await cluster.settle()
    assert tell(cluster) == (named(NEW), [named(NEW)])


async def test_a_way_back_by_hand_leads_over_a_change_of_the_strategy() -> None:
    cluster = await a_mesh()
    put_pod(cluster, IN_PLACE)
    await ask(cluster, upgrade=BY_REVISION, version="1.31")
    assert cluster.find_injector(TAG) == named(NEW)
    for upgrade in (BY_REVISION, STANDING):
        await ask(cluster, upgrade={**upgrade, "rollback": True})
        assert (cluster.find_injector(TAG), cluster.list_revisions()) == (IN_PLACE, [IN_PLACE])
        assert cluster.revision["spec"]["version"] == OLD
        cluster = await cluster.tell()
        assert read_condition(cluster.mesh, "Ready")["reason"] == "RolledBack"
    await ask(cluster, upgrade=STANDING)
    assert (cluster.find_injector(TAG), cluster.list_revisions()) == (IN_PLACE, [IN_PLACE])
    assert cluster.revision["spec"]["version"] == NEW, "in place, as the strategy has it"


async def test_a_revision_with_pods_is_not_brought_to_another_version_for_a_tag_that_left_it() -> None:
    cluster = await a_mesh()
    put_pod(cluster, IN_PLACE)
    await ask(cluster, upgrade=BY_REVISION, version="1.31")
    await ask(cluster, upgrade=STANDING, version="1.32")
    refused = read_condition(cluster.mesh, "SpecAccepted")
    assert (refused["status"], refused["reason"]) == ("False", "RevisionInUse")
    assert cluster.revision["spec"]["version"] == OLD
    cluster.remove(Ref("v1", "Pod", NS, "web"))
    await cluster.settle()
    await cluster.settle()
    assert tell(cluster) == (IN_PLACE, [IN_PLACE])
    assert cluster.revision["spec"]["version"].startswith("1.32")


async def test_what_waits_for_an_approval_is_named_by_what_serves() -> None:
    cluster = await a_mesh()
    held = {**BY_REVISION, "approval": {"minor": "Manual"}}
    assert await ask(cluster, upgrade=held, version="1.31") == []
    assert read_condition(cluster.mesh, "UpToDate")["reason"] == "ApprovalPending"
    metadata = cluster.mesh["metadata"]
    approved = {"mesh.navarch.io/approved": cluster.mesh["status"]["plan"]["hash"]}
    cluster.put({**cluster.mesh, "metadata": {**metadata, "annotations": approved}})
    await cluster.settle()
    assert tell(cluster) == (named(NEW), [named(NEW)])


async def test_an_approval_that_is_withdrawn_before_the_tag_has_moved_takes_the_new_revision_away() -> None:
    cluster = await a_mesh()
    cluster.down = {named(NEW)}
    await ask(cluster, upgrade={**BY_REVISION, "approval": {"minor": "Manual"}}, version="1.31")
    hash_ = cluster.mesh["status"]["plan"]["hash"]

    async def approve(value: str) -> None:
        annotations = {"mesh.navarch.io/approved": value}
        cluster.put({**cluster.mesh, "metadata": {**cluster.mesh["metadata"], "annotations": annotations}})
        await cluster.settle()

    await approve(hash_)
    assert cluster.mesh["status"]["upgrade"]["to"] == named(NEW)
    assert "plan" not in cluster.mesh["status"]
    await approve("no")
    assert tell(cluster) == (IN_PLACE, [IN_PLACE])
    assert "upgrade" not in cluster.mesh["status"]
    assert cluster.mesh["status"]["plan"]["hash"] == hash_
    assert read_condition(cluster.mesh, "Ready")["status"] == "True"
    cluster.down = set()
    await approve(hash_)
    assert tell(cluster) == (named(NEW), [named(NEW)])
