"""Windows of restarts as the text of an annotation: the list of spec.upgrade.dataPlane.windows, as JSON.

Owns the reading of it. Must never guess: a text that is not such a list says that no window can be read.
Invariant: equal texts give one value, however many objects have them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, TypeAlias

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from navarch.api.dataplane import Window

LONGEST = 2048
"""Characters of the text that are kept: a longer one is cut, and no list any more."""
Windows: TypeAlias = tuple[Window, ...]
"""When restarts may begin, by one who may narrow that; none of them: what was written cannot be read."""


class _Written(Window):
    """A window in which no field is that a window has not: one that is misspelt would widen it."""

    model_config = ConfigDict(extra="forbid")


_LIST: TypeAdapter[list[_Written]] = TypeAdapter(
    Annotated[list[_Written], Field(min_length=1, max_length=20)]
)


@lru_cache(maxsize=1024)
def read_windows(text: str) -> Windows:
    """The windows that an annotation says; none where it cannot be read."""
    try:
        return tuple(Window.model_validate(each.model_dump()) for each in _LIST.validate_json(text))
    except (ValidationError, RecursionError):
        return ()
