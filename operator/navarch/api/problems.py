"""What is wrong with a manifest that a model of ours refuses, in words for the people who wrote it.

Owns the words. Must never judge: which values are valid is the model's to say. Invariant: each error of
pydantic's gives one Problem, in pydantic's order, and none of them is a crash.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from re import fullmatch
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

_FORMS: Mapping[str, str] = {
    "missing": "is required",
    "invalid_key": "names of fields must be strings",
    "bool_type": "must be true or false, without quotes",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number, without quotes",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "string_type": "must be a string",
    "list_type": "must be a list",
    "dict_type": "must be a map of fields",
    "model_type": "must be a map of fields",
    "string_pattern_mismatch": "does not match {pattern}",
    "string_too_long": "must have at most {max_length} characters",
    "too_long": "must have at most {max_length} items",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
}
"""What is said for each of pydantic's types of errors; of others its own message is quoted."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One field that is wrong: its steps from the model's root, its value, and what it must be."""

    path: tuple[str | int, ...]
    value: str
    message: str

    def tell(self, *, root: str = "spec") -> str:
        """One line, with the path as users write it below `root`."""
        shown = f"{self.value!r}: " if self.value else ""
        return f"{build_path(*self.path, root=root)}: {shown}{self.message}"


def build_path(*steps: str | int, root: str = "spec") -> str:
    """A path as users write it: `spec.controlPlane.environment[0].name`."""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return f"{root}{path}" if root else path.removeprefix(".")


def list_problems(model: type[BaseModel], error: ValidationError) -> Iterator[Problem]:
    """The problems that `model` has with its input, each with what the user most likely meant."""
    for each in error.errors(include_url=False):
        path, kind, given = each["loc"], each["type"], each["input"]
        if kind == "extra_forbidden":
            nearest = _find_nearest(str(path[-1]), find_fields(model, path[:-1]))
            yield Problem(path, "", "there is no such field" + _ask(nearest))
            continue
        known = each.get("ctx", {})
        message = _FORMS[kind].format_map(known) if kind in _FORMS else each["msg"]
        if kind == "string_type" and isinstance(given, int | float):
            message = f"YAML reads this as a {_name(given)}: put it in quotes"
        value = str(given) if isinstance(given, str | int | float) else ""
        yield Problem(path, value, message + _ask(_guess(kind, given, known)))


def find_fields(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """Names of the fields below `path`; none where the model does not say them."""
    present: type[BaseModel] | None = model
    for step in path:
        if isinstance(step, int) or present is None:
            continue
        fields = {field.alias or name: field for name, field in present.model_fields.items()}
        present = find_model(fields[step].annotation) if step in fields else None
    return [] if present is None else [field.alias or name for name, field in present.model_fields.items()]


def find_model(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation names, also within an Optional or a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := find_model(part))), None)


def _name(given: float) -> str:
    return "boolean" if isinstance(given, bool) else "number"


def _guess(kind: str, given: Any, known: Mapping[str, Any]) -> str:
    """A valid value that is near to `given`; empty where there is none."""
    text = str(given)
    if kind == "list_type" and isinstance(given, str):
        return f"[{given}]"
    if kind == "literal_error":
        return _find_nearest(text, known["expected"].replace(" or ", ", ").replace("'", "").split(", "))
    if kind == "string_pattern_mismatch":
        tries = (text.strip(), text.lstrip("vV"), text.lower(), text.lower().replace("_", "-"))
        return next((each for each in tries if fullmatch(known["pattern"], each)), "")
    return ""


def _find_nearest(name: str, known: Sequence[str]) -> str:
    by_lower = {each.lower(): each for each in known}
    return next((by_lower[each] for each in get_close_matches(name.lower(), by_lower, n=1)), "")


def _ask(nearest: str) -> str:
    return f"; did you mean {nearest}?" if nearest else ""
