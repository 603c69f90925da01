"""What is said to have run: taken over of whole files alone, and shown as it was taken over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from navarch.assets import load_assets

from lab.builds import ISTIO_LINES, kubernetes_modules
from scripts.reference_support import NONE, build_support_page
from scripts.suite.durations import renew_durations
from scripts.suite.results import Case
from scripts.suite.support import ROOT, merge, read_seen
from tests.support.platforms import STAND_IN

NEW, OLD = "Kubernetes 1.37", "Kubernetes 1.32"
FILE = "tests/cluster/test_a.py"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one file of two tests."""
    (tmp_path / FILE).parent.mkdir(parents=True)
    (tmp_path / FILE).write_text("async def test_one(): pass\ndef test_two(): pass\n")
    return tmp_path


def build(test: str, outcome: str = "passed", *met: str) -> Case:
    return Case(f"{FILE}::{test}", outcome, met=met or (NEW,))


def test_a_file_counts_by_what_its_tests_stood_on(checkout: Path) -> None:
    cases = [build("test_one[a]", "passed", NEW, "Istio 1.31, x"), build("test_one[b]"), build("test_two")]
    assert merge({}, cases, root=checkout) == {NEW: {FILE: 3}, "Istio 1.31, x": {FILE: 1}}


@pytest.mark.parametrize(
    "cases",
    [
        [build("test_one")],
        [build("test_one"), build("test_two", "failed")],
        [build("test_one", "skipped"), build("test_two", "skipped")],
    ],
    ids=["in part", "failed", "skipped"],
)
def test_a_file_that_did_not_run_to_its_end_leaves_what_was_known(checkout: Path, cases: list[Case]) -> None:
    known = {OLD: {FILE: 2}, NEW: {FILE: 1}}
    assert merge(known, cases, root=checkout) == known


def test_a_later_run_replaces_an_earlier_one_of_the_same_platform(checkout: Path) -> None:
    cases = [build("test_one"), build("test_two", "skipped")]
    assert merge({OLD: {FILE: 2}, NEW: {FILE: 9}}, cases, root=checkout) == {OLD: {FILE: 2}, NEW: {FILE: 1}}


def test_a_file_that_is_no_longer_there_is_forgotten(checkout: Path) -> None:
    assert merge({OLD: {"tests/cluster/test_gone.py": 2}}, [], root=checkout) == {}


@pytest.mark.parametrize("outcome", ["passed", "failed", "skipped"])
def test_a_file_takes_as_long_as_its_last_whole_run_and_those_that_did_not_run_are_kept(
    checkout: Path, outcome: str
) -> None:
    (checkout / "tests/cluster/test_b.py").write_text("def test_it(): pass\n")
    known = {"tests/cluster/test_gone.py": 9.0, FILE: 5.0, "tests/cluster/test_b.py": 3.0}
    cases = [replace(build(name, outcome), seconds=1.0) for name in ("test_one", "test_two")]
    renewed = renew_durations(known, cases, root=checkout)
    assert renewed == {"tests/cluster/test_b.py": 3.0, FILE: 2.0 if outcome == "passed" else 5.0}
    assert list(renewed) == sorted(renewed, key=lambda file: -renewed[file])
    assert renew_durations(known, cases[:1], root=checkout)[FILE] == 5.0


def test_the_page_says_of_every_version_whether_it_ran() -> None:
    minors = load_assets().catalog.minors
    page = build_support_page({NEW: {FILE: 3}, f"Istio {minors[-1].name}, {STAND_IN}": {FILE: 3}}, minors)
    for kubernetes in kubernetes_modules():
        shown = "3 in 1 file" if f"Kubernetes {kubernetes}" == NEW else NONE
        assert f"| {kubernetes} | {shown} |" in page
    for minor in minors:
        shown = "cluster: `test_a`" if minor is minors[-1] else NONE
        assert f"| {minor.name} | {shown} | {NONE} | {NONE} |" in page


def test_what_was_taken_over_names_files_and_versions_that_exist() -> None:
    seen = read_seen()
    pinned = {f"Kubernetes {minor}" for minor in kubernetes_modules()}
    assert {platform for platform in seen if platform.startswith("Kubernetes")} <= pinned
    minors = {minor.name for minor in load_assets().catalog.minors}
    assert {line.minor for line in ISTIO_LINES} <= minors
    assert {p.split()[1].rstrip(",") for p in seen if p.startswith("Istio")} <= minors
    assert [file for files in seen.values() for file in files if not (ROOT / file).is_file()] == []
