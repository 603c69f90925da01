"""Writes what follows from the models: crds/, deploy/, bundle/, catalog/, docs/reference/, the index of the
runbooks; `--check` only compares, and holds the bundle against the rules of OLM's catalogs.

Run by `make generate` and `make lint`. The same models always give the same bytes. With `--check` nothing is
written: what is stale is shown as a diff, and the exit code is 1.
"""

from __future__ import annotations

import difflib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "operator")]

from navarch.api.export import RESOURCES, build_crd  # noqa: E402
from navarch.api.install import build_install  # noqa: E402
from navarch.api.monitoring.dashboard import build_dashboard  # noqa: E402
from navarch.api.monitoring.rules import build_monitoring, build_rules  # noqa: E402
from navarch.api.openshift import build_openshift  # noqa: E402
from navarch.assets import load_assets  # noqa: E402
from navarch.core.grants import build_grants, list_roles  # noqa: E402

from scripts.bundle_rules import check_folder  # noqa: E402
from scripts.files import dump, find_stale, write  # noqa: E402
from scripts.olm import (  # noqa: E402
    build_bundle_files,
    build_catalog_files,
    build_release,
    find_unlisted,
    read_catalog,
)
from scripts.reference import build_reference  # noqa: E402
from scripts.reference_alerts import build_runbooks_index  # noqa: E402


def build_files() -> dict[str, str]:
    """Every generated file by its path in the repository."""
    assets = load_assets()
    grants, roles = build_grants(assets), list_roles(assets)
    files = {f"crds/{resource.plural}.yaml": dump([build_crd(resource)]) for resource in RESOURCES}
    files["deploy/install.yaml"] = dump(build_install(grants=grants, roles=roles))
    files["deploy/monitoring/prometheus-operator.yaml"] = dump(build_monitoring())
    files["deploy/monitoring/rules.yaml"] = dump([build_rules()])
    files["deploy/openshift/sidecars.yaml"] = dump(build_openshift())
    files["docs/runbooks/README.md"] = build_runbooks_index()
    files["deploy/monitoring/dashboard.json"] = json.dumps(build_dashboard(), indent=2) + "\n"
    release = build_release()
    files |= build_bundle_files(release) | build_catalog_files(release, before=read_catalog())
    return files | {f"docs/reference/{name}": text for name, text in build_reference(grants, roles).items()}


def report_findings() -> int:
    """Print what the bundle breaks; returns the exit code."""
    findings = check_folder(ROOT / "bundle")
    for finding in findings:
        print(f"bundle: {finding}", file=sys.stderr)
    return 1 if findings else 0


def main(arguments: list[str]) -> int:
    """Write, or with `--check` compare; returns the exit code."""
    files = build_files()
    stale, gone = find_stale(files), find_unlisted(ROOT, files)
    if arguments == ["--check"]:
        for name, old in stale.items():
            diff = difflib.unified_diff(
                old.splitlines(True), files[name].splitlines(True), name, f"{name} (made anew)"
            )
            sys.stdout.writelines(list(diff)[:80])
        if stale or gone:
            print(f"stale: {', '.join([*stale, *gone])}; `make generate` writes them again", file=sys.stderr)
            return 1
        return report_findings()
    if arguments:
        print("usage: generate_api.py [--check]", file=sys.stderr)
        return 2
    for name in gone:
        (ROOT / name).unlink()
        print(f"removed {name}")
    for name in write(files):
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
