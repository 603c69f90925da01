"""Restarts of workloads, played out: any workloads, any interruption, any order of what pods do.

Invariants: at every write no more workloads are in a restart than the budget allows; canaries come first and
waves in their order; what can be restarted ends current, whatever is interrupted; what opted out is never
touched.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from navarch.api.dataplane import DataPlane, Window
from navarch.core.model.restarts import Restart
from navarch.core.rollout.observed import ObservedRollout, Workloads
from navarch.core.rollout.plan import Phase, RolloutPlan, plan_rollout
from navarch.core.rollout.standing import State
from navarch.core.rollout.status import summarise_rollout
from navarch.core.rollout.waves import count_waves, find_wave, is_opted_out
from navarch.core.rollout.windows import find_opening
from navarch.core.world.proxies import ProxyPod
from navarch.core.world.rollable import Rollable, target_of

OLD, NEW, NEWER = "1.30.1-aaaa", "1.31.1-bbbb", "1.31.2-cccc"
REVISION, MESH = "mesh-inplace", "uid-1"
BEGIN = datetime(2026, 11, 2, tzinfo=UTC)


@dataclass
class Simulated:
    """A workload and its pods' stamps, in the order in which they are replaced."""

    seen: Rollable
    pods: list[str]
    replaced: int = 0


@dataclass
class Cluster:
    """Workloads whose pods are replaced when something asks for it, and a status that an operator wrote."""

    policy: DataPlane
    target: str
    orders: dict[str, str]
    workloads: dict[tuple[str, str], Simulated] = field(default_factory=dict)
    now: datetime = BEGIN
    status: dict[str, object] = field(default_factory=dict)
    restarts: list[tuple[str, str]] = field(default_factory=list)

    def observe(self) -> ObservedRollout:
        """What an operator that knows nothing sees."""
        told = self.status if self.status.get("target") == self.target else {}
        return ObservedRollout(
            MESH,
            self.policy,
            self.target,
            REVISION,
            self.now.isoformat(),
            tuple(
                ProxyPod(
                    w.seen.namespace,
                    f"{w.seen.name}-{i}",
                    REVISION,
                    stamp,
                    owner=f"{w.seen.kind}/{w.seen.name}",
                )
                for w in self.workloads.values()
                for i, stamp in enumerate(w.pods)
            ),
            Workloads(tuple(w.seen for w in self.workloads.values())),
            orders=self.orders,
            told_wave=int(str(told.get("wave", 0))),
            told_since=str(told.get("since", "")),
        )

    def write(self, restart: Restart) -> None:
        """A restart reaches the API server."""
        key = (restart.ref.namespace, restart.ref.name)
        workload = self.workloads[key]
        assert workload.seen.uid == restart.uid
        if workload.seen.restarted_for == restart.mark:
            return
        self.restarts.append(key)
        workload.replaced = 0
        workload.seen = replace(
            workload.seen,
            restarted_for=restart.mark,
            restarted_at=self.now.isoformat(),
            edited=False,
            rolled=False,
        )
        self.check_budget()

    def check_budget(self) -> None:
        """No more workloads roll by Navarch's hand than may."""
        rolling = Counter(
            ns for (ns, _), w in self.workloads.items() if w.seen.restarted_for and not w.seen.rolled
        )
        assert rolling.total() <= (self.policy.max_unavailable or 1)
        assert max(rolling.values(), default=0) <= (self.policy.per_namespace_parallelism or 1)

    def replace_pod(self, key: tuple[str, str]) -> None:
        """The controller of a workload that is rolled replaces one pod."""
        workload = self.workloads[key]
        if workload.seen.rolled:
            return
        workload.pods[workload.replaced] = self.target
        workload.replaced += 1
        if workload.replaced == len(workload.pods):
            workload.seen = replace(workload.seen, rolled=True)

    def wait(self, plan: RolloutPlan) -> None:
        """Let the time pass for which the operator wants to sleep."""
        self.now += timedelta(seconds=plan.requeue_after or 1.0)


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    """A mesh with older proxies in a few namespaces."""
    namespaces = [f"ns-{i}" for i in range(draw(st.integers(1, 5)))]
    most = draw(st.integers(1, 4))
    policy = DataPlane(
        mode="Managed",
        canary_namespaces=draw(st.lists(st.sampled_from(namespaces), unique=True, max_size=2)) or None,
        waves=draw(st.integers(1, 5)),
        max_unavailable=most,
        per_namespace_parallelism=draw(st.integers(1, most)),
        soak_seconds=draw(st.sampled_from([0, 60, 300])),
    )
    words = st.sampled_from(["", "", "", "First", "Last", "Never", "never"])
    cluster = Cluster(policy, NEW, {name: draw(words) for name in namespaces})
    for namespace in namespaces:
        for i in range(draw(st.integers(0, 3))):
            kind = draw(st.sampled_from(["Deployment", "StatefulSet", "DaemonSet", "Rollout"]))
            seen = Rollable(
                kind, namespace, f"app-{i}", f"uid-{namespace}-{i}", rolled=True, order=draw(words)
            )
            pods = draw(st.lists(st.sampled_from([OLD, NEW]), min_size=1, max_size=3))
            cluster.workloads[namespace, seen.name] = Simulated(seen, pods)
    return cluster


def is_untouchable(cluster: Cluster, key: tuple[str, str]) -> bool:
    return is_opted_out(cluster.orders[key[0]]) or is_opted_out(cluster.workloads[key].seen.order)


def step(cluster: Cluster, choose: st.DataObject) -> RolloutPlan:
    """A look, some of its writes before the process is killed, and what pods do meanwhile."""
    plan = plan_rollout(cluster.observe())
    survives = choose.draw(st.integers(0, len(plan.restarts)))
    for restart in plan.restarts[:survives]:
        cluster.write(restart)
    if choose.draw(st.booleans()):  # the status was written before the process was killed
        cluster.status = summarise_rollout(plan, target=cluster.target, since=cluster.now.isoformat())
    rolling = sorted(key for key, w in cluster.workloads.items() if not w.seen.rolled)
    for key in choose.draw(st.lists(st.sampled_from(rolling), unique=True)) if rolling else ():
        cluster.replace_pod(key)
    if not rolling:
        cluster.wait(plan)
    return plan


@given(clusters(), st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_is_interrupted_every_eligible_workload_ends_current_within_the_budget(
    cluster: Cluster, data: st.DataObject
) -> None:
    before = {key: w.seen for key, w in cluster.workloads.items()}
    for _ in range(data.draw(st.integers(0, 12))):
        step(cluster, data)
    for _ in range(400):
        plan = plan_rollout(cluster.observe())
        cluster.status = summarise_rollout(plan, target=cluster.target, since=cluster.now.isoformat())
        if plan.phase is Phase.DONE:
            break
        for restart in plan.restarts:
            cluster.write(restart)
        rolling = [key for key, w in cluster.workloads.items() if not w.seen.rolled]
        for key in rolling:
            cluster.replace_pod(key)
        if not rolling:
            cluster.wait(plan)
    assert plan.phase is Phase.DONE
    for key, workload in cluster.workloads.items():
        if is_untouchable(cluster, key):
            assert workload.seen == before[key]
        else:
            assert set(workload.pods) == {NEW}
    assert len(cluster.restarts) == len(set(cluster.restarts)), "none was restarted twice"
    waves = [find_wave(cluster.policy, MESH, ns, cluster.orders[ns]) for ns, _ in cluster.restarts]
    assert waves == sorted(waves), "a wave began before the one before it was done"
    assert not plan_rollout(cluster.observe()).restarts


@given(clusters(), st.data())
@settings(max_examples=80, deadline=None)
def test_a_version_that_changes_in_the_middle_keeps_the_budget_and_ends_current(
    cluster: Cluster, data: st.DataObject
) -> None:
    for _ in range(data.draw(st.integers(0, 8))):
        step(cluster, data)
    cluster.target = NEWER
    for _ in range(600):
        plan = plan_rollout(cluster.observe())
        cluster.status = summarise_rollout(plan, target=cluster.target, since=cluster.now.isoformat())
        if plan.phase is Phase.DONE:
            break
        for restart in plan.restarts:
            cluster.write(restart)
        for key, each in cluster.workloads.items():
            while not each.seen.rolled:
                cluster.replace_pod(key)
        cluster.wait(plan)
    assert plan.phase is Phase.DONE
    for key, workload in cluster.workloads.items():
        assert is_untouchable(cluster, key) or set(workload.pods) == {NEWER}


@given(clusters(), st.data())
@settings(max_examples=80, deadline=None)
def test_one_that_does_not_come_up_stops_all_others_until_it_does(
    cluster: Cluster, data: st.DataObject
) -> None:
    eligible = [
        key for key, w in cluster.workloads.items() if OLD in w.pods and not is_untouchable(cluster, key)
    ]
    assume(eligible)
    broken = data.draw(st.sampled_from(sorted(eligible)))
    for _ in range(400):
        plan = plan_rollout(cluster.observe())
        cluster.status = summarise_rollout(plan, target=cluster.target, since=cluster.now.isoformat())
        if plan.phase in (Phase.DONE, Phase.HALTED):
            break
        for restart in plan.restarts:
            cluster.write(restart)
        for key, workload in cluster.workloads.items():
            while key != broken and not workload.seen.rolled:
                cluster.replace_pod(key)
        cluster.wait(plan)
    assert plan.phase is Phase.HALTED
    assert not plan.restarts
    assert [(s.namespace, s.name) for s in plan.list(State.FAILED)] == [broken]
    assert f"{broken[0]}/{broken[1]}" in plan.why[0]
    workload = cluster.workloads[broken]
    while not workload.seen.rolled:
        cluster.replace_pod(broken)
    assert plan_rollout(cluster.observe()).phase is not Phase.HALTED


MOMENTS = ["", "2026-11-01T00:00:00Z", "2026-11-01T23:59:00Z", "2026-11-02T00:00:05Z"]
FORGED = ["9999-12-31T23:59:59Z", "10000-01-01T11:59:59Z", "0001-01-01T00:00:00Z", "today"]


@st.composite
def worlds(draw: st.DrawFn) -> ObservedRollout:
    """Workloads as their owners, controllers and other clients may leave them, at any moment."""
    base = draw(clusters())
    seen = base.observe()
    workloads = [
        replace(
            w.seen,
            rolled=draw(st.booleans()),
            stuck=draw(st.sampled_from(["", "", "stuck"])),
            refusal=draw(st.sampled_from(["", "", "", "paused"])),
            restarted_for=draw(st.sampled_from(["", OLD, NEW, f"{NEW}/2", "x/y"])),
            restarted_at=draw(st.sampled_from([*MOMENTS, *FORGED])),
            edited=draw(st.sampled_from([False, False, True])),
            unsure=draw(st.booleans()),
            lacking=draw(st.sampled_from([False, False, True])),
        )
        for w in base.workloads.values()
    ]
    return replace(
        seen,
        workloads=Workloads(tuple(workloads)),
        pods=tuple(replace(p, leaving=draw(st.sampled_from([False, False, True]))) for p in seen.pods),
        leaving=frozenset(draw(st.sets(st.sampled_from(["ns-0", "ns-1"])))),
        hindrance=draw(st.sampled_from(["", "", "", "the control plane is being rolled out"])),
        returning=draw(st.sampled_from([False, False, True])),
        told_wave=draw(st.integers(0, 6)),
        told_since=draw(st.sampled_from(["", "x", "2026-11-01T23:58:00+00:00", "2031-01-01T00:00:00Z"])),
    )


@given(worlds())
@settings(max_examples=150, deadline=None)
def test_no_world_breaks_the_budget_or_the_order_or_stands_without_saying_why(world: ObservedRollout) -> None:
    plan = plan_rollout(world)
    assert plan == plan_rollout(world)
    standings = {(s.namespace, s.kind, s.name): s for s in plan.standings}
    chosen = [standings[r.ref.namespace, r.ref.kind, r.ref.name] for r in plan.restarts]
    going = [s for s in plan.standings if s.in_flight and s.state is not State.WAITING]
    places = Counter(s.namespace for s in (*going, *chosen))
    if chosen:
        assert places.total() <= max(world.policy.max_unavailable or 1, len(going))
        assert all(places[s.namespace] <= (world.policy.per_namespace_parallelism or 1) for s in chosen), (
            "of one namespace"
        )
    for s in chosen:
        assert s.state is State.WAITING
        assert s.in_flight or s.wave == plan.wave
        assert s.in_flight or not any(each.wave < s.wave and each.in_flight for each in plan.standings), (
            "a wave begins when all before it are done"
        )
    if plan.phase not in (Phase.DONE, Phase.ROLLING):
        assert plan.why
    if plan.phase is not Phase.DONE and not plan.restarts:
        waits = [s for s in plan.standings if s.state in (State.ROLLING, State.FAILED, State.BLOCKED)]
        assert waits or plan.why or plan.requeue_after is not None
    assert plan.requeue_after is None or plan.requeue_after <= 2 * 600


@given(clusters())
@settings(deadline=None)
def test_a_namespace_keeps_its_wave_whatever_other_namespaces_there_are(cluster: Cluster) -> None:
    for namespace, order in cluster.orders.items():
        wave = find_wave(cluster.policy, MESH, namespace, order)
        assert 1 <= wave <= count_waves(cluster.policy)
        if canaries := cluster.policy.canary_namespaces:
            assert (wave == 1) == (namespace in canaries)


ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kathmandu", "America/Nuuk"]


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
    st.sampled_from(ZONES),
    st.integers(0, 23),
    st.sampled_from([0, 15, 30, 59]),
    st.integers(1, 1440),
    st.sets(st.sampled_from(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]), min_size=1),
)
@settings(max_examples=300, deadline=None)
def test_a_window_opens_when_it_says_and_is_open_for_its_minutes(
    now: datetime, name: str, hour: int, minute: int, minutes: int, days: set[str]
) -> None:
    zone = ZoneInfo(name)
    window = Window(
        days=sorted(days),  # type: ignore[arg-type]
        start=f"{hour:02}:{minute:02}",
        duration_minutes=minutes,
        time_zone=name,
    )
    opening = find_opening([window], {name: zone}, now)
    assert opening is not None
    assert opening.at > now
    if opening.open:
        assert opening.at - now <= timedelta(minutes=minutes) + timedelta(hours=2)
        return
    assert opening.at - now <= timedelta(days=8)
    just = timedelta(seconds=1)
    began = find_opening([window], {name: zone}, opening.at)
    before = find_opening([window], {name: zone}, opening.at - just)
    assert began is not None
    assert before is not None
    assert (began.open, before.open) == (True, False)
    end = opening.at + timedelta(minutes=minutes)
    last = find_opening([window], {name: zone}, end - just)
    assert last is not None
    assert last.open
    local = opening.at.astimezone(zone)
    shift = local.replace(tzinfo=None) - datetime(local.year, local.month, local.day, hour, minute)
    assert timedelta(0) <= shift <= timedelta(hours=1), "later only where the clocks are put forward over it"
    assert local.strftime("%a") in days


def test_a_target_is_read_back_from_what_a_restart_wrote() -> None:
    seen = Rollable("Deployment", "ns", "app", "uid", rolled=True, restarted_for=f"{NEW}/3")
    assert target_of(seen) == NEW
