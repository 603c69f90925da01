"""Build hook: refuses to build a package without the data that `make generate` makes.

Owns nothing of that data; knows only its file names and that each pin is the catalog's. Must never
need more than hatchling and Python's own library. An editable install is let through: its data may
come later.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CATALOG = Path("operator/navarch/core/istio/catalog/versions.yaml")
DATA = Path("operator/navarch/_data")


def find_gap(root: Path) -> str | None:
    """What of the generated data is missing or made for another pin, in one line; None when all is there."""
    catalog = (root / CATALOG).read_text(encoding="utf-8")
    minors = re.findall(r'^  "([0-9]+\.[0-9]+)":$', catalog, re.MULTILINE)
    if not minors:
        return f"{CATALOG} names no minor"
    wanted = {minor: (f"crds-{minor}.json", f"mesh-{minor}.binpb") for minor in minors}
    definitions = re.findall(r'^  "([0-9]+\.[0-9]+)": {', catalog, re.MULTILINE)
    values = {f"values-{name}": (f"values-{name}.binpb",) for name in definitions}
    others = {"gateway-api": ("gateway-api-standard.json", "gateway-api-experimental.json")}
    for name, files in {**wanted, **values, **others}.items():
        pin = f"pin-{name}"
        for file in (*files, pin):
            if not (root / DATA / file).is_file():
                return f"{DATA / file} is missing"
        if (root / DATA / pin).read_text(encoding="utf-8").split()[-1] not in catalog:
            return f"{DATA} was generated from another version than {CATALOG} pins for {name}"
    return None


class GeneratedDataHook(BuildHookInterface[Any]):
    """Stops the build with one line when generated data is missing or stale."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects; `version` is "editable" for an editable install."""
        gap = None if version == "editable" else find_gap(Path(self.root))
        if gap is not None:
            self.app.abort(f"cannot build navarch: {gap}; run `make generate` first")
