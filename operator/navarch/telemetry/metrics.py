"""Every metric of the operator.

Owns names, labels and help texts (docs/reference/metrics.md is generated from here); the reconcile metrics
mirror controller-runtime's set. Must never be read by a decision.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

REGISTRY = CollectorRegistry(auto_describe=True)
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


class Conditions(Collector):
    """The conditions of all objects. A sample of prometheus_client takes 700 bytes, and a mesh with its
    revision has fifty: they are made when they are asked for."""

    _labelnames = ("kind", "namespace", "name", "type", "status")

    def __init__(self) -> None:
        self._said: dict[tuple[str, str, str], tuple[tuple[str, str], ...]] = {}
        REGISTRY.register(self)

    def set(self, kind: str, namespace: str, name: str, conditions: Iterable[Mapping[str, Any]]) -> None:
        """Note the present conditions of an object."""
        said = ((sys.intern(str(item["type"])), sys.intern(str(item["status"]))) for item in conditions)
        self._said[kind, namespace, name] = tuple(said)

    def forget(self, kind: str, namespace: str, name: str) -> None:
        """Drop those of an object that is gone."""
        self._said.pop((kind, namespace, name), None)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The metric without its samples."""
        text = "1 for the present status of a condition of a mesh or revision."
        yield GaugeMetricFamily("navarch_condition", text, labels=self._labelnames)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """A sample for each status that a condition may have."""
        for family in self.describe():
            for about, said in tuple(self._said.items()):  # metrics are rendered in a thread
                for kind, status in said:
                    for value in ("True", "False", "Unknown"):
                        family.add_metric([*about, kind, value], float(status == value))
            yield family


conditions = Conditions()

component_ready = Gauge(
    "navarch_component_ready_pods",
    "Pods of a control-plane component that are ready.",
    ["namespace", "mesh", "component"],
    registry=REGISTRY,
)
component_desired = Gauge(
    "navarch_component_desired_pods",
    "Pods of a control-plane component that are wanted.",
    ["namespace", "mesh", "component"],
    registry=REGISTRY,
)
proxies = Gauge(
    "navarch_proxies", "Proxies of a mesh by state.", ["namespace", "mesh", "state"], registry=REGISTRY
)
apply_total = Counter(
    "navarch_apply_total", "Objects applied by outcome.", ["namespace", "mesh", "outcome"], registry=REGISTRY
)
drift_repaired_total = Counter(
    "navarch_drift_repaired_total",
    "Objects put back after somebody else's edit.",
    ["namespace", "mesh"],
    registry=REGISTRY,
)

Series: TypeAlias = Gauge | Counter
SERIES_OF_A_MESH: tuple[Series, ...] = (
    proxies,
    component_ready,
    component_desired,
    apply_total,
    drift_repaired_total,
)
"""Metrics whose series name a mesh."""


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


def count_outcome(namespace: str, mesh: str, outcome: _Outcome) -> None:
    """Count what apply did, object by object."""
    for result in outcome.results:
        apply_total.labels(namespace, mesh, str(result.action)).inc()
        if result.drift:
            drift_repaired_total.labels(namespace, mesh).inc()


def set_conditions(kind: str, namespace: str, name: str, status: Mapping[str, Any]) -> None:
    """Publish a status: its conditions, and a mesh's components and proxies."""
    conditions.set(kind, namespace, name, status["conditions"])
    if "proxies" not in status:
        return
    for state in ("total", "current", "outdated"):
        proxies.labels(namespace, name, state).set(status["proxies"][state])
    for component in status.get("components") or ():
        component_ready.labels(namespace, name, component["name"]).set(component["ready"])
        component_desired.labels(namespace, name, component["name"]).set(component["desired"])


def forget(kind: str, namespace: str, name: str, *, series: Iterable[Series]) -> None:
    """Drop the conditions of an object that is gone, and the `series` of its kind that name it."""
    conditions.forget(kind, namespace, name)
    for metric in series:
        metric.remove_by_labels({"namespace": namespace, "mesh": name})
