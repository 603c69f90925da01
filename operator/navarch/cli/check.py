"""`navarch check`: has the cluster looked at, prints the report.

Owns the two forms of the report and the exit code. Must never decide what is said. Invariant: standard output
holds the report and nothing else; without a terminal it holds no escape sequences.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from navarch.cli.exits import Exit
from navarch.cli.terminal import escape
from navarch.core.diagnosis.report import Diagnosis, Report
from navarch.core.model.findings import Severity
from navarch.survey.checkup import Scope
from navarch.survey.session import Target, open_session

STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
EXITS = {Severity.ERROR: Exit.ERRORS, Severity.WARNING: Exit.WARNINGS, Severity.INFO: Exit.OK}


async def check(target: Target, scope: Scope, manifests: Sequence[Mapping[str, Any]]) -> Report:
    """One look at the cluster."""
    namespace = scope.namespace or (manifests[0]["metadata"]["namespace"] if manifests else "")
    async with open_session(target, namespace=namespace) as session:
        return await session.start_checkup().run(scope, manifests)


def determine_exit(report: Report) -> Exit:
    """The exit code: the worst of what was found."""
    return EXITS[report.worst]


def print_json(report: Report) -> None:
    """The report for programs."""
    print(json.dumps(report.to_json(), indent=2))


def print_text(report: Report, console: Console) -> None:
    """The report for people."""
    meshes = len(report.meshes)
    kubernetes = ".".join(map(str, report.kubernetes))
    looked = f"{meshes} mesh{'' if meshes == 1 else 'es'}"
    console.print(f"navarch {report.navarch}, Kubernetes {kubernetes}: {looked} looked at", highlight=False)
    for diagnosis in report.diagnoses:
        console.print()
        for line in _build_lines(diagnosis):
            console.print(line, soft_wrap=True)
    console.print()
    counts = ", ".join(f"{report.count(s)} {s.value}{'' if report.count(s) == 1 else 's'}" for s in Severity)
    console.print(counts if report.diagnoses else "No problems found.", highlight=False)


def _build_lines(diagnosis: Diagnosis) -> Iterator[Text]:
    head = Text.assemble(
        (f"{diagnosis.severity.value:<8}", STYLES[diagnosis.severity]),
        (diagnosis.id, "bold"),
        f"  {escape(str(diagnosis.subject))}",
    )
    if diagnosis.conditions:
        head.append(f"  ({', '.join(diagnosis.conditions)})", "dim")
    yield head
    field = escape(diagnosis.field)
    where = f"{field}: {escape(repr(diagnosis.value))}: " if diagnosis.value else f"{field}: "
    yield Text(f"        {where if field else ''}{escape(diagnosis.message)}")
    yield Text.assemble("        ", ("do: ", "dim"), escape(diagnosis.remedy))
