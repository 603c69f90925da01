"""MeshMemberRolls on a real API server: what they bring in, and what they leave alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack

import pytest

from lab.cluster import Cluster
from tests.cluster.conftest import a_mesh_namespace
from tests.polling import eventually
from tests.support.activity import count_reconciles, wait_for_rest
from tests.support.admission import TENANT, bind
from tests.support.api import Api, Object, Refused
from tests.support.audit import Audit
from tests.support.command import navarch
from tests.support.members import ISTIO_REV, MEMBER_OF, build_member, read_labels, wait_for_member
from tests.support.meshes import build_mesh, read_condition, wait_for
from tests.support.operator import Operator
from tests.support.rolls import build_roll, read_pending, wait_for_roll
from tests.support.workloads import build_pod, is_injected


@pytest.fixture
async def roll(api: Api, operator: Operator, fresh: str) -> AsyncIterator[str]:
    """A namespace whose roll goes before the namespaces of the test, so that nothing is written later."""
    yield fresh
    await remove_roll(api, fresh)


@pytest.fixture
def places(api: Api, fresh: str, roll: str) -> Iterator[Callable[..., list[str]]]:
    """Makes namespaces of applications; their rolls go first."""
    with ExitStack() as stack:

        def make(*names: str) -> list[str]:
            return [stack.enter_context(a_mesh_namespace(api, f"{fresh}-{name}")) for name in names]

        yield make
        api.delete("roll", fresh, "default")


@pytest.fixture
async def mesh(api: Api, roll: str) -> str:
    """A mesh of scope Members that is Ready; its namespace."""
    api.create(build_mesh(roll, scope="Members"))
    await wait_for(api, roll)
    return roll


async def remove_roll(api: Api, namespace: str) -> None:
    api.delete("roll", namespace, "default")
    await eventually(
        lambda: api.get("roll", namespace, "default") is None, seconds=60, what="the roll is gone"
    )


def set_members(api: Api, namespace: str, *members: str) -> None:
    api.patch("roll", namespace, "default", {"spec": {"members": [*members]}})


def joined(mesh: str, name: str = "demo") -> dict[str, str]:
    return {MEMBER_OF: f"{mesh}.{name}", ISTIO_REV: f"{mesh}-{name}"}


def read_uid(api: Api, namespace: str) -> str:
    return str((api.get("namespace", "", namespace) or {})["metadata"]["uid"])


def admitted(tenant: Api, roll: Object) -> bool:
    """Whether a tenant has made a roll."""
    try:
        tenant.create(roll)
    except Refused:
        return False
    return True


async def until_labels(api: Api, namespace: str, labels: dict[str, str]) -> None:
    await eventually(
        lambda: read_labels(api, namespace) == labels, seconds=60, what=f"{namespace} has {labels}"
    )


async def test_namespaces_join_by_a_roll_are_quiet_and_leave_without_a_trace(
    api: Api,
    light: Cluster,
    audit: Audit,
    operator: Operator,
    mesh: str,
    places: Callable[..., list[str]],
) -> None:
    a, b, own = places("a", "b", "own")
    before = {name: (api.get("namespace", "", name) or {})["metadata"]["labels"] for name in (a, b)}
    api.create(build_member(own, mesh))
    api.create(build_roll(mesh, a, b, own))
    told = await wait_for_roll(api, mesh)
    assert told["status"]["mesh"] == "demo"
    counted = {"total": 3, "ready": 3, "pending": 0, "selfJoined": 1, "summary": "3/3"}
    assert told["status"]["members"] == counted
    assert "pending" not in told["status"]
    assert own in read_condition(told, "Reconciled")["message"], "it is told as its team's"
    for name in (a, b, own):
        assert read_labels(api, name) == joined(mesh)
    row = light.run("get", "meshmr", "-n", mesh).splitlines()
    assert row[0].split() == ["NAME", "MESH", "READY", "STATUS", "MEMBERS", "AGE"]
    assert row[1].split()[:5] == ["default", "demo", "True", "AsExpected", "3/3"]

    await wait_for_rest(operator)
    mark, looks = audit.mark(), count_reconciles(operator)
    api.patch("roll", mesh, "default", {"metadata": {"annotations": {"example.com/touched": "1"}}})
    await eventually(
        lambda: [r for r in audit.since(mark) if r.resource == "meshmemberrolls"], what="it is looked at"
    )
    assert [str(write) for write in audit.writes(mark)] == []
    await wait_for_rest(operator)
    asked = len([r for r in audit.since(mark) if r.resource.startswith("mesh")])
    assert asked <= count_reconciles(operator) - looks, "one request a look"

    mark = audit.mark()
    operator.stop()
    operator.start()
    await wait_for_rest(operator)
    kinds = ("meshmembers", "meshmemberrolls", "namespaces")
    written = [str(write) for write in audit.writes(mark) if write.resource in kinds]
    assert written == [], "nor does the next process"

    set_members(api, mesh, a)
    await until_labels(api, b, {})
    await eventually(lambda: api.get("member", b, "default") is None, what="its member is gone")
    assert api.get("member", own, "default") is not None, "its team made it"
    assert read_labels(api, own) == joined(mesh)
    await eventually(
        lambda: any(
            e["reason"] == "ObjectRemoved" and f"MeshMember {b}/default" in e["note"]
            for e in api.list("event", mesh)
        ),
        what="the removal is an Event",
    )
    await eventually(
        lambda: is_injected(api.create(build_pod(a, "app"), dry_run=True)), what="pods are injected"
    )
    api.create(build_pod(a, "app"))
    await remove_roll(api, mesh)
    await until_labels(api, a, {})
    assert is_injected(api.get("pod", a, "app") or {}), "no restart was waited for"
    assert read_labels(api, own) == joined(mesh)
    assert {name: (api.get("namespace", "", name) or {})["metadata"]["labels"] for name in (a, b)} == before
    api.delete("member", own, "default")
    await until_labels(api, own, {})


async def test_roll_mesh_and_namespaces_come_in_any_order_and_go_and_come_again(
    api: Api, fresh: str, roll: str, places: Callable[..., list[str]]
) -> None:
    (a,) = places("a")
    late = f"{fresh}-late"
    api.create(build_roll(fresh, a, late))
    await wait_for_roll(api, fresh, status="False", reason="MeshNotFound")
    assert api.get("member", a, "default") is None
    api.create(build_mesh(fresh, scope="Members"))
    told = await wait_for_roll(
        api, fresh, status="False", reason="NamespacesPending", until=lambda r: [*read_pending(r)] == [late]
    )
    assert read_pending(told) == {late: "NamespaceNotFound"}
    assert told["status"]["members"]["summary"] == "1/2"
    assert read_labels(api, a) == joined(fresh)
    places("late")
    await wait_for_roll(api, fresh)
    api.delete("namespace", "", late)
    await wait_for_roll(api, fresh, status="False", until=lambda r: [*read_pending(r)] == [late])
    await eventually(lambda: api.get("namespace", "", late) is None, seconds=60, what="it is gone")
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": late}})
    await wait_for_roll(api, fresh)
    assert read_labels(api, late) == joined(fresh)

    api.delete("mesh", fresh, "demo")
    await until_labels(api, a, {})
    await wait_for_roll(api, fresh, status="False", reason="MeshNotFound")
    api.create(build_mesh(fresh, scope="Members"))
    await wait_for_roll(api, fresh)
    assert read_labels(api, a) == joined(fresh)


async def test_a_roll_goes_once_its_mesh_is_gone_and_whatever_holds_its_members(
    api: Api, mesh: str, places: Callable[..., list[str]]
) -> None:
    a, held = places("a", "held")
    api.create(build_roll(mesh, a, held))
    await wait_for_roll(api, mesh)
    api.patch("member", held, "default", [
        {"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/hold"},
    ])  # fmt: skip
    try:
        api.delete("mesh", mesh, "demo")
        await until_labels(api, a, {})
        await remove_roll(api, mesh)
        await eventually(lambda: api.get("member", a, "default") is None, what="the member went with it")
        assert "deletionTimestamp" in (api.get("member", held, "default") or {})["metadata"]
    finally:
        api.patch("member", held, "default", {"metadata": {"finalizers": None}})


async def test_of_two_rolls_the_first_has_a_namespace_and_the_other_is_told_and_follows(
    api: Api, mesh: str, places: Callable[..., list[str]]
) -> None:
    (other, shared) = places("other", "shared")
    api.create(build_mesh(other, scope="Members"))
    await wait_for(api, other)
    api.create(build_roll(mesh, shared))
    await wait_for_roll(api, mesh)
    api.create(build_roll(other, shared, mesh))
    told = await wait_for_roll(api, other, status="False", reason="NamespacesPending")
    assert read_pending(told) == {shared: "MemberOfAnother", mesh: "NamespaceRefused"}
    said = {entry["namespace"]: entry["message"] for entry in told["status"]["pending"]}
    assert f"MeshMemberRoll {mesh}/default" in said[shared]
    assert f"holds mesh {mesh}/demo" in said[mesh]
    assert read_labels(api, shared) == joined(mesh)
    set_members(api, other, shared)
    await remove_roll(api, mesh)
    await wait_for_roll(api, other)
    assert read_labels(api, shared) == joined(other)
    await remove_roll(api, other)
    await until_labels(api, shared, {})


async def test_selectors_choose_by_any_of_them_and_never_by_the_labels_of_members(
    api: Api, audit: Audit, mesh: str, places: Callable[..., list[str]]
) -> None:
    a, b, c = places("a", "b", "c")
    for name, team in ((a, "one"), (b, "two"), (c, "none")):
        api.patch("namespace", "", name, {"metadata": {"labels": {"team": f"{mesh}-{team}"}}})
    unlabelled = {"key": ISTIO_REV, "operator": "DoesNotExist"}
    one = {"matchLabels": {"team": f"{mesh}-one"}, "matchExpressions": [unlabelled]}
    two = {"matchExpressions": [{"key": "team", "operator": "In", "values": [f"{mesh}-two"]}]}
    nothing = {"matchLabels": {"team": f"{mesh}-nothing"}}
    api.create(build_roll(mesh, memberSelectors=[one, two, nothing]))
    told = await wait_for_roll(api, mesh, until=lambda r: r["status"]["members"]["total"] == 2)
    accepted = read_condition(told, "SpecAccepted")
    assert accepted["reason"] == "NoNamespaceSelected"
    assert "spec.memberSelectors[2]" in accepted["message"]
    assert read_labels(api, a) == joined(mesh), "and it stays chosen, though it has the label now"
    api.patch("namespace", "", c, {"metadata": {"labels": {"team": f"{mesh}-one"}}})
    api.patch("namespace", "", b, {"metadata": {"labels": {"team": None}}})
    await until_labels(api, b, {})
    await until_labels(api, c, joined(mesh))
    await wait_for_roll(api, mesh, until=lambda r: r["status"]["members"]["summary"] == "2/2")
    created = [w for w in audit.writes(0) if w.resource == "meshmembers" and w.namespace == a]
    assert [w for w in created if w.verb == "delete"] == []


async def test_an_asterisk_brings_in_what_may_belong_to_the_mesh_and_nothing_of_the_platform(
    api: Api, mesh: str, places: Callable[..., list[str]]
) -> None:
    a, other, taken = places("a", "other", "taken")
    api.create(build_mesh(other, scope="Members"))
    await wait_for(api, other)
    api.create(build_member(taken, other))
    await wait_for_member(api, taken)
    api.create(build_roll(mesh, "*"))
    await until_labels(api, a, joined(mesh))
    later = places("later")[0]
    await until_labels(api, later, joined(mesh))
    await wait_for_roll(api, mesh)
    made = {member["metadata"]["namespace"] for member in api.list("member")}
    assert {a, later, taken} <= made
    refused = {"kube-system", "kube-public", "kube-node-lease", "navarch-system", "navarch-probe"}
    assert not made & (refused | {mesh, other})
    assert read_labels(api, taken) == joined(other)
    await remove_roll(api, mesh)
    await eventually(
        lambda: {m["metadata"]["namespace"] for m in api.list("member")} <= {taken}, what="all have left"
    )
    api.delete("member", taken, "default")
    await until_labels(api, taken, {})


async def test_one_namespace_that_cannot_join_keeps_no_other_from_joining_or_leaving(
    api: Api, light: Cluster, mesh: str, places: Callable[..., list[str]]
) -> None:
    """Its quota takes no MeshMember; another has a label of another client's; a third is going away."""
    a, b, full, labelled, going = places("a", "b", "full", "labelled", "going")
    quota = {"hard": {"count/meshmembers.mesh.navarch.io": "0"}}
    api.create({"apiVersion": "v1", "kind": "ResourceQuota", "spec": quota,
                "metadata": {"name": "none", "namespace": full}})  # fmt: skip
    light.run("label", "namespace", labelled, f"{ISTIO_REV}=elsewhere")
    hold = {"name": "hold", "namespace": going, "finalizers": ["example.com/hold"]}
    api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": hold})
    api.delete("namespace", "", going)
    try:
        api.create(build_roll(mesh, a, full, labelled, going))
        told = await wait_for_roll(
            api, mesh, status="False", until=lambda r: r["status"]["members"]["ready"] == 1
        )
        await until_labels(api, a, joined(mesh))
        told = await wait_for_roll(
            api,
            mesh,
            status="False",
            until=lambda r: read_pending(r).get(labelled) == "LabelConflict",
        )
        assert read_pending(told)[going] == "NamespaceTerminating"
        assert read_condition(told, "Reconciled")["reason"] == "AdmissionDenied"
        assert "exceeded quota" in read_condition(told, "Reconciled")["message"]
        set_members(api, mesh, b, full)
        await until_labels(api, a, {})
        await until_labels(api, b, joined(mesh))
    finally:
        api.patch("configmap", going, "hold", {"metadata": {"finalizers": None}})
    api.delete("quota", full, "none")
    await wait_for_roll(api, mesh)
    assert read_labels(api, full) == joined(mesh)


async def test_namespaces_that_vanish_while_they_join_fail_nothing(
    api: Api, mesh: str, places: Callable[..., list[str]]
) -> None:
    stay, go = places("s1", "s2", "s3", "s4"), places("g1", "g2", "g3", "g4")
    made = api.create(build_roll(mesh, *stay, *go))
    for name in go:
        api.delete("namespace", "", name)
    told = await wait_for_roll(
        api,
        mesh,
        status="False",
        until=lambda r: (
            read_pending(r) == dict.fromkeys(go, "NamespaceNotFound")
            and r["status"]["members"]["ready"] == len(stay)
        ),
    )
    assert read_condition(told, "Reconciled")["status"] == "True"
    states = api.replay("roll", mesh, "default", since=made["metadata"]["resourceVersion"])
    said = {read_condition(state, "Reconciled").get("status") for state in states if state.get("status")}
    assert said == {"True"}, "at no time"
    for name in stay:
        assert read_labels(api, name) == joined(mesh)


async def test_a_member_that_is_removed_by_hand_comes_back_and_what_its_team_sets_stays(
    api: Api, mesh: str, places: Callable[..., list[str]]
) -> None:
    (a,) = places("a")
    api.create(build_roll(mesh, a))
    await wait_for_roll(api, mesh)
    api.patch("member", a, "default", {"spec": {"injection": "Disabled"}})
    await until_labels(api, a, {MEMBER_OF: f"{mesh}.demo"})
    await wait_for_roll(api, mesh)
    first = (api.get("member", a, "default") or {})["metadata"]["uid"]
    api.delete("member", a, "default")
    await eventually(
        lambda: (api.get("member", a, "default") or {"metadata": {"uid": first}})["metadata"]["uid"] != first,
        seconds=60,
        what="another is made",
    )
    await until_labels(api, a, joined(mesh))


async def test_check_and_describe_say_what_a_roll_waits_for(
    api: Api, light: Cluster, mesh: str, places: Callable[..., list[str]]
) -> None:
    (a,) = places("a")
    api.create(build_roll(mesh, a, f"{mesh}-late"))
    await wait_for_roll(api, mesh, status="False", until=lambda r: r["status"]["members"]["summary"] == "1/2")
    ended = navarch("check", "demo", "-n", mesh, "-o", "json", kubeconfig=light.kubeconfig)
    (finding,) = ended.find("NamespacesPending")
    subject = {"kind": "MeshMemberRoll", "namespace": mesh, "name": "default"}
    assert finding["subject"] == subject
    assert f"{mesh}-late (NamespaceNotFound)" in finding["message"]
    told = navarch("describe", "demo", "-n", mesh, kubeconfig=light.kubeconfig).out
    assert f"MeshMemberRoll {mesh}/default" in told
    assert "1 of 2 namespaces are members" in told


async def test_a_namespace_that_is_made_anew_is_joined_by_no_entry_that_was_written_for_the_one_before(
    api: Api, light: Cluster, mesh: str, places: Callable[..., list[str]]
) -> None:
    """A team makes a namespace, writes it into its roll and deletes it. Another team gets the name."""
    (place,) = places("place")
    tenant = api.impersonating(TENANT)
    for namespace, role in ((mesh, "navarch-mesh-admin"), (place, "edit")):
        api.create(bind(namespace, role))
    written = f"{place}@{read_uid(api, place)}"
    await eventually(lambda: admitted(tenant, build_roll(mesh, written)), what="the tenant's roles hold")
    await wait_for_roll(api, mesh)
    assert read_labels(api, place) == joined(mesh)
    api.delete("namespace", "", place)
    await eventually(lambda: api.get("namespace", "", place) is None, seconds=60, what="it is gone")
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place}})
    replaced = {place: "NamespaceReplaced"}
    told = await wait_for_roll(api, mesh, status="False", until=lambda r: read_pending(r) == replaced)
    assert read_condition(told, "SpecAccepted")["reason"] == "NamespaceReplaced"
    assert (read_labels(api, place), api.get("member", place, "default")) == ({}, None)
    ended = navarch("check", "demo", "-n", mesh, "-o", "json", kubeconfig=light.kubeconfig)
    (finding,) = ended.find("NamespaceReplaced")
    assert written in finding["message"]
    anew = {"spec": {"members": [f"{place}@{read_uid(api, place)}"]}}
    with pytest.raises(Refused, match="update pods there"):
        tenant.patch("roll", mesh, "default", anew)
    api.create(build_member(place, mesh))
    told = await wait_for_roll(api, mesh)
    assert told["status"]["members"]["selfJoined"] == 1, "its own team may join it"
    api.delete("member", place, "default")
    await until_labels(api, place, {})
    await wait_for_roll(api, mesh, status="False", until=lambda r: read_pending(r) == replaced)


async def test_a_member_that_only_carries_a_rolls_labels_is_never_removed_unless_the_roll_asked_for_it(
    api: Api, mesh: str, places: Callable[..., list[str]]
) -> None:
    """As a backup brings it, without our entry in managedFields."""
    restored, forged = places("restored", "forged")
    labels = {"mesh.navarch.io/roll-namespace": mesh, "mesh.navarch.io/roll-name": "default"}
    labels |= {"mesh.navarch.io/roll-uid": "x", "mesh.navarch.io/component": "members"}
    for name in (restored, forged):
        member = build_member(name, mesh)
        member["metadata"]["labels"] = labels
        api.create(member)
    await wait_for_member(api, forged)
    api.create(build_roll(mesh, restored))
    told = await wait_for_roll(api, mesh)
    assert told["status"]["members"]["selfJoined"] == 0
    await remove_roll(api, mesh)
    await eventually(lambda: api.get("member", restored, "default") is None, what="what the roll had is gone")
    left = api.get("member", forged, "default")
    assert left is not None
    assert "deletionTimestamp" not in left["metadata"]
    api.delete("member", forged, "default")
    await until_labels(api, forged, {})


async def test_what_a_roll_left_whose_finalizer_was_taken_off_is_removed(
    api: Api, mesh: str, places: Callable[..., list[str]]
) -> None:
    a, own = places("a", "own")
    api.create(build_member(own, mesh))
    api.create(build_roll(mesh, a, own))
    await wait_for_roll(api, mesh)
    api.patch("roll", mesh, "default", {"metadata": {"finalizers": None}})
    api.delete("roll", mesh, "default")
    await until_labels(api, a, {})
    assert api.get("member", own, "default") is not None
    api.delete("member", own, "default")
    await until_labels(api, own, {})


async def test_what_a_roll_made_names_the_mesh_that_is_beside_it_now(
    api: Api, mesh: str, places: Callable[..., list[str]]
) -> None:
    (a,) = places("a")
    api.create(build_roll(mesh, a))
    await wait_for_roll(api, mesh)
    api.delete("mesh", mesh, "demo")
    await wait_for_roll(api, mesh, status="False", reason="MeshNotFound")
    api.create(build_mesh(mesh, name="second", scope="Members"))
    await wait_for_roll(api, mesh, until=lambda r: r["status"].get("mesh") == "second")
    assert read_labels(api, a) == joined(mesh, "second")
