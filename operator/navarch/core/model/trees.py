"""YAML that users write into ConfigMaps: a text that becomes a tree of plain JSON values, or why not.

Owns the reading of what stands in such a text. Must never raise: one bad text would otherwise stop every
mesh, also those that have nothing to do with it. Invariant: what comes back can be walked, merged and written
as JSON, is no larger than LIMIT and nested no deeper than DEPTH.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import yaml

from navarch.core.model.size import Size

DEPTH = 32

LIMIT = Size(nodes=2_000, bytes=64 * 1024)
"""The most that one text may have; the largest built-in profile has under fifty entries. Aliases count as
often as they are used."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_tree(text: str, where: str) -> tuple[Any, str]:
    """The content of a text and an empty word, or None and what is wrong with it; `where` begins the
    sentence."""
    if len(text) > LIMIT.bytes:
        return None, f"{where}: it has {len(text):,} characters, and {LIMIT.bytes:,} are the most"
    try:
        content = yaml.load(text, _LOADER)
    except Exception as error:
        # Besides YAMLError whatever an explicit tag makes Python raise: `!!bool x` is a KeyError, for one.
        return None, f"{where}: it is not YAML: {type(error).__name__}: {error}"
    problem = _find_odd(content)
    return (None, f"{where}: {problem}") if problem else (content, "")


def _find_odd(content: Any) -> str:
    """What keeps a tree from being plain JSON of a fair size; empty where nothing does."""
    stack = [(content, 1)]
    nodes = 0
    while stack:
        node, depth = stack.pop()
        nodes += 1
        if nodes > LIMIT.nodes:
            return f"it has more than {LIMIT.nodes:,} entries"
        if depth > DEPTH:
            return f"it is nested more than {DEPTH} levels deep"
        if isinstance(node, Mapping):
            odd = [key for key in node if not isinstance(key, str)]
            if odd:
                return f"the key {odd[0]!r} is not a text; put it in quotes"
            stack += [(value, depth + 1) for value in node.values()]
        elif isinstance(node, list):
            stack += [(item, depth + 1) for item in node]
        elif not _is_plain(node):
            return (
                f"the value {str(node)[:80]} is a {type(node).__name__}, which JSON has not; put it in quotes"
            )
    return ""


def _is_plain(value: Any) -> bool:
    finite = not isinstance(value, float) or math.isfinite(value)
    return value is None or (isinstance(value, (str, int, float, bool)) and finite)
