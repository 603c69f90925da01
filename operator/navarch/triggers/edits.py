"""What tells an edit of one of our own objects from a change of its status.

Owns that question. Must never look at the spec: metadata.generation speaks for it. Invariant: a change of
status alone is no edit.
"""

from __future__ import annotations

from typing import Any

from navarch.triggers.known import Object


def is_edit(old: Object | None, new: Object | None) -> bool:
    """Whether anything but the status of one of our own objects differs."""
    if old is None or new is None:
        return True
    return read_edited(old) != read_edited(new)


def read_edited(manifest: Object) -> tuple[Any, ...]:
    """Of an object what an edit changes."""
    watched = ("generation", "labels", "annotations", "finalizers", "deletionTimestamp")
    return tuple(manifest["metadata"].get(key) for key in watched)
