"""Kubernetes quantities as numbers.

Owns their reading. Must never write one. Invariant: two spellings of one amount are equal numbers.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

_DECIMAL: Final = {unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", 1)}

_BINARY: Final = {f"{unit.upper()}i": Decimal(1024) ** power for power, unit in enumerate("kMGTPE", 1)}

_FACTORS: Final = {"m": Decimal("0.001"), "": Decimal(1), **_DECIMAL, **_BINARY}


def parse_quantity(text: str) -> Decimal:
    """A Kubernetes quantity as a number: `500m` is 0.5, `1Gi` is 2**30 (apimachinery, pkg/api/resource)."""
    number = text.rstrip("mkKMGTPEi")
    return Decimal(number) * _FACTORS[text[len(number) :]]
