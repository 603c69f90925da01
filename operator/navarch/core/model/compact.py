"""Trees of JSON values that share with each other what they have in common.

Owns what is kept once: names of fields, texts, and small maps and lists, which are mostly the same in the
objects of every mesh. Must never change what a tree says; a compact tree must not be changed either. What is
remembered of earlier trees may be lost at any time. Invariant: a compact tree equals the one that it was made
from, also in the order of its fields and the types of its numbers.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import Any, TypeAlias

LONGEST = 4096
"""Characters of a text that is kept once where it comes from the cluster: longer ones are rare."""
_WIDEST = 24
"""Entries of a map or list that is kept once: wider ones mostly differ."""
_REMEMBERED = 2048
"""Maps and lists that the next tree may share; the one that was shared longest ago goes first."""

_Key: TypeAlias = tuple[Any, ...]
_known: OrderedDict[_Key, Any] = OrderedDict()


def compact(value: Any) -> Any:
    """The same tree, of parts that are shared with others."""
    tree = share_texts(value, longest=LONGEST)
    return _share_parts(tree)


def share_texts(value: Any, *, longest: int) -> Any:
    """The same tree, of texts that are shared with others; for what people read, since YAML marks a map or
    list that occurs twice."""
    if type(value) is str:
        return sys.intern(value) if len(value) <= longest else value
    if type(value) is dict:
        return {
            sys.intern(key) if type(key) is str else key: share_texts(item, longest=longest)
            for key, item in value.items()
        }
    if type(value) is list:
        return [share_texts(item, longest=longest) for item in value]
    return value


def _share_parts(value: Any) -> Any:
    if type(value) is dict:
        parts = {key: _share_parts(item) for key, item in value.items()}
        return _share((dict, *parts, *map(_sign, parts.values())), parts)
    if type(value) is list:
        items = [_share_parts(item) for item in value]
        return _share((list, *map(_sign, items)), items)
    return value


def _share(key: _Key, value: Any) -> Any:
    """An equal map or list that is known, else this one."""
    if len(value) > _WIDEST:
        return value
    known = _known.get(key)
    if known is not None:
        _known.move_to_end(key)
        return known
    _known[key] = value
    if len(_known) > _REMEMBERED:
        _known.popitem(last=False)
    return value


def _sign(item: Any) -> Any:
    """What tells a part of a map or list apart. A container is known by where it is: whoever is in `_known`
    holds its parts, so none of them can have made room for another."""
    if type(item) is str:
        return item
    if type(item) in (int, bool, float, type(None)):
        return type(item), repr(item)
    return object, id(item)
