"""Which workloads are restarted now, and what the others wait for.

Owns waves, soaking, windows and the budget. Must never act or look anything up. Invariants: with what is
planned, no more workloads are in a restart than the budget allows, in the mesh and in each namespace; of two
waves with workloads to restart only the first is worked on; while a restarted workload does not come up,
nothing is planned, nor while a gate has failed, or is not known; on the way back to what was proved before
nothing is waited for but what would be restarted twice; every wait ends with an event, or with the next look
that is asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from navarch.api.dataplane import MAX_UNAVAILABLE, PARALLELISM, SOAK
from navarch.api.gates import IGNORED, Gates
from navarch.core.model.labels import ROLLOUT
from navarch.core.model.messages import count, join
from navarch.core.model.moments import format_moment, settle_moment
from navarch.core.model.refs import Ref
from navarch.core.model.requeue import SAFETY_REQUEUE
from navarch.core.model.restarts import Restart
from navarch.core.rollout.gates import INTERVAL, GateState, find_closed_gates
from navarch.core.rollout.observed import ObservedRollout
from navarch.core.rollout.standing import Standing, State, judge_workloads
from navarch.core.rollout.waves import count_waves, is_opted_out
from navarch.core.rollout.windows import find_opening
from navarch.core.world.rollable import next_mark

SHORTEST = 1.0
"""Seconds until the next look, at least."""


class Phase(StrEnum):
    """What goes on, as status names it."""

    WAITING = "Waiting"
    ROLLING = "Rolling"
    SOAKING = "Soaking"
    HALTED = "Halted"
    PAUSED = "Paused"
    DONE = "Done"


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    """`restarts` are carried out now. `wave` is the first with workloads that are to be restarted, or are
    being; 0 for none. `since` is when it was first the next one. `why` is what is waited for, `requeue_after`
    when time alone changes something, in seconds."""

    phase: Phase
    waves: int
    standings: tuple[Standing, ...] = ()
    restarts: tuple[Restart, ...] = ()
    wave: int = 0
    since: str = ""
    why: tuple[str, ...] = ()
    requeue_after: float | None = None
    forbidden: bool = False

    def list(self, state: State) -> list[Standing]:
        """The workloads of a state."""
        return [each for each in self.standings if each.state is state]


@dataclass(frozen=True, slots=True)
class _Stop:
    """Why no restart begins, and when that may pass by itself."""

    phase: Phase
    why: str
    at: datetime | None = None


def plan_rollout(observed: ObservedRollout) -> RolloutPlan:
    """What is to be done for the proxies of a mesh now."""
    waves, unread = count_waves(observed.policy), observed.workloads.gap
    if unread or not observed.target:
        why = unread or "it is not known which proxy the mesh injects"
        return RolloutPlan(Phase.WAITING, waves, why=(why,), forbidden=observed.workloads.forbidden)
    now = datetime.fromisoformat(observed.now)
    standings = judge_workloads(observed)
    active = (State.WAITING, State.ROLLING, State.FAILED)
    pending = [s for s in standings if s.state in active or _holds(observed, s)]
    if not pending:
        return _rest(waves, standings, now)
    wave = min(s.wave for s in pending)
    since = _read_since(observed, wave)
    stop = next(_find_stops(observed, standings, wave=wave, since=since, now=now), None)
    chosen = () if stop is not None else tuple(_choose(observed, standings, wave))
    rolling = [s for s in pending if s.state is State.ROLLING]
    phase = Phase.ROLLING if rolling or chosen else Phase.WAITING
    if stop is not None and (stop.phase in (Phase.HALTED, Phase.PAUSED) or not rolling):
        phase = stop.phase
    ends = [s.until for s in pending if s.until is not None and s.until > now]
    ends += [stop.at] if stop and stop.at else []
    later = [max((end - now).total_seconds(), SHORTEST) for end in (*ends, *_list_openings(standings))]
    later += [INTERVAL if stop is None else SHORTEST] if observed.gates else []
    return RolloutPlan(
        phase,
        waves,
        standings,
        restarts=tuple(_build(observed, each) for each in chosen),
        wave=wave,
        since=since,
        why=(*([stop.why] if stop else ()), *_tell_others(standings)),
        requeue_after=min([*later, *([SAFETY_REQUEUE] if observed.workloads.refused else [])], default=None),
    )


def _holds(observed: ObservedRollout, standing: Standing) -> bool:
    """Whether a workload that cannot be restarted yet keeps later waves waiting: a restart of it for an older
    target goes on, or it is a canary, which comes first, and waits for its own windows."""
    if standing.state is not State.BLOCKED:
        return False
    canary = standing.namespace in (observed.policy.canary_namespaces or ())
    return standing.in_flight or (standing.opens is not None and canary)


def _list_openings(standings: Iterable[Standing]) -> list[datetime]:
    return [s.opens for s in standings if s.opens is not None]


def _rest(waves: int, standings: tuple[Standing, ...], now: datetime) -> RolloutPlan:
    """Nothing is to be restarted, or can be."""
    blocked = any(s.state is State.BLOCKED for s in standings)
    unsure = any(s.in_flight or (s.state is State.BLOCKED and s.opens is None) for s in standings)
    later = [max((at - now).total_seconds(), SHORTEST) for at in _list_openings(standings)]
    phase = Phase.WAITING if blocked else Phase.DONE
    return RolloutPlan(
        phase,
        waves,
        standings,
        why=tuple(_tell_others(standings)),
        requeue_after=min([*later, *([SAFETY_REQUEUE] if unsure else [])], default=None),
    )


def _tell_others(standings: Iterable[Standing]) -> list[str]:
    """What is blocked, and what Navarch leaves to the owner."""
    told = []
    for state, words in ((State.BLOCKED, "not yet"), (State.MANUAL, "to be restarted by their owners")):
        found = [str(s) for s in standings if s.state is state]
        if found:
            told.append(f"{words}: {join(found)}")
    return told


def _find_stops(
    observed: ObservedRollout, standings: Sequence[Standing], *, wave: int, since: str, now: datetime
) -> Iterator[_Stop]:
    """The reasons for which no restart may begin, the first one first."""
    failed = [s for s in standings if s.state is State.FAILED]
    if failed:
        remedy = (
            "nothing more is restarted until it comes up, its owner has rolled it out anew, or it has the "
            f"annotation {ROLLOUT}: Never"
        )
        yield _Stop(Phase.HALTED, f"{join(str(s) for s in failed)}; {remedy}")
    if halting := find_closed_gates(observed.gates, GateState.FAILED):
        yield _Stop(Phase.HALTED, join(halting))
    if observed.policy.pause:
        yield _Stop(Phase.PAUSED, "spec.upgrade.dataPlane.pause is true")
    if observed.hindrance:
        yield _Stop(Phase.WAITING, observed.hindrance)
    if not observed.returning:
        yield from _find_times(observed, standings, wave=wave, since=since, now=now)
    if unknown := find_closed_gates(observed.gates, GateState.UNKNOWN):
        yield _Stop(Phase.WAITING, join(unknown))
    if lacking := [*_find_lacking(observed, standings)]:
        told = f"pods that were available are not any more: {join(lacking)}"
        remedy = "nothing more is restarted until they are, or it has the annotation"
        yield _Stop(Phase.WAITING, f"{told}; {remedy} {ROLLOUT}: Never")


def _find_lacking(observed: ObservedRollout, standings: Iterable[Standing]) -> Iterator[Standing]:
    """Workloads that were restarted, were done, and lack pods since, unless nobody wants to know."""
    if observed.returning or (observed.policy.gates or Gates()).workloads == IGNORED:
        return
    for s in standings:
        done = s.restarted and s.state is State.CURRENT and not s.in_flight
        if not done or s.workload is None or not s.workload.lacking:
            continue
        if not is_opted_out(s.workload.order, observed.orders.get(s.namespace, "")):
            yield s


def _find_times(
    observed: ObservedRollout, standings: Sequence[Standing], *, wave: int, since: str, now: datetime
) -> Iterator[_Stop]:
    """What only has to pass."""
    if (closed := _find_closed(observed, now)) is not None:
        yield closed
    if (end := _find_soak(observed, standings, wave=wave, since=since)) is not None and now < end:
        told = f"wave {wave} begins when the one before it has run for {_soak(observed)} s"
        yield _Stop(Phase.SOAKING, told, end)


def _find_closed(observed: ObservedRollout, now: datetime) -> _Stop | None:
    """That no window is open."""
    if not observed.policy.windows:
        return None
    opening = find_opening(observed.policy.windows, observed.zones, now)
    if opening is None:
        return _Stop(Phase.WAITING, "no window can be read: its time zone is unknown")
    return (
        None if opening.open else _Stop(Phase.WAITING, f"the next window opens on {opening.told}", opening.at)
    )


def _soak(observed: ObservedRollout) -> int:
    seconds = observed.policy.soak_seconds
    return SOAK if seconds is None else seconds


def _find_soak(
    observed: ObservedRollout, standings: Iterable[Standing], *, wave: int, since: str
) -> datetime | None:
    """Until when the workloads of earlier waves are to run before this one begins; None where it has begun,
    or none of theirs was restarted."""
    restarted = [s for s in standings if s.restarted]
    # A copied template has the mark, too: only a write of Navarch's own says that a wave has begun.
    begun = any(s.wave == wave and s.workload is not None and s.workload.restarted_at for s in restarted)
    if begun or not any(s.wave < wave for s in restarted):
        return None
    return datetime.fromisoformat(since) + timedelta(seconds=_soak(observed))


def _read_since(observed: ObservedRollout, wave: int) -> str:
    """Since when this wave is the next one: as status says it of the same wave and target, else since now. A
    status that is lost, or was written by a clock that went ahead, makes the wait longer, never shorter."""
    return settle_moment(observed.told_since if observed.told_wave == wave else "", observed.now)


def _choose(observed: ObservedRollout, standings: Sequence[Standing], wave: int) -> Iterable[Standing]:
    """The workloads of the wave to restart now, within the budget."""
    policy = observed.policy
    mesh = policy.max_unavailable or MAX_UNAVAILABLE
    each = policy.per_namespace_parallelism or PARALLELISM
    taken = Counter(s.namespace for s in standings if s.in_flight)
    begun = Counter(s.namespace for s in standings if s.in_flight and s.state is not State.WAITING)
    ranks: dict[str, int] = {}
    for s in standings:
        if s.state in (State.WAITING, State.ROLLING):
            ranks[s.namespace] = min(s.rank, ranks.get(s.namespace, s.rank))
    waiting = [s for s in standings if s.state is State.WAITING and (s.wave == wave or s.in_flight)]
    for standing in sorted(waiting, key=lambda s: (not s.in_flight, s.rank, s.place)):
        if standing.in_flight:  # an older restart broke it: it is in the budget, and this is its way out
            if begun.total() < mesh and begun[standing.namespace] < each:
                begun[standing.namespace] += 1
                yield standing
        elif taken.total() >= mesh:
            return
        elif taken[standing.namespace] < each and standing.rank == ranks[standing.namespace]:
            taken[standing.namespace] += 1
            yield standing


def _build(observed: ObservedRollout, standing: Standing) -> Restart:
    workload = standing.workload
    assert workload is not None
    at = format_moment(datetime.fromisoformat(observed.now))
    ref = Ref(workload.api_version, workload.kind, workload.namespace, workload.name)
    return Restart(ref, workload.uid, next_mark(workload, observed.target), at)


def tell_progress(plan: RolloutPlan) -> str:
    """How far the rollout is, in one sentence."""
    total = len(plan.standings)
    done = len(plan.list(State.CURRENT))
    rolling = len(plan.list(State.ROLLING))
    told = f"{done} of {count(total, 'workload', 'workloads')} updated"
    if plan.wave:
        told = f"wave {plan.wave} of {plan.waves}: {told}"
    return f"{told}, {rolling} being restarted" if rolling else told
