"""Data by which functools can remember what was made from it.

Owns the wrapper that makes JSON-like data hashable. What is remembered is a pure function's result, so it can
be wrong only where an input is missing from the arguments, and may be lost at any time.
Invariant: two Hashed values are equal exactly when their data is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from navarch.core.hashing import stable_hash

REMEMBERED = 256
"""Results that each memo keeps; the one that was used longest ago goes first. What one mesh becomes takes
about 0.2 MiB."""


@dataclass(frozen=True, slots=True)
class Hashed:
    """JSON-like data that is compared by its hash. Nobody may change `data`."""

    digest: str
    data: Any = field(compare=False, repr=False)


def build_hashed(data: Any) -> Hashed:
    """`data` with its hash in full length, for nothing else tells two inputs apart."""
    return Hashed(stable_hash(data, length=64), data)
