"""What a tenant may write that no code expects: read without an exception, and bounded in what it costs."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from navarch.core.istio.catalog.extension import read_extension
from navarch.core.mesh.checks import run_checks, schema
from navarch.core.mesh.layering import merge_layers
from navarch.core.mesh.plan import plan_mesh
from navarch.core.mesh.profiles import KEY, read_profile
from navarch.core.mesh.status import CONDITIONS, summarise_mesh
from navarch.core.mesh.teardown import is_leaving, is_released, is_withheld
from navarch.core.model.conditions import find_condition
from navarch.core.model.crashes import describe_crash, summarise_crash
from navarch.core.model.reasons import Reason
from navarch.core.model.size import LIMIT, measure
from navarch.core.render.engine import dump_yaml
from navarch.engine.key import Key
from navarch.kube.collisions import find_collisions
from navarch.kube.handover import build_handover
from navarch.triggers.edits import is_edit
from navarch.triggers.keys import is_near

from tests.unit.observations import NOW, PARENT, a_revision, a_spec, an_observed_mesh, only

CONTAINERS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=30,
)


@given(tree=CONTAINERS)
def test_the_measure_bounds_the_text_that_is_rendered(tree: Any) -> None:
    written = len(dump_yaml({"x": tree}).encode())
    assert written <= measure([{"x": tree}]).bytes + 8 * measure([tree]).nodes + 16


def test_counting_stops_where_it_is_enough() -> None:
    tree = {"x": list(range(1_000_000))}
    found = measure([tree], enough=LIMIT)
    assert found.exceeds(LIMIT)
    assert found.bytes < 100, "nothing was done for each of a million"


def nested(*path: str, holds: Any) -> dict[str, Any]:
    for name in reversed(path):
        holds = {name: holds}
    return dict(holds)


TERM = {"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}
OTHER_TREES = {
    "affinity": nested(
        "controlPlane",
        "placement",
        "affinity",
        "nodeAffinity",
        holds={"preferredDuringSchedulingIgnoredDuringExecution": [TERM] * 6_000},
    ),
    "tolerations": nested("controlPlane", "placement", "tolerations", holds=[{"values": ["x"] * 5_000}]),
    "spread": nested(
        "controlPlane",
        "placement",
        "topologySpreadConstraints",
        holds=[{"labelSelector": {"matchLabels": {f"key-{number}": "x" for number in range(5_000)}}}],
    ),
    "lifecycle": nested("proxy", "lifecycle", "preStop", "exec", "command", holds=["x" * 600_000]),
}


@pytest.mark.parametrize("tree", OTHER_TREES.values(), ids=OTHER_TREES)
def test_every_free_form_field_counts(tree: dict[str, Any]) -> None:
    observed = an_observed_mesh(spec=a_spec(**tree, values={"global": {"network": "a"}}))
    found = only(schema.check_size, observed)
    assert (found.reason, found.field) == (Reason.TOO_LARGE, f"spec.{next(iter(tree))}")
    assert [f.reason for f in run_checks(observed)] == [Reason.TOO_LARGE]


@pytest.mark.parametrize("name", ["meshConfig", "values"])
def test_what_is_too_large_is_told_by_field_and_size_and_nothing_else_is_asked(name: str) -> None:
    tree = {f"key-{number}": "x" for number in range(LIMIT.nodes)}
    observed = an_observed_mesh(spec=a_spec(**{name: tree}, profiles=["no-such-profile"]))
    found = only(schema.check_size, observed)
    assert (found.reason, found.field) == (Reason.TOO_LARGE, f"spec.{name}")
    assert found.value == f"{-(-len(json.dumps(tree)) // 1024):,} KiB of JSON with more than 4,000 entries"
    assert [f.reason for f in run_checks(observed)] == [Reason.TOO_LARGE]


def test_a_text_of_many_lines_counts_with_its_indentation() -> None:
    nested: Any = "x\n" * 20_000
    for _ in range(20):
        nested = {"a": nested}
    assert len(json.dumps(nested)) < LIMIT.bytes < len(dump_yaml(nested))
    assert measure([nested]).exceeds(LIMIT)


def test_what_is_large_in_sum_is_refused_although_no_part_is() -> None:
    half = {f"key-{number}": "x" for number in range(LIMIT.nodes * 2 // 3)}
    assert not list(schema.check_size(an_observed_mesh(spec=a_spec(values=half))))
    assert only(schema.check_size, an_observed_mesh(spec=a_spec(values=half, meshConfig=half)))


@pytest.mark.parametrize(
    "text",
    [
        "x: !!bool perhaps",
        "x: !!int ''",
        "x: !!float ''",
        "x: !!timestamp never",
        "x: .inf",
        "x: 2026-01-01",
        "x: !!set { a }",
        "x: !!binary /w==",
        "1: a",
        "&a [*a]",
        "x: [",
        "x: '" + "y" * 70_000 + "'",
        "[" * 40 + "]" * 40,
        "[" * 60_000,
        "- " * 30_000,
        "{a: " * 15_000,
        "x: 0x" + "f" * 20_000,
        "0x" + "f" * 20_000 + ": x",
        "x: !!set {0x" + "f" * 20_000 + ": }",
        "x: 9223372036854775808",
        'x: "\\ud800"',
        yaml.safe_dump(list(range(3_000))),
        f"x: &a '{'y' * 40_000}'\nz: *a",
        "a: 1\na: 2",
        "a: {b: [{c: 1, d: 2, c: 3}]}",
        '{"a": 1, a: 2}',
    ],
)
def test_a_profile_that_is_no_plain_json_is_an_error_and_no_exception(text: str) -> None:
    content, error = read_profile({KEY: text}, "odd")
    assert content is None
    assert error.startswith("ConfigMap odd, key profile.yaml: ")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({}, "its keys are: none"),
        (
            {"profile.yml": "{}", "a": "{}"},
            "its keys are: a; profile.yml; rename profile.yml to profile.yaml",
        ),
        ({"values": "{}"}, "its keys are: values"),
        ({f"key-{n}": "" for n in range(9)}, "key-4; and 4 more"),
        ({"k" * 300: ""}, "k" * 63 + "…"),
    ],
)
@pytest.mark.parametrize("kind", ["profile", "catalog"])
def test_a_text_under_another_key_is_told_with_the_keys_and_the_nearest(
    kind: str, data: dict[str, str], told: str
) -> None:
    if kind == "catalog":
        data = {key.replace("profile", "catalog"): value for key, value in data.items()}
        told = told.replace("profile", "catalog")
        error = read_extension(data, "odd").error
    else:
        content, error = read_profile(data, "odd")
        assert content is None
    assert error.startswith(f"ConfigMap odd has no key {kind}.yaml, the only one that is read; ")
    assert told in error


def test_what_a_text_says_twice_is_named_and_what_its_aliases_repeat_is_not() -> None:
    _, error = read_profile({KEY: "meshConfig: {}\nvalues: {}\nmeshConfig: {x: 1}"}, "odd")
    assert error.endswith("it has the key meshConfig twice in one map; remove one of the two")
    content, error = read_profile({KEY: "a: &x {k: k, l: k}\nb: *x\nc: {<<: *x, k: a}\nd: [k, k]"}, "odd")
    assert not error
    assert content["c"] == {"k": "a", "l": "k"}


@given(text=st.text(alphabet="ab:-[]{}&*!'\"|> \n,#%@?~0.", max_size=60))
def test_no_text_of_a_profile_raises(text: str) -> None:
    content, error = read_profile({KEY: text}, "odd")
    json.dumps(content, allow_nan=False)
    assert content is None or error == ""


def test_a_profile_may_take_the_control_plane_away_that_another_gave_variables() -> None:
    lower = {"controlPlane": {"replicas": 2, "environment": [{"name": "A", "value": "b"}]}}
    merged = merge_layers(lower, {"controlPlane": None})
    assert merged == {"controlPlane": {"environment": [{"name": "A", "value": "b"}]}}


@pytest.mark.parametrize("spec", [0, "x", [], None, {"ports": [1, "name", {"name": "a", "port": 1}]}])
def test_patches_of_any_shape_are_compared_without_an_exception(spec: Any) -> None:
    live = {
        "spec": {"ports": [{"name": "a", "port": 2}]},
        "metadata": {"name": "x", "namespace": "y", "uid": "z"},
    }
    list(find_collisions({"spec": spec}, live))
    assert (
        build_handover({"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec}, live, "navarch") is None
    )


# --- a crash ---------------------------------------------------------------------------------------------


def test_a_crash_makes_two_conditions_unknown_and_leaves_the_others() -> None:
    observed = an_observed_mesh()
    findings = run_checks(observed)
    status = summarise_mesh(observed, findings, plan_mesh(observed, findings), None)
    body = {**observed.body, "status": status}
    message = describe_crash("KeyError: 'x'", "navarch/core/x.py:1")
    crashed = summarise_crash(body, message, conditions=CONDITIONS, now=NOW)
    changed = {c["type"] for c in crashed["conditions"] if c not in status["conditions"]}
    assert changed == {"Ready", "Reconciled"}
    assert [c["type"] for c in crashed["conditions"]] == [c["type"] for c in status["conditions"]]
    assert (
        summarise_crash(
            {**body, "status": crashed}, message, conditions=CONDITIONS, now="2027-01-01T00:00:00Z"
        )
        == crashed
    )


def test_a_crash_at_the_first_look_has_every_condition() -> None:
    crashed = summarise_crash(an_observed_mesh().body, "boom", conditions=CONDITIONS, now=NOW)
    assert len(crashed["conditions"]) == len(CONDITIONS) == 13
    assert {(c["status"], c["reason"]) for c in crashed["conditions"]} == {("Unknown", "InternalError")}


def test_a_reason_of_another_release_is_read_as_not_determined() -> None:
    revision = a_revision("1.31.1", serving="1.31.1")
    condition = {
        "type": "Available",
        "status": "True",
        "reason": "FromTheFuture",
        "message": "",
        "observedGeneration": 1,
    }
    revision["status"]["conditions"] = [condition]
    observed = an_observed_mesh(revisions=(revision,))
    status = summarise_mesh(observed, (), plan_mesh(observed, ()), None)
    found = find_condition({"status": status}, "Available")  # type: ignore[arg-type]
    assert found is not None
    assert (found["status"], found["reason"]) == ("True", "NotYetDetermined")


# --- who has to wait for whom ----------------------------------------------------------------------------


def test_a_status_is_no_edit_and_everything_else_is() -> None:
    old = {"metadata": {"generation": 1, "resourceVersion": "1"}}
    assert is_edit(None, old)
    assert is_edit(old, None)
    assert not is_edit(old, {"metadata": {"generation": 1, "resourceVersion": "2"}, "status": {}})
    assert is_edit(old, {"metadata": {"generation": 2}})
    assert is_edit(old, {"metadata": {"generation": 1, "annotations": {"a": "b"}}})


def test_a_key_is_near_what_lies_in_its_namespace_or_carries_its_labels() -> None:
    key = Key("MeshControlPlane", PARENT.namespace, PARENT.name)
    labels = PARENT.labels(component="istiod")
    assert is_near(key, {"kind": "ClusterRole", "metadata": {"name": "x", "labels": labels}})
    assert is_near(key, {"kind": "ConfigMap", "metadata": {"name": "x", "namespace": PARENT.namespace}})
    assert is_near(key, {"kind": "Namespace", "metadata": {"name": PARENT.namespace}})
    assert not is_near(key, {"kind": "ConfigMap", "metadata": {"name": "x", "namespace": "elsewhere"}})
    assert not is_near(key, {"kind": "Namespace", "metadata": {"name": "elsewhere"}})


# --- a mesh whose kind is deleted ------------------------------------------------------------------------

EARLIER, LATER = "2026-10-01T11:00:00Z", "2026-10-01T11:30:00Z"


def a_mesh_being_deleted(at: str, *, kind_deleted: str, **annotations: str) -> Any:
    observed = an_observed_mesh(kind_deleted=kind_deleted, revisions=(a_revision("1.31.1"),))
    observed.body["metadata"].update(deletionTimestamp=at, annotations=annotations)  # type: ignore[attr-defined]
    return observed


@pytest.mark.parametrize(
    ("at", "kind_deleted"),
    [
        (LATER, EARLIER),
        (LATER, LATER),
        ("2026-10-01T11:29:50Z", LATER),  # by another API server, whose clock is behind
        ("2026-10-01T11:29:59.5+00:00", LATER),
        ("2026-10-01T13:29:55+02:00", LATER),
    ],
)
def test_a_mesh_that_is_deleted_with_its_kind_stands(at: str, kind_deleted: str) -> None:
    observed = a_mesh_being_deleted(at, kind_deleted=kind_deleted)
    decision = plan_mesh(observed, ())
    assert is_withheld(observed)
    assert (decision.plan.waves, decision.plan.prune) == ((), ())
    assert not is_released(observed, decision.plan)
    status = summarise_mesh(observed, (), decision, None)
    found = find_condition({"status": status}, "Deleting")  # type: ignore[arg-type]
    assert found is not None
    assert (found["status"], found["reason"]) == ("True", "KindDeleted")


@pytest.mark.parametrize(
    ("at", "kind_deleted", "annotations"),
    [
        (LATER, "", {}),
        (EARLIER, LATER, {}),
        ("2026-10-01T11:29:49Z", LATER, {}),
        (LATER, EARLIER, {"mesh.navarch.io/force-delete": "true"}),
    ],
)
def test_a_mesh_that_a_user_deleted_goes(at: str, kind_deleted: str, annotations: dict[str, str]) -> None:
    observed = a_mesh_being_deleted(at, kind_deleted=kind_deleted, **annotations)
    assert is_leaving(observed)
    assert plan_mesh(observed, ()).plan.prune
