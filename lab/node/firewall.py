"""What enforces NetworkPolicies in a node lab: the firewall of kube-router, and nothing else of it.

Owns its process and its rules in the lab's network. Must never run where nobody asked for it: a lab without
it lets everything pass, as most clusters do that only were given policies. Invariant: when the block ends,
neither the process nor a rule of it is left.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from lab import processes
from lab.builds import ensure
from lab.cluster import Cluster
from lab.node import host
from lab.node.cluster import enter
from lab.node.layout import MARK, NODE_NAME, SERVICE_NETWORK
from lab.packages import ensure_packages
from lab.progress import LabError

PACKAGES = ("ipset",)
_NAME = "firewall"
_MARKS = ("KUBE-ROUTER", "KUBE-POD-FW", "KUBE-NWPLCY", "kube-router")
"""What its rules contain: names of its chains, or its comment."""


@contextmanager
def enforced_policies(cluster: Cluster) -> Iterator[None]:
    """NetworkPolicies of the lab are enforced while the block runs. LabError where the firewall cannot be
    built, its package is missing, or its rules cannot be removed."""
    ensure_packages(PACKAGES)
    command = _build_command(cluster)
    log = cluster.state / "log" / f"{_NAME}.log"
    environment = {**os.environ, MARK: str(cluster.state)}
    running = processes.start(cluster.state, _NAME, command, log=log, env=environment)
    try:
        yield
    finally:
        processes.stop(running)
        _clean_up(cluster)


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


def _clean_up(cluster: Cluster) -> None:
    """Removes its rules, and the sets that they name. Its own command for that ends on a kernel without
    IPVS."""
    for family in ("iptables", "ip6tables"):
        kept = [rule for rule in _list_rules(cluster, family, "-t", "filter") if not _is_its_own(rule)]
        enter(cluster, f"{family}-restore", stdin="\n".join([*kept, ""]).encode())
        if left := [rule for rule in _list_rules(cluster, family) if _is_its_own(rule)]:
            raise LabError(f"rules of kube-router are left: {left[:3]}")
    enter(cluster, "ipset", "destroy")  # of all sets: nothing else in a lab makes any


def _list_rules(cluster: Cluster, family: str, *table: str) -> list[str]:
    return enter(cluster, f"{family}-save", *table).splitlines()


def _is_its_own(rule: str) -> bool:
    return any(mark in rule for mark in _MARKS)
