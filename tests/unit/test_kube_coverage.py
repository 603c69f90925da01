"""fieldsV1 as the API server writes it, against what is desired."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navarch.core.model.ownership import own_fields
from navarch.kube.coverage import find_uncovered

PORT = 'k:{"port":80,"protocol":"TCP"}'


def entry(fields: dict[str, Any], **other: str) -> dict[str, Any]:
    return {"manager": "navarch", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": fields, **other}


def uncovered(
    desired: dict[str, Any], fields: dict[str, Any], live: dict[str, Any] | None = None
) -> list[str]:
    metadata = {"name": "x", "managedFields": [entry(fields)]}
    return list(
        find_uncovered({"kind": "K", **desired}, {**(live or desired), "metadata": metadata}, "navarch")
    )


@pytest.mark.parametrize(
    ("desired", "fields", "expected"),
    [
        ({"data": {"a": "1", "b": "2"}}, {"f:data": {"f:a": {}, "f:b": {}}}, []),
        ({"data": {"a": "1", "b": "2"}}, {"f:data": {"f:a": {}}}, ["data.b"]),
        ({"data": {"a": "1"}}, {}, ["data"]),
        ({"spec": {"podSelector": {}}}, {"f:spec": {"f:podSelector": {}}}, []),
        ({"spec": {"podSelector": {}}}, {"f:spec": {"f:other": {}}}, ["spec.podSelector"]),
        ({"rules": [{"verbs": ["get"]}]}, {"f:rules": {}}, []),
        ({"rules": [{"verbs": ["get"]}]}, {"f:subjects": {}}, ["rules"]),
        ({"ports": []}, {"f:ports": {}}, []),
        ({"ports": [{"port": 80}]}, {"f:ports": {PORT: {".": {}, "f:port": {}}}}, []),
        (
            {"ports": [{"port": 80, "name": "a"}]},
            {"f:ports": {PORT: {".": {}, "f:port": {}}}},
            ["ports[0].name"],
        ),
        ({"ports": [{"port": 81}]}, {"f:ports": {PORT: {".": {}, "f:port": {}}}}, ["ports[0]"]),
        ({"ports": [{"port": 80, "protocol": "UDP"}]}, {"f:ports": {PORT: {"f:port": {}}}}, ["ports[0]"]),
        ({"ports": [{"port": 80}]}, {"f:ports": {PORT: {}}}, ["ports[0].port"]),
        ({"finalizers": ["a", "b"]}, {"f:finalizers": {'v:"a"': {}}}, ["finalizers[1]"]),
        ({"values": [1, True]}, {"f:values": {"v:1": {}, "v:true": {}}}, []),
        ({"spec": {"limits": {"a": None}}}, {"f:spec": {"f:limits": {"f:a": {}}}}, []),
    ],
)
def test_leaves_without_our_ownership_are_named(
    desired: dict[str, Any], fields: dict[str, Any], expected: list[str]
) -> None:
    assert uncovered(desired, fields) == expected


def test_an_atomic_map_is_a_leaf_as_long_as_its_content_is_there() -> None:
    desired = {"spec": {"selector": {"app": "istiod"}}}
    fields = {"f:spec": {"f:selector": {}}}
    assert uncovered(desired, fields, {"spec": {"selector": {"app": "istiod", "more": "x"}}}) == []


def test_an_entry_of_a_map_that_lost_all_its_fields_looks_like_a_leaf_and_is_told_by_its_value() -> None:
    desired = {"spec": {"portLevelMtls": {"8080": {"mode": "DISABLE"}}}}
    fields = {"f:spec": {"f:portLevelMtls": {"f:8080": {}}}}
    for live in ({"8080": {}}, {"8080": {"mode": "STRICT"}}, {}):
        assert uncovered(desired, fields, {"spec": {"portLevelMtls": live}}) == ["spec.portLevelMtls.8080"]


def test_of_two_ports_of_one_number_the_right_one_is_judged() -> None:
    both = {PORT: {"f:port": {}, "f:name": {}}, PORT.replace("TCP", "UDP"): {"f:port": {}}}
    ports = [{"port": 80, "name": "a"}, {"port": 80, "protocol": "UDP"}]
    assert uncovered({"ports": ports}, {"f:ports": both}) == ["ports[1].protocol"]


def test_identity_has_no_owner() -> None:
    manifest = {"apiVersion": "v1", "kind": "K", "metadata": {"name": "x", "namespace": "y"}}
    live = {**manifest, "metadata": {**manifest["metadata"], "managedFields": [entry({})]}}
    assert list(find_uncovered(manifest, live, "navarch")) == []


@pytest.mark.parametrize(
    "other", [{"manager": "kubectl"}, {"operation": "Update"}, {"subresource": "status"}]
)
def test_only_our_own_apply_of_the_object_itself_counts(other: dict[str, str]) -> None:
    assert own_fields({"metadata": {"managedFields": [entry({"f:data": {}}, **other)]}}, "navarch") is None
    assert own_fields({"metadata": {}}, "navarch") is None


def test_strings_in_a_map_are_judged_without_the_content_of_the_object() -> None:
    desired = {"data": {"mesh": "a: 1"}, "metadata": {"name": "x", "labels": {"l": "v"}}}
    labels = {"f:metadata": {"f:labels": {"f:l": {}}}}
    for fields, expected in (
        ({"f:data": {"f:mesh": {}}}, []),
        ({"f:data": {}}, ["data"]),
        ({}, ["data"]),
    ):
        live = {"kind": "K", "metadata": {"name": "x", "managedFields": [entry(labels | fields)]}}
        assert list(find_uncovered({"kind": "K", **desired}, live, "navarch")) == expected


TREES = st.recursive(
    st.text(max_size=3) | st.integers() | st.booleans(),
    lambda inner: st.dictionaries(st.text(min_size=1, max_size=3), inner, max_size=4),
    max_leaves=12,
)


def fields_of(value: Any) -> dict[str, Any]:
    return {f"f:{k}": fields_of(v) for k, v in value.items()} if isinstance(value, dict) else {}


@given(st.dictionaries(st.text(min_size=1, max_size=3), TREES, min_size=1, max_size=4), st.data())
def test_everything_that_is_owned_is_covered_and_any_lost_field_is_noticed(
    spec: dict[str, Any], data: st.DataObject
) -> None:
    fields = {"f:spec": fields_of(spec)}
    assert uncovered({"spec": spec}, fields) == []
    node, value, path = fields["f:spec"], spec, "spec"
    while True:
        name = data.draw(st.sampled_from(sorted(value)))
        path = f"{path}.{name}"
        if not isinstance(value[name], dict) or not value[name]:
            break
        node, value = node[f"f:{name}"], value[name]
    del node[f"f:{name}"]
    found = uncovered({"spec": spec}, fields, {"spec": {}})
    assert any(path.startswith(lost) for lost in found)
