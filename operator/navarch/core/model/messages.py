"""Texts of messages: lists that stay short, values that stay short.

Owns the bounds of what a message shows. Must never drop anything without saying so. Invariant: the length of
a message does not grow with the length of a list.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

LISTED = 5
"""How many objects a message names before it counts the rest."""


def join(items: Iterable[object]) -> str:
    """Texts in one message: the first few, and how many more there are."""
    texts = [str(item) for item in items]
    rest = len(texts) - LISTED
    return "; ".join(texts[:LISTED]) + (f"; and {rest} more" if rest > 0 else "")


def count(number: int, one: str, many: str) -> str:
    """A number with the words for one or for many: `1 pod runs`, `2 pods run`."""
    return f"{number} {one if number == 1 else many}"


SHOWN = 200
"""Characters of a value that a message shows at the most."""


def shorten(value: Any, longest: int = SHOWN) -> str:
    """A value of any size as a message shows it: its first characters, `longest` of them."""
    text = str(value)
    return text if len(text) <= longest else f"{text[:longest]}…"
