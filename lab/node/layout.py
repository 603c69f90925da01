"""Where things are in a node lab: addresses, names, and paths as they look from inside its namespaces.

Must never differ between two labs: each has a network and mounts of its own, so that only what the host
sees (state directory, cgroup, relay port) needs a name of its own.
"""

from __future__ import annotations

from pathlib import Path

NODE_NAME = "node1"
NODE_ADDRESS = "10.96.0.1"
NODE_NETWORK = f"{NODE_ADDRESS}/24"
SERVICE_NETWORK = "10.97.0.0/16"
SERVICE_ADDRESS = "10.97.0.1"
DNS_ADDRESS = "10.97.0.10"
POD_NETWORK = "10.98.0.0/22"
API_PORT = 6443
API_URL = f"https://127.0.0.1:{API_PORT}"

INSIDE = Path("/run/lab")
"""The state directory as the lab's processes see it, so that no configuration depends on the lab's name."""
CONFIGURATION = INSIDE / "conf"
CREDENTIALS = INSIDE / "pki"

OVERLAID = ("/etc", "/opt", "/var/lib")
"""Directories in which the lab may make others without the host's seeing it."""
PRIVATE = ("/var/lib/containerd", "/var/lib/kubelet", "/var/lib/cni", "/var/log", "/opt/cni", "/etc/cni")
"""Usual paths of the node's components, kept below `files` of the state directory."""
SUBDIRECTORIES = ("conf", "pki", "log", "etcd", "run", "files")

CNI_PLUGINS = Path("/usr/lib/cni")
"""Where Debian's package puts the plugins."""

MARK = "NAVARCH_NODE_LAB"
"""Environment variable of every process that a lab starts; its value is the lab's state directory."""

PACKAGES = (
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "iproute2",
    "iptables",
    "nftables",
    "runc",
    "socat",
)


def files_of(state: Path, directory: str) -> Path:
    """Where the content of one of PRIVATE lies on the host."""
    return state / "files" / directory.lstrip("/")


def cgroup_of(name: str) -> str:
    """The cgroup below which the kubelet puts this lab's pods, without a leading slash."""
    return f"navarch-{name}"
