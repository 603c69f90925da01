"""The rules, judged by Prometheus' own promtool: their form, and when each alert fires and ends."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from navarch.api.monitoring.alerts import ALERTS, Alert
from navarch.telemetry import metrics

from scripts.files import ROOT
from tests.monitoring.situations import SITUATIONS, Situation

RULES = ROOT / "deploy" / "monitoring" / "rules.yaml"


def promtool(tools: Mapping[str, Path], *arguments: str | Path, stdin: str = "") -> str:
    """What promtool says, on both streams; AssertionError where it is not content."""
    done = subprocess.run(
        [tools["promtool"], *arguments], input=stdin, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_finds_nothing_wrong_with_the_rules(tools: Mapping[str, Path]) -> None:
    said = promtool(tools, "check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert f"SUCCESS: {len(ALERTS)} rules found" in said


def test_promtool_finds_nothing_to_say_of_the_metrics(tools: Mapping[str, Path]) -> None:
    metrics.set_conditions(
        "MeshGateway", "judged", "x", {"conditions": [{"type": "Ready", "status": "True"}]}
    )
    try:
        text = metrics.render().decode()
    finally:
        metrics.forget("MeshGateway", "judged", "x")
    assert promtool(tools, "check", "metrics", "--extended", stdin=text).startswith("Metric ")
    assert promtool(tools, "check", "metrics", stdin=text) == ""


def expand(alert: Alert, text: str, situation: Situation) -> str:
    """A text of an alert, as Prometheus fills it in."""
    filled = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: situation.labels[found[1]], text)
    return filled.replace("{{ $value }}", situation.value)


def build_checks(alert: Alert, situation: Situation) -> Iterator[dict[str, Any]]:
    told = situation.fires and {
        "exp_labels": {**situation.labels, "severity": alert.severity.value},
        "exp_annotations": {
            "summary": expand(alert, alert.summary, situation),
            "description": expand(alert, alert.description, situation),
            "runbook_url": alert.runbook,
        },
    }
    for minutes, expected in ((situation.quiet, []), (situation.fires, [told]), (situation.over, [])):
        for minute in minutes:
            yield {"eval_time": f"{minute}m", "alertname": alert.name, "exp_alerts": expected}


def choose_rule(alert: Alert) -> dict[str, Any]:
    """The one rule of an alert, as it is delivered."""
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return {"groups": [{"name": "one", "rules": [r for r in group["rules"] if r["alert"] == alert.name]}]}


def test_each_alert_has_situations_that_fire_and_every_situation_its_alert() -> None:
    assert SITUATIONS.keys() == {alert.id for alert in ALERTS}
    assert all(any(each.fires for each in situations) for situations in SITUATIONS.values())


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.id)
def test_an_alert_fires_after_its_time_and_ends_with_its_situation(
    alert: Alert, tools: Mapping[str, Path], tmp_path: Path
) -> None:
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in each.series.items()],
            "alert_rule_test": list(build_checks(alert, each)),
        }
        for each in SITUATIONS[alert.id]
    ]
    file, rules = tmp_path / "test.yaml", tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump(choose_rule(alert)))
    file.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}))
    assert "SUCCESS" in promtool(tools, "test", "rules", file)
