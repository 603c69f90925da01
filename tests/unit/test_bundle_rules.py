"""Each rule for a bundle, and a broken bundle that it catches."""

import shutil
from pathlib import Path

import pytest

from scripts.bundle_reading import Bundle, load_bundle
from scripts.bundle_rules import RULES, check_bundle, check_folder
from scripts.files import ROOT
from tests.support.broken_bundles import BROKEN, UNREADABLE, Break, build_broken


@pytest.fixture(scope="module")
def good() -> Bundle:
    return load_bundle(ROOT / "bundle")


@pytest.mark.parametrize(("name", "broken", "break_it"), BROKEN, ids=[f"{n}-{b}" for n, b, _ in BROKEN])
def test_a_broken_bundle_is_caught_by_its_rule(name: str, broken: str, break_it: Break, good: Bundle) -> None:
    findings = check_bundle(build_broken(good, break_it))
    assert name in {finding.partition(":")[0] for finding in findings}, broken


@pytest.mark.parametrize("how", UNREADABLE)
def test_what_cannot_be_read_as_a_bundle_is_named_in_one_line(how: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "bundle", tmp_path / "bundle")
    UNREADABLE[how](tmp_path / "bundle" / "manifests")
    (finding,) = check_folder(tmp_path / "bundle")
    assert finding.startswith("manifests/")
    assert "\n" not in finding


def test_the_committed_bundle_breaks_no_rule(good: Bundle) -> None:
    assert check_bundle(good) == []
    assert check_folder(ROOT / "bundle") == []


def test_there_is_a_broken_bundle_for_each_rule() -> None:
    assert {name for name, _, _ in BROKEN} == {rule.__name__ for rule in RULES}
