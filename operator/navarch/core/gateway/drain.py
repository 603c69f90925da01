"""How long a gateway's Envoy goes on with the connections of a listener that istiod has changed.

    istiod changes a listener  ->  every gateway that has it tells its clients to go, and cuts those that are
                                   left after `drainDuration`: of two gateways neither at the same moment

Owns the spread of that time over the gateways of a mesh. Must never shorten it below what the mesh says, and
never roll a gateway before its turn. Invariant: it follows from the gateway's name and the mesh's own time.
"""

from __future__ import annotations

import re

from navarch.core.gateway.observed import ObservedGateway
from navarch.core.gateway.turn import find_turn
from navarch.core.istio.validation.grammar import parse_duration
from navarch.core.model.hashing import stable_hash

_DEFAULT = 45
"""Seconds of `drainDuration` where a mesh says none (istio.io/api, ProxyConfig)."""
_SAID = re.compile(r'^drainDuration: "(\d+)s"$', re.MULTILINE)


def choose_drain(observed: ObservedGateway) -> int:
    """Seconds of it on the pods now: what is there already, until the gateway's turn has come. 0 leaves it to
    the mesh, whose word is not one of whole seconds."""
    turn = find_turn(observed)
    if turn is not None and turn.waits and observed.workload is not None:
        template = observed.workload["spec"]["template"]["metadata"].get("annotations") or {}
        there = _SAID.search(str(template.get("proxy.istio.io/config", "")))
        return int(there[1]) if there else 0
    return spread(_read_drain(observed), namespace=observed.parent.namespace, name=observed.parent.name)


def spread(seconds: int, *, namespace: str, name: str) -> int:
    """A time from `seconds` to half as much again, the same for a gateway each time."""
    return seconds + int(stable_hash([namespace, name]), 16) % (seconds // 2 + 1)


def _read_drain(observed: ObservedGateway) -> int:
    """What the mesh says, in seconds."""
    config = ((observed.revision or {}).get("spec") or {}).get("config") or {}
    said = ((config.get("meshConfig") or {}).get("defaultConfig") or {}).get("drainDuration")
    nanoseconds = parse_duration(said) if isinstance(said, str) else None
    return _DEFAULT if said is None else (nanoseconds or 0) // 10**9
