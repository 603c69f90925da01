"""The catalog: versions, and what differs between minors."""

from __future__ import annotations

import copy
from dataclasses import fields
from typing import Any

import pytest
import yaml
from navarch.core.istio.catalog import Features, build_catalog, ordinal_of

from lab.builds import ISTIO_LINES
from tests.golden.rendering import ASSETS

CATALOG = ASSETS.catalog
ACRONYMS = {"ca": "CA", "cpu": "CPU"}


@pytest.fixture
def data() -> dict[str, Any]:
    """A catalog of one minor, as versions.yaml has it."""
    row = {
        "patches": ["1.30.2", "1.30.10"],
        "hub": "registry.example.org",
        "kubernetes": {"minimum": "1.32", "newest": "1.36"},
        "endOfLife": False,
        "api": {"version": "v1.30.3", "hash": "h1:x"},
        "values": "1.30",
    }
    camel = {
        f.name: f.name.split("_")[0] + "".join(ACRONYMS.get(p, p.title()) for p in f.name.split("_")[1:])
        for f in fields(Features)
    }
    return {
        "values": {"1.30": {"version": "v0.0.1", "hash": "h1:y"}},
        "minors": {"1.30": row},
        "features": {name: {"since": "1.31", "source": "x"} for name in camel.values()},
        "gatewayAPI": {
            "module": {"version": "v1.5.1", "hash": "h1:z"},
            "reads": {
                "tlsroutes": [{"since": "1.29", "maximum": "1.4.1"}, {"since": "1.30", "minimum": "1.5.0"}],
                "tcproutes": [{"since": "1.31", "minimum": "1.6.0"}],
            },
            "alpha": {"udproutes": [{"since": "1.30", "maximum": "1.5.1"}]},
        },
    }


def test_a_minor_means_its_newest_patch() -> None:
    release = CATALOG.find("1.31")
    assert release is not None
    assert (release.version, release.minor.name) == (CATALOG.minors[-2].patches[-1], "1.31")


def test_patches_are_ordered_as_numbers(data: dict[str, Any]) -> None:
    release = build_catalog(data).find("1.30")
    assert release is not None
    assert release.version == "1.30.10"


def test_an_exact_version_means_itself() -> None:
    release = CATALOG.find("1.30.2")
    assert release is not None
    assert release.version == "1.30.2"


@pytest.mark.parametrize(
    "version",
    ["1.28", "1.28.9", "1.35.0", "1.3", "1", "", "2.0.0", "1.31.1.1", "1.31.09", "1.31.x", "v1.31.9"],
)
def test_what_the_catalog_lacks_is_not_found(version: str) -> None:
    assert CATALOG.find(version) is None


def test_a_patch_newer_than_any_known_one_is_of_its_minor_and_not_known() -> None:
    release = CATALOG.find("1.31.99")
    assert release is not None
    assert (release.version, release.minor.name, release.is_known) == ("1.31.99", "1.31", False)
    assert CATALOG.find("1.31.0").is_known


def test_a_patch_that_was_left_out_below_the_newest_is_not_found(data: dict[str, Any]) -> None:
    assert build_catalog(data).find("1.30.5") is None
    assert build_catalog(data).find("1.30.11") is not None


def test_every_minors_newest_patch_is_the_one_that_its_definitions_are_of() -> None:
    assert {m.name: m.api.version for m in CATALOG.minors} == {
        m.name: f"v{m.patches[-1]}" for m in CATALOG.minors
    }


def test_every_minor_that_the_lab_runs_is_run_under_its_newest_patch() -> None:
    newest = {line.minor: line.versions[-1] for line in ISTIO_LINES}
    assert newest == {m.name: m.patches[-1] for m in CATALOG.minors if m.name in newest}


def test_only_a_minor_that_was_never_run_is_a_preview() -> None:
    assert [m.name for m in CATALOG.minors if m.preview] == ["1.32"]


def test_a_new_minor_is_one_more_row(data: dict[str, Any]) -> None:
    data["minors"]["1.32"] = copy.deepcopy(data["minors"]["1.30"]) | {"patches": ["1.32.0"]}
    catalog = build_catalog(data)
    assert [minor.name for minor in catalog.minors] == ["1.30", "1.32"]
    old, new = (minor.features for minor in catalog.minors)
    assert not old.proxy_init_image
    assert new.proxy_init_image


def test_a_feature_that_code_does_not_know_is_an_error(data: dict[str, Any]) -> None:
    data["features"]["teleportation"] = {"since": "1.31", "source": "x"}
    with pytest.raises(ValueError, match="teleportation"):
        build_catalog(data)


def test_every_feature_of_the_code_has_its_row(data: dict[str, Any]) -> None:
    del data["features"]["fipsGodebug"]
    with pytest.raises(ValueError, match="fipsGodebug"):
        build_catalog(data)


def test_every_minor_has_data_of_its_own() -> None:
    for minor in CATALOG.minors:
        names = {crd["metadata"]["name"] for crd in ASSETS.crds[minor.name]}
        assert "virtualservices.networking.istio.io" in names
        assert ASSETS.mesh_descriptors[minor.name]


def test_kubernetes_bounds_are_in_order() -> None:
    for minor in CATALOG.minors:
        assert minor.kubernetes_minimum < minor.kubernetes_newest


@pytest.mark.parametrize("text", ["", "x", "1.x"])
def test_what_is_no_version_has_no_ordinal(text: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        ordinal_of(text)


def test_every_row_says_where_istio_says_so() -> None:
    from importlib.resources import files

    rows = yaml.safe_load((files("navarch") / "core/istio/catalog/versions.yaml").read_text())["features"]
    assert all(row["source"] for row in rows.values())


def test_what_a_minor_reads_of_gateway_api_is_its_newest_row(data: dict[str, Any]) -> None:
    for name in ("1.29", "1.31"):
        data["minors"][name] = copy.deepcopy(data["minors"]["1.30"]) | {"patches": [f"{name}.0"]}
    assert {minor.name: minor.gateway_api for minor in build_catalog(data).minors} == {
        "1.29": {"tlsroutes": ((), (1, 4, 1))},
        "1.30": {"tlsroutes": ((1, 5, 0), ())},
        "1.31": {"tlsroutes": ((1, 5, 0), ()), "tcproutes": ((1, 6, 0), ())},
    }
