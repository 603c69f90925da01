"""About how long it takes until Navarch has restarted what a plan has to restart.

Owns this estimate and its words. Must never be read by a decision: how long a workload takes is its own
affair, and a plan has to assume it. Invariant: never less than the soaking between waves that have workloads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from navarch.api.dataplane import MAX_UNAVAILABLE, PARALLELISM, SOAK, DataPlane
from navarch.core.model.messages import count
from navarch.core.preview.restarts import BY_WAVES, Restart

A_TURN = 60
"""Seconds that a workload is assumed to take, what is asked between two included."""


def tell_duration(restarts: Iterable[Restart], policy: DataPlane) -> str:
    """The restarts in turns, and about how long these take; empty where Navarch restarts nothing."""
    waves: dict[int, Counter[str]] = {}
    for restart in restarts:
        if restart.by == BY_WAVES:
            waves.setdefault(restart.wave, Counter())[restart.namespace] += 1
    if not waves:
        return ""
    workloads = sum(counted.total() for counted in waves.values())
    turns = sum(_count_turns(counted, policy) for counted in waves.values())
    soak = SOAK if policy.soak_seconds is None else policy.soak_seconds
    seconds = turns * A_TURN + (len(waves) - 1) * soak
    told = (
        f"{count(workloads, 'workload', 'workloads')} in {count(turns, 'turn', 'turns')}, "
        f"about {_tell_time(seconds)} at a minute for each turn"
    )
    return told + (" while windows are open" if policy.windows else "")


def _count_turns(counted: Counter[str], policy: DataPlane) -> int:
    """How often something begins in a wave, with as much at once as the budget allows."""
    at_once, in_one = (
        policy.max_unavailable or MAX_UNAVAILABLE,
        policy.per_namespace_parallelism or PARALLELISM,
    )
    most = max(counted.values())
    return max(-(-counted.total() // at_once), -(-most // in_one))


def _tell_time(seconds: int) -> str:
    hours, minutes = divmod(-(-seconds // 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
