"""Moments as objects of the API carry them.

Owns the reading of one that anybody may have written. Must never read a clock.
"""

from __future__ import annotations

from datetime import datetime


def read_moment(text: str) -> datetime | None:
    """A moment of RFC 3339; None for anything else, and for one without an offset."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo is not None else None
