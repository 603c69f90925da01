"""Every metric of the operator.

Owns names, labels and help texts (docs/reference/metrics.md is generated from here); the reconcile metrics
mirror controller-runtime's set. Must never be read by a decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from navarch.telemetry.objects import MOST, Conditions, Measured, Numbers, Owner, Series, name_owner

# They double the series of counters and histograms.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry(auto_describe=True)
process = ProcessCollector(namespace="navarch", registry=REGISTRY)
ROLLOUT_PHASES = ("Waiting", "Rolling", "Soaking", "Halted", "Paused", "Done")
UPGRADE_PHASES = ("Proving", "Held")
ROTATION_PHASES = ("Preparing", "CrossSigned", "TrustingNew", "TrustingBoth", "SigningNew")
"""Of status.dataPlane, status.upgrade and a rotation: a series for each, so that a query finds each."""
_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

reconcile_total = Counter(
    "navarch_reconcile_total", "Reconciles by result.", ["controller", "result"], registry=REGISTRY
)
reconcile_errors_total = Counter(
    "navarch_reconcile_errors_total", "Reconciles that failed.", ["controller"], registry=REGISTRY
)
reconcile_terminal_errors_total = Counter(
    "navarch_reconcile_terminal_errors_total",
    "Reconciles that failed and wait for an edit.",
    ["controller"],
    registry=REGISTRY,
)
reconcile_panics_total = Counter(
    "navarch_reconcile_panics_total",
    "Errors that the program did not know.",
    ["controller"],
    registry=REGISTRY,
)
reconcile_time_seconds = Histogram(
    "navarch_reconcile_time_seconds",
    "Duration of a reconcile.",
    ["controller"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
active_workers = Gauge(
    "navarch_active_workers", "Reconciles that run now.", ["controller"], registry=REGISTRY
)
max_concurrent_reconciles = Gauge(
    "navarch_max_concurrent_reconciles", "Reconciles that may run at once.", registry=REGISTRY
)
installation_missing_objects = Gauge(
    "navarch_installation_missing_objects",
    "Objects of the installation that the operator keeps itself (policies, the probe's namespace), and could "
    "not put right.",
    registry=REGISTRY,
)
gateway_api_not_installed = Gauge(
    "navarch_gateway_api_not_installed",
    "1 while Gateway API's CRDs are not as NAVARCH_GATEWAY_API_INSTALL asks for.",
    registry=REGISTRY,
)
unmeasured_objects = Gauge(
    "navarch_unmeasured_objects",
    f"Objects of Navarch's kinds without metrics of their own: a namespace has more than {MOST} of one kind.",
    registry=REGISTRY,
)
statuses_held_back = Gauge(
    "navarch_statuses_held_back",
    "Objects whose status was written seconds ago and is not yet written again for numbers and words.",
    registry=REGISTRY,
)
workqueue_depth = Gauge("navarch_workqueue_depth", "Keys that wait for a worker.", registry=REGISTRY)
workqueue_adds_total = Counter(
    "navarch_workqueue_adds_total", "Keys accepted by the queue.", ["controller"], registry=REGISTRY
)
workqueue_retries_total = Counter(
    "navarch_workqueue_retries_total", "Keys put back after an error.", ["controller"], registry=REGISTRY
)
workqueue_queue_duration_seconds = Histogram(
    "navarch_workqueue_queue_duration_seconds",
    "Time a key waited for a worker.",
    ["controller"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
workqueue_work_duration_seconds = Histogram(
    "navarch_workqueue_work_duration_seconds",
    "Time a key kept a worker.",
    ["controller"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
workqueue_unfinished_work_seconds = Gauge(
    "navarch_workqueue_unfinished_work_seconds",
    "Seconds that running reconciles have taken so far, in sum.",
    registry=REGISTRY,
)
workqueue_longest_running_processor_seconds = Gauge(
    "navarch_workqueue_longest_running_processor_seconds",
    "Seconds that the oldest running reconcile has taken.",
    registry=REGISTRY,
)
rest_client_requests_total = Counter(
    "navarch_rest_client_requests_total",
    "Requests to the API server by method, resource and HTTP status.",
    ["method", "resource", "code"],
    registry=REGISTRY,
)
rest_client_request_duration_seconds = Histogram(
    "navarch_rest_client_request_duration_seconds",
    "Duration of a request to the API server, watches excepted.",
    ["method"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
leader_election_master_status = Gauge(
    "navarch_leader_election_master_status", "1 while this replica leads.", registry=REGISTRY
)
metrics_certificate_not_before_timestamp_seconds = Gauge(
    "navarch_metrics_certificate_not_before_timestamp_seconds",
    "Unix time from which the certificate of the metrics' port is valid; 0 where it serves plain HTTP.",
    registry=REGISTRY,
)
metrics_certificate_not_after_timestamp_seconds = Gauge(
    "navarch_metrics_certificate_not_after_timestamp_seconds",
    "Unix time until which the certificate of the metrics' port is valid; 0 where it serves plain HTTP.",
    registry=REGISTRY,
)
event_loop_stall_seconds = Histogram(
    "navarch_event_loop_stall_seconds",
    "Time by which the event loop, which all meshes share, came late to a look every quarter of a second.",
    buckets=(0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
    registry=REGISTRY,
)
watch_age_seconds = Gauge(
    "navarch_watch_age_seconds",
    "Seconds since a watch stream was last heard of.",
    ["watch"],
    registry=REGISTRY,
)
watch_kept_bytes = Gauge(
    "navarch_watch_kept_bytes",
    "About how many bytes of memory the objects of a watch take.",
    ["watch"],
    registry=REGISTRY,
)
watch_left_out_objects = Gauge(
    "navarch_watch_left_out_objects",
    "Objects of a watch that are not kept, or not whole, because they are too large; 1000 are the most that "
    "are counted.",
    ["watch"],
    registry=REGISTRY,
)


conditions = Conditions()
numbers = Numbers()
measured = Measured()
unmeasured_objects.set_function(measured.count_others)
"""What is measured of each object of ours."""


def render() -> bytes:
    """All metrics as text."""
    return generate_latest(REGISTRY) + numbers.render() + conditions.render()


component_ready = numbers.add_series(
    "navarch_component_ready_pods",
    "Pods of a control-plane component that are ready.",
    ["namespace", "mesh", "component"],
)
component_desired = numbers.add_series(
    "navarch_component_desired_pods",
    "Pods of a control-plane component that are wanted.",
    ["namespace", "mesh", "component"],
)
proxies = numbers.add_series("navarch_proxies", "Proxies of a mesh by state.", ["namespace", "mesh", "state"])
members = numbers.add_series(
    "navarch_members",
    "Namespaces of a mesh, its own excepted, that are ready or pending.",
    ["namespace", "mesh", "state"],
)
member_proxies = numbers.add_series(
    "navarch_member_proxies",
    "Pods with a proxy of the mesh in a namespace with a MeshMember, by state.",
    ["namespace", "member", "state"],
)
rollout_phase = numbers.add_series(
    "navarch_rollout_phase",
    "1 for the present phase of the restarts of a mesh's workloads. Only of a mesh whose workloads Navarch "
    "restarts.",
    ["namespace", "mesh", "phase"],
)
rollout_phase_start = numbers.add_series(
    "navarch_rollout_phase_start_timestamp_seconds",
    "Since when the restarts of a mesh's workloads have been in their present phase, in Unix time.",
    ["namespace", "mesh"],
)
rollout_workloads = numbers.add_series(
    "navarch_rollout_workloads",
    "Workloads with proxies of a mesh, by how far their restart is.",
    ["namespace", "mesh", "state"],
)
upgrade_phase = numbers.add_series(
    "navarch_upgrade_phase",
    "1 for the present phase of an upgrade to another revision. Only of a mesh with one under way.",
    ["namespace", "mesh", "phase"],
)
upgrade_start = numbers.add_series(
    "navarch_upgrade_start_timestamp_seconds",
    "Since when an upgrade to another revision has been under way, in Unix time.",
    ["namespace", "mesh"],
)
approval_pending = numbers.add_series(
    "navarch_approval_pending",
    "1 while a change of a mesh waits for an approval; `change` is minor, patch or config.",
    ["namespace", "mesh", "change"],
)
gateway_ready = numbers.add_series(
    "navarch_gateway_ready_pods",
    "Pods of a MeshGateway that are ready.",
    ["namespace", "gateway"],
)
gateway_desired = numbers.add_series(
    "navarch_gateway_desired_pods",
    "Pods of a MeshGateway that are wanted.",
    ["namespace", "gateway"],
)
gateway_certificate = numbers.add_series(
    "navarch_gateway_certificate_not_after_timestamp_seconds",
    "Until when the certificate in a Secret (namespace/name) of a MeshGateway's listeners is valid, in Unix "
    "time. Only where the operator reads certificates.",
    ["namespace", "name", "secret"],
)
authority_certificate = numbers.add_series(
    "navarch_certificate_authority_not_after_timestamp_seconds",
    "Until when the root and the intermediate of a mesh's managed certificate authority are valid, in Unix "
    "time.",
    ["namespace", "mesh", "certificate"],
)
rotation_phase = numbers.add_series(
    "navarch_root_rotation_phase",
    "1 for the present phase of the way from one root to another. Only of a mesh that is on one.",
    ["namespace", "mesh", "phase"],
)
apply_total = numbers.add_series(
    "navarch_apply_total",
    "Objects applied by outcome, for a mesh (its revision included) or a gateway.",
    ["kind", "namespace", "name", "outcome"],
)
drift_repaired_total = numbers.add_series(
    "navarch_drift_repaired_total",
    "Objects of a mesh or gateway put back after another client's edit.",
    ["kind", "namespace", "name"],
)


class CountedElsewhere(Collector):
    """A counter with one label whose values somebody else keeps; `read` gives them, by label value."""

    def __init__(self, name: str, documentation: str, label: str) -> None:
        self._name, self._documentation = name, documentation
        self._labelnames = (label,)
        self.read: Callable[[], Mapping[str, int]] = dict
        REGISTRY.register(self)

    def describe(self) -> Iterator[CounterMetricFamily]:
        """The counter without its values."""
        yield CounterMetricFamily(self._name, self._documentation, labels=self._labelnames)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The values now."""
        for family in self.describe():
            for value, number in self.read().items():
                family.add_metric([value], number)
            yield family


renderings_total = CountedElsewhere(
    "navarch_renderings_total",
    "What meshes become, by whether it was remembered or had to be made.",
    "result",
)


class _Result(Protocol):
    @property
    def action(self) -> Any: ...
    @property
    def drift(self) -> bool: ...


class _Outcome(Protocol):
    @property
    def results(self) -> tuple[_Result, ...]: ...


def observe_request(*, method: str, resource: str, code: int, seconds: float) -> None:
    """Count a request to the API server; `code` is 0 when there was no answer."""
    rest_client_requests_total.labels(method, resource, str(code)).inc()
    rest_client_request_duration_seconds.labels(method).observe(seconds)


def count_outcome(kind: str, namespace: str, name: str, outcome: _Outcome) -> None:
    """Count what apply did for an object of ours, object by object."""
    owner = name_owner(kind, namespace, name)
    if not measured.admit(owner):
        return
    for result in outcome.results:
        numbers.count(owner, apply_total, str(result.action))
        if result.drift:
            numbers.count(owner, drift_repaired_total)


def set_conditions(kind: str, namespace: str, name: str, status: Mapping[str, Any]) -> None:
    """Publish a status: its conditions, a mesh's components, proxies, members, upgrade and restarts, a
    gateway's pods, and a member's proxies."""
    owner = name_owner(kind, namespace, name)
    if not measured.admit(owner):
        return
    conditions.set(owner, status["conditions"])
    if kind == "MeshControlPlane":
        _set_numbers_of_mesh(owner, status)
    elif kind == "MeshGateway":  # one without a workload says nothing of its pods
        numbers.set(owner, gateway_ready, status.get("ready", 0))
        numbers.set(owner, gateway_desired, status.get("desired", 0))
        numbers.keep(owner, gateway_certificate, _read_ends(status.get("certificates") or ()))
    elif kind == "MeshMember":
        for state in ("current", "outdated", "manual"):
            numbers.set(owner, member_proxies, (status.get("proxies") or {}).get(state, 0), state)


def _set_numbers_of_mesh(owner: Owner, status: Mapping[str, Any]) -> None:
    """Publish what a mesh's status counts; one of which nothing is known yet says nothing."""
    if counted := status.get("members"):
        numbers.set(owner, members, counted["ready"], "ready")
        numbers.set(owner, members, counted["total"] - counted["ready"], "pending")
    if counted := status.get("proxies"):
        for state in ("total", "current", "outdated", "manual"):
            numbers.set(owner, proxies, counted.get(state, 0), state)
    for component in status.get("components") or ():
        numbers.set(owner, component_ready, component["ready"], component["name"])
        numbers.set(owner, component_desired, component["desired"], component["name"])
    rollout = status.get("dataPlane") or {}
    _set_phase(owner, rollout_phase, ROLLOUT_PHASES, rollout)
    _set_start(owner, rollout_phase_start, rollout.get("phaseSince"))
    states = {state: rollout[state] for state in ("updated", "rolling", "waiting", "manual") if rollout}
    numbers.keep(owner, rollout_workloads, states)
    authority = status.get("certificateAuthority") or {}
    numbers.keep(owner, authority_certificate, _read_authority(authority))
    _set_phase(owner, rotation_phase, ROTATION_PHASES, authority.get("rotation") or {})
    upgrade = status.get("upgrade") or {}
    _set_phase(owner, upgrade_phase, UPGRADE_PHASES, upgrade)
    _set_start(owner, upgrade_start, upgrade.get("since"))
    held = status.get("plan")
    numbers.keep(owner, approval_pending, {held["change"]: 1.0} if held else {})


def _set_phase(owner: Owner, series: Series, phases: Iterable[str], told: Mapping[str, Any]) -> None:
    """A number for each phase, of which one is 1; none of what is not under way."""
    numbers.keep(owner, series, {phase: float(phase == told["phase"]) for phase in phases} if told else {})


def _set_start(owner: Owner, series: Series, since: str | None) -> None:
    """When something began; no number while nobody knows."""
    if since:
        numbers.set(owner, series, datetime.fromisoformat(since).timestamp())
    else:
        numbers.drop(owner, series)


def _read_ends(certificates: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """When a gateway's certificates end, by Secret."""
    return {
        f"{each['namespace']}/{each['name']}": datetime.fromisoformat(each["notAfter"]).timestamp()
        for each in certificates
    }


def _read_authority(authority: Mapping[str, Any]) -> dict[str, float]:
    """When root and intermediate of a managed authority end."""
    parts = {part: authority[part] for part in ("root", "intermediate") if part in authority}
    return {part: datetime.fromisoformat(each["notAfter"]).timestamp() for part, each in parts.items()}


def forget(kind: str, namespace: str, name: str) -> None:
    """Drop all that was told of an object that is gone."""
    owner = name_owner(kind, namespace, name)
    measured.forget(owner)
    conditions.forget(owner)
    numbers.forget(owner)
