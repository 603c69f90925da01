"""Debian packages that a lab needs: installed where that is allowed, else named in one line.

Must never install what was not asked for (no recommended packages), and never remove anything.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable

from lab.progress import LabError, run_visibly
from lab.toolchain import cache


def missing_packages(names: Iterable[str]) -> list[str]:
    """Those of the Debian packages that are not installed; all of them on a machine without dpkg."""
    wanted = list(names)
    if shutil.which("dpkg-query") is None:
        return wanted
    told = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    installed = {line.split()[0] for line in told.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in installed]


def ensure_packages(names: Iterable[str]) -> None:
    """Installs the missing ones with apt-get, as root. Else raises LabError with the line to run."""
    missing = missing_packages(names)
    if not missing:
        return
    line = f"apt-get install {' '.join(missing)}"
    if shutil.which("apt-get") is None:
        raise LabError(f"missing tools; on Debian they are: {line}")
    if os.geteuid() != 0:
        raise LabError(f"missing packages; as root run: {line}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    cache().mkdir(parents=True, exist_ok=True)
    log = cache() / "packages.log"
    run_visibly(["apt-get", "-q", "update"], label="apt-get update", log=log, env=env)
    install = ["apt-get", "-qy", "--no-install-recommends", "install", *missing]
    run_visibly(install, label=line, log=log, env=env)
