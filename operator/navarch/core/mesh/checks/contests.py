"""Fields that switch each other off: what of a spec has no effect because of another field.

Owns the reading of the table in core/mesh/contests.py. Must never refuse: which of the two was meant is not
known. Invariant: says nothing of what a profile sets; a finding names both fields and the remedy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from navarch.api.meta import Model
from navarch.core.mesh.checks.layers import resolved_config
from navarch.core.mesh.content import MeshContent
from navarch.core.mesh.contests import CONTESTS, ENVIRONMENT, Contest
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.messages import shorten
from navarch.core.model.reasons import Reason

_CAPITAL = re.compile(r"(?<=[a-z0-9])[A-Z]")


def _read(config: Model) -> dict[str, Any]:
    """A configuration with istiod's variables by name."""
    tree: dict[str, Any] = config.to_json()
    control_plane = tree.get("controlPlane") or {}
    variables = control_plane.get("environment") or ()
    named = {variable["name"]: variable["value"] for variable in variables}
    return tree | {"controlPlane": {**control_plane, "environment": named}}


def _find(tree: Any, path: str) -> Any:
    """What stands at a path, in either spelling of each name; None where there is nothing."""
    for step in path.split("."):
        if not isinstance(tree, Mapping):
            return None
        snake = _CAPITAL.sub(lambda capital: f"_{capital[0].lower()}", step)
        tree = tree.get(step, tree.get(snake))
    return tree


def _expand(contest: Contest, value: Any, path: str = "") -> Iterator[Contest]:
    """A row for each leaf below the loser."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _expand(contest, item, f"{path}.{key}")
    else:
        yield replace(contest, loser=contest.loser + path, winner=contest.winner + path)


def _name(path: str) -> str:
    place, _, variable = path.rpartition(".")
    return f"the variable {variable} of spec.{place}" if place == ENVIRONMENT else f"spec.{path}"


def _judge(contest: Contest, own: Mapping[str, Any], merged: Mapping[str, Any]) -> Iterator[Finding]:
    mine, other = _find(own, contest.loser), _find(merged, contest.winner)
    if mine is None or (other is None and not contest.unset) or not contest.applies(mine, other):
        return
    own_winner = other is None or _find(own, contest.winner) is not None
    winner = _name(contest.winner) if own_winner else f"{contest.winner} of a profile"
    message = contest.message or "has no effect: {winner} {why}"
    yield Finding(
        Reason.FIELD_WITHOUT_EFFECT,
        f"spec.{contest.loser}",
        shorten(mine),
        message.format(winner=winner, why=contest.why),
        contest.remedy or f"remove this, or {winner}",
        Severity.WARNING,
    )


def check_no_field_is_switched_off(content: MeshContent) -> Iterator[Finding]:
    """Nothing that the spec says is without effect because something else in it, or in a profile, wins."""
    config = resolved_config(content)
    if config is None:
        return
    own, merged = _read(content.spec), _read(config)
    native = _find(merged, "proxy.nativeSidecars")
    for contest in CONTESTS:
        if native is not None and contest.native is not None and native is not contest.native:
            continue
        value = _find(own, contest.loser)
        rows = _expand(contest, value) if contest.leaves and value is not None else [contest]
        for row in rows:
            yield from _judge(row, own, merged)
