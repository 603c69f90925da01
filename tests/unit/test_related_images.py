"""Images that the operator's environment names: they win over the catalog's hub and tag, a mesh's own word
wins over them, and where only they may be run a mesh that needs another one is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml
from navarch.api.related import name_variable
from navarch.cli.images import find_images
from navarch.core.istio.assets import relate_assets
from navarch.core.istio.catalog.extension import KEY, extend_catalog, read_extension
from navarch.core.istio.images import list_images
from navarch.core.model.reasons import Reason
from navarch.core.offline import build_offline
from navarch.core.render.components import istiod
from navarch.core.render.values import build_values
from navarch.core.revision.source import build_revision_input

from scripts import olm
from scripts.files import ROOT
from tests.golden.rendering import ASSETS, ENVIRONMENT, NEWEST, build_mesh, find_one, render_mesh

ONE, OTHER = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
HUB = "registry.istio.io/release"
MIRROR = "mirror.example.com:5000/istio"
VARIABLES = {
    name_variable(f"pilot-{NEWEST}"): f"{MIRROR}/pilot@{ONE}",
    name_variable(f"proxyv2-{NEWEST}"): f"{MIRROR}/proxyv2:copy",
}


def images_of(spec: Mapping[str, Any], variables: Mapping[str, str], digests: Any = None) -> tuple[str, ...]:
    """The images of istiod, of sidecars and of their init containers; `digests` are those of a ConfigMap."""
    assets = relate_assets(ASSETS, variables, only=False)
    if digests:
        data = {KEY: yaml.safe_dump({"1.31": {"digests": {NEWEST: digests}}})}
        extended = extend_catalog(assets.catalog, [read_extension(data, "more")])
        assert extended.problems == ()
        assets = replace(assets, catalog=extended)
    source = build_revision_input(find_one(render_mesh(spec), "MeshRevision"), assets, ENVIRONMENT)
    deployment = find_one(list(istiod.build_objects(source, assets)), "Deployment")
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    shared = build_values(source, assets)["global"]
    return image, shared["proxy"]["image"], shared["proxy_init"]["image"]


WORDS: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "nothing": ({}, (f"{MIRROR}/pilot@{ONE}", f"{MIRROR}/proxyv2:copy")),
    "its own hub": ({"images": {"hub": "own/istio"}}, (f"own/istio/pilot:{NEWEST}@{ONE}", "proxyv2")),
    "its own tag": ({"images": {"tag": "own"}}, (f"{HUB}/pilot:own", "proxyv2")),
    "its own digest": (
        {"images": {"digests": {"pilot": OTHER}}},
        (f"{MIRROR}/pilot@{OTHER}", f"{MIRROR}/proxyv2:copy"),
    ),
    "its own proxy": (
        {"values": {"global": {"proxy": {"image": "a/b:c"}, "proxy_init": {"image": "a/b:c"}}}},
        (f"{MIRROR}/pilot@{ONE}", "a/b:c"),
    ),
    "a variant": ({"values": {"global": {"variant": "debug"}}}, (f"{HUB}/pilot:{NEWEST}-debug", "proxyv2")),
    "another version": ({"version": "1.31.0"}, (f"{HUB}/pilot:1.31.0", "proxyv2")),
}


@pytest.mark.parametrize("word", WORDS)
def test_variables_win_over_hub_and_tag_of_the_catalog_and_a_mesh_wins_over_variables(word: str) -> None:
    spec, (pilot, proxy) = WORDS[word]
    assert images_of(spec, VARIABLES) == (pilot, proxy, proxy)


def test_variables_that_name_what_the_catalog_names_change_nothing() -> None:
    same = {name_variable(name): image for name, image in list_images(ASSETS.catalog).items()}
    for spec in ({}, {"images": {"hub": "own/istio"}}, {"version": "1.30"}):
        assert images_of(spec, same) == images_of(spec, {})


def test_a_digest_of_a_config_map_is_added_to_a_reference_without_one() -> None:
    digests = {"proxyv2": OTHER}
    assert images_of({}, VARIABLES, digests)[1] == f"{MIRROR}/proxyv2:copy@{OTHER}"
    assert images_of({"images": {"hub": "own/istio"}}, VARIABLES, digests)[1] == (
        f"own/istio/proxyv2:{NEWEST}@{OTHER}"
    )


def test_a_digest_of_a_config_map_that_differs_from_a_variables_is_told_and_left_out() -> None:
    assets = relate_assets(ASSETS, VARIABLES, only=False)
    data = {KEY: yaml.safe_dump({"1.31": {"digests": {NEWEST: {"pilot": OTHER}}}})}
    extended = extend_catalog(assets.catalog, [read_extension(data, "more")])
    assert f"is {OTHER}, but {ONE} is known already" in extended.problems[0]
    assert extended.find(NEWEST).images["pilot"] == f"{MIRROR}/pilot@{ONE}"  # type: ignore[union-attr]


BAD = {
    "RELATED_IMAGE_PILOTT_1_31_4": ("a/b:c", "with the image AGENTGATEWAY"),
    "RELATED_IMAGE_PILOT": ("a/b:c", "it is not RELATED_IMAGE_<image>_<version>"),
    "RELATED_IMAGE_PILOT_7_1_1": ("a/b:c", "Istio 7.1.1 is not known"),
    "RELATED_IMAGE_PILOT_1_31_0": ("pilot:1.31.0", "'pilot:1.31.0' is no image with its registry"),
    "RELATED_IMAGE_PILOT_1_31_1": ("", "'' is no image with its registry"),
    "RELATED_IMAGE_PILOT_1_31_2": ("a/b@sha256:12", "is no image with its registry"),
    "RELATED_IMAGE_PILOT_1_31_3": ("a/b:c d", "is no image with its registry"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_variable_that_cannot_be_taken_is_told_and_the_others_are_taken(name: str) -> None:
    value, expected = BAD[name]
    catalog = relate_assets(ASSETS, {**VARIABLES, name: value, "PATH": "/bin"}, only=False).catalog
    (problem,) = catalog.problems
    assert problem.startswith(f"variable {name} of the operator: ")
    assert expected in problem
    assert catalog.minors == relate_assets(ASSETS, VARIABLES, only=False).catalog.minors


def refuse(spec: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Field, value and message of what is refused where only VARIABLES may be run."""
    assets = relate_assets(ASSETS, VARIABLES, only=True)
    offline = build_offline(build_mesh(spec), assets, ENVIRONMENT)
    found = [f for f in offline.findings if f.reason is Reason.IMAGE_NOT_AT_HAND]
    assert bool(found) is not bool(offline.objects)
    assert all(f.remedy for f in found)
    return [(f.field, str(f.value), f.message) for f in found]


@pytest.mark.parametrize("word", [word for word in WORDS if word != "nothing"])
def test_a_mesh_that_needs_an_image_outside_the_mirror_is_refused_with_the_field_that_asks_for_it(
    word: str,
) -> None:
    fields = {
        "its own hub": ("spec.images.hub", "own/istio"),
        "its own tag": ("spec.images.tag", "own"),
        "its own digest": ("spec.images.digests", f"{{'pilot': '{OTHER}'}}"),
        "its own proxy": ("spec.values.global.proxy.image", "a/b:c"),
        "a variant": ("spec.values.global.variant", "debug"),
        "another version": ("spec.version", "1.31.0"),
    }
    ((field, value, message),) = refuse(WORDS[word][0])
    assert (field, value) == fields[word]
    assert "which no variable RELATED_IMAGE_… of the operator names" in message


def test_a_mesh_whose_images_are_in_the_mirror_is_accepted() -> None:
    assert refuse({}) == []
    assert refuse({"version": NEWEST}) == []


def test_nothing_is_refused_where_other_images_may_be_run() -> None:
    assets = relate_assets(ASSETS, VARIABLES, only=False)
    for spec, _ in WORDS.values():
        reasons = {f.reason for f in build_offline(build_mesh(spec), assets, ENVIRONMENT).findings}
        assert Reason.IMAGE_NOT_AT_HAND not in reasons


def test_every_image_of_the_bundle_is_listed_for_mirrors() -> None:
    listed = {each["variable"]: each["image"] for each in find_images(ASSETS.catalog, (), every=False)}
    csv = yaml.safe_load((ROOT / "bundle/manifests/navarch.clusterserviceversion.yaml").read_text())["spec"]
    related = {name_variable(each["name"]): each["image"] for each in csv["relatedImages"]}
    (container,) = csv["install"]["spec"]["deployments"][0]["spec"]["template"]["spec"]["containers"]
    env = {e["name"]: e["value"] for e in container["env"] if e["name"].startswith("RELATED_IMAGE_")}
    assert (
        listed == env == {name: image for name, image in related.items() if name != "RELATED_IMAGE_NAVARCH"}
    )
    assert related["RELATED_IMAGE_NAVARCH"] == olm.build_release().image


def test_the_operator_understands_every_variable_that_the_list_names() -> None:
    listed = {each["variable"]: each["image"] for each in find_images(ASSETS.catalog, (), every=True)}
    catalog = relate_assets(ASSETS, listed, only=True).catalog
    assert catalog.problems == ()
    assert sum(len(images) for minor in catalog.minors for images in minor.images.values()) == len(listed)
    for version in ("1.30", NEWEST):
        for variant in ("", "debug", "distroless"):
            spec = {"version": version, "values": {"global": {"variant": variant}}}
            assets = replace(ASSETS, catalog=catalog)
            found = {f.reason for f in build_offline(build_mesh(spec), assets, ENVIRONMENT).findings}
            assert Reason.IMAGE_NOT_AT_HAND not in found
