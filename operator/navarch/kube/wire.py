"""JSON as the API server sends it, also nested deeper than Python's parser goes, and as it reads it.

The API server takes thousands of levels in a field without a schema, Python's parser fewer than one thousand:
one such object would make the list and the watch of its kind unreadable. Pure.
Invariants: all that is nested no deeper than DEEPEST is read unchanged, what lies deeper reads as null; what
`dump` writes means the same as JSON and as YAML.
"""

from __future__ import annotations

import json
import re
from typing import Any

DEEPEST = 256
"""Levels; far more than any schema has, and enough for a check to see that a field is nested too deep."""

_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
"""Characters that a reader of YAML refuses or drops where they are not escaped."""

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]')


def dump(value: Any) -> bytes:
    """`value` for a reader of YAML, such as that of server-side apply. It refuses the pair of escapes that
    JSON has for a character beyond U+FFFF; half a pair, which is no character, is written as U+FFFD."""
    text = json.dumps(value, ensure_ascii=False)
    return _ESCAPED.sub(_escape, text).encode()


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\u{0xFFFD if 0xD800 <= code <= 0xDFFF else code:04x}"


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
