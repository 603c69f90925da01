"""The index of the runbooks, from the table of alerts."""

from __future__ import annotations

from navarch.api.monitoring.alerts import ALERTS

from scripts.files import ROOT
from scripts.markdown import build_table, escape

RUNBOOKS = ROOT / "docs" / "runbooks"
_HEAD = """# Runbooks

A page for each [alert](../how-to/monitor.md#alerts) of Navarch: what it means, what to look at, what to do.

"""


def build_runbooks_index() -> str:
    """A table of alerts, in the order of the rules."""
    rows = [
        (
            f"[{alert.name}]({alert.id}.md)",
            alert.severity.value,
            "at once" if alert.lasts == "0s" else alert.lasts,
            read_title(alert.id),
        )
        for alert in ALERTS
    ]
    return _HEAD + build_table(["alert", "severity", "after", "situation"], rows)


def read_title(page: str) -> str:
    """The heading of a runbook. Raises FileNotFoundError where there is none."""
    first = (RUNBOOKS / f"{page}.md").read_text().splitlines()[0]
    return escape(first.removeprefix("# "))
