"""Alerts, runbooks and the dashboard name what there is, and all of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache

import pytest
import yaml
from navarch.api.monitoring.alerts import ALERTS, Alert
from navarch.api.monitoring.dashboard import ROWS, build_dashboard
from navarch.api.monitoring.rules import build_monitoring, build_rules
from navarch.controllers.kinds import KINDS
from navarch.core.model.actions import Action
from navarch.core.model.conditions import ConditionType

from scripts.files import ROOT
from scripts.reference import determine_unit, list_metrics, name_exposed

RUNBOOKS = ROOT / "docs" / "runbooks"
PARTS = {"histogram": ("_bucket", "_sum", "_count")}
OWN_LABELS = {"instance", "le"}
"""Labels that Prometheus or the type of a metric adds."""


@cache
def read_reference() -> dict[str, set[str]]:
    """Labels of every series that docs/reference/metrics.md describes, by its name."""
    found = {}
    for line in (ROOT / "docs" / "reference" / "metrics.md").read_text().splitlines():
        if row := re.match(r"\| `(navarch_\w+)` \| (\w+) \| [^|]+ \| ([^|]*) \|", line):
            name, kind, labels = row.groups()
            for part in PARTS.get(kind, ("",)):
                found[name + part] = set(re.findall(r"`(\w+)`", labels))
    return found


def list_queries() -> Iterator[tuple[str, str]]:
    for alert in ALERTS:
        yield alert.id, alert.expr
    for _, panels in ROWS:
        for panel in panels:
            yield from ((panel.title, expression) for expression, _ in panel.queries)


def list_labels(expression: str) -> Iterator[tuple[str, str]]:
    """Each label that an expression selects by, with its metric."""
    for metric, selector in re.findall(r"(navarch_\w+)(?:\{([^}]*)\})?", expression):
        for label in re.findall(r"(\w+)\s*(?:=~|!=|=)", selector):
            yield metric, label


@pytest.mark.parametrize(("name", "expression"), [*list_queries()])
def test_a_query_names_metrics_and_labels_that_exist(name: str, expression: str) -> None:
    reference = read_reference()
    metrics = set(re.findall(r"\bnavarch_\w+", expression))
    assert metrics
    assert metrics <= reference.keys()
    assert [(m, label) for m, label in list_labels(expression) if label not in reference[m]] == []
    grouped = {
        label.strip() for by in re.findall(r"(?:by|on) \(([^)]*)\)", expression) for label in by.split(",")
    }
    assert grouped <= OWN_LABELS.union(*(reference[metric] for metric in metrics))


def test_every_metric_has_a_help_text_and_a_unit_and_stands_in_the_reference() -> None:
    for metric, _ in list_metrics():
        assert metric.documentation.endswith(".") or metric.name.startswith("navarch_process_")
        assert determine_unit(metric)
    names = {name_exposed(metric) for metric, _ in list_metrics()}
    assert names == {re.sub(r"_(bucket|sum|count)$", "", name) for name in read_reference()}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.id)
def test_an_alert_speaks_of_kinds_conditions_and_outcomes_that_exist(alert: Alert) -> None:
    kinds = [KINDS[kind] for kind in re.findall(r'kind="(\w+)"', alert.expr)] or [*KINDS.values()]
    for condition in re.findall(r'type="(\w+)"', alert.expr):
        assert any(ConditionType(condition) in kind.conditions for kind in kinds)
    for outcomes in re.findall(r'outcome=~"([^"]+)"', alert.expr):
        assert {*outcomes.split("|")} <= {action.value for action in Action}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.id)
def test_the_texts_of_an_alert_name_only_labels_that_its_expression_keeps(alert: Alert) -> None:
    named = set(re.findall(r"\$labels\.(\w+)", alert.summary + alert.description))
    kept = {label.strip() for by in re.findall(r"by \(([^)]*)\)", alert.expr) for label in by.split(",")} | (
        {"instance"} if "by (" not in alert.expr or "on (instance)" in alert.expr else set()
    )
    assert named <= kept
    assert re.fullmatch(r"[^\n]+\.", alert.summary)
    assert re.fullmatch(r"[^\n]+\.", alert.description)


def test_every_alert_has_a_runbook_and_every_runbook_its_alert() -> None:
    pages = {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == {alert.id for alert in ALERTS}
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
    for alert in ALERTS:
        assert alert.runbook.endswith(f"/docs/runbooks/{alert.id}")
        assert (RUNBOOKS / f"{alert.id}.md").read_text().startswith("# ")


def test_the_objects_of_the_prometheus_operator_fit_the_installation() -> None:
    installed = [*yaml.load_all((ROOT / "deploy" / "install.yaml").read_text(), yaml.CSafeLoader)]
    monitor, rule = build_monitoring()
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    (service,) = (
        m for m in installed if m["kind"] == "Service" and wanted <= m["metadata"]["labels"].items()
    )
    assert service["metadata"]["namespace"] == monitor["metadata"]["namespace"]
    (endpoint,) = monitor["spec"]["endpoints"]
    (port,) = service["spec"]["ports"]
    assert endpoint["port"] == port["name"]
    assert endpoint["tlsConfig"]["serverName"].split(".")[:2] == [
        service["metadata"]["name"],
        "navarch-system",
    ]
    assert endpoint["honorLabels"], "else the namespace of every mesh would become exported_namespace"
    assert rule["spec"] == build_rules()


def test_one_scrape_is_configured_and_pods_ask_for_no_other() -> None:
    """A pod that Prometheus finds in two ways is counted twice."""
    text = (ROOT / "deploy" / "install.yaml").read_text()
    assert "prometheus.io/" not in text
    assert [each["kind"] for each in build_monitoring("ops")] == ["ServiceMonitor", "PrometheusRule"]
    assert "navarch-system" not in str(build_monitoring("ops")[0])


def test_panels_of_the_dashboard_neither_overlap_nor_share_a_number() -> None:
    panels = build_dashboard()["panels"]
    numbers = [panel["id"] for panel in panels]
    assert len(set(numbers)) == len(numbers)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    assert json.loads((ROOT / "deploy" / "monitoring" / "dashboard.json").read_text()) == build_dashboard()
