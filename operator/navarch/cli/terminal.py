"""Words from a cluster, made fit for a terminal.

Owns what a terminal would take for a command, and how long a text may be. Everything that others can write
(names, labels, messages, certificates) goes through here before it is printed. Pure, but for `prepare`.
Invariant: what `escape` returns holds no control character, no mark that turns the direction of writing, and
nothing that UTF-8 cannot say.
"""

from __future__ import annotations

import io
import sys
import unicodedata
from collections.abc import Mapping
from typing import Any

LONGEST = 2000
"""Characters of one text."""
_SPOKEN = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e"}
_BAD = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def escape(text: str, *, longest: int = LONGEST) -> str:
    """`text` on one line, with what is not to be seen written out, and no longer than it may be."""
    cut = len(text) - longest
    if cut > 0:
        text = text[:longest]
    if not text.isascii() or not text.isprintable():
        text = "".join(map(_spell, text))
    return f"{text}… ({cut:,} characters more)" if cut > 0 else text


def _spell(char: str) -> str:
    if unicodedata.category(char) not in _BAD:
        return char
    code = ord(char)
    return _SPOKEN.get(char) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def escape_tree(value: Any) -> Any:
    """The same for all texts of a document, whole."""
    if isinstance(value, Mapping):
        return {escape(str(key)): escape_tree(below) for key, below in value.items()}
    if isinstance(value, (list, tuple)):
        return [escape_tree(below) for below in value]
    return escape(value, longest=len(value)) if isinstance(value, str) else value


def prepare() -> None:
    """Let no text of any kind end the command, in any encoding of the terminal."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
