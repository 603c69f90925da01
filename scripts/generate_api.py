"""Writes what follows from the models: crds/, deploy/install.yaml and docs/reference/; `--check` only
compares.

Run by `make generate` and `make lint`. The same models always give the same bytes. With `--check` nothing is
written: what is stale is shown as a diff, and the exit code is 1.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "operator")]

from navarch.api.export import RESOURCES, build_crd  # noqa: E402
from navarch.api.install import build_install  # noqa: E402
from navarch.assets import load_assets  # noqa: E402
from navarch.core.grants import build_grants, list_roles  # noqa: E402

from scripts.reference import build_reference  # noqa: E402

NOTICE = "# Generated from the models by `make generate`; edit those instead.\n"


class _Dumper(yaml.SafeDumper):
    """Plain YAML: no anchors, lists indented below their key."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal values out, each time."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists, too."""
        super().increase_indent(flow, False)


def dump(manifests: Iterable[Mapping[str, Any]]) -> str:
    """Manifests as one YAML stream."""
    return NOTICE + yaml.dump_all(
        list(manifests),
        Dumper=_Dumper,
        sort_keys=False,
        width=120,
        allow_unicode=True,
        explicit_start=True,
    )


def build_files() -> dict[str, str]:
    """Every generated file by its path in the repository."""
    assets = load_assets()
    grants, roles = build_grants(assets), list_roles(assets)
    files = {f"crds/{resource.plural}.yaml": dump([build_crd(resource)]) for resource in RESOURCES}
    files["deploy/install.yaml"] = dump(build_install(grants=grants, roles=roles))
    return files | {f"docs/reference/{name}": text for name, text in build_reference(grants, roles).items()}


def find_stale(files: Mapping[str, str]) -> dict[str, str]:
    """What is on disk, empty for a missing file, of each file that is not as it should be."""
    present = {name: path.read_text() if (path := ROOT / name).is_file() else "" for name in files}
    return {name: text for name, text in present.items() if text != files[name]}


def main(arguments: list[str]) -> int:
    """Write, or with `--check` compare; returns the exit code."""
    files = build_files()
    stale = find_stale(files)
    if arguments == ["--check"]:
        for name, old in stale.items():
            diff = difflib.unified_diff(
                old.splitlines(True), files[name].splitlines(True), name, f"{name} (made anew)"
            )
            sys.stdout.writelines(list(diff)[:80])
        if stale:
            print(f"stale: {', '.join(stale)}; `make generate` writes them again", file=sys.stderr)
        return 1 if stale else 0
    if arguments:
        print("usage: generate_api.py [--check]", file=sys.stderr)
        return 2
    for name in stale:
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(files[name])
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
