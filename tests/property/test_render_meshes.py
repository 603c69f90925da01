"""Rendering over random meshes: the same every time, complete, and with names that fit and never meet."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from navarch.core.model.merging import merge
from navarch.core.model.naming import Names, effective_tag, find_long_names, is_revision_like, revision_name
from navarch.core.model.parent import MESH, Parent
from navarch.core.model.refs import ref_of
from navarch.core.render.engine import dump_yaml, render_data

from tests.golden.rendering import ASSETS, NAME, render_mesh, walk
from tests.unit.test_render import with_template

SLOW = settings(max_examples=30)
EVERY = [minor.features.default_tag_webhook_suffixed for minor in ASSETS.catalog.minors]
words = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
parts = st.lists(
    st.sampled_from(("a", "b", "inplace", "default", "istio", "system", "1", "31")), min_size=1, max_size=5
)
dashed = st.one_of(words, st.builds("-".join, parts)).filter(lambda s: re.match(r"[a-z]", s) is not None)
tags = dashed.filter(lambda tag: not is_revision_like(tag))
pairs = st.tuples(dashed, tags)
texts = st.text(st.characters(codec="utf-8"), max_size=40)
trees = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)
specs = st.fixed_dictionaries(
    {"version": st.sampled_from(ASSETS.catalog.versions)},
    optional={
        "profiles": st.lists(st.sampled_from(sorted(ASSETS.profiles)), max_size=3),
        "defaultTag": st.booleans(),
        "tag": tags.filter(lambda tag: tag != "default"),
        "mtls": st.fixed_dictionaries({}, optional={"mode": st.sampled_from(("Strict", "Permissive"))}),
        "trust": st.just({"domain": "example.org"}),
        "meshConfig": st.dictionaries(texts, trees, max_size=3),
        "values": st.dictionaries(texts, trees, max_size=3),
        "controlPlane": st.fixed_dictionaries(
            {},
            optional={
                "replicas": st.integers(1, 9),
                "autoscaling": st.fixed_dictionaries({"enabled": st.booleans()}),
                "networkPolicy": st.booleans(),
                "environment": st.lists(
                    st.fixed_dictionaries({"name": st.sampled_from("ABC"), "value": texts}),
                    max_size=3,
                    unique_by=lambda v: str(v["name"]),
                ),
            },
        ),
        "images": st.fixed_dictionaries({}, optional={"hub": texts.filter(bool), "tag": words}),
    },
)


@SLOW
@given(specs)
def test_one_mesh_renders_to_the_same_bytes_every_time(spec: dict[str, Any]) -> None:
    one, other = (render_mesh(spec) for _ in range(2))
    assert json.dumps(one) == json.dumps(other)


@SLOW
@given(specs)
def test_every_object_is_the_meshs_and_has_a_name_of_its_own(spec: dict[str, Any]) -> None:
    objects = render_mesh(spec)
    assert len({ref_of(o) for o in objects}) == len(objects)
    assert all(Parent(MESH, "mesh-a", NAME, "0000-1111").owns(o) for o in objects)
    for manifest in objects:
        if manifest["kind"] != "MeshRevision":  # the user's own free-form fields may hold a null there
            assert not [path for path, value in walk(manifest) if value is None]


@given(pairs, pairs)
def test_meshes_with_different_tags_share_no_name_in_the_cluster(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    (namespace_1, tag_1), (namespace_2, tag_2) = one, other
    if tag_1 == tag_2 or "default" in (tag_1, tag_2):
        return  # refused before anything is rendered
    first, second = (Names(ns, revision_name(tag)) for ns, tag in (one, other))
    assert first.cluster_binding("role") != second.cluster_binding("role")
    assert first.webhook_role != second.webhook_role
    assert first.injector != second.injector
    assert first.validator != second.validator
    for suffixed in EVERY:
        assert first.tag_webhook(tag_1, default_suffixed=suffixed) != second.tag_webhook(
            tag_2, default_suffixed=suffixed
        )
        assert first.tag_webhook("default", default_suffixed=suffixed) != second.tag_webhook(
            tag_2, default_suffixed=suffixed
        )
    if namespace_1 == namespace_2:
        assert first.istiod != second.tag_service(tag_2)
        assert first.mesh_config != second.injector_config


@given(
    st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True),
    st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True),
    st.booleans(),
)
def test_the_tag_of_any_mesh_makes_names_that_fit(namespace: str, name: str, taken: bool) -> None:
    plain = f"{namespace}-{name}"
    tag = effective_tag(namespace, name, taken={plain} if taken else ())
    assert not is_revision_like(tag)
    assert len(tag) <= 40
    assert not (taken and tag == plain)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", tag)
    assert not list(find_long_names(namespace=namespace, name=name, tag=tag))


@given(trees)
def test_what_a_template_prints_is_read_back_unchanged(value: Any) -> None:
    assert render_data(PRINTING, "x.yaml", value=value) == {"key": value, "list": [value]}


PRINTING = with_template("key: {{ value }}\nlist: [{{ value }}]\n")


@given(st.dictionaries(texts, trees, max_size=4))
def test_what_is_dumped_is_read_back_unchanged_and_does_not_depend_on_order(value: dict[str, Any]) -> None:
    assert yaml.safe_load(dump_yaml(value)) == value
    assert dump_yaml(value) == dump_yaml(dict(reversed(value.items())))


plain = st.recursive(
    st.integers() | texts,
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
maps = st.dictionaries(st.sampled_from("abc"), plain, max_size=3)


@given(maps, maps)
def test_a_layer_laid_on_twice_counts_once(lower: dict[str, Any], upper: dict[str, Any]) -> None:
    assert merge(merge(lower, upper), upper) == merge(lower, upper)
    assert merge({}, lower) == merge(lower, {}) == lower
    assert merge(lower, dict.fromkeys(lower)) == {}
