"""Words with a sentence of documentation each.

Owns how the sentence stays with its word. Must never hold a word: the vocabularies do. Invariant: a member is
its word, wherever a string is.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Documented(StrEnum):
    """A vocabulary; `doc` says in one sentence what a word means to the user."""

    doc: str

    def __new__(cls, value: str, doc: str = "") -> Self:
        """Attach the documentation to the word."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.doc = doc
        return member
