"""The plan of a mesh as people read it: fields, restarts, steps, and that all of it is stable."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navarch.api.dataplane import DataPlane, Window
from navarch.assets import load_catalog
from navarch.cli.exits import Exit
from navarch.cli.plan import determine_exit
from navarch.core.diagnosis.masking import MASK
from navarch.core.diagnosis.report import Subject
from navarch.core.diagnosis.workloads import Workload
from navarch.core.model.refs import Ref
from navarch.core.preview.duration import tell_duration
from navarch.core.preview.fields import MOST_LINES, find_changes
from navarch.core.preview.preview import Change, ObjectChange, Preview, find_path, order_changes
from navarch.core.preview.restarts import Restart, Waves, find_restarts
from navarch.core.world.proxies import ProxyPod

MESH = Subject("MeshControlPlane", "istio-system", "demo")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=6), below, max_size=3),
    max_leaves=12,
)


def build(spec: Any, *, kind: str = "Deployment", **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "x", **metadata}, "spec": spec}


def compare(before: Any, after: Any) -> dict[str, tuple[Any, Any]]:
    return {c.path: (c.before, c.after) for c in find_changes(build(before), build(after))}


def test_a_changed_field_is_told_by_its_path_with_both_values() -> None:
    assert compare({"replicas": 1}, {"replicas": 3}) == {"spec.replicas": (1, 3)}


def test_items_with_names_are_found_by_them_wherever_they_stand() -> None:
    before = {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y"}]}
    after = {"containers": [{"name": "b", "image": "y"}, {"name": "a", "image": "x:2"}]}
    assert compare(before, after) == {"spec.containers[a].image": ("x:1", "x:2")}


def test_what_comes_and_what_goes_is_told_by_its_leaves() -> None:
    assert compare({}, {"strategy": {"type": "Recreate"}}) == {"spec.strategy.type": (None, "Recreate")}
    assert compare({"strategy": {"type": "Recreate"}}, {}) == {"spec.strategy.type": ("Recreate", None)}
    assert compare({}, {"empty": {}}) == {"spec.empty": (None, {})}


def test_a_list_of_plain_values_is_told_whole() -> None:
    assert compare({"args": ["a", "b"]}, {"args": ["a", "c"]}) == {"spec.args": (["a", "b"], ["a", "c"])}


def test_keys_with_dots_and_slashes_stand_in_brackets() -> None:
    before, after = build({}, labels={"istio.io/rev": "a"}), build({}, labels={"istio.io/rev": "b"})
    assert [c.path for c in find_changes(before, after)] == ["metadata.labels[istio.io/rev]"]


def test_of_texts_only_the_lines_that_differ_are_told_and_no_more_than_can_be_read() -> None:
    text = "\n".join(f"line {number}" for number in range(200))
    (change,) = find_changes(build({"text": text}), build({"text": text.replace("line 7\n", "line VII\n")}))
    assert change.lines == ("-line 7", "+line VII")
    (change,) = find_changes(build({"text": text}), build({"text": text.upper()}))
    assert len(change.lines) == MOST_LINES + 1
    assert change.lines[-1] == f"… {400 - MOST_LINES} lines more"


def test_what_the_api_server_alone_writes_is_no_change() -> None:
    before = build({"a": 1}, resourceVersion="1", generation=1, uid="u", managedFields=[{"manager": "x"}])
    after = build({"a": 1}, resourceVersion="2", generation=2, uid="v", managedFields=[])
    annotated = build({"a": 1}, annotations={"mesh.navarch.io/applied": "abc"})
    assert find_changes(before, {**after, "status": {"ready": 1}}) == ()
    assert find_changes(before, annotated) == ()


def test_a_secret_that_changes_is_told_without_either_value() -> None:
    before = {"env": [{"name": "API_TOKEN", "value": "hunter2-hunter2"}]}
    after = {"env": [{"name": "API_TOKEN", "value": "correct-horse"}]}
    told = compare(before, after)
    assert set(told.values()) == {(MASK, MASK)}
    assert "hunter2" not in str(told)


def test_lines_of_a_text_that_differ_in_a_secret_alone_are_told_masked() -> None:
    before = build({"text": "password: hunter2-hunter2\nport: 1\n"})
    after = build({"text": "password: correct-horse\nport: 1\n"})
    (change,) = find_changes(before, after)
    assert change.lines
    assert "hunter2" not in str(change)
    assert "horse" not in str(change)


@given(VALUES, VALUES)
def test_equal_states_have_no_change_and_different_ones_have_some(before: Any, after: Any) -> None:
    assert find_changes(build(before), build(before)) == ()
    changes = find_changes(build(before), build(after))
    assert bool(changes) == (before != after)
    assert [c.path for c in changes] == sorted(c.path for c in changes)


# --- restarts -----------------------------------------------------------------------------------------------

STAMP = "1.31.4-new"


def pod(name: str, stamp: str, *, gateway: str = "") -> ProxyPod:
    return ProxyPod("shop", name, "demo-inplace", stamp, gateway)


def test_pods_are_summed_by_workload_with_who_replaces_them_and_why() -> None:
    web, job, gate = (
        Workload("shop", "Deployment", "web"),
        Workload("shop", "Job", "import"),
        Workload("shop", "Deployment", "gate"),
    )
    proxies = [
        (pod("web-1", "1.30.8-old"), web),
        (pod("web-2", "1.31.4-old"), web),
        (pod("web-3", STAMP), web),
        (pod("import-1", ""), job),
        (pod("gate-1", "1.30.8-old", gateway="gate"), gate),
        (pod("gate-2", "1.30.8-pin", gateway="pinned"), gate),
        (pod("way-1", "1.30.8-old"), Workload("shop", "Deployment", "way", "way")),
    ]
    found = find_restarts(proxies, stamp=STAMP, pins={("shop", "pinned"): "1.30.8-pin"})
    assert [(r.name, r.pods, r.total, r.by) for r in found] == [
        ("gate", 1, 2, "Navarch"),
        ("way", 1, 1, "istiod"),
        ("web", 2, 3, "rollout"),
        ("import", 1, 1, "hand"),
    ]
    assert found[2].why == ("Istio 1.30.8 to 1.31.4", "the configuration that proxies start with changes")


def test_where_navarch_restarts_workloads_the_plan_says_in_which_wave_and_when() -> None:
    window = Window(days=["Mon"], start="22:00", duration_minutes=240, time_zone="Europe/Berlin")
    policy = DataPlane(mode="Managed", canary_namespaces=["shop"], windows=[window])
    proxies = [
        (pod("web-1", "1.30.8-old"), Workload("shop", "Deployment", "web")),
        (pod("import-1", ""), Workload("shop", "Job", "import")),
        (pod("gate-1", "1.30.8-old", gateway="gate"), Workload("shop", "Deployment", "gate")),
        (pod("way-1", "1.30.8-old"), Workload("shop", "Deployment", "way", "way")),
    ]

    def list_told(orders: dict[str, str]) -> list[tuple[str, str, str]]:
        waves = Waves(policy, "uid", orders)
        return [(r.name, r.by, r.when) for r in find_restarts(proxies, stamp=STAMP, pins={}, waves=waves)]

    when = "wave 1 of 5; Mon 22:00 for 240 min (Europe/Berlin)"
    rest = [("gate", "Navarch", ""), ("way", "istiod", ""), ("web", "waves", when), ("import", "hand", "")]
    assert list_told({}) == rest
    assert list_told({"shop": "Never"})[2] == ("web", "rollout", "")
    own = (Window(start="02:00", duration_minutes=60, time_zone="UTC"),)
    waves = Waves(policy, "uid", {}, {"shop": (own, ())})
    told = find_restarts(proxies, stamp=STAMP, pins={}, waves=waves)[2].when
    assert told.endswith(
        "; only while its namespace's are open: daily 02:00 for 60 min (UTC); "
        "only while its namespace's are open: these cannot be read"
    )


def test_a_workload_whose_pods_are_all_current_is_not_restarted() -> None:
    assert find_restarts([(pod("a", STAMP), Workload("shop", "Deployment", "a"))], stamp=STAMP, pins={}) == ()


# --- the plan -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("running", "wanted", "path"),
    [
        ("", "1.31.4", ("1.31.4",)),
        ("1.31.0", "1.31.4", ("1.31.4",)),
        ("1.30.2", "1.31.4", ("1.31.4",)),
        ("1.29.9", "1.31.4", ("1.30.8", "1.31.4")),
        ("1.31.4", "1.30.8", ("1.30.8",)),
    ],
)
def test_the_path_goes_over_the_newest_patch_of_each_minor(
    running: str, wanted: str, path: tuple[str, ...]
) -> None:
    assert find_path(load_catalog(), running, wanted) == path


def test_a_stride_of_two_minors_leaves_every_other_one_out() -> None:
    assert find_path(load_catalog(), "1.29.9", "1.31.4", stride=2) == ("1.31.4",)
    assert find_path(load_catalog(), "1.29.9", "1.32.0", stride=2) == ("1.31.4", "1.32.0")


def test_an_older_revision_goes_when_its_pods_have_been_restarted() -> None:
    objects = (change(Change.REMOVE, "revision"), change(Change.REMOVE, "istiod"))
    restarts = find_restarts(
        [(pod("web-1", "1.30.8-old"), Workload("shop", "Deployment", "web"))], stamp=STAMP, pins={}
    )
    restarted, removed = Preview(MESH, objects=objects, restarts=restarts).steps
    assert restarted.startswith("workloads are to be restarted")
    assert removed.startswith("removal of the older revision, when no pod uses it")
    assert removed.endswith("(2 objects)")


def change(what: Change, component: str, name: str = "x") -> ObjectChange:
    return ObjectChange(what, Ref("v1", "ConfigMap", "istio-system", name), component)


def test_objects_come_in_the_order_in_which_they_are_written_and_removals_last() -> None:
    changes = [
        change(Change.REMOVE, "istiod"),
        change(Change.CREATE, "tags"),
        change(Change.CHANGE, "istiod"),
        change(Change.CREATE, "crds"),
    ]
    ordered = order_changes(changes)
    assert [(c.change.value, c.component) for c in ordered] == [
        ("create", "crds"),
        ("change", "istiod"),
        ("create", "tags"),
        ("remove", "istiod"),
    ]
    steps = Preview(MESH, objects=ordered).steps
    assert [step.split(" ")[0] for step in steps] == ["Istio's", "istiod's", "tags,", "removal"]


def test_exit_codes_are_those_of_terraform() -> None:
    nothing, something = Preview(MESH), Preview(MESH, objects=(change(Change.CREATE, "istiod"),))
    assert determine_exit([nothing]) is Exit.OK
    assert determine_exit([nothing, something]).value == 2
    for failed in (
        Preview(MESH, refused=True),
        Preview(MESH, unread=("list pods",)),
        Preview(MESH, objects=(change(Change.FOREIGN, "istiod"),)),
        Preview(MESH, objects=(change(Change.REFUSED, "istiod"),)),
    ):
        assert determine_exit([something, failed]).value == 1


def test_the_hash_follows_everything_in_the_plan() -> None:
    plan = Preview(MESH, "1.30.8", "1.31.4", objects=(change(Change.CREATE, "istiod"),))
    same = Preview(MESH, "1.30.8", "1.31.4", objects=(change(Change.CREATE, "istiod"),))
    assert plan.hash == same.hash
    others = (
        Preview(MESH, "1.30.8", "1.31.3", objects=plan.objects),
        Preview(MESH, "1.30.8", "1.31.4", objects=(change(Change.CREATE, "istiod", "y"),)),
        Preview(MESH, "1.30.8", "1.31.4", objects=plan.objects, paused=True),
    )
    assert len({plan.hash, *(other.hash for other in others)}) == 4


def by_waves(namespace: str, wave: int, workloads: int) -> list[Restart]:
    return [
        Restart(namespace, "Deployment", f"web-{n}", 3, 3, "waves", (), wave=wave) for n in range(workloads)
    ]


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        # The defaults: one at a time, and five minutes between two waves.
        ({}, "12 workloads in 12 turns, about 22 min at a minute for each turn"),
        ({"maxUnavailable": 4}, "12 workloads in 8 turns, about 18 min"),
        ({"maxUnavailable": 4, "perNamespaceParallelism": 2}, "12 workloads in 5 turns, about 15 min"),
        (
            {"maxUnavailable": 9, "perNamespaceParallelism": 9, "soakSeconds": 3600},
            "4 turns, about 2 h 4 min",
        ),
        ({"soakSeconds": 0}, "in 12 turns, about 12 min"),
        (
            {"windows": [{"start": "22:00", "durationMinutes": 60, "timeZone": "UTC"}]},
            "about 22 min at a minute for each turn while windows are open",
        ),
    ],
)
def test_a_plan_says_about_how_long_restarts_in_waves_take(policy: dict[str, Any], told: str) -> None:
    restarts = [*by_waves("canary", 1, 1), *by_waves("shop", 2, 6), *by_waves("pay", 2, 4)]
    restarts += [*by_waves("late", 4, 1), Restart("shop", "Pod", "bare", 1, 1, "hand", ())]
    duration = tell_duration(restarts, DataPlane.model_validate({"mode": "Managed", **policy}))
    assert told in duration
    steps = Preview(MESH, restarts=tuple(restarts), expected=duration).steps
    assert f"workloads are restarted by Navarch, wave by wave (36 pods: {duration})" in steps


def test_where_owners_restart_nothing_is_said_of_how_long_it_takes() -> None:
    assert tell_duration([Restart("a", "Deployment", "b", 1, 1, "rollout", ())], DataPlane()) == ""
