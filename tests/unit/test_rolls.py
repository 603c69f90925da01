"""A MeshMemberRoll makes MeshMembers, removes only its own, and says of each namespace how far it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from navarch.api.member import KIND as MEMBER
from navarch.api.meta import API_VERSION
from navarch.api.roll import KIND, MOST_PENDING
from navarch.core.model.actions import Action, ObjectOutcome, Outcome
from navarch.core.model.parent import Parent
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Ref
from navarch.core.roll.checks import run_checks
from navarch.core.roll.observed import ObservedRoll
from navarch.core.roll.plan import AT_ONCE
from navarch.core.roll.status import is_released, overlook_vanished
from navarch.core.world.cluster import Namespace
from navarch.engine.key import Key
from navarch.triggers.keys import ROLL_DELAY, Ask, Dependents
from navarch.triggers.known import By, Known, key_of

from tests.unit.observations import NOW
from tests.unit.rolls import (
    READY,
    a_member,
    a_mesh,
    a_roll,
    made,
    pending,
    plan,
    removed,
    status_of,
    verdicts,
)

A, B, GOING = Namespace("a", {"team": "x"}), Namespace("b", {}), Namespace("going", {}, terminating=True)
LABELLED = {"memberSelectors": [{"matchLabels": {"team": "x"}}, {"matchLabels": {"team": "y"}}]}
ROLL = Key(KIND, "shop", "default")


def deleted(observed: ObservedRoll) -> ObservedRoll:
    metadata = {**observed.body["metadata"], "deletionTimestamp": NOW}
    return replace(observed, body={**observed.body, "metadata": metadata})


def test_a_roll_makes_members_for_the_mesh_beside_it_and_then_nothing_is_to_be_done() -> None:
    observed = a_roll("a", "b", namespaces=[A, B])
    assert made(observed) == ["a", "b"]
    (first, _) = plan(observed).objects()
    assert first["spec"] == {"controlPlaneRef": {"name": "mesh", "namespace": "shop"}}
    assert verdicts(observed)["Progressing"] == ("True", "Progressing")
    there = [a_member("a", roll="shop"), a_member("b", roll="shop")]
    settled = a_roll("a", "b", namespaces=[A, B], members=there)
    assert (made(settled), removed(settled)) == (["a", "b"], [])
    assert verdicts(settled)["Ready"] == ("True", "AsExpected")
    assert status_of(settled)["members"]["summary"] == "2/2"


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("late", {}, Reason.NAMESPACE_NOT_FOUND),
        ("going", {}, Reason.NAMESPACE_TERMINATING),
        ("kube-system", {}, Reason.NAMESPACE_REFUSED),
        ("kube-tools", {}, Reason.NAMESPACE_REFUSED),
        ("openshift-x", {}, Reason.NAMESPACE_REFUSED),
        ("navarch-system", {}, Reason.NAMESPACE_REFUSED),
        ("navarch-probe", {}, Reason.NAMESPACE_REFUSED),
        ("shop", {}, Reason.NAMESPACE_REFUSED),
        ("b", {"holds": {"b": "other"}}, Reason.NAMESPACE_REFUSED),
        ("b", {"mesh": a_mesh(excludedNamespaces=["b"])}, Reason.NAMESPACE_EXCLUDED),
        ("b", {"members": {"b": a_member("b", "ops")}}, Reason.MEMBER_OF_ANOTHER),
        ("b", {"members": {"b": a_member("b", "ops", roll="ops")}}, Reason.MEMBER_OF_ANOTHER),
        ("b", {"members": {"b": a_member("b", ready=None)}}, Reason.PROGRESSING),
        ("b", {"members": {"b": a_member("b", deleted=True)}}, Reason.PROGRESSING),
        ("b", {"mesh": None}, Reason.MESH_NOT_FOUND),
    ],
)
def test_a_name_that_cannot_join_is_told_and_the_others_join(
    name: str, changes: dict[str, Any], reason: Reason
) -> None:
    observed = replace(a_roll("a", name, namespaces=[A, B, GOING]), **changes)
    assert pending(observed)[name] == reason
    assert made(observed) == ([] if reason is Reason.MESH_NOT_FOUND else ["a"])
    assert verdicts(observed)["Ready"][0] == "False"
    told = {entry["namespace"]: entry["message"] for entry in status_of(observed)["pending"]}
    assert told[name]


def test_a_member_that_does_not_join_gives_its_own_reason() -> None:
    ready = READY | {"status": "False", "reason": "LabelConflict", "message": "kubectl-label has it"}
    observed = a_roll("a", namespaces=[A], members=[a_member("a", roll="shop", ready=ready)])
    assert pending(observed) == {"a": "LabelConflict"}
    assert status_of(observed)["pending"][0]["message"] == "kubectl-label has it"


UID, OTHER = "5b0c2f7e-6f0e-4b57-9d3b-0c8b1a8f4a11", "00000000-6f0e-4b57-9d3b-0c8b1a8f4a11"
ANEW = Namespace("a", {"team": "x"}, uid=OTHER)


@pytest.mark.parametrize(
    ("entries", "there", "joins", "leaves", "told"),
    [
        ([f"a@{OTHER}"], "", ["a"], [], {"a": "Progressing"}),
        ([f"a@{UID}"], "", [], [], {"a": "NamespaceReplaced"}),
        ([f"a@{UID}"], "roll", [], ["a"], {"a": "NamespaceReplaced"}),
        ([f"a@{UID}"], "team", [], [], {}),
        ([f"a@{UID}"], "going", [], [], {"a": "NamespaceReplaced"}),
        ([f"a@{UID}", "a"], "", ["a"], [], {"a": "Progressing"}),
        ([f"a@{UID}", f"a@{OTHER}"], "roll", ["a"], [], {}),
        ([f"a@{UID}", "*"], "", ["a", "b"], [], {"a": "Progressing", "b": "Progressing"}),
        ([f"late@{UID}"], "", [], [], {"late": "NamespaceReplaced"}),
    ],
)
def test_an_entry_with_a_uid_means_one_namespace_and_none_that_gets_its_name(
    entries: list[str], there: str, joins: list[str], leaves: list[str], told: dict[str, str]
) -> None:
    by = {"roll": "shop"}.get(there, "")
    members = [a_member("a", roll=by, deleted=there == "going")] if there else []
    observed = a_roll(*entries, namespaces=[ANEW, B], members=members)
    assert (made(observed), removed(observed), pending(observed)) == (joins, leaves, told)
    replaced = entries != [f"a@{OTHER}"]
    accepted = ("True", "NamespaceReplaced" if replaced else "AsExpected")
    assert verdicts(observed)["SpecAccepted"] == accepted


def test_after_a_restore_one_finding_tells_of_all_entries() -> None:
    (finding,) = run_checks(a_roll(*(f"n{at}@{UID}" for at in range(9))))
    assert finding.value == f"n0@{UID}"
    assert "so it is with 8 more" in finding.message
    assert len(finding.message) < 500


def test_an_entry_with_a_uid_wakes_its_roll_by_the_name() -> None:
    known = Known([a_roll(f"a@{UID}").body])
    assert [*known.find(By.ROLL_LISTS, "a")] == [ROLL]


def test_a_member_that_its_team_made_counts_and_is_neither_written_nor_removed() -> None:
    observed = a_roll("a", "b", namespaces=[A, B], members=[a_member("a")])
    assert made(observed) == ["b"]
    assert removed(replace(observed, spec=a_roll("b").spec)) == []
    assert removed(deleted(observed)) == []
    members = status_of(observed)["members"]
    assert (members["selfJoined"], members["ready"]) == (1, 1)
    reconciled = next(c for c in status_of(observed)["conditions"] if c["type"] == "Reconciled")
    assert "1 namespace has a MeshMember that the roll did not make" in reconciled["message"]


def test_a_member_that_a_backup_brought_is_taken_over_and_not_removed_before() -> None:
    restored = a_member("a", roll="shop")
    restored["metadata"]["managedFields"] = []
    observed = a_roll("a", namespaces=[A], members=[restored])
    assert (made(observed), status_of(observed)["members"]["selfJoined"]) == (["a"], 0)
    assert removed(replace(observed, spec=a_roll("b").spec)) == []


def test_what_the_mesh_puts_out_is_left_out_by_an_asterisk_and_the_rolls_own_members_there_go() -> None:
    there = [a_member("a", roll="shop"), a_member("b", roll="shop")]
    settled = a_roll("*", namespaces=[A, B], members=there)
    assert removed(settled) == []
    out = replace(settled, mesh=a_mesh(excludedNamespaces=["b"]))
    assert (made(out), removed(out), pending(out)) == (["a"], ["b"], {})


def test_an_asterisk_means_what_may_belong_to_the_mesh_and_tells_of_nothing_else() -> None:
    places = [A, B, GOING, Namespace("kube-system", {}), Namespace("shop", {}), Namespace("taken", {})]
    observed = a_roll("*", namespaces=places, members=[a_member("taken", "ops")])
    assert made(observed) == ["a", "b"]
    assert set(pending(observed)) == {"a", "b"}
    assert status_of(observed)["members"]["total"] == 2


def test_one_of_the_selectors_is_enough_and_what_belongs_to_another_mesh_is_told() -> None:
    places = [A, B, Namespace("c", {"team": "y"}), Namespace("kube-x", {"team": "x"})]
    observed = a_roll(spec=LABELLED, namespaces=places, members=[a_member("c", "ops")])
    assert made(observed) == ["a"]
    assert pending(observed)["c"] == "MemberOfAnother"
    assert "kube-x" not in pending(observed)


def test_a_selector_that_chooses_nothing_is_a_warning_that_names_it() -> None:
    observed = a_roll(spec=LABELLED, namespaces=[A])
    accepted = next(c for c in status_of(observed)["conditions"] if c["type"] == "SpecAccepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "NoNamespaceSelected")
    assert "spec.memberSelectors[1]" in accepted["message"]


def test_what_is_not_asked_for_any_more_goes_and_so_does_what_may_be_no_member() -> None:
    there = [a_member(name, roll="shop") for name in ("a", "b", "kube-x")]
    observed = a_roll("a", "kube-x", namespaces=[A, B, Namespace("kube-x", {})], members=there)
    assert removed(observed) == ["b", "kube-x"]
    assert removed(replace(observed, mesh=None)) == ["b", "kube-x"], "no mesh is needed to leave"
    assert removed(replace(observed, spec=None, spec_error="x")) == [], "what cannot be read removes nothing"


def test_a_member_of_the_mesh_that_was_beside_the_roll_before_is_made_anew() -> None:
    observed = a_roll("a", namespaces=[A], members=[a_member("a", name="old", roll="shop")])
    assert (made(observed), removed(observed)) == ([], ["a"])
    assert pending(observed) == {"a": "Progressing"}
    assert removed(replace(observed, mesh=None)) == [], "it waits for a mesh of that name"


def test_a_roll_that_is_deleted_removes_its_own_and_waits_for_none_to_go() -> None:
    there = [a_member("a", roll="shop"), a_member("b"), a_member("going", roll="shop", deleted=True)]
    observed = deleted(a_roll("a", "b", namespaces=[A, B, GOING], members=there))
    assert (made(observed), removed(observed)) == ([], ["a"])
    assert verdicts(observed)["Ready"] == ("False", "Removing")
    assert not is_released(observed)
    assert is_released(replace(observed, own=there[2:]))
    assert is_released(replace(observed, own=(), mesh=None))
    paused = replace(observed, own=(), mesh=a_mesh(paused=True))
    assert not is_released(paused)
    assert verdicts(paused)["Deleting"] == ("True", "Paused")


def test_members_stay_when_the_kind_of_their_roll_is_deleted() -> None:
    observed = deleted(a_roll("a", namespaces=[A], members=[a_member("a", roll="shop")]))
    kept = replace(observed, kind_deleted=NOW)
    assert removed(kept) == []
    assert not is_released(kept)
    assert verdicts(kept)["Deleting"] == ("True", "KindDeleted")


def test_a_namespace_that_vanishes_in_the_middle_fails_nothing() -> None:
    def result(reason: Reason) -> ObjectOutcome:
        return ObjectOutcome(Ref(API_VERSION, MEMBER, "a", "default"), Action.FAILED, reason, "gone")

    observed = a_roll("a", namespaces=[A], members=[a_member("a", roll="shop")])
    for reason in (Reason.NAMESPACE_NOT_FOUND, Reason.NAMESPACE_TERMINATING):
        outcome = overlook_vanished(Outcome((result(reason),), retry_after=1.0))
        assert outcome == Outcome(retry_after=1.0)
        assert verdicts(observed, outcome)["Ready"] == ("True", "AsExpected")
    refused = overlook_vanished(Outcome((result(Reason.ADMISSION_DENIED),)))
    assert verdicts(observed, refused)["Ready"] == ("False", "AdmissionDenied")


def test_a_large_roll_is_carried_out_in_parts_and_its_status_has_a_bound() -> None:
    places = [Namespace(f"n{at:04}", {}) for at in range(5000)]
    observed = a_roll("*", namespaces=places)
    first = plan(observed)
    assert len([*first.objects()]) == AT_ONCE
    assert first.requeue_after is not None
    assert "4800 more" in first.waiting[0].message
    told = status_of(observed)
    assert len(told["pending"]) == MOST_PENDING
    assert told["members"] == {
        "total": 5000, "ready": 0, "pending": 5000, "selfJoined": 0, "summary": "0/5000"
    }  # fmt: skip
    there = [a_member(place.name, roll="shop") for place in places[:AT_ONCE]]
    second = plan(a_roll("*", namespaces=places, members=there))
    assert len([*second.objects()]) == 2 * AT_ONCE, "what is there is kept as it is"
    leaving = plan(deleted(a_roll("*", namespaces=places, members=there * 2)))
    assert len(leaving.prune) == AT_ONCE
    assert leaving.requeue_after is not None


def test_look_by_look_every_namespace_of_a_large_roll_joins_and_none_leaves() -> None:
    places = [Namespace(f"n{at:04}", {}) for at in range(5 * AT_ONCE)]
    there: list[str] = []
    for _ in range(5):
        observed = a_roll("*", namespaces=places, members=[a_member(name, roll="shop") for name in there])
        assert {*there} <= {*made(observed)}
        assert removed(observed) == []
        there = made(observed)
    assert sorted(there) == [place.name for place in places]
    done = a_roll("*", namespaces=places, members=[a_member(name, roll="shop") for name in there])
    assert verdicts(done)["Ready"] == ("True", "AsExpected")


# --- keys ---------------------------------------------------------------------------------------------------


def build_dependents(*bodies: dict[str, Any]) -> Dependents:
    return Dependents(Known(bodies), find_namespace=lambda _: None)


def test_a_member_is_worked_on_where_it_lies_so_that_a_rolls_members_join_side_by_side() -> None:
    member = a_member("a", roll="shop")
    assert key_of(member) == Key(MEMBER, "a", "default")
    assert key_of(member).lane == key_of(a_member("a")).lane
    assert len({key_of(a_member(name, roll="shop")).lane for name in ("a", "b", "c")}) == 3


def test_a_change_of_a_member_leads_to_its_roll_and_to_those_that_ask_for_its_namespace() -> None:
    by_name, by_label = dict(a_roll("a").body), dict(a_roll(spec=LABELLED, namespace="ops").body)
    dependents = build_dependents(by_name, by_label, dict(a_roll("b", namespace="far").body))
    old, new = a_member("a", ready=None), a_member("a")
    rolls = {Ask(ROLL, ROLL_DELAY), Ask(Key(KIND, "ops", "default"), ROLL_DELAY)}
    own = Ask(Key(MEMBER, "a", "default"))
    assert {*dependents.asks_for_member(old, new)} == {own, *rolls}
    assert {*dependents.asks_for_member(new, None)} == {own, *rolls}
    quiet = {**new, "status": {**new["status"], "proxies": {"total": 3}}}
    assert {*dependents.asks_for_member(new, quiet)} == {own}, "proxies are nothing to a roll"
    made_by = build_dependents()
    roll_of = Ask(ROLL, ROLL_DELAY)
    assert roll_of in {*made_by.asks_for_member(a_member("a", roll="shop"), None)}


def test_a_namespace_leads_to_rolls_when_it_comes_goes_or_changes_what_they_see() -> None:
    dependents = build_dependents(dict(a_roll("a").body), dict(a_roll("*", namespace="all").body))

    def build(name: str, **metadata: Any) -> dict[str, Any]:
        return {"kind": "Namespace", "metadata": {"name": name, "uid": "1", **metadata}}

    def rolls(old: dict[str, Any] | None, new: dict[str, Any] | None) -> set[str]:
        asks = dependents.asks_for_namespace(old, new)
        return {ask.key.namespace for ask in asks if ask.key.kind == KIND}

    assert rolls(None, build("a")) == {"shop", "all"}
    assert rolls(build("a"), None) == {"shop", "all"}
    assert rolls(build("a"), build("a", deletionTimestamp=NOW)) == {"shop", "all"}
    assert rolls(None, build("b")) == {"all"}
    assert rolls(build("b"), build("b", labels={"team": "x"})) == {"all"}
    member_of = build("b", labels={"mesh.navarch.io/member-of": "shop.mesh"})
    assert rolls(build("b"), member_of) == set(), "a join asks for no further look"


def test_a_mesh_that_comes_or_is_paused_leads_to_the_roll_beside_it() -> None:
    dependents = build_dependents(dict(a_roll("a").body), dict(a_roll("a", namespace="ops").body))
    assert ROLL in {*dependents.keys_for_mesh(None, a_mesh())}
    assert ROLL in {*dependents.keys_for_mesh(a_mesh(), a_mesh(paused=True))}
    assert Key(KIND, "ops", "default") not in {*dependents.keys_for_mesh(None, a_mesh())}
    inside = dependents.keys_for_mesh(None, a_mesh("a"))
    assert {ROLL, Key(KIND, "ops", "default")} <= {*inside}, "a namespace that they ask for holds a mesh"


def test_a_roll_has_no_inventory_and_its_labels_lead_to_it_from_any_namespace() -> None:
    from navarch.core.model.parent import PARENT_KINDS, parent_of

    assert not PARENT_KINDS[KIND].recorded
    assert parent_of(a_member("a", roll="shop")) == Parent(KIND, "shop", "default", "uid-shop")
