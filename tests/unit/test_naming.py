"""Names: tags, revisions, and everything derived from them."""

from __future__ import annotations

import pytest
from navarch.core.model.naming import Names, effective_tag, find_long_names, is_revision_like, revision_name

from tests.golden.rendering import ASSETS

OLD, NEW = (
    m.features.default_tag_webhook_suffixed for m in ASSETS.catalog.minors if m.name in ("1.30", "1.31")
)


def test_the_tag_that_is_asked_for_is_taken_as_it_is() -> None:
    assert effective_tag("mesh-a", "basic", wanted="blue", taken={"blue"}) == "blue"


def test_without_one_the_tag_is_namespace_and_name() -> None:
    assert effective_tag("mesh-a", "basic") == "mesh-a-basic"


@pytest.mark.parametrize(
    ("namespace", "name", "taken"),
    [
        ("n" * 40, "basic", ()),
        ("mesh-a", "basic", ("mesh-a-basic",)),
        ("mesh", "inplace", ()),
        ("mesh-1-31-1", "x", ()),
    ],
)
def test_a_tag_that_will_not_do_ends_in_a_hash(namespace: str, name: str, taken: tuple[str, ...]) -> None:
    tag = effective_tag(namespace, name, taken=taken)
    assert len(tag) <= 40
    assert tag not in taken
    assert not is_revision_like(tag)
    assert tag == effective_tag(namespace, name, taken=taken)


def test_two_long_names_with_one_beginning_get_two_tags() -> None:
    assert effective_tag("n" * 40, "one") != effective_tag("n" * 40, "two")


@pytest.mark.parametrize("tag", ["blue-inplace", "blue-1-31-1", "blue-1-31-1-2"])
def test_a_tag_of_a_revisions_form_is_recognised(tag: str) -> None:
    assert is_revision_like(tag)


@pytest.mark.parametrize("tag", ["blue", "blue-1-31", "inplace", "prod-2026"])
def test_other_tags_are_not_mistaken_for_revisions(tag: str) -> None:
    assert not is_revision_like(tag)


def test_istio_system_is_left_out_of_webhook_names_only() -> None:
    names = Names("istio-system", revision_name("blue"))
    assert names.injector == "istio-sidecar-injector-blue-inplace"
    assert names.validator == "istio-validator-blue-inplace-istio-system"
    assert names.cluster_binding("role") == "role-blue-inplace-istio-system"
    assert names.webhook_role == "istiod-webhooks-blue-inplace-istio-system"


def test_names_outside_istio_system_carry_the_namespace() -> None:
    assert Names("mesh-a", revision_name("blue")).injector == "istio-sidecar-injector-blue-inplace-mesh-a"


def test_concatenations_that_could_be_read_in_two_ways_differ() -> None:
    one, other = Names("b-inplace-c", "a-inplace"), Names("c", "a-inplace-b-inplace")
    assert one.cluster_binding("role") != other.cluster_binding("role")
    bare = Names("istio-system", "a-inplace-b-inplace")
    assert Names("b-inplace", "a-inplace").injector != bare.injector


def test_istiod_finds_the_default_tag_under_the_name_its_minor_expects() -> None:
    names = Names("mesh-a", "blue-inplace")
    assert names.tag_webhook("default", default_suffixed=OLD) == "istio-revision-tag-default"
    assert names.tag_webhook("default", default_suffixed=NEW) == "istio-revision-tag-default-mesh-a"
    assert (
        Names("istio-system", "blue-inplace").tag_webhook("default", default_suffixed=NEW)
        == "istio-revision-tag-default"
    )


def test_a_tag_that_begins_like_the_default_one_is_told_from_it() -> None:
    default_of_other = Names("blue", "green-inplace").tag_webhook("default", default_suffixed=NEW)
    assert (
        Names("istio-system", "x-inplace").tag_webhook("default-blue", default_suffixed=NEW)
        != default_of_other
    )


def test_every_name_of_an_ordinary_mesh_fits() -> None:
    assert not list(find_long_names(namespace="n" * 63, name="m" * 63, tag="t" * 40))


def test_a_mesh_whose_name_is_no_label_value_is_named() -> None:
    (long,) = find_long_names(namespace="n", name="m" * 64, tag="t")
    assert (long.kind, long.limit) == ("label value", 63)


def test_a_tag_that_is_too_long_for_its_service_is_named() -> None:
    (long,) = find_long_names(namespace="n", name="m", tag="t" * 44)
    assert (long.kind, long.name) == ("Service", "istiod-revision-tag-" + "t" * 44)
