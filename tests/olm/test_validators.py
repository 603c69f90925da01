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
from scripts.bundle_reading import load_bundle
from scripts.bundle_rules import check_folder
from scripts.files import ROOT
from tests.olm.conftest import RELEASE
from tests.support.broken_bundles import BROKEN, UNREADABLE, build_broken, write_bundle

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


def verify(bundle: Path) -> str:
    """What operator-framework's own command says; it ends with 0 in any case. Of its switches one stands for
    a validator that is replaced by those of `validate`."""
    program = builds.ensure("olm", only=["operator-verify"])["operator-verify"]
    argv = [program, "manifests", "--object_validate", bundle]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def test_operator_verify_says_of_the_bundle_what_stays_for_a_reason_and_of_a_broken_one_more(
    tmp_path: Path,
) -> None:
    accepted = [words for validator, words in ACCEPTED if validator == "object"]
    said = verify(ROOT / "bundle").splitlines()
    assert [line for line in said if not any(words in line for words in accepted)] == []
    shutil.copytree(ROOT / "bundle", tmp_path / "bundle")
    next((tmp_path / "bundle/manifests").glob("meshgateways*")).unlink()
    assert "owned CRD" in verify(tmp_path / "bundle")


@pytest.mark.long
@pytest.mark.usefixtures("in_full")
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


def refuses(bundle: Path) -> bool:
    """Whether the validators say of a bundle more than of the committed one, or cannot read it."""
    program = builds.ensure("olm", only=["bundle-validators"])["bundle-validators"]
    done = subprocess.run([program, bundle], capture_output=True, text=True, check=False)
    return done.returncode != 0 or any(
        find_reason(json.loads(line)) is None for line in done.stdout.splitlines()
    )


def test_of_all_broken_bundles_lint_finds_each_and_the_validators_some(tmp_path: Path) -> None:
    """Lint has to find those as well that the validators find: they do not run there."""
    good = load_bundle(ROOT / "bundle")
    write_bundle(good, tmp_path / "good")
    assert check_folder(tmp_path / "good") == []
    assert not refuses(tmp_path / "good")
    broken = [tmp_path / str(number) for number in range(len(BROKEN) + len(UNREADABLE))]
    for folder, (_, _, break_it) in zip(broken, BROKEN, strict=False):
        write_bundle(build_broken(good, break_it), folder)
    for folder, how in zip(broken[len(BROKEN) :], UNREADABLE.values(), strict=True):
        shutil.copytree(ROOT / "bundle", folder)
        how(folder / "manifests")
    refused = sum(map(refuses, broken))
    print(f"{len(broken)} broken bundles: lint finds all, the validators {refused}")
    assert [folder for folder in broken if not check_folder(folder)] == []
    assert 16 <= refused < len(broken)


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
