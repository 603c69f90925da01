"""Markdown as the pages of docs/reference/ are made of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def escape(text: str) -> str:
    """Text as it may stand in a cell of a Markdown table."""
    return text.replace("<", "&lt;").replace("|", "\\|").replace("*", "\\*")


def code(text: str) -> str:
    """Text in code style, in a cell of a Markdown table."""
    return f"`{text.replace('|', chr(92) + '|')}`"


def build_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; cells are written as they are."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
