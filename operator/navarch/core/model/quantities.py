"""Kubernetes quantities as numbers.

Owns their reading. Must never write one. Invariant (tests/unit): a quantity is read as it is by
kubernetes.utils.quantity, which `core` cannot import: it would bring the whole client.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

_DECIMAL: Final = {unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", 1)}

_BINARY: Final = {f"{unit.upper()}i": Decimal(1024) ** power for power, unit in enumerate("kMGTPE", 1)}

_SMALL: Final = {unit: Decimal(1000) ** -power for power, unit in enumerate("mun", 1)}

_FACTORS: Final = {"": Decimal(1), **_SMALL, **_DECIMAL, **_BINARY}


def parse_quantity(text: str) -> Decimal:
    """A Kubernetes quantity as a number: `500m` is 0.5, `1Gi` is 2**30 (apimachinery, pkg/api/resource)."""
    number = text.rstrip("munkKMGTPEi")
    return Decimal(number) * _FACTORS[text[len(number) :]]
