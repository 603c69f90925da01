"""NetworkPolicies of a mesh and its members on a real API server: made, followed, repaired and removed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lab.cluster import Cluster
from tests.cluster.conftest import a_mesh_namespace, assert_quiet
from tests.polling import eventually
from tests.support.admission import bind, change, refusal, say
from tests.support.api import Api, Object
from tests.support.audit import Audit, Request
from tests.support.members import build_member, read_labels, wait_for_member
from tests.support.meshes import build_mesh, edit, read_condition, wait_for
from tests.support.operator import SYSTEM, Operator

NAME = "navarch-members"
ISOLATED = {"manage": True, "isolateMembers": True}


@pytest.fixture
async def mesh(api: Api, operator: Operator, fresh: str) -> str:
    """A mesh that isolates its members, Ready; its namespace."""
    api.create(build_mesh(fresh, scope="Members", networkPolicies=ISOLATED))
    await wait_for(api, fresh)
    return fresh


@pytest.fixture
async def pair(api: Api, fresh: str) -> AsyncIterator[tuple[str, str]]:
    """Two namespaces of applications. Their members leave first, so that nothing of them is written later."""
    with a_mesh_namespace(api, f"{fresh}-a") as one, a_mesh_namespace(api, f"{fresh}-b") as other:
        yield one, other
        for name in (one, other):
            await leave(api, name)


async def join(api: Api, apps: str, mesh: str) -> None:
    api.create(build_member(apps, mesh))
    await wait_for_member(api, apps)


async def leave(api: Api, apps: str) -> None:
    if api.get("member", apps, "default") is not None:
        api.delete("member", apps, "default")
    await eventually(lambda: api.get("member", apps, "default") is None, seconds=60, what="the member goes")


def read_policy(api: Api, apps: str) -> Object | None:
    return api.get("networkpolicy", apps, NAME)


def peers_of(api: Api, apps: str) -> str:
    """From where the policy of a namespace lets traffic in, as text."""
    return str((read_policy(api, apps) or {"spec": None})["spec"])


def writes_of(audit: Audit, mark: int) -> list[Request]:
    """The operator's writes of policies since a point in the log."""
    return [request for request in audit.writes(mark) if request.resource == "networkpolicies"]


def list_inventories(api: Api, apps: str) -> list[str]:
    names = (found["metadata"]["name"] for found in api.list("configmap", SYSTEM))
    return [name for name in names if name.endswith(f".{apps}.default")]


async def test_a_policy_comes_and_goes_with_a_member_and_is_put_right_by_one_write(
    api: Api, audit: Audit, operator: Operator, mesh: str, pair: tuple[str, str]
) -> None:
    one, other = pair
    await join(api, one, mesh)
    made = read_policy(api, one)
    assert made is not None
    assert f"'mesh.navarch.io/member-of', 'operator': 'In', 'values': ['{mesh}.demo']" in peers_of(api, one)
    mark = audit.mark()
    await join(api, other, mesh)
    assert read_policy(api, other) is not None
    assert {write.namespace for write in writes_of(audit, mark)} == {other}, "no other namespace's is written"
    # What is added is taken out by writes of its own (kube/intruders.py); a changed value is one write.
    added = {"podSelector": {"matchLabels": {"a": "b"}}}
    for by_hand, most in (({"ingress": []}, 1), ({"ingress": [{}]}, 1), (added, 3)):
        mark = audit.mark()
        api.patch("networkpolicy", one, NAME, {"spec": by_hand})
        await eventually(
            lambda: (read_policy(api, one) or {}).get("spec") == made["spec"], seconds=60, what="it is right"
        )
        await assert_quiet(api, audit, operator, mesh, "demo")
        assert 1 <= len(writes_of(audit, mark)) <= most
    mark = audit.mark()
    api.delete("networkpolicy", one, NAME)
    await eventually(lambda: read_policy(api, one), seconds=60, what="it is made anew")
    assert len(writes_of(audit, mark)) == 1
    await leave(api, one)
    assert (read_policy(api, one), read_labels(api, one)) == (None, {})
    assert read_policy(api, other) is not None
    await eventually(lambda: list_inventories(api, one) == [], seconds=30, what="nothing is recorded of it")


async def test_policies_follow_the_switch(api: Api, mesh: str, pair: tuple[str, str]) -> None:
    apps, _ = pair
    await join(api, apps, mesh)
    istiod = f"istiod-{mesh}-demo-inplace"
    ports = {p["port"] for r in api.get("networkpolicy", mesh, istiod)["spec"]["ingress"] for p in r["ports"]}
    assert ports == {15012, 15017}
    edit(api, mesh, networkPolicies={**ISOLATED, "monitoringNamespaces": ["watch"]})
    await eventually(lambda: "'watch'" in peers_of(api, apps), seconds=60, what="monitoring is let in")
    edit(api, mesh, networkPolicies={"isolateMembers": False})
    await eventually(lambda: read_policy(api, apps) is None, seconds=60, what="it is switched off")
    assert read_labels(api, apps), "the namespace stays a member"
    edit(api, mesh, networkPolicies=ISOLATED)
    await eventually(lambda: read_policy(api, apps), seconds=60, what="it is switched on again")
    edit(api, mesh, networkPolicies=None)
    await eventually(lambda: api.get("networkpolicy", mesh, istiod) is None, seconds=60, what="istiod's goes")
    await eventually(lambda: read_policy(api, apps) is None, seconds=60, what="the member's goes")


async def test_of_two_meshes_each_has_its_own_policies_and_the_end_of_one_leaves_the_others(
    api: Api, mesh: str, pair: tuple[str, str]
) -> None:
    one, other = pair
    with a_mesh_namespace(api, f"{mesh}-2") as second:
        api.create(build_mesh(second, scope="Members", networkPolicies=ISOLATED))
        await wait_for(api, second)
        await join(api, one, mesh)
        await join(api, other, second)
        assert f"{mesh}.demo" in peers_of(api, one)
        assert f"{second}.demo" not in peers_of(api, one)
        assert f"{second}.demo" in peers_of(api, other)
        api.delete("mesh", second, "demo")
        await wait_for_member(api, other, status="False", reason="MeshNotFound")
        await eventually(lambda: read_policy(api, other) is None, seconds=60, what="its policy goes")
        assert read_policy(api, one) is not None


async def test_what_is_not_ours_under_the_policys_name_keeps_the_namespace_out_and_is_left(
    api: Api, mesh: str, pair: tuple[str, str]
) -> None:
    apps, _ = pair
    theirs = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": NAME, "namespace": apps},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }
    api.create(theirs)
    api.create(build_member(apps, mesh))
    told = await wait_for_member(api, apps, status="False", reason="ForeignObject")
    assert f"NetworkPolicy {apps}/{NAME}" in read_condition(told, "Ready")["message"]
    assert read_labels(api, apps) == {}, "it does not join without its policy"
    assert (read_policy(api, apps) or {})["spec"] == theirs["spec"]
    api.delete("networkpolicy", apps, NAME)
    # Of what is not ours no event tells; the next look comes within a minute, or with an edit.
    api.patch("member", apps, "default", {"metadata": {"annotations": {"example.com/look": "1"}}})
    await wait_for_member(api, apps)
    assert f"{mesh}.demo" in peers_of(api, apps)


async def test_the_next_process_removes_what_a_member_left_and_writes_no_policy_that_is_wanted(
    api: Api, audit: Audit, operator: Operator, mesh: str, pair: tuple[str, str]
) -> None:
    apps, other = pair
    await join(api, apps, mesh)
    await join(api, other, mesh)
    mark = audit.mark()
    operator.stop()
    try:
        api.patch("member", apps, "default", {"metadata": {"finalizers": None}})
        api.delete("member", apps, "default")
        assert read_policy(api, apps) is not None
    finally:
        operator.start()
    await eventually(lambda: read_policy(api, apps) is None, seconds=90, what="the policy goes")
    assert read_labels(api, apps) == {}
    await eventually(lambda: list_inventories(api, apps) == [], seconds=30, what="nothing is recorded of it")
    await wait_for(api, mesh)
    await assert_quiet(api, audit, operator, mesh, "demo")
    assert [(w.verb, w.namespace) for w in writes_of(audit, mark)] == [("delete", apps)], "not in turns"


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policies", "field"),
    [
        ({"isolateMembers": True}, "isolateMembers"),
        ({"manage": False, "isolateMembers": True}, "isolateMembers"),
        ({"manage": True, "webhookSources": ["10.0.0.0/99"]}, "webhookSources"),
        ({"manage": True, "webhookSources": ["api.example.com"]}, "webhookSources"),
        ({"manage": True, "monitoringNamespaces": ["Watch"]}, "monitoringNamespaces"),
        ({"manage": True, "monitoringLabels": {"team": "not a value"}}, "monitoringLabels"),
    ],
)
def test_what_makes_no_policy_is_refused_by_field(
    api: Api, guarded: Cluster, fresh: str, policies: Object, field: str
) -> None:
    said = refusal(api, build_mesh(fresh, networkPolicies=policies))
    assert f"spec.networkPolicies.{field}" in said


def test_policies_take_the_verb_host_and_are_navarchs_to_write(
    api: Api, guarded: Cluster, tenancy: str
) -> None:
    api.create(build_mesh(tenancy, scope="Members"))
    asked = {"spec": {"networkPolicies": {"manage": True}}}
    assert change(api, tenancy, asked) == ""
    patch = ("patch", "meshcp", "demo", "-n", tenancy, "--type=merge", "--dry-run=server", "-p")
    assert "spec.networkPolicies" in say(guarded, *patch, '{"spec":{"networkPolicies":{"manage":true}}}')
    labels = {"mesh.navarch.io/mesh-name": "demo", "mesh.navarch.io/mesh-namespace": tenancy}
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": NAME, "namespace": tenancy, "labels": labels},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }
    api.create(policy)
    api.create(bind(tenancy, "admin"))
    delete = ("delete", "networkpolicy", NAME, "-n", tenancy, "--dry-run=server")
    assert "Navarch's own" in say(guarded, *delete)
