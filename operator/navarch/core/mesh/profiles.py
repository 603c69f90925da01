"""A user profile as it lies in a ConfigMap.

Owns the key under which it lies there. Must never raise: one bad profile would otherwise stop every mesh,
also those that do not name it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from navarch.core.model.trees import read_key

KEY = "profile.yaml"


def read_profile(data: Mapping[str, str], name: str) -> tuple[Any, str]:
    """The content of ConfigMap `name` and an empty text, or None and what is wrong with it."""
    return read_key(data, KEY, name)
