"""Which parts the suites have, whether this machine can run them, and what each needs built.

Must never hide a part: what cannot run is named with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import chain

from lab.builds import ISTIO_LINES, VERDICTS, ensure, kubernetes_modules
from lab.cluster import is_current
from lab.packages import ensure_packages, missing_packages

PARTS = {
    "lint": (),
    "unit": ("tests/unit", "tests/golden", "tests/property"),
    "packaging": ("tests/packaging",),
    "upstream": ("tests/upstream",),
    "monitoring": ("tests/monitoring",),
    "lab": ("tests/lab",),
    "oldest": ("tests/oldest",),
    "olm": ("tests/olm",),
    "cluster": ("tests/cluster",),
    "bench": ("tests/bench",),
    "node": ("tests/node",),
}
REAL = ("upstream", "monitoring", "lab", "olm", "cluster", "oldest", "bench", "node")
"""Parts whose tests run against processes that are not ours: one that fails there is run once more."""


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
        names = ((line.istioctl, line.kinds, line.istiod) for line in ISTIO_LINES)
        ensure("node", only=[*chain.from_iterable(names), VERDICTS])
    if is_current():
        return
    if part in REAL:
        ensure("light")
    if part == "olm":
        ensure("olm")
    if part == "monitoring":
        ensure("prometheus")
    if part == "oldest":
        ensure("light", kubernetes=next(iter(kubernetes_modules())))
    if part == "node":
        from lab.cluster import CHECKOUT
        from lab.images.base import ensure_base_archive
        from lab.images.operator import ensure_operator_archive
        from lab.node import firewall
        from lab.node.layout import PACKAGES
        from lab.node.store import ensure_store

        ensure("node")
        ensure("firewall")
        ensure("olm", only=["olm", "catalog", "opm", "cpb", "olm-crds"])
        ensure_packages([*PACKAGES, *firewall.PACKAGES])
        ensure_store(ensure_base_archive())
        ensure_operator_archive(CHECKOUT)


def find_part(test: str) -> str:
    """The part that a test's id belongs to."""
    return next((part for part, paths in PARTS.items() if test.startswith(tuple(paths))), "")
