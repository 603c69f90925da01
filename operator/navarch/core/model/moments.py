"""Moments as objects of the API carry them.

Owns how one is written, and the reading of one that anybody may have written. Must never read a clock.
"""

from __future__ import annotations

from datetime import UTC, datetime


def read_moment(text: str) -> datetime | None:
    """A moment of RFC 3339; None for anything else, and for one without an offset."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo is not None else None


def settle_moment(told: str, now: str) -> str:
    """A moment that status tells, as it stands there; `now` in place of what is none, and of one that is yet
    to come: a clock that was ahead wrote it, and to wait for it would be to wait for as long as that was."""
    read = read_moment(told)
    return told if read is not None and read <= datetime.fromisoformat(now) else now


def format_moment(moment: datetime) -> str:
    """A moment with an offset as Kubernetes writes it: of UTC, in whole seconds."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
