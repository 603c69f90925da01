"""How a reconcile ends, and the one place that turns an exception into an ending.

Owns the closed set of results and of causes. Must never know where an exception came from beyond its cause.
Invariant: `classify` gives a result for every exception, and only an unknown exception is a crash.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from math import inf
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing more to do until the next event."""


@dataclass(frozen=True, slots=True)
class After:
    """Look again after so many seconds. `well` is False where something of it was refused or failed, and is
    told elsewhere: the key then waits behind those that are well."""

    seconds: float
    well: bool = True


@dataclass(frozen=True, slots=True)
class Retry:
    """Failed and worth another try: after `after` seconds, or by the key's backoff when None.

    `longest` bounds the backoff; `crashed` marks an unexpected exception: it is logged with its
    traceback.
    """

    error: Exception
    after: float | None = None
    crashed: bool = False
    longest: float = inf


@dataclass(frozen=True, slots=True)
class Terminal:
    """Failed, and only an edit can change that: not retried."""

    message: str


Result: TypeAlias = Done | After | Retry | Terminal


def is_well(result: Result) -> bool:
    """Whether the key's next edit goes before those of keys that ended otherwise."""
    match result:
        case Done():
            return True
        case After(well=well):
            return well
        case Retry() | Terminal():
            return False


class Cause(Enum):
    """Why something that works in principle did not work now."""

    CONFLICT = auto()
    VANISHED = auto()
    REFUSED = auto()
    DENIED = auto()
    NOT_PERMITTED = auto()
    NAMESPACE_TERMINATING = auto()
    THROTTLED = auto()
    UNREACHABLE = auto()
    NOT_LEADING = auto()


class Fault(Exception):
    """Base of all expected failures: faults of the world around us, not errors of the program.

    `retry_after` (seconds) is what the other side asked for, None if it did not.
    """

    cause: Cause
    retry_after: float | None = None


class NotLeading(Fault):
    """This replica does not hold the Lease, or can no longer be sure of it: nothing may be written."""

    cause = Cause.NOT_LEADING


_DELAYS: dict[Cause, float | None] = {
    Cause.CONFLICT: None,
    Cause.VANISHED: None,
    Cause.REFUSED: None,
    Cause.DENIED: None,
    Cause.NOT_PERMITTED: 60.0,
    Cause.NAMESPACE_TERMINATING: 5.0,
    Cause.THROTTLED: None,
    Cause.UNREACHABLE: None,
    Cause.NOT_LEADING: 1.0,
}
"""Seconds until the next try; None means the key's backoff. A missing permission is not worth a storm."""


PASSING = frozenset({Cause.CONFLICT, Cause.VANISHED, Cause.THROTTLED, Cause.UNREACHABLE})
"""Causes that end without an edit of the key's object."""
LONGEST_PASSING = 30.0
"""The longest backoff of these, in seconds: what failed meanwhile is to be done soon after they end. It grows
up to that, because a client that writes without pause makes conflicts without end, and so does an object that
the cache holds and the API server does not."""


def classify(exc: Exception) -> Result:
    """What an exception that escaped a reconcile means for its key."""
    if isinstance(exc, Fault):
        after = exc.retry_after if exc.retry_after is not None else _DELAYS[exc.cause]
        return Retry(exc, after=after, longest=LONGEST_PASSING if exc.cause in PASSING else inf)
    return Retry(exc, crashed=True)
