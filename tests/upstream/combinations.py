"""The wishes that are rendered on both sides, from combinations.yaml.

Owns their form. Must never change what a wish says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from navarch.core.model.merging import merge

from tests.upstream.comparison import NAMESPACE


@dataclass(frozen=True, slots=True)
class Combination:
    """One wish; `upstream` is laid over the spec of an IstioOperator, `ours` over that of a mesh. `with_crds`
    says whether Istio's CRDs are compared, too: no wish changes them, and they are large. `parts` are the
    names of the wishes that are contained in both."""

    name: str
    upstream: Mapping[str, Any]
    ours: Mapping[str, Any]
    namespace: str
    with_crds: bool
    parts: tuple[str, ...] = ()

    @property
    def owns_default_tag(self) -> bool:
        """Whether istio-injection=enabled means this mesh."""
        return bool(self.ours.get("defaultTag"))

    def __str__(self) -> str:
        return self.name


def _read() -> tuple[Combination, ...]:
    rows = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    found: dict[str, Combination] = {}
    for row in rows:
        upstream, ours = ({**row.get("both", {}), **row.get(side, {})} for side in ("upstream", "ours"))
        parts = tuple(row.get("all", ()))
        for part in parts:
            upstream, ours = merge(upstream, found[part].upstream), merge(ours, found[part].ours)
        namespace = row.get("namespace", NAMESPACE)
        found[row["name"]] = Combination(
            row["name"], upstream, ours, namespace, with_crds=not found, parts=parts
        )
    return tuple(found.values())


COMBINATIONS = _read()
