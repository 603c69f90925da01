"""What a store holds after listings, events and writes of ours, in any order."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from navarch.core.model.ownership import own_fields
from navarch.core.model.refs import Ref
from navarch.kube.resources import resource_of
from navarch.kube.store import Object, Store
from structlog.testing import capture_logs

CONFIG_MAP = resource_of("v1", "ConfigMap")
FIELDS = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)


def obj(name: str, version: int, uid: str = "", **more: Any) -> Object:
    metadata = {
        "namespace": "ns",
        "name": name,
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
        **more,
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def ref(name: str) -> Ref:
    return Ref("v1", "ConfigMap", "ns", name)


def versions(store: Store) -> dict[str, int]:
    return {held["metadata"]["name"]: int(held["metadata"]["resourceVersion"]) for held in store.list()}


def test_a_listing_replaces_everything() -> None:
    store = Store(CONFIG_MAP)
    for name in "abc":
        store.change(obj(name, 1))
    store.begin()
    store.replace([obj("b", 1), obj("d", 4)], "5")
    assert versions(store) == {"b": 1, "d": 4}


def test_what_we_write_is_seen_at_once_and_older_events_do_not_undo_it() -> None:
    store = Store(CONFIG_MAP)
    store.change(obj("a", 1))
    store.observe(obj("a", 5))
    store.change(obj("a", 3))
    store.remove(obj("a", 4))
    assert versions(store) == {"a": 5}
    store.remove(obj("a", 6))
    assert versions(store) == {}


def test_what_we_wrote_while_a_listing_was_on_its_way_stays() -> None:
    store = Store(CONFIG_MAP)
    store.begin()
    store.observe(obj("new", 12))
    store.observe(obj("newer", 11))
    store.replace([obj("newer", 7)], "10")
    assert versions(store) == {"new": 12, "newer": 11}


def test_what_was_written_before_the_listing_and_is_not_in_it_is_gone() -> None:
    store = Store(CONFIG_MAP)
    store.observe(obj("a", 12))
    store.begin()
    store.replace([], "20")
    assert versions(store) == {}


def test_a_listing_after_a_restored_backup_goes_back_in_time() -> None:
    store = Store(CONFIG_MAP)
    store.change(obj("a", 1000))
    store.change(obj("b", 1001))
    store.begin()
    store.replace([obj("a", 7)], "50")
    assert versions(store) == {"a": 7}


def test_what_we_deleted_does_not_come_back_by_a_late_event() -> None:
    store = Store(CONFIG_MAP)
    store.change(obj("a", 1, uid="old"))
    store.discard(ref("a"), "old")
    store.change(obj("a", 2, uid="old"))
    assert versions(store) == {}
    store.change(obj("a", 4, uid="new"))
    store.remove(obj("a", 3, uid="old"))
    assert versions(store) == {"a": 4}


def test_discarding_means_the_object_that_was_deleted_and_no_other() -> None:
    store = Store(CONFIG_MAP)
    store.change(obj("a", 1, uid="new"))
    store.discard(ref("a"), "old")
    assert versions(store) == {"a": 1}


def test_changes_are_told_with_old_and_new_and_not_twice() -> None:
    told: list[tuple[str | None, str | None]] = []

    def on_change(old: Object | None, new: Object | None) -> None:
        told.append(tuple(o and o["metadata"]["resourceVersion"] for o in (old, new)))  # type: ignore[arg-type]

    store = Store(CONFIG_MAP, on_change=on_change)
    store.observe(obj("a", 1))
    store.change(obj("a", 1))
    store.change(obj("a", 2))
    store.begin()
    store.replace([obj("a", 2)], "3")
    store.remove(obj("a", 4))
    store.remove(obj("a", 4))
    assert told == [(None, "1"), ("1", "2"), ("2", None)]


def test_what_a_look_has_read_or_written_itself_is_told_apart_and_once() -> None:
    told: list[str] = []
    store = Store(
        CONFIG_MAP,
        on_change=lambda old, new: told.append("change"),
        on_own_change=lambda old, new: told.append("own"),
    )
    store.observe(obj("a", 1), own=True)
    store.change(obj("a", 1))
    store.observe(obj("a", 1), own=True)
    store.observe(obj("a", 2))
    store.change(obj("a", 3))
    store.observe(obj("a", 4), own=True)
    store.remove(obj("a", 4))
    assert told == ["own", "change", "change", "own", "change"]


def test_objects_are_found_by_namespace() -> None:
    store = Store(CONFIG_MAP)
    store.change(obj("a", 1))
    other = obj("a", 2)
    other["metadata"]["namespace"] = "other"
    store.change(other)
    assert [held["metadata"]["namespace"] for held in store.list("other")] == ["other"]
    assert len(store) == 2
    assert store.list("empty") == ()


def test_the_late_answer_to_a_write_brings_back_nothing_that_was_seen_to_go() -> None:
    store = Store(CONFIG_MAP)
    store.change(obj("a", 4))
    store.remove(obj("a", 9))
    store.observe(obj("a", 8))
    assert versions(store) == {}, "deleted by an event"
    store.observe(obj("a", 10, uid="again"))
    assert versions(store) == {"a": 10}
    store.begin()
    store.replace([], "20")
    store.observe(obj("a", 19, uid="again"))
    store.observe(obj("never-seen", 20))
    assert versions(store) == {}, "created and deleted before the listing"
    store.observe(obj("a", 21))
    assert versions(store) == {"a": 21}


def test_the_late_answer_to_a_write_brings_back_nothing_that_we_deleted_ourselves() -> None:
    store = Store(CONFIG_MAP)
    store.change(obj("a", 4))
    store.discard(ref("a"), "uid-a")
    store.observe(obj("a", 5))
    assert versions(store) == {}
    store.observe(obj("a", 7, uid="next"))
    assert versions(store) == {"a": 7}


def test_after_a_restored_backup_our_writes_count_again() -> None:
    store = Store(CONFIG_MAP)
    store.change(obj("a", 1000))
    store.begin()
    store.replace([obj("a", 7)], "50")
    store.observe(obj("a", 51))
    assert versions(store) == {"a": 51}


def recurse(value: Any) -> Any:
    return recurse(value)


def test_an_object_that_cannot_be_taken_in_harms_no_other_and_is_reported_once() -> None:
    def transform(manifest: Object) -> Object:
        return recurse(manifest) if "poison" in manifest["metadata"].get("labels", {}) else manifest

    told: list[tuple[bool, bool]] = []
    store = Store(
        CONFIG_MAP, transform=transform, on_change=lambda old, new: told.append((bool(old), bool(new)))
    )
    with capture_logs() as logs:
        listed = [obj("a", 1), obj("bad", 2, labels={"poison": ""}), obj("c", 3)]
        store.replace(listed, "3")
        assert versions(store) == {"a": 1, "c": 3}
        store.change(obj("bad", 4, labels={"poison": ""}))
        store.change(obj("c", 5, labels={"poison": ""}))
        assert versions(store) == {"a": 1}, "what it was before would be a lie"
        store.remove(obj("c", 6))
        store.change(obj("bad", 7))
        assert versions(store) == {"a": 1, "bad": 7}
    assert told == [(False, True), (False, True), (True, False), (False, True)]
    reports = [(entry["uid"], entry["log_level"], type(entry["exc_info"])) for entry in logs]
    assert reports == [("uid-bad", "error", RecursionError), ("uid-c", "error", RecursionError)]


def test_a_change_that_cannot_be_told_is_kept_and_reported() -> None:
    def on_change(old: Object | None, new: Object | None) -> None:
        raise ValueError("a bug")

    store = Store(CONFIG_MAP, on_change=on_change)
    with capture_logs() as logs:
        store.replace([obj("a", 1), obj("b", 2)], "2")
        store.change(obj("a", 3))
        assert versions(store) == {"a": 3, "b": 2}
        store.remove(obj("a", 4))
    assert versions(store) == {"b": 2}
    assert [entry["uid"] for entry in logs] == ["uid-a", "uid-b"]


def test_metadata_is_all_that_is_kept_of_our_own_writes_too() -> None:
    store = Store(CONFIG_MAP, metadata_only=True)
    store.observe({**obj("a", 1), "data": {"big": "x"}})
    assert store.list() == (obj("a", 1),)


STEPS = st.lists(st.tuples(st.sampled_from(["write", "delete"]), st.sampled_from("abc")), max_size=20)


@given(STEPS, st.data())
def test_in_any_order_of_events_the_newest_version_wins(
    steps: list[tuple[str, str]], data: st.DataObject
) -> None:
    truth: dict[str, int] = {}
    events: list[tuple[str, Object]] = []
    for version, (what, name) in enumerate(steps, start=1):
        if what == "write":
            truth[name] = version
            events.append(("observe" if version % 2 else "change", obj(name, version)))
        elif truth.pop(name, None):
            events.append(("remove", obj(name, version)))
    store = Store(CONFIG_MAP)
    # Each event arrives once in order; some of the past arrive again, as after a broken watch.
    for position, (kind, event) in enumerate(events):
        getattr(store, kind)(event)
        past = data.draw(st.integers(0, position))
        for earlier_kind, earlier in events[past:position]:
            name = earlier["metadata"]["name"]
            if earlier_kind != "remove" and name in versions(store):
                store.change(earlier)
    assert versions(store) == truth


@given(fields=FIELDS)
def test_what_is_kept_says_what_came_and_our_entry_still_says_what_we_own(fields: dict[str, Any]) -> None:
    """Texts are shared, and fieldsV1 kept as one text."""
    ours = {"manager": "navarch", "operation": "Apply", "fieldsV1": {"f:data": fields}}
    store = Store(CONFIG_MAP)
    store.change({**obj("a", 1, managedFields=[ours]), "data": fields})
    kept = store.get(ref("a"))
    assert kept is not None
    assert kept["data"] == fields
    assert own_fields(kept) == own_fields({"metadata": {"managedFields": [ours]}})
    again = Store(CONFIG_MAP)
    again.change(json.loads(json.dumps({**obj("b", 1, managedFields=[ours]), "data": fields})))
    other = again.get(ref("b"))
    assert other is not None
    texts = [entry["fieldsV1"] for o in (kept, other) for entry in o["metadata"]["managedFields"]]
    assert texts[0] is texts[1]
