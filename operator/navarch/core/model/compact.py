"""Trees of JSON values that share with each other what they have in common.

Owns what is kept once: names of fields, texts, and small maps and lists, which are mostly the same in the
objects of every mesh. Must never change what a tree says; a compact tree must not be changed either. What is
remembered of earlier trees may be lost at any time. Invariant: a compact tree equals the one that it was made
from, also in the order of its fields and the types of its numbers; what is remembered holds nothing but small
maps and lists of short texts, at most a few KiB each, for any trees.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import Any, TypeAlias

LONGEST = 4096
"""Characters of a text that is kept once where it comes from the cluster: longer ones are rare."""
_WIDEST = 24
"""Entries of a map or list that is kept once: wider ones mostly differ."""
_SHORTEST_LONG = 512
"""Characters of a text that no remembered map or list holds: others may write any number of long ones."""
_REMEMBERED = 2048
"""Maps and lists that the next tree may share; the one that was shared longest ago goes first."""

_Key: TypeAlias = tuple[Any, ...]
_known: OrderedDict[_Key, Any] = OrderedDict()


def compact(value: Any, *, longest: int = LONGEST) -> Any:
    """The same tree, of parts that are shared with others, and within it: whoever writes one as YAML does so
    by plain_yaml.py."""
    return _share_parts(share_texts(value, longest=longest), set())


def share_texts(value: Any, *, longest: int) -> Any:
    """The same tree, of texts that are shared with others."""
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


def _share_parts(value: Any, used: set[int]) -> Any:
    if type(value) is dict:
        parts = {key: _share_parts(item, used) for key, item in value.items()}
        return _share((dict, *parts, *map(_sign, parts.values())), parts, used)
    if type(value) is list:
        items = [_share_parts(item, used) for item in value]
        return _share((list, *map(_sign, items)), items, used)
    return value


def _share(key: _Key, value: Any, used: set[int]) -> Any:
    """An equal map or list that is known, else this one; `used` are those of this tree."""
    if len(value) > _WIDEST or not all(_is_small(item, used) for item in key[1:]):
        return value
    known = _known.get(key)
    if known is None:
        known = _known[key] = value
        if len(_known) > _REMEMBERED:
            _known.popitem(last=False)
    else:
        _known.move_to_end(key)
    used.add(id(known))
    return known


def _is_small(sign: Any, used: set[int]) -> bool:
    """Whether a field's name or a part, by what `_sign` says of it, is a short scalar or is remembered."""
    if type(sign) is str:
        return len(sign) <= _SHORTEST_LONG
    kind, what = sign
    return what in used if kind is object else len(what) <= _SHORTEST_LONG


def _sign(item: Any) -> Any:
    """What tells a part of a map or list apart. A container is known by where it is: each one in `_known`
    holds its parts, so none of them can have made room for another."""
    if type(item) is str:
        return item
    if type(item) in (int, bool, float, type(None)):
        return type(item), repr(item)
    return object, id(item)
