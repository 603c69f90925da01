"""How a mesh goes from one root to another: which positions there are, which comes next, and who would be
left behind by it.

Owns this machine. Pure, and without certificates: a root is its generation. Must never remember how far a
rotation has come: the position is read from what istiod signs from, and the gates from what peers show.
Invariants (tests/property/test_rotation.py): no step leaves a certificate in use, or one that is issued
from then on, untrusted by somebody who has to trust it; from every position there is a way to either root.

                A signs, A trusted
    MultiRoot     -> A signs, A and B trusted -> B signs, A and B trusted -> B signs, B trusted
    CrossSigned   -> B signs, itself signed by A, A trusted -> the same, B trusted -> B signs, B trusted
    Emergency     -> B signs, B trusted

Each step is taken when everybody who must trust what comes does, and what is then trusted covers everything
in use; back is the same way. Emergency asks nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

Roots: TypeAlias = frozenset[int]
"""Roots by their generation."""


class Strategy(StrEnum):
    """How a mesh goes to another root."""

    CROSS_SIGNED = "CrossSigned"
    MULTI_ROOT = "MultiRoot"
    EMERGENCY = "Emergency"


@dataclass(frozen=True, slots=True)
class Position:
    """Under which root istiod signs (`signer`), by which one that is signed itself (`voucher`, 0: by none),
    and what every proxy is to trust (`trusted`)."""

    signer: int
    trusted: Roots
    voucher: int = 0

    @property
    def reached(self) -> Roots:
        """The roots by each of which alone a certificate that is issued here is accepted."""
        return frozenset({self.signer, self.voucher} - {0})

    @property
    def roots(self) -> Roots:
        """All roots that have a part in it."""
        return self.trusted | self.reached

    def __str__(self) -> str:
        crossed = f", which root {self.voucher} signed," if self.voucher else ""
        return f"root {self.signer}{crossed} signing with {tell_roots(self.trusted)} trusted"

    @property
    def is_settled(self) -> bool:
        """Whether one root is all there is."""
        return len(self.roots) == 1


def settle(root: int) -> Position:
    """Where a rotation to `root` ends."""
    return Position(root, frozenset({root}))


class Role(StrEnum):
    """What somebody who shows certificates is, or holds them for."""

    PROXY = "proxy"
    ISTIOD = "istiod"
    BUNDLE = "bundle"
    """A ConfigMap or webhook with roots by which istiod itself is trusted."""


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody who must not be left behind: `name` for messages; the roots by each of which its certificate
    is accepted (`reached`), and those that it trusts; None where that is not known. A bundle has no
    certificate. `because` says why something is not known."""

    role: Role
    name: str
    reached: Roots | None = None
    trusts: Roots | None = None
    because: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """That a step waits for a party, and for what; until `until` where time alone ends that."""

    party: str
    why: str
    until: datetime | None = None

    def __str__(self) -> str:
        return f"{self.party} {self.why}" if self.party else self.why


def find_next(at: Position, target: int, strategy: Strategy) -> Position | None:
    """The position after `at` on the shortest way to `target` alone; None where that is reached. A rotation
    between two other roots is finished first."""
    others = at.roots - {target}
    if len(others) > 1:
        return find_next(at, at.signer, strategy)
    goal = settle(target)
    if at == goal:
        return None
    if strategy is Strategy.EMERGENCY or not others:
        return goal
    (other,) = others
    before: dict[Position, Position] = {at: at}
    queue = deque([at])
    while goal not in before:
        here = queue.popleft()
        for there in _list_neighbours(here, other, target, strategy):
            if there not in before:
                before[there] = here
                queue.append(there)
    step = goal
    while before[step] != at:
        step = before[step]
    return step


def _list_neighbours(here: Position, a: int, b: int, strategy: Strategy) -> Iterator[Position]:
    """The positions one change away: another signer with the same trust, or another trust. Each of them can
    be rested at: what is issued there is accepted by whoever has heard of it."""
    crossed = strategy is Strategy.CROSS_SIGNED
    signers = [(b, 0), (a, 0), *([(b, a), (a, b)] if crossed else [])]  # of two ways the new root's first
    bundles = [frozenset({b}), frozenset({a}), *([] if crossed else [frozenset({a, b})])]
    yield from (Position(s, here.trusted, v) for s, v in signers if here.trusted & {s, v})
    yield from (Position(here.signer, t, here.voucher) for t in bundles if here.reached & t)


@dataclass(frozen=True, slots=True)
class Clock:
    """Times that a step depends on: from when on every istiod signs from where it does (`since`), how long a
    certificate of a proxy lives, how long a pod may have mounted older roots (`sync`), and now."""

    since: datetime
    lives: timedelta
    sync: timedelta
    now: datetime


def list_held(parties: Iterable[Party], at: Position, to: Position, clock: Clock) -> Iterator[Held]:
    """Whom a step from `at` to `to` waits for. Who shows nothing has heard of `at` when its certificate has
    been renewed since."""
    mounted = clock.since + clock.sync
    for party in parties:
        match party.role:
            case Role.ISTIOD:
                yield from _hold_istiod(party, at)
            case Role.BUNDLE:
                yield from _hold_bundle(party, to)
            case Role.PROXY:
                yield from _hold_proxy(party, to, until=mounted + clock.lives, now=clock.now)
    if clock.now < mounted:  # what pods have mounted is nowhere shown
        yield Held("", "pods may still have the previous roots mounted", mounted)


def _hold_istiod(party: Party, at: Position) -> Iterator[Held]:
    """An istiod takes each step from the one before it, and its own trust is shown to nobody else."""
    if party.reached is None or party.trusts is None:
        yield Held(party.name, f"does not show under which root it signs: {party.because}")
    elif party.reached != at.reached:
        yield Held(party.name, f"still signs under {tell_roots(party.reached)}")
    elif party.trusts != at.trusted:
        yield Held(party.name, f"still trusts {tell_roots(party.trusts)}")


def _hold_bundle(party: Party, to: Position) -> Iterator[Held]:
    """What istiod has to write before it is trusted."""
    if party.trusts is None:
        yield Held(party.name, f"does not show which roots it trusts ({party.because})")
    elif not party.trusts & to.reached:
        yield Held(party.name, f"does not trust {tell_roots(to.reached)} yet")


def _hold_proxy(party: Party, to: Position, *, until: datetime, now: datetime) -> Iterator[Held]:
    """A certificate in use cannot be feigned, and counts as long as it is valid; one that no root of the mesh
    accepts is of no use to anybody. What a pod says that it trusts it may say for ever: by `until` a proxy
    has what istiod gives, or no certificate that is valid."""
    if now < until and (not party.trusts or party.reached is None):
        yield Held(party.name, f"does not show which roots it trusts ({party.because})", until)
    elif now < until and party.trusts and not party.trusts & to.reached:
        yield Held(party.name, f"does not trust {tell_roots(to.reached)} yet", until)
    if party.reached and not party.reached & to.trusted:
        yield Held(party.name, f"still has a certificate under {tell_roots(party.reached)}")


def tell_roots(roots: Roots) -> str:
    """Roots in words."""
    if not roots:
        return "no root of the mesh"
    return " and ".join(f"root {root}" for root in sorted(roots))
