"""JSON as the API server sends it, also where somebody nested it deeper than Python's parser goes.

The API server takes thousands of levels in a field without a schema, Python's parser fewer than one thousand:
one such object would make the list and the watch of its kind unreadable. Pure.
Invariant: whatever is nested no deeper than DEEPEST is read as it is; what lies deeper reads as null.
"""

from __future__ import annotations

import json
import re
from typing import Any

DEEPEST = 256
"""Levels; far more than any schema has, and enough for a check to see that a field is nested too deep."""

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]')


def parse(text: str | bytes) -> Any:
    """What `text` says. Raises ValueError where it is not JSON."""
    try:
        return json.loads(text)
    except RecursionError:
        return json.loads(_cut(text if isinstance(text, str) else text.decode()))


def _cut(text: str) -> str:
    kept: list[str] = []
    depth = begin = 0
    for token in _TOKENS.finditer(text):
        if token[0] in "{[":
            depth += 1
            if depth == DEEPEST + 1:
                kept += (text[begin : token.start()], "null")
        elif token[0] in "}]":
            if depth == DEEPEST + 1:
                begin = token.end()
            depth -= 1
    return "".join(kept) + text[begin:]
