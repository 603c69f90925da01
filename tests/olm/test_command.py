"""`python -m lab up --with olm`."""

from __future__ import annotations

import subprocess
import sys

from lab import processes
from lab.cluster import CHECKOUT, Cluster


def run_lab(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lab", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=300, check=False)


def test_a_lab_with_olm_that_runs_is_found_again(installed: Cluster) -> None:
    before = processes.recorded(installed.state)
    done = run_lab("up", "light", "--name", installed.name, "--with", "olm")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("kubeconfig")
    assert processes.recorded(installed.state) == before
