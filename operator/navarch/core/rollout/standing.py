"""Where each workload of a mesh stands on its way to the proxy that is injected now.

Owns the verdict on one workload. Must never count, or compare workloads: the plan does. Invariants: a
workload without an older proxy is never to be restarted; one that another client rolls is neither restarted
nor a failure of ours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from navarch.api.dataplane import DEADLINE
from navarch.api.windows import read_windows
from navarch.core.membership.selectors import matches
from navarch.core.model.labels import ROLLOUT
from navarch.core.model.messages import count
from navarch.core.model.moments import read_moment
from navarch.core.model.restarts import ARGO
from navarch.core.rollout.narrowing import Closed, Narrowing
from navarch.core.rollout.observed import ObservedRollout
from navarch.core.rollout.waves import find_wave, is_opted_out, rank_of
from navarch.core.world.proxies import ProxyPod, is_current
from navarch.core.world.rollable import API_VERSIONS, Rollable, count_restarts, target_of

MOST_RESTARTS = 5
"""For one target. What its pods say of their proxies anybody may write who may write the pods, and a workload
that is restarted again and again would keep its wave from ending."""
_FORGETFUL = ("DaemonSet", ARGO)
"""Kinds whose status does not tell a rollout that never ended from pods that were lost afterwards. A Rollout
of Argo is never restarted in that state."""


class State(Enum):
    """What is to become of a workload."""

    CURRENT = auto()
    """Nothing: its proxies are current, and no restart of ours is under way."""
    WAITING = auto()
    """It is to be restarted."""
    ROLLING = auto()
    """Navarch has restarted it, and that goes on."""
    FAILED = auto()
    """Navarch has restarted it, and it does not come up."""
    BLOCKED = auto()
    """It is to be restarted when something passes that is not Navarch's."""
    MANUAL = auto()
    """Its proxies are older, and Navarch does not restart it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A workload's verdict. `restarted` says that it was restarted for the present target, `in_flight` that
    it counts against the budget, `until` when its deadline ends, and `opens` when the windows of its own open
    that it waits for."""

    namespace: str
    kind: str
    name: str
    state: State
    wave: int
    rank: int = 1
    why: str = ""
    restarted: bool = False
    in_flight: bool = False
    until: datetime | None = None
    workload: Rollable | None = None
    opens: datetime | None = None

    @property
    def place(self) -> tuple[str, str, str]:
        """By what workloads are put into order."""
        return self.namespace, self.kind, self.name

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" + (f": {self.why}" if self.why else "")


@dataclass(slots=True)
class _Pods:
    total: int = 0
    outdated: int = 0


def judge_workloads(observed: ObservedRollout) -> tuple[Standing, ...]:
    """Every workload with a proxy of the mesh, in order. Gateways of Navarch's and of istiod's are none, nor
    are pods that no rollout replaces."""
    found: defaultdict[tuple[str, str, str], _Pods] = defaultdict(_Pods)
    for pod in observed.pods:
        if pod.gateway or not pod.owner:
            continue
        kind, _, name = pod.owner.partition("/")
        pods = found[pod.namespace, kind, name]
        pods.total += 1
        pods.outdated += not pod.leaving and not _is_current(observed, pod)
    known = {(w.namespace, w.kind, w.name): w for w in observed.workloads.rollables}
    blocked = _find_blocked(observed, [w for place, w in known.items() if found[place].outdated])
    now = datetime.fromisoformat(observed.now)
    narrowing = Narrowing(observed.policy.windows or (), observed.zones, now)
    return tuple(_judge_all(observed, found, known, blocked, narrowing))


def _is_current(observed: ObservedRollout, pod: ProxyPod) -> bool:
    return is_current(pod, {observed.revision: observed.target}, observed.pins)


def _judge_all(
    observed: ObservedRollout,
    found: Mapping[tuple[str, str, str], _Pods],
    known: Mapping[tuple[str, str, str], Rollable],
    blocked: Mapping[tuple[str, str, str], str],
    narrowing: Narrowing,
) -> Iterator[Standing]:
    for place, pods in sorted(found.items()):
        namespace, kind, name = place
        workload, order = known.get(place), observed.orders.get(namespace, "")
        wave = find_wave(observed.policy, observed.mesh, namespace, order)
        if workload is None:
            why = observed.workloads.unread.get(kind) or _tell_unknown(kind)
            state = State.MANUAL if pods.outdated else State.CURRENT
            yield Standing(namespace, kind, name, state, wave, why=why if pods.outdated else "")
        elif not workload.follows:
            closed = _find_closed(observed, workload, narrowing) if pods.outdated else None
            budget = blocked.get(place, "")
            yield _judge(
                observed, workload, pods.outdated, wave=wave, blocked=budget, closed=closed, now=narrowing.now
            )


def _find_closed(observed: ObservedRollout, workload: Rollable, narrowing: Narrowing) -> Closed | None:
    """What windows of its namespace, and of its own, keep a workload from being restarted now. On its way
    back the mesh waits for none."""
    if observed.returning:
        return None
    layers = observed.windows.get(workload.namespace, ())
    return narrowing.find_closed((*layers, read_windows(workload.windows)) if workload.windows else layers)


def _tell_unknown(kind: str) -> str:
    return "it was not seen" if kind in API_VERSIONS else f"Navarch restarts no {kind}"


def _judge(
    observed: ObservedRollout,
    workload: Rollable,
    outdated: int,
    *,
    wave: int,
    blocked: str,
    closed: Closed | None,
    now: datetime,
) -> Standing:
    until = _find_deadline(observed, workload, now)
    ours, overdue = until is not None and not workload.edited, until is not None and now >= until
    aimed = bool(observed.target) and target_of(workload) == observed.target
    lost = overdue and not aimed and (workload.unsure or workload.kind == "DaemonSet")
    restart = _Restart(aimed, ours, overdue, going=ours and not workload.rolled and not lost)
    state, why = _decide(observed, workload, outdated, restart, blocked or (closed.why if closed else ""))
    # One that broke by a restart for an older target is waited for no longer, and still is not available.
    flying = restart.ours and not workload.rolled and not restart.overdue and not workload.stuck
    broken = state is State.WAITING and restart.going
    unsure = state is State.BLOCKED and workload.uid in observed.workloads.unsure
    in_flight = flying or broken or unsure or state in (State.ROLLING, State.FAILED)
    return Standing(
        workload.namespace,
        workload.kind,
        workload.name,
        state,
        wave,
        rank=rank_of(workload.order),
        why=why,
        restarted=restart.aimed,
        in_flight=in_flight,
        until=until if in_flight else None,
        workload=workload,
        opens=closed.at if closed is not None and state is State.BLOCKED and why == closed.why else None,
    )


@dataclass(frozen=True, slots=True)
class _Restart:
    """The last restart by Navarch: whether it was for the present target, whether what goes on is still its
    work, whether its deadline is over, and whether it is not done. One for an older target whose deadline is
    over counts as done where missing pods, or a change of its scale, would look the same: a node that is away
    would bring all DaemonSets of a mesh out of their turns."""

    aimed: bool
    ours: bool
    overdue: bool
    going: bool


def _decide(
    observed: ObservedRollout, workload: Rollable, outdated: int, restart: _Restart, blocked: str
) -> tuple[State, str]:
    going = restart.going
    if not outdated and (not (restart.aimed and going) or _find_opt_out(observed, workload)):
        return State.CURRENT, ""
    if outdated and (refusal := _find_refusal(observed, workload)):
        return State.MANUAL, refusal
    if restart.ours and restart.aimed:
        return _follow(workload, outdated, overdue=restart.overdue)
    if not going and not workload.rolled and workload.stuck:
        return State.MANUAL, f"it did not come up before: {workload.stuck}"
    if workload.kind == ARGO and going and (restart.overdue or workload.stuck):
        return State.MANUAL, "it replaces no pod while those of its last restart do not come up: delete these"
    why = next(_find_blocks(observed, workload, restart, blocked), "")
    return (State.BLOCKED, why) if why else (State.WAITING, "")


def _find_blocks(
    observed: ObservedRollout, workload: Rollable, restart: _Restart, blocked: str
) -> Iterator[str]:
    """What a workload that is to be restarted has to wait for, and Navarch cannot bring about."""
    going = restart.going and not restart.overdue and not workload.stuck
    if going and not observed.returning:  # what was given up is waited for no longer
        yield "its restart for an older target goes on"
    if not restart.ours and not workload.rolled:
        yield "it is being rolled out by another client"
    if workload.namespace in observed.leaving:
        yield "its namespace is being deleted"
    if why := observed.workloads.refused.get(workload.uid):
        yield why
    if blocked:
        yield blocked


def _find_refusal(observed: ObservedRollout, workload: Rollable) -> str:
    """Why Navarch does not restart a workload at all; empty where it may."""
    if told := _find_opt_out(observed, workload) or workload.refusal:
        return told
    often = bool(observed.target) and count_restarts(workload, observed.target) >= MOST_RESTARTS
    if often and workload.rolled:
        return f"{MOST_RESTARTS} restarts have not brought it the proxy: see who gives its pods another one"
    return ""


def _find_opt_out(observed: ObservedRollout, workload: Rollable) -> str:
    """Which object says that Navarch does not restart a workload; empty where none does."""
    if is_opted_out(order := observed.orders.get(workload.namespace, "")):
        return f"restarts of its namespace: {order} (spec.restarts of its MeshMember, or {ROLLOUT})"
    return f"it has {ROLLOUT}: {workload.order}" if is_opted_out(workload.order) else ""


def _follow(workload: Rollable, outdated: int, *, overdue: bool) -> tuple[State, str]:
    """A workload that was restarted for the present target and is not done."""
    old = f"{count(outdated, 'pod has', 'pods have')} the older proxy" if outdated else ""
    if overdue and not outdated and (workload.unsure or workload.kind in _FORGETFUL):
        return State.CURRENT, ""
    if workload.stuck:
        return State.FAILED, workload.stuck
    if not overdue:
        return State.ROLLING, old
    told = old or "its pods did not become available"
    return State.FAILED, f"not done in workloadDeadlineSeconds: {told}"


def _find_deadline(observed: ObservedRollout, workload: Rollable, now: datetime) -> datetime | None:
    """When a restart by Navarch has to be done; None where there was none. Its moment is what the API server
    says, and whoever may write the workload: one that is far ahead, or none at all, would never be over."""
    if not workload.restarted_for or not workload.restarted_at:
        return None
    began = read_moment(workload.restarted_at)
    allowed = timedelta(seconds=observed.policy.workload_deadline_seconds or DEADLINE)
    return now if began is None or began - now > allowed else began + allowed


def _find_blocked(
    observed: ObservedRollout, workloads: Iterable[Rollable]
) -> dict[tuple[str, str, str], str]:
    """What is to be said of workloads whose restart a PodDisruptionBudget forbids."""
    blockers: defaultdict[str, list[tuple[str, Mapping[str, object]]]] = defaultdict(list)
    for blocker in observed.workloads.blockers:
        blockers[blocker.namespace].append((blocker.name, blocker.selector))
    found = {}
    for workload in workloads:
        for name, selector in blockers.get(workload.namespace, ()):
            if matches(selector, dict(workload.labels)):
                told = f"PodDisruptionBudget {name} allows no disruption"
                found[workload.namespace, workload.kind, workload.name] = told
                break
    return found
