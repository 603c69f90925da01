"""Tables of fields, and how a configuration is converted by one.

Owns the words of a table: a rule says where a field goes, or why it goes nowhere. Must never know an
installer. Invariants: a value that a rule does not expect gives a note and no field; of two fields with one
target the first of the table's order counts, and the other is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Value = Any


class Outcome(StrEnum):
    """What became of a field. CONVERTED means the same as before, CHANGED something else; BY_HAND asks for
    something to be done; DROPPED asks for nothing."""

    CONVERTED = "converted"
    CHANGED = "changed"
    BY_HAND = "by hand"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Note:
    """What became of `field`, a path in the old object; `target` is one in the new object, or empty."""

    outcome: Outcome
    field: str
    target: str = ""
    text: str = ""

    def __str__(self) -> str:
        target = f" -> {self.target}" if self.target else ""
        return f"{self.outcome.value}: {self.field}{target}" + (f": {self.text}" if self.text else "")


class Unexpected(ValueError):
    """A value that its rule does not take; the message says what it is not."""


Convert = Callable[[Value], Value]


@dataclass(frozen=True, slots=True)
class Rule:
    """Where a field goes. `convert` makes the new value of the old one; None leaves the target out."""

    outcome: Outcome
    target: str = ""
    convert: Convert | None = None
    text: str = ""


Rules = Mapping[str, Rule]
"""Rules by path. One for `a.*` takes each field of `a` that has no rule, and none below it."""


def same(target: str, convert: Convert | None = None) -> Rule:
    """The field goes to `target`, where it means the same."""
    return Rule(Outcome.CONVERTED, target, convert)


def changed(target: str, text: str, convert: Convert | None = None) -> Rule:
    """The field goes to `target`, where it means what `text` says."""
    return Rule(Outcome.CHANGED, target, convert, text)


def by_hand(text: str) -> Rule:
    """The field goes nowhere, and `text` says what is to be done instead."""
    return Rule(Outcome.BY_HAND, text=text)


def dropped(text: str) -> Rule:
    """The field goes nowhere, and `text` says why nothing is lost."""
    return Rule(Outcome.DROPPED, text=text)


UNKNOWN = "it is not known here; look for what it did, and set it in the new object"


def convert_fields(
    fields: Value, rules: Rules, *, root: str, to: str = "spec"
) -> tuple[dict[str, Any], list[Note]]:
    """A configuration converted by a table, with a note on each of its fields. `root` and `to` are the paths
    of the old and the new configuration, for the notes."""
    made: dict[str, Any] = {}
    notes: list[Note] = []
    for path, value, rule in _find_rules(fields, rules, ()):
        field = ".".join((root, *path))
        if rule is None:
            notes.append(Note(Outcome.BY_HAND, field, text=UNKNOWN))
            continue
        notes.append(apply_rule(rule, value, field, made, to))
    return made, notes


def _find_rules(
    value: Value, rules: Rules, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Value, Rule | None]]:
    """Each field that says something, with its rule."""
    name = ".".join(path)
    rule = rules.get(name)
    below = isinstance(value, Mapping) and any(key.startswith(f"{name}." if name else "") for key in rules)
    if rule is None and path and not below:
        rule = rules.get(".".join((*path[:-1], "*")))
    if rule is not None:
        if value is not None:
            yield path, value, rule
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from _find_rules(value[key], rules, (*path, str(key)))
    elif value is not None:
        yield path, value, None


def apply_rule(rule: Rule, value: Value, field: str, made: dict[str, Any], to: str) -> Note:
    """Put a value where its rule says, and tell what became of it."""
    if not rule.target:
        return Note(rule.outcome, field, text=rule.text)
    try:
        converted = rule.convert(value) if rule.convert else value
    except Unexpected as error:
        return Note(Outcome.BY_HAND, field, text=f"{value!r} {error}; set {to}.{rule.target} by hand")
    if converted is None:
        return Note(Outcome.DROPPED, field, text=rule.text or "it is what Navarch does without it")
    if not _put(made, rule.target, converted):
        return Note(
            Outcome.BY_HAND, field, text=f"{to}.{rule.target} is set by another field; choose one of them"
        )
    return Note(rule.outcome, field, f"{to}.{rule.target}", rule.text)


def has_room(made: Mapping[str, Any], rule: Rule) -> bool:
    """Whether nothing stands yet where a rule puts its value."""
    return not rule.target or find(made, *rule.target.split(".")) is None


def _put(made: dict[str, Any], target: str, value: Value) -> bool:
    """Set a field; whether it was free. A target `list[name]` is an item of a list of names and values."""
    *parents, last = target.split(".")
    place = made
    for parent in parents:
        place = place.setdefault(parent, {})
    if last.endswith("]"):
        holder, _, name = last[:-1].partition("[")
        items = place.setdefault(holder, [])
        if any(item["name"] == name for item in items):
            return False
        items.append({"name": name, "value": value})
        return True
    if last in place:
        return False
    place[last] = value
    return True


def take_flag(value: Value) -> bool:
    """A truth value. Raises Unexpected."""
    if not isinstance(value, bool):
        raise Unexpected("is neither true nor false")
    return value


def take_text(value: Value) -> str:
    """A text. Raises Unexpected."""
    if not isinstance(value, str):
        raise Unexpected("is no text")
    return value


def take_number(value: Value) -> int:
    """A whole number. Raises Unexpected."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise Unexpected("is no whole number")
    return value


def take_list(value: Value) -> list[Any]:
    """A list. Raises Unexpected."""
    if not isinstance(value, list):
        raise Unexpected("is no list")
    return value


def take_map(value: Value) -> dict[str, Any]:
    """A map of fields. Raises Unexpected."""
    if not isinstance(value, Mapping):
        raise Unexpected("is no map of fields")
    return dict(value)


def join_items(value: Value) -> str:
    """A list as one text with commas, as Istio's annotations have it. Raises Unexpected."""
    items = take_list(value)
    if not all(isinstance(item, (str, int)) for item in items):
        raise Unexpected("has items that are no texts")
    return ",".join(str(item) for item in items)


def choose(**values: Value) -> Convert:
    """One of some values for each of the old ones, by name. Raises Unexpected for others."""

    def convert(value: Value) -> Value:
        key = str(value).lower() if isinstance(value, bool) else value
        if not isinstance(key, str) or key not in values:
            raise Unexpected(f"is none of {', '.join(values)}")
        return values[key]

    return convert


def one_of(*values: str) -> Convert:
    """The value itself, where it is one of these. Raises Unexpected for others."""
    return choose(**{value: value for value in values})


def find(value: Value, *keys: str) -> Value:
    """What stands at a path, None where nothing does or no map of fields is on the way."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def list_fields(value: Value) -> dict[str, Value]:
    """The fields of a map, none of anything else."""
    return {str(key): below for key, below in value.items()} if isinstance(value, Mapping) else {}
