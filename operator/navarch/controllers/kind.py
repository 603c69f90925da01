"""What a row of the table of our kinds says.

Owns the record; controllers/kinds.py has the rows. Must never name a kind. Invariant: all that
depends on the kind outside of its own modules is a field here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from navarch.api.meta import Resource
from navarch.core.model.conditions import ConditionType
from navarch.core.model.urgency import Awaited
from navarch.engine.key import Key
from navarch.engine.result import Result
from navarch.gather.watches import Watch

Reconcile: TypeAlias = Callable[[Key], Awaitable[Result]]


class Controller(Protocol):
    """What does the work of one kind's keys."""

    async def reconcile(self, key: Key) -> Result:
        """Bring one object to where its spec wants it, as far as is possible now."""


Tools = TypeVar("Tools")
"""What controllers work with."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[Tools]):
    """One of our kinds. `resource` is its model with its columns, `watch` where its objects come from;
    `conditions` are those of its status, `awaited` those whose change is written at once; `has_events` says
    whether its transitions are told in Events; `build` makes its controller."""

    resource: Resource
    watch: Watch
    conditions: tuple[ConditionType, ...]
    awaited: Awaited
    has_events: bool
    build: Callable[[Tools], Controller]


Kinds: TypeAlias = Mapping[str, Kind[Any]]
"""Rows by the name of the kind."""
