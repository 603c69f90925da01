"""Trees of JSON values that share their texts with each other.

Owns what is kept once: the names of fields, and texts that are the same for every mesh. Must never change
what a tree says. Pure. Invariant: a compact tree equals the one that it was made from.
"""

from __future__ import annotations

import sys
from typing import Any

SHORT = 4096
"""Characters of a text that is kept once where it comes from the cluster: longer ones are rare."""


def compact(value: Any, *, longest: int = SHORT) -> Any:
    """The same tree; of its texts of up to `longest` characters equal ones are one."""
    if type(value) is str:
        return sys.intern(value) if len(value) <= longest else value
    if type(value) is dict:
        return {
            sys.intern(key) if type(key) is str else key: compact(item, longest=longest)
            for key, item in value.items()
        }
    if type(value) is list:
        return [compact(item, longest=longest) for item in value]
    return value
