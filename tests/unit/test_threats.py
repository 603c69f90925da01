"""The pages whose tables say which test shows a row: each row names tests, and each of them exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEST = re.compile(r"`(tests/[a-z_/]+\.py)::(test_[a-z0-9_]+)`")
LINK = re.compile(r"\[([a-z-]+)#(\d+)\]\(https://github\.com/[a-z-]+/([a-z-]+)/(?:issues|pull)/(\d+)\)")


@dataclass(frozen=True)
class Page:
    """A page, the section with its tables, and their head; the last column has the tests."""

    path: Path
    section: str
    head: tuple[str, ...]

    def list_rows(self, text: str) -> Iterator[list[str]]:
        """The cells of each row of the section's tables."""
        _, _, section = text.partition(f"{self.section}\n")
        section, _, _ = section.partition("\n## ")
        for line in section.splitlines():
            if line.startswith("|"):
                cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
                if tuple(cells) != self.head and set("".join(cells)) != {"-"}:
                    yield cells


THREATS = Page(
    ROOT / "docs" / "explanation" / "security.md",
    "## Threats, what stops them, and the tests that show it",
    ("threat", "from whom", "what stops it", "shown by"),
)
ELSEWHERE = Page(
    ROOT / "docs" / "explanation" / "met-elsewhere.md",
    "## What they met, and the tests that show what Navarch does",
    ("what users met", "where", "what Navarch does", "shown by"),
)
SAIL = Page(
    ROOT / "docs" / "explanation" / "upgrades-beside-sail.md",
    "## The same upgrade, row by row",
    ("in an upgrade", "Sail", "Navarch", "shown by"),
)


@cache
def list_tests(file: str) -> frozenset[str]:
    """The names of a file's test functions; none where there is no such file."""
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    nodes = ast.parse(path.read_text()).body
    return frozenset(n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def find_faults(page: Page, text: str) -> Iterator[str]:
    """What is wrong with the tables, row by row."""
    for cells in page.list_rows(text):
        if len(cells) != len(page.head) or not all(cells):
            yield f"not four cells: {cells}"
            continue
        named = TEST.findall(cells[-1])
        if not named or TEST.sub("", cells[-1]).replace("<br>", "").strip():
            yield f"{cells[0]}: the last cell holds tests and nothing else: {cells[-1]}"
        for file, test in named:
            if test not in list_tests(file):
                yield f"{cells[0]}: {file} has no {test}"


PAGES = {"threats": (THREATS, 41), "elsewhere": (ELSEWHERE, 36), "sail": (SAIL, 11)}


@pytest.mark.parametrize(("page", "rows"), PAGES.values(), ids=PAGES.keys())
def test_every_row_has_a_test_that_exists(page: Page, rows: int) -> None:
    text = page.path.read_text()
    assert len(list(page.list_rows(text))) >= rows
    assert list(find_faults(page, text)) == []


def test_what_others_met_is_linked_by_its_number() -> None:
    for _, where, *_ in ELSEWHERE.list_rows(ELSEWHERE.path.read_text()):
        found = LINK.fullmatch(where)
        assert found, where
        name, number, repository, linked = found.groups()
        assert (number, repository.startswith(name)) == (linked, True), where


@pytest.mark.parametrize("page", [page for page, _ in PAGES.values()], ids=PAGES.keys())
@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("| a | b | c | |", "not four cells"),
        ("| a | b | c |", "not four cells"),
        ("| a | b | c | see elsewhere |", "the last cell holds tests"),
        ("| a | b | c | `tests/unit/test_threats.py::test_of_nothing` |", "has no test_of_nothing"),
        ("| a | b | c | `tests/unit/test_nowhere.py::test_x` |", "has no test_x"),
    ],
)
def test_a_row_without_a_test_is_found(page: Page, row: str, fault: str) -> None:
    text = f"{page.section}\n\n| {' | '.join(page.head)} |\n|---|---|---|---|\n{row}\n\n## Next\n"
    (found,) = find_faults(page, text)
    assert fault in found
