"""What a node lab has outside its namespaces: cgroups, one system setting, processes.

Owns making and removing these, and finding what is left of them. Must never touch what does not bear the
lab's name or mark. Invariant: `remove_cgroups` and `restore_settings` work for a lab that crashed as for
one that was stopped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from lab.node.layout import CNI_PLUGINS, MARK, PACKAGES, cgroup_of
from lab.packages import ensure_packages
from lab.progress import LabError
from lab.slots import kind_of, names, state_root

TOOLS = ("conntrack", "containerd", "ctr", "ip", "iptables", "nft", "nsenter", "runc", "socat", "unshare")
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_INSTANCES = 2048


def check_host() -> None:
    """LabError when this process may not make a node lab here. Installs missing tools where it may."""
    if not Path("/proc/self/ns/pid").exists():
        raise LabError("a node lab needs Linux")
    if os.geteuid() != 0:
        raise LabError("a node lab needs root: it makes namespaces, mounts and cgroups")
    if not _hierarchies():
        raise LabError("a node lab needs a cgroup file system, and none is mounted")
    if any(shutil.which(tool) is None for tool in TOOLS) or not CNI_PLUGINS.is_dir():
        ensure_packages(PACKAGES)


def make_cgroups(name: str) -> None:
    """Make the lab's cgroup in every hierarchy: the kubelet does not start while one is missing."""
    for root, version in _hierarchies():
        group = root / cgroup_of(name)
        group.mkdir(exist_ok=True)
        if version == 2:
            available = (root / "cgroup.controllers").read_text().split()
            (root / "cgroup.subtree_control").write_text(
                " ".join(f"+{controller}" for controller in available)
            )
        elif (root / "cpuset.cpus").exists():
            # A new cpuset is empty, and would take no process.
            for file in ("cpuset.cpus", "cpuset.mems"):
                (group / file).write_text((root / file).read_text())


def cgroups_of(name: str) -> list[Path]:
    """The lab's cgroups that exist, one for each hierarchy."""
    return [group for root, _ in _hierarchies() if (group := root / cgroup_of(name)).is_dir()]


def remove_cgroups(name: str) -> bool:
    """Remove the lab's cgroups, deepest first; False while one still holds a dying process."""
    for group in cgroups_of(name):
        for parent, _, _ in os.walk(group, topdown=False):
            try:
                os.rmdir(parent)
            except FileNotFoundError:
                continue
            except OSError:
                return False
    return True


def raise_settings() -> None:
    """Allow enough inotify instances: a proxy takes three of one user, and the usual 128 end at 44 proxies.

    The setting is the whole machine's, so its old value is kept until the last node lab is gone.
    """
    kept, current = state_root() / "inotify.was", _INOTIFY.read_text().strip()
    if int(current) < INOTIFY_INSTANCES:
        kept.write_text(current)
        _INOTIFY.write_text(str(INOTIFY_INSTANCES))


def restore_settings() -> None:
    """Put the setting back, once no node lab is left."""
    kept = state_root() / "inotify.was"
    if kept.exists() and not any(kind_of(name) == "node" for name in names()):
        _INOTIFY.write_text(kept.read_text())
        kept.unlink()


def marked_processes(state: Path) -> list[int]:
    """Pids of all processes that belong to the lab with this state directory, by their environment."""
    mark = f"{MARK}={state}".encode()
    return [pid for pid in _pids() if mark in _read(pid, "environ").split(b"\0")]


def first_process(state: Path) -> int | None:
    """The lab's init as the host sees it: the marked process that is number 1 of its own namespace."""
    for pid in marked_processes(state):
        numbers = _field(pid, "NSpid").split()
        if len(numbers) > 1 and numbers[-1] == "1":
            return pid
    return None


def mounts_of(state: Path) -> list[str]:
    """Mounts of this lab, in this or any other mount namespace, each with the process that sees it."""
    text = str(state).encode()
    found = []
    for pid in _pids():
        lines = _read(pid, "mountinfo").splitlines()
        found += [f"{line.split()[4].decode()} (process {pid})" for line in lines if text in line]
    return found


def _hierarchies() -> list[tuple[Path, int]]:
    """Mount points of cgroup file systems, with their version."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [(Path(m[1]), 2 if m[2] == "cgroup2" else 1) for m in mounts if m[2] in ("cgroup", "cgroup2")]


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _read(pid: int, file: str) -> bytes:
    try:
        return Path("/proc", str(pid), file).read_bytes()
    except OSError:  # it ended meanwhile, or is a zombie
        return b""


def _field(pid: int, name: str) -> str:
    for line in _read(pid, "status").decode(errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    return ""
