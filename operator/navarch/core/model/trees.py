"""YAML that users write into ConfigMaps: a text that becomes a tree of plain JSON values, or why not.

Owns the reading of what stands in such a text. Must never raise: one bad text would otherwise stop every
mesh, also those that have nothing to do with it. Invariant: what comes back can be walked, merged and written
as JSON, is no larger than LIMIT, nested no deeper than DEPTH, and holds all that the text says: one that says
something twice is refused, since YAML's reader would drop what stood first without a word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import yaml

from navarch.core.model.messages import join, shorten
from navarch.core.model.size import Size

DEPTH = 32

LIMIT = Size(nodes=2_000, bytes=64 * 1024)
"""The most that one text may have; the largest built-in profile has under fifty entries. Aliases count as
often as they are used."""

LONGEST_KEY = 63
"""Characters of a key that a message shows."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_key(data: Mapping[str, str], key: str, name: str) -> tuple[Any, str]:
    """The content of one key of ConfigMap `name`, as read_tree gives it. Where the key is missing, the keys
    that are there are told, and the nearest of them."""
    if key in data:
        return read_tree(data[key], f"ConfigMap {name}, key {key}")
    there = [shorten(other, LONGEST_KEY) for other in sorted(data)]
    nearest = get_close_matches(key, there, n=1)
    hint = f"; rename {nearest[0]} to {key}" if nearest else ""
    keys = join(there) or "none"
    return None, f"ConfigMap {name} has no key {key}, the only one that is read; its keys are: {keys}{hint}"


def read_tree(text: str, where: str) -> tuple[Any, str]:
    """The content of a text and an empty word, or None and what is wrong with it; `where` begins the
    sentence."""
    if len(text) > LIMIT.bytes:
        return None, f"{where}: it has {len(text):,} characters, and {LIMIT.bytes:,} are the most"
    try:
        # Before anything is made of the text: libyaml's loader recurses in C, and ends the process with it.
        if problem := _find_in_events(text):
            return None, f"{where}: {problem}"
        content = yaml.load(text, _LOADER)
    except Exception as error:
        # An explicit tag can make Python raise more than YAMLError: `!!bool x` is a KeyError.
        return None, f"{where}: it is not YAML: {type(error).__name__}: {error}"
    problem = _find_odd(content)
    return (None, f"{where}: {problem}") if problem else (content, "")


def _find_in_events(text: str) -> str:
    """What is wrong with a text before anything is made of it, its aliases aside; empty for nothing."""
    above: list[_Level] = []
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionEndEvent):
            above.pop()
        elif isinstance(event, yaml.NodeEvent):
            key = event.value if isinstance(event, yaml.ScalarEvent) else None
            if above and above[-1].repeats(key):
                return f"it has the key {_show(key)} twice in one map; remove one of the two"
        if isinstance(event, yaml.CollectionStartEvent):
            above.append(_Level(is_map=isinstance(event, yaml.MappingStartEvent)))
            if len(above) > DEPTH:
                return f"it is nested more than {DEPTH} levels deep"
    return ""


@dataclass(slots=True)
class _Level:
    """A map or a list that is being read: of a map, which keys there were, and whether a key comes next."""

    is_map: bool
    keys: set[str] = field(default_factory=set)
    at_key: bool = True

    def repeats(self, key: str | None) -> bool:
        """Take in one more node; whether it is a key that was there already."""
        there = self.is_map and self.at_key and key in self.keys
        if self.is_map and self.at_key and key is not None:
            self.keys.add(key)
        self.at_key = not self.at_key
        return there


def _find_odd(content: Any) -> str:
    """What keeps a tree from being plain JSON of a fair size; empty where nothing does."""
    stack = [(content, 1)]
    nodes = characters = 0
    while stack:
        node, depth = stack.pop()
        nodes += 1
        texts = [*(node if isinstance(node, Mapping) else ()), node]
        characters += sum(len(text) for text in texts if isinstance(text, str))
        if nodes > LIMIT.nodes or characters > LIMIT.bytes:
            most = f"{LIMIT.nodes:,} entries, or {LIMIT.bytes:,} characters"
            return f"it has more than {most}, where aliases count as often as they are used"
        if depth > DEPTH:
            return f"it is nested more than {DEPTH} levels deep"
        if isinstance(node, Mapping):
            odd = [key for key in node if not isinstance(key, str)]
            if odd:
                return f"the key {_show(odd[0])} is not a text; put it in quotes"
            stack += [(value, depth + 1) for value in node.values()]
        elif isinstance(node, list):
            stack += [(item, depth + 1) for item in node]
        elif isinstance(node, int) and not -(2**63) <= node < 2**63:
            return "it has an integer of more than 64 bits; no field of Istio's takes one"
        elif not _is_plain(node):
            return f"the value {_show(node)} is a {type(node).__name__}, which JSON has not; put it in quotes"
    return ""


def _is_plain(value: Any) -> bool:
    finite = not isinstance(value, float) or math.isfinite(value)
    return value is None or (isinstance(value, (str, int, float, bool)) and finite)


def _show(value: Any) -> str:
    try:
        return str(value)[:80]
    except ValueError:  # Python refuses to write integers of more than 4,300 digits
        return "that is too long to be shown"
