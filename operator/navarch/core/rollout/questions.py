"""Who is asked for a rollout, and about which of its proxies.

Owns when gates are asked. Must never ask anybody: gather/gates.py does. Invariant: nobody is asked before the
first restart, nor after the last one, nor on the way back.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from navarch.api.gates import IGNORED, PROXIES, Gates, Prometheus, Webhook
from navarch.core.rollout.observed import ObservedRollout
from navarch.core.rollout.standing import Standing, State, judge_workloads
from navarch.core.rollout.waves import count_waves, is_opted_out
from navarch.core.world.proxies import ProxyPod, is_current
from navarch.core.world.rollable import Rollable, target_of


@dataclass(frozen=True, slots=True)
class Questions:
    """What is to be asked for a rollout now. `pods` are the proxies that came with its restarts, None where
    nobody wants to know of them; `starting` are those, by namespace and name, whose workload is not rolled
    out yet: they may have no configuration; `home` is the namespace of its istiods, `revision` theirs;
    `namespaces` are those in which workloads were restarted."""

    target: str
    mesh: tuple[str, str]
    wave: int
    waves: int
    home: str
    revision: str
    pods: tuple[ProxyPod, ...] | None
    namespaces: tuple[str, ...]
    starting: frozenset[tuple[str, str]] = frozenset()
    prometheus: Prometheus | None = None
    webhooks: tuple[Webhook, ...] = ()

    def list_names(self) -> list[str]:
        """The gates, in order."""
        queries = self.prometheus.queries if self.prometheus is not None else ()
        own = [PROXIES] if self.pods is not None else []
        return [*own, *(f"query/{q.name}" for q in queries), *(f"webhook/{w.name}" for w in self.webhooks)]


def find_questions(observed: ObservedRollout, *, mesh: tuple[str, str], home: str) -> Questions | None:
    """What is to be asked; None before the first restart, after the last one, on the way back, and where the
    mesh wants nothing to be asked."""
    gates = observed.policy.gates or Gates()
    asked = gates.proxies != IGNORED or gates.prometheus is not None or gates.webhooks
    if not asked or observed.returning or not observed.target or observed.workloads.gap:
        return None
    moved = {
        (w.namespace, w.kind, w.name): w
        for w in observed.workloads.rollables
        if target_of(w) == observed.target and not w.follows and not _is_left_out(observed, w)
    }
    pending = [s for s in judge_workloads(observed) if _is_pending(s)] if moved else []
    if not pending:
        return None
    pods = [*_find_new(observed, moved)]
    starting = {(p.namespace, p.name) for p in pods if not moved[_place_of(p)].rolled}
    return Questions(
        observed.target,
        mesh,
        min(s.wave for s in pending),
        count_waves(observed.policy),
        home,
        observed.revision,
        None if gates.proxies == IGNORED else tuple(pods),
        tuple(sorted({namespace for namespace, _, _ in moved})),
        frozenset(starting),
        gates.prometheus,
        tuple(gates.webhooks or ()),
    )


def _is_left_out(observed: ObservedRollout, workload: Rollable) -> bool:
    """Whether its owner, or that of its namespace, has taken it out since: as it is no business of Navarch's
    any more, no other workload waits for it."""
    return is_opted_out(workload.order, observed.orders.get(workload.namespace, ""))


def _is_pending(standing: Standing) -> bool:
    return standing.state in (State.WAITING, State.ROLLING, State.FAILED)


def _place_of(pod: ProxyPod) -> tuple[str, str, str]:
    kind, _, name = pod.owner.partition("/")
    return pod.namespace, kind, name


def _find_new(observed: ObservedRollout, moved: Container[tuple[str, str, str]]) -> Iterable[ProxyPod]:
    """The proxies that came with the restarts."""
    stamps = {observed.revision: observed.target}
    for pod in observed.pods:
        if _place_of(pod) in moved and not pod.leaving and is_current(pod, stamps, observed.pins):
            yield pod
