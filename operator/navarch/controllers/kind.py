"""What a row of the table of our kinds says.

Owns the record; controllers/kinds.py has the rows. Must never name a kind. Invariant: whatever is chosen by
kind outside of the kind's own modules is a field here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from navarch.api.meta import Resource
from navarch.core.model.conditions import ConditionType
from navarch.core.model.urgency import Awaited
from navarch.engine.key import Key
from navarch.engine.result import Result
from navarch.gather.watches import Watch
from navarch.gather.world import World
from navarch.kube.apply import Applier
from navarch.kube.client import Client
from navarch.telemetry.metrics import Series

if TYPE_CHECKING:
    from navarch.controllers.report import Reporter

Reconcile: TypeAlias = Callable[[Key], Awaitable[Result]]


class Controller(Protocol):
    """What does the work of one kind's keys."""

    async def reconcile(self, key: Key) -> Result:
        """Bring one object to where its spec wants it, as far as is possible now."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What controllers work with."""

    world: World
    applier: Applier
    client: Client
    reporter: Reporter


@dataclass(frozen=True, slots=True)
class Kind:
    """One of our kinds. `resource` is its model with its columns, `watch` where its objects come from;
    `conditions` are those of its status, `awaited` those whose change is written at once; `has_events` says
    whether its transitions are told in Events; `series` are metrics of an object beside its conditions;
    `build` makes its controller."""

    resource: Resource
    watch: Watch
    conditions: tuple[ConditionType, ...]
    awaited: Awaited
    has_events: bool
    series: tuple[Series, ...]
    build: Callable[[Tools], Controller]


Kinds: TypeAlias = Mapping[str, Kind]
"""Rows by the name of the kind."""
