"""Runs the suites in one pytest process: `python -m scripts.suite [PART]... [-- ARGUMENT OF PYTEST]...`.

Owns which parts there are and whether this machine can run them. Must never hide a part: each one that is
left out is named with the reason, in one line, before the tests start. A part that was asked for by name and
cannot run is an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from lab.builds import ISTIO_KINDS, ISTIOCTL, ISTIOD, ensure
from lab.cluster import is_current
from lab.packages import ensure_packages, missing_packages
from lab.progress import LabError

PARTS = {
    "unit": ("tests/unit", "tests/golden", "tests/property"),
    "packaging": ("tests/packaging",),
    "upstream": ("tests/upstream",),
    "lab": ("tests/lab",),
    "cluster": ("tests/cluster",),
    "bench": ("tests/bench",),
    "node": ("tests/node",),
}


def find_obstacle(part: str) -> str | None:
    """Why this machine cannot run a part, or None where it can."""
    if part != "node" or is_current():
        return None
    if sys.platform != "linux":
        return "a node of its own needs Linux"
    if os.geteuid() != 0:
        return "a node of its own needs root"
    attempt = ["unshare", "--mount", "--net", "--pid", "--fork", "true"]
    if subprocess.run(attempt, capture_output=True, check=False).returncode != 0:
        return "this machine does not let root make namespaces"
    from lab.node.layout import PACKAGES

    if shutil.which("apt-get") is None and (missing := missing_packages(PACKAGES)):
        return f"there is no apt-get to install {', '.join(missing)}"
    return None


def prepare(part: str) -> None:
    """Makes what a part's lab consists of, with progress: under pytest it would be silent, and timed out.

    Raises LabError when that fails.
    """
    if part == "upstream":
        ensure("node", only=[ISTIOCTL, ISTIO_KINDS, ISTIOD])
    if is_current():
        return
    if part in ("lab", "upstream", "cluster", "bench", "node"):
        ensure("light")
    if part == "node":
        from lab.images.base import ensure_base_archive
        from lab.node.layout import PACKAGES
        from lab.node.store import ensure_store

        ensure_packages(PACKAGES)
        ensure_store(ensure_base_archive())


def main(arguments: list[str]) -> int:
    """Run the named parts, or all; the exit code is pytest's."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    asked, passed_on = arguments[:cut], arguments[cut + 1 :]
    unknown = sorted(set(asked) - PARTS.keys())
    if unknown:
        print(f"there is no part {unknown[0]}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    paths: list[str] = []
    for part in asked or PARTS:
        if obstacle := find_obstacle(part):
            print(f"left out: {part} tests, because {obstacle}", flush=True)
            if asked:
                return 1
            continue
        try:
            prepare(part)
        except LabError as error:
            print(f"{part} tests: {error}", file=sys.stderr)
            return 1
        paths += PARTS[part]
    sys.stdout.flush()
    return subprocess.run([sys.executable, "-m", "pytest", *paths, *passed_on], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
