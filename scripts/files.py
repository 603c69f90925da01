"""Generated files: how YAML is written, and how what is on disk is compared with what should be.

Must never decide what a file holds. Invariant: equal manifests give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
NOTICE = "# Generated from the models by `make generate`; edit those instead.\n"


class _Dumper(yaml.SafeDumper):
    """Plain YAML: no anchors, lists indented below their key, text of several lines as it reads."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal values out, each time."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists, too."""
        super().increase_indent(flow, False)


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)


def dump(manifests: Iterable[Mapping[str, Any]]) -> str:
    """Manifests as one YAML stream, each begun by a line `---`."""
    return _dump(list(manifests), explicit_start=True)


def dump_for_olm(*manifests: Mapping[str, Any]) -> str:
    """Manifests as one YAML stream that begins without such a line: OLM's readers would see an empty document
    before it."""
    return _dump(list(manifests), explicit_start=False)


def _dump(manifests: list[Mapping[str, Any]], *, explicit_start: bool) -> str:
    return NOTICE + yaml.dump_all(
        manifests,
        Dumper=_Dumper,
        sort_keys=False,
        width=120,
        allow_unicode=True,
        explicit_start=explicit_start,
    )


def find_stale(files: Mapping[str, str], *, root: Path = ROOT) -> dict[str, str]:
    """What is on disk, empty for a missing file, of each file that is not as it should be."""
    present = {name: path.read_text() if (path := root / name).is_file() else "" for name in files}
    return {name: text for name, text in present.items() if text != files[name]}


def write(files: Mapping[str, str], *, root: Path = ROOT) -> list[str]:
    """Write what is stale; returns the names."""
    stale = [*find_stale(files, root=root)]
    for name in stale:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(files[name])
    return stale
