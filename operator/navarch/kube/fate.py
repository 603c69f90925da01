"""What became of one object, and after how long a failure is worth another look.

Owns the outcome of each error and its pause. Must never ask the API server. Invariant: every failure has a
reason, a message that names the object, and a time at which it is looked at again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from navarch.core.model.actions import Action, ObjectOutcome, Outcome
from navarch.core.model.labels import MANAGED_BY
from navarch.core.model.parent import GATEWAY, Parent, parent_of
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Ref, find_holders
from navarch.engine.result import Cause, Retry, classify
from navarch.kube.contest import LONGEST
from navarch.kube.errors import Denial, Forbidden, Invalid, KubeError, NotFound, Unserved

DEFAULT_RETRY = 10.0
"""Seconds until a failure is worth another look where nothing says otherwise."""
SOON_RETRY = 1.0
"""Seconds until the next look where another client wrote first, or what an object needs is not there yet."""
_SOON = (Cause.CONFLICT, Cause.VANISHED, Cause.THROTTLED)
FOREIGN_RETRY = 60.0
"""Seconds until a foreign object is looked at again: nothing tells us when it goes."""
REFUSED_RETRY = 60.0
"""Seconds until a refused object is tried again: mostly only another manifest helps, but a CRD, a default or
the API server may change too."""


MOST_NAMED = 5
"""Finalizers in one message."""


@dataclass(frozen=True, slots=True)
class Fate:
    """An object's outcome, after how many seconds a failure may have passed by itself, and the uid of the
    object where it stands as wanted."""

    outcome: ObjectOutcome
    retry_after: float | None = None
    uid: str = ""

    @property
    def bad(self) -> bool:
        """Whether nothing that comes later in the plan may be done."""
        return self.outcome.action in (Action.FAILED, Action.FOREIGN)


def foreign(ref: Ref, whose: str, parent: Parent) -> Fate:
    """The object is not ours. What a gateway makes has its name, which its owner chose."""
    otherwise = (
        "remove it, or give the gateway another name" if parent.kind == GATEWAY else "remove or rename it"
    )
    message = f"{ref} exists and {whose}; it was left untouched: {otherwise}"
    return Fate(ObjectOutcome(ref, Action.FOREIGN, Reason.FOREIGN_OBJECT, message), FOREIGN_RETRY)


def describe_owner(current: Mapping[str, Any]) -> str:
    """Whose an object is that is not ours, in words."""
    other = parent_of(current)
    if other is not None:
        return f"it belongs to {other.kind} {other.namespace}/{other.name}"
    manager = (current["metadata"].get("labels") or {}).get(MANAGED_BY)
    return f"it is managed by {manager}" if manager else "it carries no label of a mesh"


def failed(ref: Ref, error: KubeError) -> Fate:
    """The API server refused the object, or could not be asked."""
    match classify(error):
        case _ if error.cause is Cause.REFUSED:
            retry_after = REFUSED_RETRY
        case Retry(after=float(after)):
            retry_after = after
        case _ if error.cause in _SOON:
            retry_after = SOON_RETRY
        case _:
            retry_after = DEFAULT_RETRY
    message = f"{ref}: {error.message}"
    if isinstance(error, Unserved):
        message += (
            f"; while that lasts, the CustomResourceDefinition of {ref.kind} is missing: install it again "
            "(that of a kind of Navarch's own is in what `navarch manifests` prints)"
        )
    return Fate(ObjectOutcome(ref, Action.FAILED, _reason_of(error), message), retry_after)


def leaving(ref: Ref, current: Mapping[str, Any]) -> Fate:
    """The object is being deleted, and where others hold it up, by which finalizers."""
    message = f"{ref} is being deleted; it is created again as soon as it is gone"
    if held := find_holders(current):
        names = ", ".join(held[:MOST_NAMED])
        message += f": it is held by {names}; have what put that finalizer there finish, or take it off"
    return Fate(ObjectOutcome(ref, Action.FAILED, Reason.APPLY_FAILED, message), DEFAULT_RETRY)


def contested(ref: Ref, told: str, *, after: float, drift: bool = False, uid: str = "") -> Fate:
    """Another client changes the object again and again; `drift` where it was put back just now."""
    outcome = ObjectOutcome(ref, Action.CONTESTED, Reason.OBJECT_CONTESTED, told, drift)
    return Fate(outcome, after, uid)


def removed_again(ref: Ref, *, after: float) -> Fate:
    """Another client removes the object again and again: what comes later in the plan waits for it."""
    message = f"{ref} is removed again and again by another client; it is made anew at intervals of up to "
    message += f"{LONGEST:.0f} s: stop that client"
    return Fate(ObjectOutcome(ref, Action.FAILED, Reason.OBJECT_CONTESTED, message), after)


_DENIED = {
    Denial.NAMESPACE_TERMINATING: Reason.NAMESPACE_TERMINATING,
    Denial.PERMISSION: Reason.MISSING_PERMISSION,
    Denial.ADMISSION: Reason.ADMISSION_DENIED,
}


def _reason_of(error: KubeError) -> Reason:
    match error:
        case Forbidden():
            return _DENIED[error.denial]
        case Invalid(immutable=True):
            return Reason.IMMUTABLE_FIELD
        case NotFound() if error.message.startswith('namespaces "'):
            return Reason.NAMESPACE_NOT_FOUND
        case _ if error.cause in (Cause.UNREACHABLE, Cause.THROTTLED):
            return Reason.API_UNAVAILABLE
        case _:
            return Reason.APPLY_FAILED


def sum_up(fates: Sequence[Fate]) -> Outcome:
    """What came of a whole plan."""
    waits = [fate.retry_after for fate in fates if fate.retry_after is not None]
    return Outcome(tuple(fate.outcome for fate in fates), retry_after=min(waits, default=None))
