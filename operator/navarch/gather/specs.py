"""The spec of an object of ours, as its model reads it.

Owns the words for one that the model cannot read. Must never correct anything. Invariant: exactly one of spec
and error is there."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from navarch.api.meta import Model
from navarch.api.problems import list_problems
from navarch.core.model.refs import Manifest

Spec = TypeVar("Spec", bound=Model)


def parse_spec(model: type[Spec], body: Manifest) -> tuple[Spec | None, str]:
    """The spec of `body`, or each field that is wrong with it."""
    try:
        return model.model_validate(body.get("spec") or {}), ""
    except ValidationError as error:
        return None, "; ".join(problem.tell() for problem in list_problems(model, error))
