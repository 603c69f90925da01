"""A real Prometheus that scrapes an operator over HTTPS, with the delivered rules in a shorter time."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.operator import reserve_port

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
WAIT = "2s"
"""How long a situation lasts before its alert is told, where the delivered rule waits at all."""


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    url: str
    log: Path

    def query(self, path: str) -> Any:
        """What an API of Prometheus answers; OSError while it does not."""
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}", timeout=30) as answer:
            return json.load(answer)["data"]

    def read_own(self, metric: str) -> float:
        """A metric that Prometheus has of itself, without labels."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        (value,) = (line.split()[1] for line in lines if line.startswith(f"{metric} "))
        return float(value)

    def list_firing(self) -> list[Mapping[str, str]]:
        """The labels of every alert that fires."""
        try:
            alerts = self.query("alerts")["alerts"]
        except OSError:
            return []
        return [alert["labels"] for alert in alerts if alert["state"] == "firing"]

    def is_firing(self, alert: str, **labels: str) -> bool:
        """Whether an alert of this name fires with these labels."""
        wanted = {"alertname": alert, **labels}.items()
        return any(wanted <= found.items() for found in self.list_firing())

    def list_targets(self) -> list[Mapping[str, Any]]:
        """What is scraped, and how that went last."""
        try:
            found: list[Mapping[str, Any]] = self.query("targets")["activeTargets"]
        except OSError:
            return []
        return found


@contextmanager
def a_prometheus(
    program: Path, folder: Path, *, scraped: Mapping[str, Any], rules: Any
) -> Iterator[Prometheus]:
    """Runs Prometheus in an empty folder with one job and these rules; ends it."""
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{"job_name": "navarch", **scraped}],
    }
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    address, log = f"127.0.0.1:{reserve_port()}", folder / "prometheus.log"
    argv = [program, "--config.file", folder / "prometheus.yaml", "--storage.tsdb.path", folder / "data"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*argv, "--web.listen-address", address],
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            cwd=folder,
        )
    try:
        yield Prometheus(f"http://{address}", log)
    finally:
        process.terminate()
        process.wait(30)


def shorten(rules: Any, pace: Mapping[str, float], *, usual: float) -> Any:
    """The same rules with a minute of so many seconds: that of the alert's name in `pace`, else `usual`. Each
    alert waits for WAIT, and 300 seconds to compare with are 3."""
    (group,) = rules["groups"]
    return {
        "groups": [{**group, "rules": [_shorten(r, pace.get(r["alert"], usual)) for r in group["rules"]]}]
    }


def _shorten(rule: Mapping[str, Any], minute: float) -> dict[str, Any]:
    def scale(found: re.Match[str]) -> str:
        return f"{found[1]}{round(int(found[2]) * SECONDS[found[3]] / 60 * minute)}s"

    expression = re.sub(r"(\[|offset )(\d+)([smhd])", scale, rule["expr"])
    expression = re.sub(r"(_seconds > )300\b", r"\g<1>3", expression)
    return {**rule, "expr": expression, "for": WAIT if rule["for"] != "0s" else "0s"}
