"""Every metric of the operator.

Owns names, labels and help texts (docs/reference/metrics.md is generated from here); the reconcile metrics
mirror controller-runtime's set. Must never be read by a decision.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeAlias, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

# They double the series of counters and histograms.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry(auto_describe=True)
process = ProcessCollector(namespace="navarch", registry=REGISTRY)
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


_STATUSES = ("True", "False", "Unknown")


class Conditions(Collector):
    """The conditions of all objects. A sample of prometheus_client takes 700 bytes, and a mesh with its
    revision and a gateway has eighty: they are made when they are asked for, and written as text, which the
    library takes ten times as long for."""

    _labelnames = ("kind", "namespace", "name", "type", "status")

    def __init__(self) -> None:
        self._said: dict[tuple[str, str, str], tuple[tuple[str, str], ...]] = {}

    def set(self, kind: str, namespace: str, name: str, conditions: Iterable[Mapping[str, Any]]) -> None:
        """Note the present conditions of an object."""
        said = ((sys.intern(str(item["type"])), sys.intern(str(item["status"]))) for item in conditions)
        self._said[kind, namespace, name] = tuple(said)

    def forget(self, kind: str, namespace: str, name: str) -> None:
        """Drop those of an object that is gone."""
        self._said.pop((kind, namespace, name), None)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The metric without its samples."""
        text = "1 for the present status of a condition of a mesh, revision, gateway or member."
        yield GaugeMetricFamily("navarch_condition", text, labels=self._labelnames)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """A sample for each status that a condition may have."""
        for family in self.describe():
            for about, said in tuple(self._said.items()):  # metrics are rendered in a thread
                for kind, status in said:
                    for value in _STATUSES:
                        family.add_metric([*about, kind, value], float(status == value))
            yield family

    def render(self) -> bytes:
        """The same as text. No name of an object, kind or condition holds what would have to be escaped."""
        (family,) = self.describe()
        lines = [f"# HELP {family.name} {family.documentation}\n# TYPE {family.name} gauge\n"]
        for (kind, namespace, name), said in tuple(self._said.items()):
            about = f'{family.name}{{kind="{kind}",name="{name}",namespace="{namespace}",status="'
            for condition, status in said:
                lines += [
                    f'{about}{value}",type="{condition}"}} {1.0 if status == value else 0.0}\n'
                    for value in _STATUSES
                ]
        return "".join(lines).encode()


conditions = Conditions()


def render() -> bytes:
    """All metrics as text."""
    return generate_latest(REGISTRY) + conditions.render()


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
members = Gauge(
    "navarch_members",
    "Namespaces of a mesh, its own excepted, that are ready or pending.",
    ["namespace", "mesh", "state"],
    registry=REGISTRY,
)
member_proxies = Gauge(
    "navarch_member_proxies",
    "Pods with a proxy of the mesh in a namespace with a MeshMember, by state.",
    ["namespace", "member", "state"],
    registry=REGISTRY,
)
gateway_ready = Gauge(
    "navarch_gateway_ready_pods",
    "Pods of a MeshGateway that are ready.",
    ["namespace", "gateway"],
    registry=REGISTRY,
)
gateway_desired = Gauge(
    "navarch_gateway_desired_pods",
    "Pods of a MeshGateway that are wanted.",
    ["namespace", "gateway"],
    registry=REGISTRY,
)
gateway_certificate = Gauge(
    "navarch_gateway_certificate_not_after_timestamp_seconds",
    "Until when the certificate in a Secret (namespace/name) of a MeshGateway's listeners is valid, in Unix "
    "time. Only where the operator reads certificates.",
    ["namespace", "name", "secret"],
    registry=REGISTRY,
)
apply_total = Counter(
    "navarch_apply_total",
    "Objects applied by outcome, for a mesh (its revision included) or a gateway.",
    ["kind", "namespace", "name", "outcome"],
    registry=REGISTRY,
)
drift_repaired_total = Counter(
    "navarch_drift_repaired_total",
    "Objects of a mesh or gateway put back after another client's edit.",
    ["kind", "namespace", "name"],
    registry=REGISTRY,
)

Series: TypeAlias = Gauge | Counter
_Owner: TypeAlias = tuple[str, str, str]
_owned: dict[_Owner, set[tuple[Series, tuple[str, ...]]]] = defaultdict(set)
"""The series of each object of ours. A metric finds one of many thousands at once by all of its labels, and
only by looking at each by some of them."""


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


_Metric = TypeVar("_Metric", Gauge, Counter)


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
    owner = (kind, namespace, name)
    for result in outcome.results:
        _own(owner, apply_total, *owner, str(result.action)).inc()
        if result.drift:
            _own(owner, drift_repaired_total, *owner).inc()


def set_conditions(kind: str, namespace: str, name: str, status: Mapping[str, Any]) -> None:
    """Publish a status: its conditions, a mesh's components, proxies and members, a gateway's pods, and a
    member's proxies."""
    conditions.set(kind, namespace, name, status["conditions"])
    owner = (kind, namespace, name)
    if kind == "MeshGateway":  # one without a workload says nothing of its pods
        _own(owner, gateway_ready, namespace, name).set(status.get("ready", 0))
        _own(owner, gateway_desired, namespace, name).set(status.get("desired", 0))
        _set_certificates(owner, status.get("certificates") or ())
    if kind == "MeshMember":
        for state in ("current", "outdated", "manual"):
            _own(owner, member_proxies, namespace, name, state).set(
                (status.get("proxies") or {}).get(state, 0)
            )
        return
    if kind == "MeshControlPlane" and (counted := status.get("members")):
        _own(owner, members, namespace, name, "ready").set(counted["ready"])
        _own(owner, members, namespace, name, "pending").set(counted["total"] - counted["ready"])
    if "proxies" not in status:
        return
    for state in ("total", "current", "outdated", "manual"):
        _own(owner, proxies, namespace, name, state).set(status["proxies"].get(state, 0))
    for component in status.get("components") or ():
        _own(owner, component_ready, namespace, name, component["name"]).set(component["ready"])
        _own(owner, component_desired, namespace, name, component["name"]).set(component["desired"])


def _set_certificates(owner: _Owner, certificates: Iterable[Mapping[str, Any]]) -> None:
    """Publish the ends of a gateway's certificates, and drop those that it has no longer."""
    ends = {f"{each['namespace']}/{each['name']}": each["notAfter"] for each in certificates}
    for metric, values in [*_owned[owner]]:
        if metric is gateway_certificate and values[-1] not in ends:
            metric.remove(*values)
            _owned[owner].discard((metric, values))
    for secret, end in ends.items():
        moment = datetime.fromisoformat(end).timestamp()
        _own(owner, gateway_certificate, *owner[1:], secret).set(moment)


def forget(kind: str, namespace: str, name: str) -> None:
    """Drop all series of an object that is gone."""
    conditions.forget(kind, namespace, name)
    for metric, values in _owned.pop((kind, namespace, name), ()):
        metric.remove(*values)


def _own(owner: _Owner, metric: _Metric, *values: str) -> _Metric:
    """A series, noted as one of the object's."""
    _owned[owner].add((metric, values))
    return metric.labels(*values)
