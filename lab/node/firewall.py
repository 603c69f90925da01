"""What enforces NetworkPolicies in a node lab: the firewall of kube-router, and nothing else of it.

Owns its process and its rules in the lab's network. Must never run where nobody asked for it: a lab without
it lets everything pass, as most clusters do that only were given policies. Invariant: when the block ends,
neither the process nor a rule of it is left.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from lab import processes
from lab.builds import ensure
from lab.cluster import Cluster
from lab.node import host
from lab.node.layout import MARK, NODE_NAME, SERVICE_NETWORK
from lab.packages import ensure_packages
from lab.progress import LabError

PACKAGES = ("ipset",)
_NAME = "firewall"


@contextmanager
def enforced_policies(cluster: Cluster) -> Iterator[None]:
    """NetworkPolicies of the lab are enforced while the block runs. LabError where the firewall cannot be
    built, its package is missing, or it leaves rules."""
    ensure_packages(PACKAGES)
    command = _build_command(cluster)
    log = cluster.state / "log" / f"{_NAME}.log"
    environment = {**os.environ, MARK: str(cluster.state)}
    running = processes.start(cluster.state, _NAME, command, log=log, env=environment)
    try:
        yield
    finally:
        processes.stop(running)
        _clean_up([*command, "--cleanup-config"])


def _build_command(cluster: Cluster) -> list[str]:
    """In the lab's network, with the machine's files and processes, so that a signal reaches the program."""
    first = host.first_process(cluster.state)
    if first is None:
        raise LabError(f"the lab {cluster.name!r} does not run")
    return [
        *("nsenter", f"--target={first}", "--net"),
        str(ensure("firewall")["kube-router"]),
        f"--kubeconfig={cluster.state}/pki/admin.kubeconfig",
        f"--hostname-override={NODE_NAME}",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        "--run-firewall=true",
        "--run-router=false",
        "--run-service-proxy=false",
        "--run-loadbalancer=false",
    ]


def _clean_up(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise LabError(f"kube-router left its rules: {done.stderr.strip()[-500:]}")
