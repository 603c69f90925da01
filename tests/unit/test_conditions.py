"""Conditions keep their times and say the worst first."""

from __future__ import annotations

from typing import Any

import pytest
from navarch.core.model.conditions import (
    ConditionType,
    Transition,
    Verdict,
    describe_alike,
    find_transitions,
    find_upgrade,
    group_alike,
    merge_conditions,
    summarise_ready,
)
from navarch.core.model.reasons import Reason

TRUE = Verdict("True", Reason.AS_EXPECTED)
FALSE = Verdict("False", Reason.NO_REPLICA_AVAILABLE, "none")
UNKNOWN = Verdict("Unknown", Reason.PROBE_DENIED, "denied")


def merge(previous: list[dict[str, object]], verdict: Verdict, now: str) -> list[dict[str, object]]:
    return merge_conditions(previous, {ConditionType.READY: verdict}, generation=2, now=now)


def test_the_transition_time_moves_only_with_the_status() -> None:
    first = merge([], TRUE, "t1")
    same = merge(first, Verdict("True", Reason.SETTLED, "another word"), "t2")
    moved = merge(same, FALSE, "t3")
    assert [c[0]["lastTransitionTime"] for c in (first, same, moved)] == ["t1", "t1", "t3"]
    assert same[0]["reason"] == "Settled"


def test_conditions_are_sorted_and_carry_the_generation() -> None:
    verdicts = {ConditionType.READY: TRUE, ConditionType.AVAILABLE: FALSE}
    merged = merge_conditions([], verdicts, generation=7, now="t")
    assert [c["type"] for c in merged] == ["Available", "Ready"]
    assert {c["observedGeneration"] for c in merged} == {7}


def test_ready_is_the_first_false_then_the_first_unknown() -> None:
    assert summarise_ready([TRUE, UNKNOWN, FALSE]) == FALSE
    assert summarise_ready([TRUE, UNKNOWN]) == UNKNOWN
    assert summarise_ready([TRUE, TRUE]).is_true


def test_a_transition_is_a_change_of_status_or_reason_and_not_of_words() -> None:
    first = merge([], FALSE, "t1")
    reworded = merge(first, Verdict("False", Reason.NO_REPLICA_AVAILABLE, "still none"), "t2")
    assert find_transitions(first, reworded) == []
    (transition,) = find_transitions(first, merge(first, TRUE, "t2"))
    assert (transition.before, transition.after, transition.reason) == ("False", "True", "AsExpected")


def test_transitions_that_say_the_same_are_told_together_and_others_apart() -> None:
    def build(kind: str, after: str, reason: str, message: str = "") -> Transition:
        return Transition(kind, "Unknown", after, reason, message)

    told = [
        build("Available", "True", "AsExpected"),
        build("Progressing", "False", "Settled"),
        build("Ready", "True", "AsExpected"),
        build("Reconciled", "False", "ApplyFailed", "Service a/b"),
        build("UpToDate", "True", "AsExpected"),
        build("GatewaysReady", "False", "ApplyFailed", "Service a/c"),
    ]
    groups = [*group_alike(told)]
    assert sorted(t for group in groups for t in map(str, group)) == sorted(map(str, told))
    assert [*map(describe_alike, groups)] == [
        "Ready, Available and UpToDate are now True",
        "Progressing is now False",
        "Reconciled is now False: Service a/b",
        "GatewaysReady is now False: Service a/c",
    ]
    assert describe_alike(told[:1] + told[4:5]) == "Available and UpToDate are now True"


def test_what_was_never_said_before_is_no_transition() -> None:
    assert find_transitions([], merge([], FALSE, "t1")) == []


def test_every_reason_has_a_sentence_and_the_form_the_schema_asks_for() -> None:
    for reason in Reason:
        assert reason.value[0].isupper()
        assert reason.value.isalnum()
        assert reason.doc.endswith(".")
        assert Reason(reason.value) is reason


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"active": "1.31.1"}, {"active": "1.31.4"}, "Istio 1.31.4 serves now, after 1.31.1"),
        ("1.31.1", "1.31.4", "Istio 1.31.4 serves now, after 1.31.1"),
        ({"desired": "1.31.4"}, {"active": "1.31.4"}, ""),
        (None, "1.31.4", ""),
        ("1.31.4", "1.31.4", ""),
        ("1.31.4", None, ""),
    ],
)
def test_an_upgrade_is_told_of_a_mesh_and_of_a_gateway(before: Any, after: Any, told: str) -> None:
    assert find_upgrade({"version": before}, {"version": after}) == told
