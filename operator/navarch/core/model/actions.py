"""What is to be done, and what came of it: Plan and Outcome.

Owns the two values that pass between the pure core and the API server's edge. Must never act.
Invariant: a Plan applied twice changes nothing the second time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

from navarch.core.model.claims import Claim
from navarch.core.model.parent import Parent
from navarch.core.model.refs import Manifest, Ref
from navarch.core.model.restarts import Restart


@dataclass(frozen=True, slots=True)
class Wave:
    """Objects that may be applied side by side, after every earlier wave was applied without a failure."""

    name: str
    objects: tuple[Manifest, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that has to become true before the rest of the plan may go on."""

    ref: Ref
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything one reconcile does.

    `waves` are applied in order; what `waiting` names was not ready when the plan was made, so later waves
    are absent and come with a later plan. `claims`, labels on objects of others, come after all waves, and
    then `prune` is removed in the order given; neither where an object could not be applied, unless its
    objects are `independent` of each other. `restarts`, of workloads of others, come last, and do not keep
    anything waiting. `requeue_after` is in seconds; None waits for the
    next event.
    """

    parent: Parent
    waves: tuple[Wave, ...] = ()
    prune: tuple[Ref, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    requeue_after: float | None = None
    claims: tuple[Claim, ...] = ()
    independent: bool = False
    restarts: tuple[Restart, ...] = ()

    def objects(self) -> Iterator[Manifest]:
        """All objects of all waves in order."""
        for wave in self.waves:
            yield from wave.objects


class Action(StrEnum):
    """What happened to one object."""

    CREATED = "created"
    CONFIGURED = "configured"
    UNCHANGED = "unchanged"
    FOREIGN = "foreign"
    FAILED = "failed"
    CONTESTED = "contested"
    PRUNED = "pruned"


WRITES = frozenset({Action.CREATED, Action.CONFIGURED, Action.PRUNED})
"""What of it changed something in the cluster."""
FAILURES = frozenset({Action.FOREIGN, Action.FAILED, Action.CONTESTED})
"""What of it is told as a failure."""


@dataclass(frozen=True, slots=True)
class ObjectOutcome:
    """The result for one object. `reason` is a condition reason, `message` a sentence; empty on success.

    `drift` marks a CONFIGURED, CREATED or CONTESTED object whose desired content had not changed: an edit or
    removal by another client was repaired. A CONTESTED object is changed by another client again and again.
    """

    ref: Ref
    action: Action
    reason: str = ""
    message: str = ""
    drift: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What apply() did, object by object, in order. `retry_after` (seconds) is set when a failure may pass by
    itself. `withheld` are objects that are not as planned and were left so: the mesh is paused."""

    results: tuple[ObjectOutcome, ...] = field(default=())
    retry_after: float | None = None
    withheld: tuple[Ref, ...] = ()

    def again_after(self, seconds: float | None) -> Outcome:
        """The same, and another look after so many seconds, or sooner."""
        waits = [wait for wait in (self.retry_after, seconds) if wait is not None]
        return replace(self, retry_after=min(waits, default=None))

    def after(self, other: Outcome) -> Outcome:
        """What came of both, the other one first."""
        whole = replace(self, results=(*other.results, *self.results))
        return whole.again_after(other.retry_after)

    @property
    def failures(self) -> tuple[ObjectOutcome, ...]:
        """Objects that are not, or do not stay, as desired: foreign, failed and contested ones."""
        return tuple(r for r in self.results if r.action in FAILURES)

    @property
    def writes(self) -> int:
        """How many objects were written or removed."""
        return sum(r.action in WRITES for r in self.results)


def find_drift(outcome: Outcome) -> list[str]:
    """Objects that another client changed and that were put back, as texts for an Event."""
    return [str(r.ref) for r in outcome.results if r.drift]


NAMED = 12
"""Objects that one Event names: a note holds 1024 bytes."""


def tell_removed(outcome: Outcome) -> list[str]:
    """Texts for Events that together name every object that was removed."""
    refs = [str(r.ref) for r in outcome.results if r.action is Action.PRUNED]
    groups = [refs[at : at + NAMED] for at in range(0, len(refs), NAMED)]
    return [f"{', '.join(group)} {'was' if len(group) == 1 else 'were'} removed" for group in groups]
