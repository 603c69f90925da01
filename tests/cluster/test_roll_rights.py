"""Who may bring which namespaces into a mesh by a MeshMemberRoll, on a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

import pytest

from lab.cluster import Cluster
from tests.polling import eventually
from tests.support.admission import TENANT, bind
from tests.support.api import Api, Object, Refused
from tests.support.members import build_member
from tests.support.operator import USER
from tests.support.rolls import build_roll

NARROW, WIDE = f"{TENANT}-narrow", f"{TENANT}-wide"
MOST = 96
"""Names that may be added in one request."""
ROLL_LABELS = ("mesh.navarch.io/roll-namespace", "mesh.navarch.io/roll-name")


def ask(api: Api, roll: Object, *, user: str = TENANT) -> str:
    """What a user is told who would write a roll; empty when it would be taken."""
    tenant, there = api.impersonating(user), api.get("roll", roll["metadata"]["namespace"], "default")
    path = api.path("roll", roll["metadata"]["namespace"], "default" if there else "")
    if there:
        roll = roll | {"metadata": there["metadata"]}
    try:
        tenant.request("PUT" if there else "POST", f"{path}?dryRun=All", roll)
    except Refused as refused:
        return str(refused)
    return ""


def place_of(entry: str) -> str:
    return entry.partition("@")[0]


@pytest.fixture(scope="module")
def many(api: Api, guarded: Cluster) -> Iterator[list[str]]:
    """Entries of namespaces of which TENANT is editor, one more than may be added at once."""
    names = [f"roll-{at:02}" for at in range(MOST + 1)]
    entries = []
    for name in names:
        made = api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        entries.append(f"{name}@{made['metadata']['uid']}")
        api.create(bind(name, "edit"))
    yield entries
    for name in names:
        api.delete("rolebinding", name, f"{TENANT}-edit")
        api.delete("namespace", "", name)
        gone = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {}}
        with suppress(Refused):  # at once, and not when the namespace controller gets to it
            api.request("PUT", f"{api.path('namespace', '', name)}/finalize", gone)


@pytest.fixture
async def mesh(api: Api, guarded: Cluster, fresh: str, many: list[str]) -> str:
    """A namespace of which TENANT, NARROW and WIDE administer the meshes. WIDE may change all pods."""
    for user in (TENANT, NARROW, WIDE):
        api.create(bind(fresh, "navarch-mesh-admin", user=user))
    everywhere = bind("", "edit", user=WIDE) | {"kind": "ClusterRoleBinding"}
    everywhere["metadata"] = {"name": f"{fresh}-{WIDE}"}
    api.create(everywhere)
    await eventually(
        lambda: (
            "update pods" in ask(api, build_roll(fresh, "*"), user=NARROW)
            and ask(api, build_roll(fresh, "*"), user=WIDE) == ""
            and ask(api, build_roll(fresh, many[-1])) == ""
        ),
        what="roles and policies are in force",
    )
    return fresh


def test_96_names_are_looked_at_in_one_request_and_the_97th_is_refused_with_the_way_out(
    api: Api, mesh: str, many: list[str]
) -> None:
    assert ask(api, build_roll(mesh, *many[:MOST])) == ""
    refused = ask(api, build_roll(mesh, *many))
    assert "97 names are added" in refused
    assert "split it" in refused
    assert ask(api, build_roll(mesh, *many), user=WIDE) == "", "it may change all pods"


@pytest.mark.parametrize("at", [0, 23, 24, 71, 95])
def test_a_name_without_the_right_is_refused_by_name_wherever_it_stands(
    api: Api, mesh: str, many: list[str], at: int
) -> None:
    stray = f"kube-public@{UUID(int=at)}"
    names = [*many[:at], stray, *many[at : MOST - 1]]
    refused = ask(api, build_roll(mesh, *names))
    assert f"spec.members: {stray}" in refused
    assert "update pods" in refused
    others = ask(api, build_roll(mesh, *names), user=NARROW)
    assert "spec.members: " in others


def test_a_name_alone_takes_the_right_in_the_whole_cluster_since_it_stands_for_whichever_comes(
    api: Api, mesh: str, many: list[str]
) -> None:
    name = place_of(many[0])
    for said in (name, "comes-later"):
        refused = ask(api, build_roll(mesh, said))
        assert f"spec.members: {said} (" in refused
        assert "write NAME@UID (kubectl get namespace NAME -o jsonpath={.metadata.uid})" in refused
        assert ask(api, build_roll(mesh, said), user=WIDE) == ""
    gone = f"{name}@{UUID(int=7)}"
    assert ask(api, build_roll(mesh, gone)) == "", "there is no such namespace, so none joins"
    assert "update pods there" in ask(api, build_roll(mesh, f"default@{UUID(int=7)}"))


def test_only_what_is_added_is_asked_for_and_what_is_removed_needs_nothing(
    api: Api, mesh: str, many: list[str]
) -> None:
    chosen = {"memberSelectors": [{"matchLabels": {"team": t}} for t in ("a", "b")]}
    api.create(build_roll(mesh, "*", "kube-public", *many[:MOST], **chosen))
    kept = ["*", "kube-public", *many[:MOST]]
    assert ask(api, build_roll(mesh, *kept, many[MOST], **chosen)) == ""
    assert "spec.members: default" in ask(api, build_roll(mesh, *kept, "default", **chosen))
    assert ask(api, build_roll(mesh, *kept, many[MOST], **chosen), user=NARROW) != ""
    assert ask(api, build_roll(mesh, *reversed(kept), **chosen), user=NARROW) == "", "another order"
    assert ask(api, build_roll(mesh, *many[:3]), user=NARROW) == ""
    one = {"memberSelectors": chosen["memberSelectors"][:1]}
    assert ask(api, build_roll(mesh, **one), user=NARROW) == ""
    other = {"memberSelectors": [{"matchLabels": {"team": "c"}}]}
    assert "spec.memberSelectors" in ask(api, build_roll(mesh, *kept, **other))


def test_an_asterisk_and_selectors_take_the_right_in_the_whole_cluster(
    api: Api, mesh: str, many: list[str]
) -> None:
    chosen = build_roll(mesh, many[0], memberSelectors=[{"matchLabels": {"team": "a"}}])
    for roll, field in ((build_roll(mesh, "*"), "spec.members: *"), (chosen, "spec.memberSelectors")):
        refused = ask(api, roll)
        assert field in refused
        assert "in the whole cluster" in refused
        assert ask(api, roll, user=WIDE) == ""


def test_a_roll_of_1000_names_is_written_changed_and_cut_down(api: Api, mesh: str, many: list[str]) -> None:
    names = [*many[:50], *(f"waits-{at:04}@{UUID(int=at)}" for at in range(950))]
    full, stray = build_roll(mesh, *names), f"default@{UUID(int=1)}"
    assert ask(api, full, user=WIDE) == ""
    api.create(full)
    swapped = [*many[50:97], *names[:-47]]
    assert ask(api, build_roll(mesh, *swapped)) == "", "47 names are others"
    assert f"spec.members: {stray}" in ask(api, build_roll(mesh, *names[:-1], stray))
    anew = [f"anew-{at:04}@{UUID(int=at)}" for at in range(1000)]
    assert ask(api, build_roll(mesh, *anew), user=WIDE) == ""
    assert ask(api, build_roll(mesh, many[0]), user=NARROW) == ""


def test_the_operators_account_makes_members_for_the_roll_beside_a_mesh_and_no_others(
    api: Api, mesh: str, many: list[str]
) -> None:
    own, (namespace, name) = api.impersonating(USER), ROLL_LABELS
    member = build_member(place_of(many[0]), mesh)
    with pytest.raises(Refused, match="takes the verb use"):
        own.create(member, dry_run=True)
    member["metadata"]["labels"] = {namespace: place_of(many[1]), name: "default"}
    with pytest.raises(Refused, match="takes the verb use"):
        own.create(member, dry_run=True)
    member["metadata"]["labels"] = {namespace: mesh, name: "default"}
    own.create(member, dry_run=True)


def test_no_team_writes_the_labels_of_a_rolls_member(api: Api, mesh: str, many: list[str]) -> None:
    """By them a roll finds what it has made: with them a MeshMember of one's own would be removed, and one
    that a roll made would stay without them. So it would without the operator's entry of managedFields, and
    with labels by which it were another parent's or of no component."""
    tenant, forged = api.impersonating(TENANT), build_member(mesh, mesh)
    tenant.create(forged, dry_run=True)
    labels = dict(zip(ROLL_LABELS, (mesh, "default"), strict=True))
    forged["metadata"]["labels"] = labels
    with pytest.raises(Refused, match="for MeshMembers that a MeshMemberRoll makes"):
        tenant.create(forged, dry_run=True)
    api.apply(forged, manager="navarch")
    path, media = f"{api.path('member', mesh, 'default')}?dryRun=All", "application/merge-patch+json"
    gateway = {"mesh.navarch.io/gateway-namespace": mesh, "mesh.navarch.io/gateway-name": "x"}
    for changed in (dict.fromkeys(ROLL_LABELS), gateway, {"mesh.navarch.io/component": "x"}):
        with pytest.raises(Refused, match="leave them as they are"):
            tenant.request("PATCH", path, {"metadata": {"labels": changed}}, media=media)
    strip = [{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]
    with pytest.raises(Refused, match="leave them as they are"):
        tenant.request("PATCH", path, strip, media="application/json-patch+json")
    tenant.request("PATCH", path, {"metadata": {"labels": {"team": "x"}}}, media=media)
    tenant.request("PATCH", path, {"spec": {"injection": "Disabled"}}, media=media)
    tenant.request("DELETE", path)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"members": ["a", "a"]}, "Duplicate value"),
        ({"members": ["Shop"]}, "should match"),
        ({"members": ["x" * 64]}, "should match"),
        ({"members": ["x" * 101]}, "Too long"),
        ({"members": ["shop@"]}, "should match"),
        ({"members": ["shop@1"]}, "should match"),
        ({"members": [f"*@{UUID(int=1)}"]}, "should match"),
        ({"members": [f"n{at}" for at in range(10_000)]}, "Too many"),
        ({"memberSelectors": [{}]}, "write '*' into spec.members"),
        ({"memberSelectors": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]}, "need values"),
        (
            {
                "memberSelectors": [
                    {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["1"]}]}
                ]
            },
            "take none",
        ),
        ({"memberSelectors": [{"matchLabels": {"a": "not ok"}}]}, "should match"),
        ({"memberSelectors": [{"matchLabels": {"a": "b"}}] * 17}, "Too many"),
    ],
)
def test_a_roll_that_is_no_roll_is_refused_at_its_field(
    api: Api, guarded: Cluster, fresh: str, spec: Object, told: str
) -> None:
    with pytest.raises(Refused, match=r"spec\.member") as refused:
        api.create(build_roll(fresh, **spec), dry_run=True)
    assert told in str(refused.value)


def test_a_roll_is_named_default(api: Api, guarded: Cluster, fresh: str) -> None:
    odd = build_roll(fresh, "shop")
    odd["metadata"]["name"] = "other"
    with pytest.raises(Refused, match="name it default"):
        api.create(odd, dry_run=True)
