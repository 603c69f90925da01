"""The pages that people read: each link leads to a file and a heading, and each table row is in a table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def read_prose(page: Path) -> str:
    """A page without its code, in which brackets are no links."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)


def list_anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def list_broken_links(page: Path) -> Iterator[str]:
    """The links of a page that lead nowhere."""
    for link in LINK.findall(read_prose(page)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if ":" in link:
            continue
        if not target.exists() or (anchor and anchor not in list_anchors(target)):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    assert list(list_broken_links(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_empty_line_takes_rows_away_from_their_table(page: Path) -> None:
    lost = re.findall(r"^\|.*\n\n(\|(?!.*\n\| ?-).*)$", page.read_text(), re.MULTILINE)
    assert lost == []


def test_each_decision_has_one_row_and_they_stand_in_order() -> None:
    """Two that are made side by side are merged into one list."""
    folder = ROOT / "docs" / "explanation" / "decisions"
    rows = re.findall(r"^\| \[(\d{4})\]\(([^)]+)\)", (folder / "README.md").read_text(), re.MULTILINE)
    assert rows == sorted((page.name[:4], page.name) for page in folder.glob("[0-9]*.md"))


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading: `x`\n[1](#a-heading-x) [2](#none) [3](none.md) `[4](none)` [5](https://a.b/)\n"
    )
    assert list(list_broken_links(page)) == ["#none", "none.md"]
