"""One way to turn data into a short, stable name.

Invariant: equal data gives equal hashes on every machine and Python version.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

_REMEMBERED = 16
"""Rendered objects whose hash is remembered: about those of one reconcile. Some hold 160 KiB."""
_known: OrderedDict[int, tuple[Mapping[str, Any], str]] = OrderedDict()
"""By id(), each with the object itself: one that is held here lives, so no other can get its id."""


def stable_hash(value: Any, *, length: int = 16) -> str:
    """Hexadecimal digest of JSON-like data, independent of the order of keys; `length` in characters, at most
    64."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def hash_rendered(manifest: Mapping[str, Any]) -> str:
    """The hash of a rendered object, which no code may change (decision 0025). Plan, apply and status of one
    reconcile ask for it one after the other."""
    known = _known.get(id(manifest))
    if known is None:
        known = _known[id(manifest)] = manifest, stable_hash(manifest)
        while len(_known) > _REMEMBERED:
            _known.popitem(last=False)
    return known[1]
