"""Whose turn it is to roll, where the proxies of a mesh change and with them all of its gateways.

    the mesh's proxies change  ->  its first gateway rolls at once, each further one a while after the one
                                   before it: they do not drain all at the same time

Owns `status.turn` of a MeshGateway. Must never keep back a change of the gateway's own spec, or what a
version that is pinned asks for: whoever edits a gateway wants it now. Invariant: a turn that has come stays
so until the workload has what it is about, so that no failed write makes it wait anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from navarch.core.gateway.observed import ObservedGateway
from navarch.core.gateway.pin import find_pin, stamp_of
from navarch.core.model.labels import RESTART
from navarch.core.model.moments import format_moment, read_moment
from navarch.core.model.refs import Manifest

_APART, _LONGEST = timedelta(seconds=15), timedelta(minutes=10)
"""Between one gateway of a mesh and the next, and at most until the last one's turn."""


@dataclass(frozen=True, slots=True)
class Turn:
    """When a gateway takes over `proxy`, which its mesh's injector stamps on pods now."""

    proxy: str
    at: str
    waits: float
    """Seconds until then; 0 once it has come."""


def find_turn(observed: ObservedGateway) -> Turn | None:
    """The turn of a gateway whose pods are to get other proxies by its mesh; None for any other."""
    wanted, there = stamp_of(observed), _read_stamp(observed.workload)
    now = read_moment(observed.now)
    if now is None or not wanted or not there or wanted == there or find_pin(observed) is not None:
        return None
    told = (observed.body.get("status") or {}).get("turn") or {}
    at = now
    if _is_seen(observed):
        kept = read_moment(str(told.get("at"))) if told.get("proxy") == wanted else None
        at = min(kept or now + _count_before(observed) * _APART, now + _LONGEST)
    return Turn(wanted, format_moment(at), max(0.0, (at - now).total_seconds()))


def choose_stamp(observed: ObservedGateway) -> str:
    """What is to stand on the pods now: what does already, until the gateway's turn has come."""
    turn = find_turn(observed)
    return _read_stamp(observed.workload) if turn is not None and turn.waits else stamp_of(observed)


def _is_seen(observed: ObservedGateway) -> bool:
    """Whether the gateway's spec is one that was looked at before: a new one is somebody's edit."""
    return (observed.body.get("status") or {}).get("observedGeneration") == observed.generation


def _count_before(observed: ObservedGateway) -> int:
    """How many gateways of the mesh come before this one: those that its status lists before it by name."""
    own = (observed.parent.namespace, observed.parent.name)
    listed = ((observed.mesh or {}).get("status") or {}).get("gateways") or ()
    return sum((other["namespace"], other["name"]) < own for other in listed)


def _read_stamp(workload: Manifest | None) -> str:
    """The stamp on a workload's pod template; empty where there is none."""
    template = ((workload or {}).get("spec") or {}).get("template") or {}
    return str(((template.get("metadata") or {}).get("annotations") or {}).get(RESTART, ""))
