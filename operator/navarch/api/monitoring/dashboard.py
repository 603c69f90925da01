"""A dashboard for Grafana.

Owns its panels. Must never name a metric that is not there: a test compares. Invariant: equal tables give
equal JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from navarch.api.meta import JSONObject

_WIDTH, _HEIGHT = 8, 7
_GATEWAY_ENDS = "navarch_gateway_certificate_not_after_timestamp_seconds"
_OF_A_MESH = "{{namespace}}/{{mesh}} {{phase}}"
_UPGRADE_START, _ROLLOUT_START = (
    f"navarch_{what}_start_timestamp_seconds" for what in ("upgrade", "rollout_phase")
)
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Panel:
    """A drawing: `queries` are expressions with the text of their legend; `unit` is Grafana's word."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"


def _quantile(metric: str, by: str = "") -> tuple[tuple[str, str], ...]:
    labels = f"le, {by}" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    return tuple(
        (
            f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket[$__rate_interval])))",
            f"{legend}p{share * 100:g}",
        )
        for share in (0.5, 0.99)
    )


def _rate(metric: str, by: str) -> tuple[tuple[str, str], ...]:
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    return ((f"sum by ({by}) (rate({metric}[$__rate_interval]))", legend),)


def _count_objects(kind: str, *, ready: int | None = None) -> str:
    which = f'navarch_condition{{kind="{kind}",type="Ready",status="True"}}'
    chosen = which if ready is None else f"{which} == {ready}"
    return f"count({chosen}) or vector(0)"


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Meshes and gateways",
        (
            Panel(
                "Meshes",
                (
                    (_count_objects("MeshControlPlane"), "all"),
                    (_count_objects("MeshControlPlane", ready=0), "not Ready"),
                ),
                kind="stat",
            ),
            Panel(
                "Gateways",
                (
                    (_count_objects("MeshGateway"), "all"),
                    (_count_objects("MeshGateway", ready=0), "not Ready"),
                ),
                kind="stat",
            ),
            Panel(
                "Proxies",
                (
                    ('sum(navarch_proxies{state="total"})', "all"),
                    ('sum(navarch_proxies{state="outdated"})', "outdated"),
                ),
                kind="stat",
            ),
            Panel(
                "Not Ready",
                (
                    (
                        'max by (kind, namespace, name) (navarch_condition{type="Ready",status="True",'
                        'kind!="MeshRevision"}) == 0',
                        "{{kind}} {{namespace}}/{{name}}",
                    ),
                ),
                kind="table",
            ),
            Panel(
                "Pods of control planes that are missing",
                (
                    (
                        "sum by (namespace, mesh, component) (navarch_component_desired_pods - "
                        "navarch_component_ready_pods) > 0",
                        "{{namespace}}/{{mesh}} {{component}}",
                    ),
                ),
            ),
            Panel(
                "Pods of gateways that are missing",
                (
                    (
                        "sum by (namespace, gateway) (navarch_gateway_desired_pods - "
                        "navarch_gateway_ready_pods) > 0",
                        "{{namespace}}/{{gateway}}",
                    ),
                ),
            ),
            Panel(
                "Outdated proxies",
                (('navarch_proxies{state="outdated"} > 0', "{{namespace}}/{{mesh}}"),),
            ),
            Panel(
                "Members that are not ready",
                (('navarch_members{state="pending"} > 0', "{{namespace}}/{{mesh}}"),),
            ),
            Panel("Objects applied", _rate("navarch_apply_total", "outcome"), "ops"),
            Panel(
                "Drift put back",
                (
                    (
                        "sum by (kind, namespace, name) (increase(navarch_drift_repaired_total[1h])) > 0",
                        "{{kind}} {{namespace}}/{{name}}",
                    ),
                ),
            ),
        ),
    ),
    (
        "Upgrades",
        (
            Panel(
                "Under way or held",
                (("max by (namespace, mesh, phase) (navarch_upgrade_phase) == 1", _OF_A_MESH),),
                kind="table",
            ),
            Panel(
                "Restarts of workloads",
                (
                    (
                        'max by (namespace, mesh, phase) (navarch_rollout_phase{phase!="Done"}) == 1',
                        _OF_A_MESH,
                    ),
                ),
                kind="table",
            ),
            Panel(
                "Time in the present phase",
                (
                    (
                        f"time() - max by (namespace, mesh) ({_UPGRADE_START})",
                        "{{namespace}}/{{mesh}} upgrade",
                    ),
                    (
                        f"time() - max by (namespace, mesh) ({_ROLLOUT_START} and on (namespace, mesh) "
                        '(navarch_rollout_phase{phase="Done"} == 0))',
                        "{{namespace}}/{{mesh}} restarts",
                    ),
                ),
                "s",
            ),
            Panel(
                "Workloads to be restarted",
                (
                    (
                        'sum by (namespace, mesh, state) (navarch_rollout_workloads{state!="updated"}) > 0',
                        "{{namespace}}/{{mesh}} {{state}}",
                    ),
                ),
            ),
        ),
    ),
    (
        "Certificate authorities",
        (
            Panel(
                "Need a person, or end within 90 days",
                (
                    (
                        'max by (namespace, name) (navarch_condition{kind="MeshControlPlane",'
                        'type="CertificateAuthorityHealthy",status="False"}) == 1',
                        "{{namespace}}/{{name}}",
                    ),
                ),
                kind="table",
            ),
        ),
    ),
    (
        "Certificates of gateways",
        (
            Panel("Next end", ((f"min({_GATEWAY_ENDS}) - time()", ""),), "s", kind="stat"),
            Panel(
                "Ends within 30 days",
                (
                    (
                        f"min by (namespace, name, secret) ({_GATEWAY_ENDS}) - time() < 30 * 86400",
                        "{{namespace}}/{{name}} {{secret}}",
                    ),
                ),
                "s",
                kind="table",
            ),
            Panel(
                "Missing, broken, for other names, or about to end",
                (
                    (
                        'max by (namespace, name) (navarch_condition{kind="MeshGateway",'
                        'type="CertificatesValid",status="False"}) == 1',
                        "{{namespace}}/{{name}}",
                    ),
                ),
                kind="table",
            ),
        ),
    ),
    (
        "Operator",
        (
            Panel("Leader", (("navarch_leader_election_master_status", "{{instance}}"),)),
            Panel("Reconciles", _rate("navarch_reconcile_total", "controller, result"), "ops"),
            Panel("Duration of reconciles", _quantile("navarch_reconcile_time_seconds", "controller"), "s"),
            Panel("Keys that wait", (("navarch_workqueue_depth", "{{instance}}"),)),
            Panel("Wait for a worker", _quantile("navarch_workqueue_queue_duration_seconds"), "s"),
            Panel(
                "Longest running reconcile",
                (("navarch_workqueue_longest_running_processor_seconds", "{{instance}}"),),
                "s",
            ),
            Panel("Errors nobody foresaw", _rate("navarch_reconcile_panics_total", "controller"), "ops"),
            Panel(
                "Installation objects missing", (("navarch_installation_missing_objects", "{{instance}}"),)
            ),
            Panel("Stalls of the event loop", _quantile("navarch_event_loop_stall_seconds"), "s"),
        ),
    ),
    (
        "API server and process",
        (
            Panel("Requests", _rate("navarch_rest_client_requests_total", "method, code"), "reqps"),
            Panel(
                "Duration of requests",
                _quantile("navarch_rest_client_request_duration_seconds", "method"),
                "s",
            ),
            Panel("Age of watches", (("max by (watch) (navarch_watch_age_seconds)", "{{watch}}"),), "s"),
            Panel(
                "Memory",
                (
                    ("navarch_process_resident_memory_bytes", "{{instance}}"),
                    ("sum by (instance) (navarch_watch_kept_bytes)", "{{instance}} kept by watches"),
                ),
                "bytes",
            ),
            Panel("CPU", (("rate(navarch_process_cpu_seconds_total[$__rate_interval])", "{{instance}}"),)),
            Panel(
                "Objects left out",
                (("sum by (watch) (navarch_watch_left_out_objects) > 0", "{{watch}}"),),
            ),
        ),
    ),
)
"""Titles of rows, and their panels from left to right."""


def build_dashboard() -> JSONObject:
    """The dashboard as Grafana imports it; it asks for the data source."""
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    return {
        "uid": "navarch",
        "title": "Navarch",
        "tags": ["navarch", "istio"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [source]},
        "panels": list(_place()),
    }


def _place() -> Iterator[JSONObject]:
    """Rows below each other, three panels side by side."""
    number, top = 1, 0
    for title, panels in ROWS:
        place = {"h": 1, "w": 3 * _WIDTH, "x": 0, "y": top}
        yield {"id": number, "type": "row", "title": title, "gridPos": place, "panels": []}
        top += 1
        for index, panel in enumerate(panels):
            x, y = index % 3 * _WIDTH, top + index // 3 * _HEIGHT
            yield _draw(panel, number + 1 + index, {"h": _HEIGHT, "w": _WIDTH, "x": x, "y": y})
        number += 1 + len(panels)
        top += -(-len(panels) // 3) * _HEIGHT


def _draw(panel: Panel, number: int, place: dict[str, int]) -> JSONObject:
    is_now = panel.kind in ("stat", "table")
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": _SOURCE,
            "expr": expression,
            "legendFormat": legend,
            "instant": is_now,
            "range": not is_now,
            **({"format": "table"} if panel.kind == "table" else {}),
        }
        for index, (expression, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }
