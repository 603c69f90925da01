"""The table of threats in docs/explanation/security.md: each row names tests, and each of them exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "security.md"
HEAD = ["threat", "from whom", "what stops it", "shown by"]
SECTION = "## Threats, what stops them, and the tests that show it"
TEST = re.compile(r"`(tests/[a-z_/]+\.py)::(test_[a-z0-9_]+)`")


def list_rows(text: str) -> Iterator[list[str]]:
    """The cells of each row of the section's tables."""
    _, _, section = text.partition(f"{SECTION}\n")
    section, _, _ = section.partition("\n## ")
    for line in section.splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if cells != HEAD and set("".join(cells)) != {"-"}:
                yield cells


@cache
def list_tests(file: str) -> frozenset[str]:
    """The names of a file's test functions; none where there is no such file."""
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    nodes = ast.parse(path.read_text()).body
    return frozenset(n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def find_faults(text: str) -> Iterator[str]:
    """What is wrong with the table, row by row."""
    for cells in list_rows(text):
        if len(cells) != len(HEAD) or not all(cells):
            yield f"not four cells: {cells}"
            continue
        named = TEST.findall(cells[-1])
        if not named or TEST.sub("", cells[-1]).replace("<br>", "").strip():
            yield f"{cells[0]}: the last cell holds tests and nothing else: {cells[-1]}"
        for file, test in named:
            if test not in list_tests(file):
                yield f"{cells[0]}: {file} has no {test}"


def test_every_threat_has_a_test_that_exists() -> None:
    text = PAGE.read_text()
    assert len(list(list_rows(text))) > 40
    assert list(find_faults(text)) == []


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
def test_a_row_without_a_test_is_found(row: str, fault: str) -> None:
    text = f"{SECTION}\n\n| {' | '.join(HEAD)} |\n|---|---|---|---|\n{row}\n\n## Next\n"
    (found,) = find_faults(text)
    assert fault in found
