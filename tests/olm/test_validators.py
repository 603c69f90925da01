"""The committed bundle and catalog, as operator-framework's own programs judge them. No cluster is needed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from navarch.api.olm.catalog import build_bundle_blob

from lab import builds
from scripts import olm
from scripts.files import ROOT
from tests.olm.conftest import RELEASE

ACCEPTED = {
    ("object", "create/update poddisruptionbudgets"): "istiod has a disruption budget, which Navarch makes",
    ("good-practices", "permissions to create CRD"): "Navarch installs Istio's CRDs for its meshes",
}
"""What the validators warn of and stays, by validator and words of the warning, and why."""


def validate(bundle: Path) -> list[dict[str, str]]:
    program = builds.ensure("olm", only=["bundle-validators"])["bundle-validators"]
    done = subprocess.run([program, bundle], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def find_reason(finding: dict[str, str]) -> tuple[str, str] | None:
    known = (key for key in ACCEPTED if key[0] == finding["validator"] and key[1] in finding["detail"])
    return next(known, None)


def test_the_validators_find_nothing_in_the_bundle_but_what_stays_for_a_reason() -> None:
    findings = validate(ROOT / "bundle")
    assert [f for f in findings if f["level"] != "Warning" or find_reason(f) is None] == []
    assert {find_reason(f) for f in findings} == ACCEPTED.keys()


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("provider", {}, "provider"),
        ("minKubeVersion", "1.x", "minKubeVersion"),
        ("installModes", [], "install modes"),
    ],
)
def test_the_validators_see_a_bundle_that_is_broken(
    field: str, value: Any, expected: str, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "bundle", tmp_path / "bundle")
    path = tmp_path / "bundle/manifests/navarch.clusterserviceversion.yaml"
    csv = yaml.safe_load(path.read_text())
    csv["spec"][field] = value
    path.write_text(yaml.safe_dump(csv))
    more = [f for f in validate(tmp_path / "bundle") if find_reason(f) is None]
    assert any(expected.lower() in json.dumps(finding).lower() for finding in more)


def run_opm(*arguments: str | Path) -> str:
    opm = builds.ensure("olm", only=["opm"])["opm"]
    done = subprocess.run([opm, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_opm_accepts_the_catalog() -> None:
    run_opm("validate", ROOT / "catalog")


def test_opm_reads_the_bundle_as_the_catalog_holds_it() -> None:
    rendered = json.loads(run_opm("render", ROOT / "bundle", "-o", "json"))
    ours = build_bundle_blob(RELEASE, olm.build_objects(RELEASE).values())

    def list_properties(blob: dict[str, Any]) -> list[str]:
        kept = (each for each in blob["properties"] if each["type"] != "olm.bundle.object")
        return sorted(json.dumps(each, sort_keys=True) for each in kept)

    def count(blob: dict[str, Any]) -> int:
        return sum(each["type"] == "olm.bundle.object" for each in blob["properties"])

    assert {key: rendered[key] for key in ("schema", "name", "package")} == {
        key: ours[key] for key in ("schema", "name", "package")
    }
    assert list_properties(rendered) == list_properties(ours)
    assert count(rendered) == count(ours)
    images = {each["image"] for each in rendered["relatedImages"] if each["image"]}
    assert images == {each["image"] for each in ours["relatedImages"]}
