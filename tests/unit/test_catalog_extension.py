"""What a cluster adds to the catalog: taken where it can be, told in a sentence where it cannot."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from navarch.core.istio.catalog.extension import KEY, Extension, extend_catalog, read_extension
from navarch.core.mesh.checks.version import check_catalog_extensions
from navarch.core.model.findings import Severity
from navarch.core.model.reasons import Reason
from navarch.core.revision.source import build_revision_input

from tests.golden.rendering import ASSETS, ENVIRONMENT, NEWEST, find_one, render_mesh
from tests.unit.observations import an_observed_mesh, with_catalog

CATALOG = ASSETS.catalog
ONE, OTHER = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


def an_extension(content: Any, name: str = "more") -> Extension:
    return read_extension({KEY: yaml.safe_dump(content)}, name)


def test_a_patch_that_is_added_is_what_the_minor_means() -> None:
    catalog = extend_catalog(CATALOG, [an_extension({"1.31": {"patches": ["1.31.9", "1.31.8"]}})])
    release = catalog.find("1.31")
    assert release is not None
    assert (release.version, release.is_known, catalog.problems) == ("1.31.9", True, ())
    assert catalog.find("1.30") == CATALOG.find("1.30")


def test_digests_are_those_of_the_version_that_they_are_given_for() -> None:
    digests = {NEWEST: {"pilot": ONE, "proxyv2-distroless": OTHER}}
    catalog = extend_catalog(CATALOG, [an_extension({"1.31": {"digests": digests}})])
    assert catalog.problems == ()
    assert catalog.find(NEWEST).images == digests[NEWEST]  # type: ignore[union-attr]
    assert catalog.find("1.31.0").images == {}  # type: ignore[union-attr]


BAD: dict[str, tuple[Any, tuple[str, ...]]] = {
    "no content": (None, ("key catalog.yaml: it is not a map of minors",)),
    "a list": (["1.31"], ("it is not a map of minors",)),
    "an unquoted minor": ({1.31: {}}, ("the key 1.31 is not a text; put it in quotes",)),
    "a minor without templates": (
        {"1.99": {"patches": ["1.99.0"]}},
        ("'1.99' is no minor", "it has 1.29, 1.30, 1.31, 1.32", "Upgrade Navarch"),
    ),
    "a minor that is a list": ({"1.31": ["1.31.9"]}, ("1.31: it is not a map with digests and patches",)),
    "an unknown field": ({"1.31": {"patch": []}}, ("there is no field 'patch'; did you mean patches?",)),
    "patches that are no list": ({"1.31": {"patches": "1.31.9"}}, ("1.31.patches: it is not a list",)),
    "a patch that is a number": (
        {"1.31": {"patches": [1.319]}},
        ("1.31.patches[0]: 1.319 is not a text; put it in quotes",),
    ),
    "a patch of another minor": (
        {"1.31": {"patches": ["1.30.99"]}},
        ("'1.30.99' is no patch of 1.31 that is newer than",),
    ),
    "a patch that is no version": ({"1.31": {"patches": ["1.31.x"]}}, ("'1.31.x' is no patch of 1.31",)),
    "a patch of more digits than a number has": (
        {"1.31": {"patches": ["1.31." + "9" * 5_000]}},
        ("1.31.patches[0]: '1.31.999", "… is no patch of 1.31"),
    ),
    "a patch that no status has room for": (
        {"1.31": {"patches": ["1.31.99999999999999999"]}},
        ("'1.31.99999999999999999' is no patch of 1.31",),
    ),
    "a patch in another spelling": ({"1.31": {"patches": ["1.31.09"]}}, ("'1.31.09' is no patch of 1.31",)),
    "a list that goes back": (
        {"1.31": {"patches": ["1.31.0", "1.31.1"]}},
        (f"the newest of the list is older than {NEWEST}", "takes none away"),
    ),
    "digests that are a list": ({"1.31": {"digests": [ONE]}}, ("1.31.digests: it is not a map of versions",)),
    "digests of an unknown patch": (
        {"1.31": {"digests": {"1.31.77": {"pilot": ONE}}}},
        ("1.31.digests[1.31.77]: 1.31.77 is no known patch; add it to 1.31.patches",),
    ),
    "images that are a text": ({"1.31": {"digests": {NEWEST: ONE}}}, ("it is not a map of images",)),
    "an unknown image": (
        {"1.31": {"digests": {NEWEST: {"istiod": ONE}}}},
        (f"1.31.digests[{NEWEST}].istiod: there is no such image; there are agentgateway,",),
    ),
    "a digest that is cut": (
        {"1.31": {"digests": {NEWEST: {"pilot": ONE[:-1]}}}},
        (f"1.31.digests[{NEWEST}].pilot: {ONE[:-1]!r} is not sha256: and 64 digits",),
    ),
    "a digest in capitals": (
        {"1.31": {"digests": {NEWEST: {"pilot": f"sha256:{'A' * 64}"}}}},
        ("is not sha256: and 64 digits of 0-9 and a-f",),
    ),
    "a digest that is a number": ({"1.31": {"digests": {NEWEST: {"pilot": 5}}}}, ("5 is not sha256:",)),
}


@pytest.mark.parametrize(("content", "told"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_taken_is_told_and_ignored(content: Any, told: tuple[str, ...]) -> None:
    catalog = extend_catalog(CATALOG, [an_extension(content)])
    (problem,) = catalog.problems
    assert problem.startswith("ConfigMap more, key catalog.yaml: ")
    for text in told:
        assert text in problem
    assert catalog.minors == CATALOG.minors


@pytest.mark.parametrize(
    "content",
    [
        {"1.31": {"patches": ["x" * 60] * 500}},
        {f"9.{number}": {} for number in range(900)},
        {"1.31": {"digests": {f"1.31.{number}": {"y" * 300: "z" * 300} for number in range(50, 90)}}},
    ],
)
def test_problems_are_told_in_bounded_number_and_length(content: Any) -> None:
    problems = extend_catalog(CATALOG, [an_extension(content)]).problems
    assert len(problems) == 6
    assert max(map(len, problems)) < 600
    assert problems[-1].startswith("ConfigMap more, key catalog.yaml: there are ")


def test_a_minor_that_is_said_twice_is_told_and_loses_nothing() -> None:
    text = '"1.31": {patches: ["1.31.9"]}\n"1.31": {digests: {}}'
    catalog = extend_catalog(CATALOG, [read_extension({KEY: text}, "more")])
    (problem,) = catalog.problems
    assert problem.endswith("it has the key 1.31 twice in one map; remove one of the two")
    assert catalog.minors == CATALOG.minors


def test_text_that_is_no_yaml_is_told() -> None:
    (problem,) = extend_catalog(CATALOG, [read_extension({KEY: "{"}, "more")]).problems
    assert problem.startswith("ConfigMap more, key catalog.yaml: it is not YAML")


def test_of_a_minor_all_is_taken_or_nothing_and_other_minors_are_not_touched_by_it() -> None:
    """A digest that cannot be read leaves no image of that minor half pinned."""
    content = {
        "1.30": {"patches": ["1.30.99"]},
        "1.31": {"patches": ["1.31.99"], "digests": {"1.31.99": {"pilot": ONE, "proxyv2": "sha256:1"}}},
    }
    catalog = extend_catalog(CATALOG, [an_extension(content)])
    assert len(catalog.problems) == 1
    assert catalog.find("1.31") == CATALOG.find("1.31")
    assert catalog.find("1.30").version == "1.30.99"  # type: ignore[union-attr]


def test_of_two_digests_for_one_image_the_first_configmap_counts_and_the_other_is_told() -> None:
    one = an_extension({"1.31": {"digests": {NEWEST: {"pilot": ONE}}}}, "a")
    other = an_extension({"1.31": {"digests": {NEWEST: {"pilot": OTHER}}}}, "b")
    for order in ([one, other], [other, one]):
        catalog = extend_catalog(CATALOG, order)
        (problem,) = catalog.problems
        assert problem.startswith("ConfigMap b, ")
        assert f"is {OTHER}, but {ONE} is known already" in problem
        assert catalog.find(NEWEST).images == {"pilot": ONE}  # type: ignore[union-attr]


def test_a_patch_that_a_newer_release_of_navarch_knows_by_itself_is_no_problem() -> None:
    catalog = extend_catalog(CATALOG, [an_extension({"1.31": {"patches": [NEWEST]}})])
    assert (catalog.problems, catalog.minors) == ((), CATALOG.minors)


def test_every_mesh_is_told_of_what_is_ignored_and_is_accepted() -> None:
    extended = extend_catalog(CATALOG, [an_extension({"1.99": {}})])
    (finding,) = check_catalog_extensions(with_catalog(an_observed_mesh(), extended))
    assert (finding.reason, finding.severity) == (Reason.CATALOG_INVALID, Severity.WARNING)
    assert str(finding).startswith(extended.problems[0])
    assert finding.remedy


def images_of(spec: dict[str, Any], digests: dict[str, str]) -> tuple[str, str]:
    """istiod's image, and the sidecar's as templates read it, with these digests in the catalog."""
    from dataclasses import replace

    from navarch.core.render.components import istiod
    from navarch.core.render.values import build_values

    extension = an_extension({"1.31": {"digests": {NEWEST: digests}}})
    assets = replace(ASSETS, catalog=extend_catalog(CATALOG, [extension]))
    source = build_revision_input(find_one(render_mesh(spec), "MeshRevision"), assets, ENVIRONMENT)
    deployment = find_one(list(istiod.build_objects(source, assets)), "Deployment")
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    return image, build_values(source, assets)["global"]["proxy"]["image"]


HUB = "registry.istio.io/release"
CASES: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "the catalog's": ({}, (f"{HUB}/pilot:{NEWEST}@{ONE}", f"{HUB}/proxyv2:{NEWEST}@{OTHER}")),
    "a mirror": (
        {"images": {"hub": "mirror/istio"}},
        (f"mirror/istio/pilot:{NEWEST}@{ONE}", f"mirror/istio/proxyv2:{NEWEST}@{OTHER}"),
    ),
    "a tag of the mesh's own": ({"images": {"tag": "own"}}, (f"{HUB}/pilot:own", "proxyv2")),
    "a variant without a digest": (
        {"values": {"global": {"variant": "distroless"}}},
        (f"{HUB}/pilot:{NEWEST}-distroless", "proxyv2"),
    ),
    "the mesh's own digests": (
        {
            "images": {"tag": "own", "digests": {"pilot": OTHER, "proxyv2": ONE}},
            "values": {"global": {"variant": "distroless"}},
        },
        (f"{HUB}/pilot:own-distroless@{OTHER}", f"{HUB}/proxyv2:own-distroless@{ONE}"),
    ),
    "proxies of another variant": (
        {"meshConfig": {"defaultConfig": {"image": {"imageType": "distroless"}}}},
        (f"{HUB}/pilot:{NEWEST}@{ONE}", "proxyv2"),
    ),
    "an image of the user's values": (
        {"values": {"global": {"proxy": {"image": "own/proxy:1"}}}},
        (f"{HUB}/pilot:{NEWEST}@{ONE}", "own/proxy:1"),
    ),
}


@pytest.mark.parametrize(("spec", "expected"), CASES.values(), ids=CASES.keys())
def test_images_are_named_by_digest_where_it_is_known(
    spec: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert images_of(spec, {"pilot": ONE, "proxyv2": OTHER}) == expected
