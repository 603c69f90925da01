"""What a managed authority is asked for and what is known of it, and the steps that come of that.

Owns these values. Must never decide (managed.py), nor hold a key. Invariant: a step says all that carrying it
out depends on, so that it is taken in the state it was decided for, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from navarch.core.model.reasons import Reason
from navarch.core.trust.rotation import Held, Party, Position, Strategy

FIRST = 1
"""The generation of a mesh's first root."""
BACKDATED = timedelta(hours=1)
"""Clocks of nodes differ: what is made just now has to be valid there, too."""
HELD = 5
"""How many of those that a step waits for are named."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a mesh asks for: the algorithm of keys, and lifetimes in days. `organization` is the trust domain,
    for the names of certificates. `generation` is the root that it asks for, 0 for none in particular;
    `strategy` is how it goes there, and `kept` how long an old root stays trusted when nothing needs it any
    more."""

    algorithm: str
    root_days: int
    intermediate_days: int
    organization: str
    generation: int = 0
    strategy: Strategy = Strategy.CROSS_SIGNED
    kept: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Standing:
    """How the mesh stands: `in_use` is the fingerprint of the roots that its proxies trust, empty where it is
    not known. `installed` says that an istiod was made for it, `managed` that this one has a managed
    authority. `busy` says why no rotation may go on now, empty where one may; `marked` is the fingerprint of
    the roots with which istiods were last made to start, empty where there was never but one."""

    in_use: str = ""
    installed: bool = False
    managed: bool = False
    busy: str = ""
    marked: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Who was found, and what they show. `since` is from when on every istiod has signed from where it does
    now, and `lives` how long a certificate of a proxy does, at most; `sync` is how long pods may have mounted
    what was there before. `gap` says why it is not known who there is."""

    parties: tuple[Party, ...] = ()
    since: datetime | None = None
    lives: timedelta = timedelta(days=1)
    sync: timedelta = timedelta(minutes=3)
    gap: str = ""


@dataclass(frozen=True, slots=True)
class MakeRoot:
    """A root is to be made for `home`. The first one is made out of istiod's own where that is there, and if
    `adopts`, out of nothing else, and only where that is `in_use`."""

    home: str
    adopts: bool
    wanted: Wanted
    in_use: str = ""
    generation: int = FIRST

    def __str__(self) -> str:
        return f"root {self.generation} of {self.home} is being made"


@dataclass(frozen=True, slots=True)
class RootRef:
    """The Secret with a root, and the root's fingerprint."""

    name: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Issue:
    """An intermediate is to be issued at a position, under `roots` by generation as long as they are those,
    and written to `cacerts`, which is there in the version `replaces`, or not at all where that is empty.
    `why` says what for, and `target` is the root that a rotation goes to, 0 where none goes on."""

    home: str
    to: Position
    roots: Mapping[int, RootRef]
    replaces: str
    why: str
    wanted: Wanted
    target: int = 0

    def __str__(self) -> str:
        return f"an intermediate is being issued: {self.why}"


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing may be done without a person."""

    reason: Reason
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Await:
    """A rotation from `at` to `to` goes on by itself when nobody would be left behind. `held` says by whom,
    the first `HELD` of `count`."""

    at: Position
    to: Position
    target: int
    held: tuple[Held, ...] = field(default=())
    count: int = 0

    def __str__(self) -> str:
        more = self.count - len(self.held)
        told = "; ".join(map(str, self.held))
        return f"{told}; and {more} more" if more > 0 else told

    @property
    def until(self) -> datetime | None:
        """When to look again at the latest, where time alone ends the wait."""
        return min((h.until for h in self.held if h.until is not None), default=None)


Step: TypeAlias = MakeRoot | Issue | Await | Hold | None
