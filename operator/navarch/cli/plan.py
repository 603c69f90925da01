"""`navarch plan`: has the cluster looked at, prints what would become of its meshes.

Owns the forms of the plan and the exit code. Must never decide what is in it. Invariant: standard output
holds the plan and nothing else; an unchanged cluster gives the same bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from rich.console import Console
from rich.text import Text

from navarch.cli.check import STYLES
from navarch.cli.exits import Exit
from navarch.cli.terminal import escape
from navarch.core.diagnosis.report import Diagnosis, Subject
from navarch.core.model.plain_yaml import PlainDumper
from navarch.core.preview.fields import FieldChange
from navarch.core.preview.preview import Change, ObjectChange, Preview
from navarch.core.preview.restarts import Restart

_SIGNS = {
    Change.CREATE: ("+", "green"),
    Change.CHANGE: ("~", "yellow"),
    Change.REMOVE: ("-", "red"),
    Change.FOREIGN: ("!", "bold red"),
    Change.REFUSED: ("!", "bold red"),
}
_INDENT = " " * 6


def determine_exit(previews: Sequence[Preview]) -> Exit:
    """0 where nothing is to be done, 2 where something is, 1 where it could not be done or not be seen: the
    codes of `terraform plan -detailed-exitcode`, which pipelines know."""
    if any(preview.blocked or preview.unread for preview in previews):
        return Exit.WARNINGS
    return Exit.OK if all(preview.empty for preview in previews) else Exit.ERRORS


def build_json(previews: Sequence[Preview]) -> dict[str, Any]:
    """The plans for programs."""
    return {"plans": [preview.to_json() for preview in previews]}


def print_json(previews: Sequence[Preview]) -> None:
    """The plans as JSON."""
    print(json.dumps(build_json(previews), indent=2))


def print_yaml(previews: Sequence[Preview]) -> None:
    """The plans as YAML."""
    print(yaml.dump(build_json(previews), Dumper=PlainDumper, sort_keys=False, width=1000), end="")


def print_text(previews: Sequence[Preview], console: Console) -> None:
    """The plans for people."""
    for number, preview in enumerate(previews):
        if number:
            console.print()
        for line in _build_lines(preview):
            console.print(line, soft_wrap=True)


def print_markdown(previews: Sequence[Preview]) -> None:
    """The plans for a comment on a merge request: what a terminal shows, in blocks of `diff`."""
    for preview in previews:
        head, *rest = [line.plain for line in _build_lines(preview)]
        print(f"### {head}\n\n```diff")
        # Of what differs a merge request colours lines that begin with a sign.
        print("\n".join(line.replace("```", "'''") for line in rest))
        print("```\n")


def _build_lines(preview: Preview) -> Iterator[Text]:
    yield Text(f"{escape(str(preview.mesh))}: {_sum_up(preview)}", style="bold")
    if preview.path and preview.running and preview.running != preview.wanted:
        yield Text(f"version: {' -> '.join((preview.running, *preview.path))}")
    for diagnosis in preview.diagnoses:
        yield from _build_finding(diagnosis, preview.mesh)
    if preview.hold is not None:
        command = f"navarch approve {preview.mesh.name} {preview.hold.hash} -n {preview.mesh.namespace}"
        yield Text(f"{preview.hold} waits for approval: {command}", style="yellow")
    if preview.steps:
        yield Text("steps:", style="bold")
        yield from (Text(f"  {number}. {step}") for number, step in enumerate(preview.steps, 1))
    if preview.objects:
        yield Text("objects:", style="bold")
    for change in preview.objects:
        yield from _build_change(change)
    if preview.restarts:
        yield Text("restarts:", style="bold")
    for restart in preview.restarts:
        yield _build_restart(restart)
    for gap in preview.unread:
        yield Text(f"not looked at: {escape(gap)}", style="yellow")
    yield Text(f"plan {preview.hash}", style="dim")


def _build_finding(diagnosis: Diagnosis, mesh: Subject) -> Iterator[Text]:
    about = "" if diagnosis.subject == mesh else f"{diagnosis.subject}: "
    yield Text.assemble(
        (f"{diagnosis.severity.value:<8}", STYLES[diagnosis.severity]),
        (diagnosis.id, "bold"),
        f"  {escape(about + diagnosis.message)}",
    )
    yield Text.assemble("        ", ("do: ", "dim"), escape(diagnosis.remedy))


def _sum_up(preview: Preview) -> str:
    if preview.refused:
        return "the spec is refused, and nothing would change"
    if preview.empty:
        return "nothing to do"
    counts = Counter(change.change for change in preview.objects)
    told = [f"{counts[change]} {words}" for change, words in _COUNTED.items() if counts[change]]
    pods = sum(restart.pods for restart in preview.restarts)
    told += [f"{pods} pods to restart"] if pods else []
    return ", ".join(told) + ("; paused: nothing is written" if preview.paused else "")


_COUNTED = {
    Change.CREATE: "to create",
    Change.CHANGE: "to change",
    Change.REMOVE: "to remove",
    Change.FOREIGN: "in the way",
    Change.REFUSED: "refused",
}


def _build_change(change: ObjectChange) -> Iterator[Text]:
    sign, style = _SIGNS[change.change]
    said = f": {escape(change.message)}" if change.message else ""
    exact = "" if change.exact else "  (what Navarch would send: a dry run is not permitted)"
    yield Text.assemble((f"{sign} ", style), escape(str(change.ref)), said, (exact, "dim"))
    for field in change.fields:
        yield from _build_field(field)


def _build_field(field: FieldChange) -> Iterator[Text]:
    if not field.lines:
        before, after = (_say(value) for value in (field.before, field.after))
        yield Text(f"{_INDENT}{escape(field.path)}: {before} -> {after}")
        return
    yield Text(f"{_INDENT}{escape(field.path)}:")
    for line in field.lines:
        style = {"-": "red", "+": "green"}.get(line[0], "dim")
        yield Text(f"{_INDENT}  {escape(line)}", style=style)


def _say(value: Any) -> str:
    return "(none)" if value is None else escape(json.dumps(value, sort_keys=True))


def _build_restart(restart: Restart) -> Text:
    place = f"{restart.kind} {restart.namespace}/{restart.name}"
    when = f" ({restart.when})" if restart.when else ""
    pods = f"{restart.pods} of {restart.total} pods, by {restart.by}{when}"
    return Text(f"  {escape(place)}: {pods}: {escape('; '.join(restart.why))}")
