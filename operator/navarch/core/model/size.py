"""How large a tree of JSON is: what its rendering costs, and how long its text becomes.

Owns the measure. Must never take longer than its limits allow: it is asked before anything else looks into
what a user wrote. Invariant: a tree within LIMIT renders to less YAML than a ConfigMap holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

INDENT = 2


@dataclass(frozen=True, slots=True)
class Size:
    """`nodes` counts maps, lists, keys' values and items; `bytes` bounds the text as block YAML, indentation
    included."""

    nodes: int
    bytes: int

    def exceeds(self, other: Size) -> bool:
        """Whether it is larger in either way."""
        return self.nodes > other.nodes or self.bytes > other.bytes

    def __str__(self) -> str:
        return f"{self.nodes:,} entries, {-(-self.bytes // 1024):,} KiB"


LIMIT = Size(nodes=4_000, bytes=512 * 1024)
"""The most that the specification of one mesh may have. The bytes keep each rendered
object under the API server's limit for a ConfigMap (1 MiB), the entries a look at the mesh under a fifth of
a second: all meshes share one thread."""


def measure(trees: Iterable[Any], *, enough: Size | None = None) -> Size:
    """The size of trees of JSON values together; counting stops beyond `enough`."""
    nodes = written = 0
    stack = [(tree, 1) for tree in trees]
    while stack:
        node, depth = stack.pop()
        nodes += 1
        if isinstance(node, (Mapping, list, tuple)):
            found = Size(nodes + len(stack) + len(node), written)
            if enough is not None and found.exceeds(enough):
                return found  # before anything is done for each of them
        if isinstance(node, Mapping):
            written += sum(_length(str(key), depth) for key in node)
            stack += [(value, depth + 1) for value in node.values()]
        elif isinstance(node, (list, tuple)):
            stack += [(item, depth + 1) for item in node]
        else:
            written += _length(node, depth)
    return Size(nodes, written)


def describe_size(tree: Any) -> str:
    """The size of a tree in words. Its JSON is counted, which is quick; its entries only as far as LIMIT."""
    kibibytes = -(-len(json.dumps(tree)) // 1024)
    nodes = measure([tree], enough=LIMIT).nodes
    entries = f"more than {LIMIT.nodes:,}" if nodes > LIMIT.nodes else f"{nodes:,}"
    return f"{kibibytes:,} KiB of JSON with {entries} entries"


def _length(scalar: Any, depth: int) -> int:
    lines = 1 + (scalar.count("\n") if isinstance(scalar, str) else 0)
    return len(json.dumps(scalar, default=str)) + 4 + lines * depth * INDENT
