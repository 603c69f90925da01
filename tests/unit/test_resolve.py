"""Profiles and spec, layer upon layer."""

from __future__ import annotations

from typing import Any

import pytest
from navarch.api.controlplane import MeshControlPlaneSpec
from navarch.api.spec import RevisionConfig
from navarch.core.mesh.resolve import resolve_config
from navarch.core.model.findings import Finding
from navarch.core.model.merging import merge
from navarch.core.model.parent import MESH, Parent
from navarch.core.model.reasons import Reason
from navarch.core.revision.manifest import build_revision_manifest
from navarch.core.revision.source import build_revision_input

from tests.golden.rendering import ASSETS, ENVIRONMENT, NEWEST

BUILT_IN = ASSETS.profiles


def resolve(spec: dict[str, Any], **profiles: Any) -> tuple[RevisionConfig | None, list[Finding]]:
    """The outcome for a spec, with more profiles beside the built-in ones."""
    parsed = MeshControlPlaneSpec.model_validate({"version": "1.31", **spec})
    return resolve_config(parsed, profiles={**BUILT_IN, **profiles})


def config_of(spec: dict[str, Any], **profiles: Any) -> dict[str, Any]:
    """The configuration of a spec that has nothing wrong with it."""
    config, findings = resolve(spec, **profiles)
    assert not findings
    assert config is not None
    return config.to_json()


def only_finding(spec: dict[str, Any], **profiles: Any) -> Finding:
    """The one finding about a spec that cannot be resolved."""
    config, (finding,) = resolve(spec, **profiles)
    assert config is None
    return finding


def test_without_profiles_the_default_one_holds() -> None:
    assert config_of({}) == BUILT_IN["default"]


def test_the_last_profile_wins() -> None:
    config = config_of(
        {"profiles": ["a", "b"]}, a={"proxy": {"logLevel": "debug"}}, b={"proxy": {"logLevel": "error"}}
    )
    assert config["proxy"]["logLevel"] == "error"


def test_the_spec_wins_over_all_profiles() -> None:
    config = config_of({"profiles": ["a"], "proxy": {"logLevel": "off"}}, a={"proxy": {"logLevel": "debug"}})
    assert config["proxy"]["logLevel"] == "off"


def test_maps_are_merged_and_their_other_keys_stay() -> None:
    config = config_of({"controlPlane": {"resources": {"requests": {"cpu": "1"}}}})
    assert config["controlPlane"]["resources"]["requests"] == {"cpu": "1", "memory": "2Gi"}


def test_lists_are_replaced() -> None:
    profile = {"trust": {"additionalDomains": ["a", "b"]}}
    config = config_of({"profiles": ["p"], "trust": {"additionalDomains": ["c"]}}, p=profile)
    assert config["trust"]["additionalDomains"] == ["c"]


def test_environment_is_merged_by_name() -> None:
    lower = {"controlPlane": {"environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}}
    upper = {"environment": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]}
    config = config_of({"profiles": ["p"], "controlPlane": upper}, p=lower)
    assert config["controlPlane"]["environment"] == [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "3"},
        {"name": "C", "value": "4"},
    ]


def test_overlays_add_up_with_the_specs_last() -> None:
    one = {"target": {"kind": "Service", "name": "a"}, "patch": {}}
    two = {"target": {"kind": "Service", "name": "b"}, "patch": {}}
    assert config_of({"profiles": ["p"], "overlays": [two]}, p={"overlays": [one]})["overlays"] == [one, two]


def test_null_in_a_free_form_field_takes_a_profiles_key_away() -> None:
    profile = {"meshConfig": {"accessLogFile": "/dev/stdout", "enableTracing": True}}
    config = config_of({"profiles": ["p"], "meshConfig": {"accessLogFile": None}}, p=profile)
    assert config["meshConfig"] == {"enableTracing": True}


def test_a_profile_lies_above_those_it_includes() -> None:
    lower, upper = {"proxy": {"logLevel": "debug"}}, {"profiles": ["lower"], "proxy": {"logLevel": "error"}}
    assert config_of({"profiles": ["upper"]}, lower=lower, upper=upper)["proxy"]["logLevel"] == "error"


def test_a_profile_that_two_others_include_does_not_undo_the_first() -> None:
    shared = {"proxy": {"logLevel": "debug"}}
    one = {"profiles": ["shared"], "proxy": {"logLevel": "error"}}
    config = config_of({"profiles": ["one", "two"]}, shared=shared, one=one, two={"profiles": ["shared"]})
    assert config["proxy"]["logLevel"] == "error"


def test_a_missing_profile_is_named_with_the_nearest_known_one() -> None:
    finding = only_finding({"profiles": ["default", "prodution"]})
    assert (finding.reason, finding.field) == (Reason.PROFILE_NOT_FOUND, "spec.profiles[1]")
    assert "did you mean production?" in finding.remedy


def test_a_profile_missing_further_down_is_named_with_who_includes_it() -> None:
    finding = only_finding({"profiles": ["a"]}, a={"profiles": ["gone"]})
    assert finding.reason is Reason.PROFILE_NOT_FOUND
    assert "included by a" in finding.message


@pytest.mark.parametrize("includes", [["a"], ["b"]])
def test_a_circle_of_profiles_is_told_whole(includes: list[str]) -> None:
    finding = only_finding({"profiles": ["a"]}, a={"profiles": includes}, b={"profiles": ["a"]})
    assert finding.reason is Reason.PROFILE_CYCLE
    assert finding.message.endswith("a -> a" if includes == ["a"] else "a -> b -> a")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text", "not a map"),
        (None, "not a map"),
        ({"profiles": "default"}, "not a list of names"),
        ({"proxy": {"logLevel": "loud"}}, "proxy.logLevel"),
        ({"proxi": {}}, "proxi: there is no such field; did you mean proxy?"),
        ({"version": "1.31"}, "version: there is no such field"),
        (
            {"controlPlane": {"environment": [{"name": "A", "valeu": ""}]}},
            "controlPlane.environment[0].valeu",
        ),
        ({"overlays": [{"target": {"kind": "Service"}}]}, "overlays"),
    ],
)
def test_a_broken_profile_is_told_by_what_is_wrong_with_it(content: Any, words: str) -> None:
    finding = only_finding({"profiles": ["p"]}, p=content)
    assert (finding.reason, finding.field, finding.value) == (Reason.PROFILE_INVALID, "spec.profiles[0]", "p")
    assert words in finding.message


def test_free_form_parts_of_a_profile_may_hold_anything() -> None:
    assert config_of({"profiles": ["p"]}, p={"values": {"a": {"b": 1}}})["values"] == {"a": {"b": 1}}


def test_every_built_in_profile_can_be_used() -> None:
    for name in BUILT_IN:
        assert config_of({"profiles": [name]})["controlPlane"]


def test_merging_leaves_its_arguments_alone() -> None:
    lower = {"a": {"b": 1}}
    assert merge(lower, {"a": {"c": 2}}) == {"a": {"b": 1, "c": 2}}
    assert lower == {"a": {"b": 1}}


def build_revision(spec: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    """The MeshRevision of a mesh."""
    config, _ = resolve(spec)
    release = ASSETS.catalog.find("1.31")
    assert config is not None
    assert release is not None
    parent = Parent(MESH, "mesh-a", "basic", "uid")
    return build_revision_manifest(parent, tag="blue", release=release, config=config, **arguments)


def test_a_revision_says_everything_its_objects_follow_from() -> None:
    manifest = build_revision({}, default=True, excluded=["b", "a", "b"])
    assert manifest["metadata"]["name"] == "blue-inplace"
    assert manifest["spec"]["members"] == {"default": True, "excluded": ["a", "b"]}
    source = build_revision_input(manifest, ASSETS, ENVIRONMENT)
    assert (source.version, source.minor, source.hub) == (NEWEST, "1.31", "registry.istio.io/release")
    assert source.membership.values == ("blue", "blue-inplace", "default")
    assert source.membership.probe == ENVIRONMENT.probe_namespace
    assert source.parent == Parent(MESH, "mesh-a", "basic", "uid")


def test_images_of_the_spec_win_over_the_catalogs() -> None:
    manifest = build_revision({"images": {"hub": "mirror", "tag": "x"}})
    source = build_revision_input(manifest, ASSETS, ENVIRONMENT)
    assert (source.hub, source.image_tag) == ("mirror", "x")


def test_a_revision_of_a_version_that_left_the_catalog_is_an_error() -> None:
    manifest = build_revision({})
    manifest["spec"]["version"] = "1.20.0"
    with pytest.raises(LookupError, match=r"1\.20\.0"):
        build_revision_input(manifest, ASSETS, ENVIRONMENT)
