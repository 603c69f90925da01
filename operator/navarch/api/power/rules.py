"""The form of a decision, and how a field finds its own.

Owns rows, paths and their spellings. Must know no field of Istio's. Invariant: a path finds the row of its
longest known beginning; one without a row is guarded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str, ...]

WHOLE = "**"
"""Last step of a path in a table: the row is about the field and everything below it."""


class Power(StrEnum):
    """Who may write a field."""

    FREE = "free"
    GUARDED = "guarded"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Rule:
    """One decision. `why` is a reason, of a refused field with the remedy after a semicolon.

    A free field may be limited: to the values in `allowed`, of which None means that it is absent, or to a
    JSON type `kind`; any other value is guarded. `whole` takes in what is below the field. Below a free one
    there are then only numbers and switches, but where `texts` says why texts there are harmless too.
    """

    power: Power
    why: str
    allowed: tuple[Any, ...] | None = None
    kind: type | None = None
    whole: bool = False
    texts: str = ""


Table: TypeAlias = Mapping[Path, Rule]


def build_table(*groups: tuple[Rule, str]) -> dict[Path, Rule]:
    """Rows from groups of paths that share a rule: dotted, separated by blanks. Raises ValueError for a path
    that stands there twice."""
    table: dict[Path, Rule] = {}
    for rule, paths in groups:
        for text in paths.split():
            *steps, last = text.split(".")
            whole = last == WHOLE
            path = tuple(steps) if whole else (*steps, last)
            if path in table:
                raise ValueError(f"{text} was decided twice")
            table[path] = replace(rule, whole=whole or rule.power is Power.REFUSED)
    return table


def free(
    why: str, *, allowed: tuple[Any, ...] | None = None, kind: type | None = None, texts: str = ""
) -> Rule:
    """A rule for fields that every editor of the mesh may write."""
    return Rule(Power.FREE, why, allowed, kind, texts=texts)


def guard(why: str) -> Rule:
    """A rule for fields that need the verb `host`."""
    return Rule(Power.GUARDED, why)


def refuse(why: str) -> Rule:
    """A rule for fields that are refused to everybody; `why` ends in the remedy, after a semicolon."""
    return Rule(Power.REFUSED, why)


def find_rule(table: Table, path: Path) -> Rule | None:
    """The decision about a field: its own row, or that of the nearest field above which takes it in."""
    for end in range(len(path), 0, -1):
        rule = table.get(path[:end])
        if rule is not None and (rule.whole or end == len(path)):
            return rule
    return None


def list_refused(table: Table) -> dict[Path, str]:
    """Refused paths with their reasons."""
    return {path: rule.why for path, rule in table.items() if rule.power is Power.REFUSED}


def to_snake(step: str) -> str:
    """A field's name in protobuf's own spelling."""
    return re.sub(r"(?<=[a-z0-9])[A-Z]", lambda capital: f"_{capital[0].lower()}", step)


def list_spellings(path: Path) -> list[Path]:
    """Every way of writing a path that Istio reads: each step in JSON's spelling and in protobuf's own.

    protojson takes both (`rootNamespace`, `root_namespace`), so a rule on one only could be walked around.
    """
    steps = [tuple(dict.fromkeys((step, to_snake(step)))) for step in path]
    return list(product(*steps))


def find_refused(tree: Mapping[str, Any], table: Mapping[Path, str]) -> Iterator[tuple[Path, Any, str]]:
    """Refused keys present in `tree`, with any value: path as written, value, why and what instead."""
    for path, why in table.items():
        for spelling in list_spellings(path):
            node: Any = tree
            for step in spelling:
                if not isinstance(node, Mapping) or step not in node:
                    break
                node = node[step]
            else:
                yield spelling, node, why
