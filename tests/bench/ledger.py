"""What was measured: rows of a table, printed after the run and written into the documentation.

Owns the form of the table. Must never judge: the tests do. Invariant: two runs differ in their numbers, the
machine and the date, and in nothing else.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

SECTIONS = ("One mesh", "Many meshes", "Many gateways", "Many members", "Many pods", "Restarts", "Policies")
COMMAND = ".venv/bin/python -m scripts.suite bench -- --full -k"
ELSEWHERE = "Sail, measured elsewhere on the same kind of cluster"


@dataclass(frozen=True, slots=True)
class Row:
    """One number. `bound` is what the tests hold it to, `sail` what was seen of the peer, `test` tells it."""

    section: str
    what: str
    bound: str
    value: str
    sail: str
    test: str


@dataclass
class Ledger:
    """The rows of this session."""

    rows: list[Row] = field(default_factory=list)

    def add(self, section: str, what: str, value: str, *, bound: str = "", sail: str = "", test: str) -> None:
        """Note one number."""
        self.rows.append(Row(section, what, bound, value, sail, test))

    def is_complete(self) -> bool:
        """Whether every section has been measured."""
        return {row.section for row in self.rows} == set(SECTIONS)

    def sort(self) -> list[Row]:
        """The rows by section, and within it as they were noted."""
        return sorted(self.rows, key=lambda row: SECTIONS.index(row.section))


def print_table(rows: Sequence[Row]) -> list[str]:
    """Lines for a terminal."""
    cells = [("measured", "value", "bound", "Sail elsewhere")]
    cells += [(row.what, row.value, row.bound, row.sail) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in cells]


def describe_machine() -> str:
    """The machine that measures, in words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = platform.python_version()
    return f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB of memory, Python {python}"


def build_page(rows: Sequence[Row], *, date: str) -> str:
    """docs/reference/performance.md."""
    lines = [
        "# Performance",
        "",
        "Written by `make bench`; do not edit. Everything is measured against a real API server on the light",
        "lab (etcd, API server, controller-manager, scheduler, pretended nodes and pods, a stand-in for",
        "istiod), all of it on one machine, with the operator as a process of its own. Requests are",
        "counted in the API server's audit log under the operator's own user; its Lease, Events and dry",
        "runs are not.",
        "",
        f"Measured on {date}: {describe_machine()}.",
        "",
        "*Bound* is what the run holds the number to. A shorter form of the same runs in `make test`, where",
        "counts, ratios and memory decide and seconds are only printed. The peer in column Sail:",
        f"{ELSEWHERE}.",
    ]
    for section in SECTIONS:
        head = [
            "",
            f"## {section}",
            "",
            "| measured | Navarch | bound | Sail | command |",
            "|---|---|---|---|---|",
        ]
        lines += head
        lines += [
            f"| {row.what} | {row.value} | {row.bound} | {row.sail} | `{COMMAND} {row.test}` |"
            for row in rows
            if row.section == section
        ]
    return "\n".join(lines) + "\n"


def write_page(path: Path, rows: Sequence[Row], *, date: str) -> None:
    """Write the page."""
    path.write_text(build_page(rows, date=date))
