"""One way to turn data into a short, stable name.

Invariant: equal data gives equal hashes on every machine and Python version.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any


def stable_hash(value: Any, *, length: int = 16) -> str:
    """Hexadecimal digest of JSON-like data, independent of the order of keys; `length` in characters, at most
    64."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
