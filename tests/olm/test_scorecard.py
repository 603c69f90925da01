"""The six standard checks of operator-sdk's scorecard, each under its own name, on the committed bundle and
on one that it must not let pass. The tool itself runs them in a cluster, on the examples of the bundle; what
they judge is in the bundle alone. No cluster is needed here."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.files import ROOT
from tests.olm.test_validators import find_reason, validate

Object = dict[str, Any]
Bundle = dict[str, Object]
"""The objects of a bundle by file name."""
CSV = "navarch.clusterserviceversion.yaml"


def read_bundle(folder: Path = ROOT / "bundle") -> Bundle:
    return {path.name: yaml.safe_load(path.read_text()) for path in sorted((folder / "manifests").iterdir())}


def list_examples(bundle: Bundle) -> list[Object]:
    return list(json.loads(bundle[CSV]["metadata"]["annotations"]["alm-examples"]))


def list_owned(bundle: Bundle) -> list[Object]:
    return list(bundle[CSV]["spec"]["customresourcedefinitions"]["owned"])


def find_schema(bundle: Bundle, kind: str) -> Object:
    """The schema of a kind; empty where the bundle has none."""
    crds = (each for each in bundle.values() if each["kind"] == "CustomResourceDefinition")
    for crd in crds:
        if crd["spec"]["names"]["kind"] == kind:
            (version,) = crd["spec"]["versions"]
            return dict(version.get("schema", {}).get("openAPIV3Schema", {}))
    return {}


def basic_check_spec(bundle: Bundle) -> Iterator[str]:
    """Every example has a spec."""
    examples = list_examples(bundle)
    for owned in list_owned(bundle):
        found = [each for each in examples if each["kind"] == owned["kind"]]
        if not found:
            yield f"{owned['kind']}: no example"
        yield from (f"{owned['kind']}: an example without a spec" for each in found if not each.get("spec"))


def olm_bundle_validation(bundle: Bundle, folder: Path) -> Iterator[str]:
    """The validators accept the bundle as it is in a folder."""
    shutil.copytree(ROOT / "bundle", folder)
    for name, each in bundle.items():
        (folder / "manifests" / name).write_text(yaml.safe_dump(each))
    yield from (each["detail"] for each in validate(folder) if find_reason(each) is None)


def olm_crds_have_validation(bundle: Bundle) -> Iterator[str]:
    """Every field of every example stands in its kind's schema."""
    for example in list_examples(bundle):
        properties = find_schema(bundle, example["kind"]).get("properties", {})
        for part in ("spec", "status"):
            yield from _list_unknown(example.get(part) or {}, properties.get(part, {}), part)


def _list_unknown(tree: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            known = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            if known is None:
                yield f"{path}.{key}: not in the schema"
            else:
                yield from _list_unknown(value, known, f"{path}.{key}")
    elif isinstance(tree, list):
        for value in tree:
            yield from _list_unknown(value, schema.get("items", {}), f"{path}[]")


def olm_crds_have_resources(bundle: Bundle) -> Iterator[str]:
    """Every kind that the operator owns lists the resources that it makes."""
    yield from (
        f"{owned['kind']}: no resources" for owned in list_owned(bundle) if not owned.get("resources")
    )


def olm_spec_descriptors(bundle: Bundle) -> Iterator[str]:
    """Every field of every example's spec has a descriptor."""
    described = {owned["kind"]: _list_paths(owned, "specDescriptors") for owned in list_owned(bundle)}
    for example in list_examples(bundle):
        for field in example["spec"]:
            if field not in described[example["kind"]]:
                yield f"{example['kind']}: spec.{field} has no descriptor"


def olm_status_descriptors(bundle: Bundle) -> Iterator[str]:
    """Every field that a status may have has a descriptor: the examples have none."""
    for owned in list_owned(bundle):
        status = find_schema(bundle, owned["kind"])["properties"]["status"]["properties"]
        missing = status.keys() - _list_paths(owned, "statusDescriptors")
        yield from (f"{owned['kind']}: status.{field} has no descriptor" for field in sorted(missing))


def _list_paths(owned: Object, descriptors: str) -> set[str]:
    return {each["path"] for each in owned.get(descriptors, ())}


CHECKS: dict[str, Callable[[Bundle], Iterator[str]]] = {
    "basic-check-spec": basic_check_spec,
    "olm-crds-have-validation": olm_crds_have_validation,
    "olm-crds-have-resources": olm_crds_have_resources,
    "olm-spec-descriptors": olm_spec_descriptors,
    "olm-status-descriptors": olm_status_descriptors,
}


def test_the_bundle_asks_the_scorecard_for_its_six_standard_checks() -> None:
    config = yaml.safe_load((ROOT / "bundle/tests/scorecard/config.yaml").read_text())
    (stage,) = config["stages"]
    assert {test["entrypoint"][1] for test in stage["tests"]} == {*CHECKS, "olm-bundle-validation"}


@pytest.mark.parametrize("check", CHECKS)
def test_the_bundle_passes(check: str) -> None:
    assert list(CHECKS[check](read_bundle())) == []


def edit_examples(bundle: Bundle, edit: Callable[[list[Object]], object]) -> None:
    examples = list_examples(bundle)
    edit(examples)
    bundle[CSV]["metadata"]["annotations"]["alm-examples"] = json.dumps(examples)


BROKEN: list[tuple[str, Callable[[Bundle], object]]] = [
    ("basic-check-spec", lambda b: edit_examples(b, lambda all: all[0].pop("spec"))),
    ("basic-check-spec", lambda b: edit_examples(b, lambda all: all.clear())),
    ("olm-crds-have-validation", lambda b: edit_examples(b, lambda all: all[0]["spec"].update(odd=1))),
    (
        "olm-crds-have-validation",
        lambda b: b["meshcontrolplanes.crd.yaml"]["spec"]["versions"][0].pop("schema"),
    ),
    ("olm-crds-have-resources", lambda b: list_owned(b)[1].pop("resources")),
    ("olm-spec-descriptors", lambda b: list_owned(b)[0].pop("specDescriptors")),
    ("olm-status-descriptors", lambda b: list_owned(b)[1]["statusDescriptors"].pop(0)),
]


@pytest.mark.parametrize(("check", "breaking"), BROKEN)
def test_a_bundle_that_is_broken_does_not_pass(check: str, breaking: Callable[[Bundle], object]) -> None:
    bundle = copy.deepcopy(read_bundle())
    breaking(bundle)
    assert list(CHECKS[check](bundle)) != []


def test_olm_bundle_validation_passes_the_bundle_and_not_one_without_a_version(tmp_path: Path) -> None:
    bundle = read_bundle()
    assert list(olm_bundle_validation(bundle, tmp_path / "whole")) == []
    bundle[CSV]["spec"].pop("version")
    assert list(olm_bundle_validation(bundle, tmp_path / "broken")) != []
