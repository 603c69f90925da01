"""The first process of a node lab, in mount, network and process namespaces that it has to itself.

Owns the mounts and the network inside, starts the components, starts one again that ended, and reaps
orphans. When it ends, the kernel ends everything else in the lab. Must never touch anything that the host
sees but the state directory, and must not import what it needs later: once the mounts are made, the host's
directories may look different.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

from lab.node.daemons import Daemon, first_daemons, second_daemons
from lab.node.layout import (
    API_PORT,
    CREDENTIALS,
    INSIDE,
    NODE_NETWORK,
    OVERLAID,
    PRIVATE,
    SERVICE_NETWORK,
)

RESTART_SECONDS = 1.0
READY_SECONDS = 60.0
STOP_SECONDS = 5.0


def main(arguments: list[str]) -> NoReturn:
    """Run a lab for ever: `arguments` are its state directory and, as JSON, the paths of its programs."""
    state, programs = Path(arguments[0]), json.loads(arguments[1])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    prepare_mounts(state)
    prepare_network()
    running: dict[int, Daemon] = {}
    for daemon in first_daemons(programs):
        running[start(daemon)] = daemon
    wait_for_api()
    for daemon in second_daemons(programs):
        running[start(daemon)] = daemon
    try:
        supervise(running)
    finally:
        end(running)


def prepare_mounts(state: Path) -> None:
    """Make /run empty, the usual directories private, and the state directory known as /run/lab."""
    os.chdir(state)
    # A new peer group: the kubelet needs mounts that propagate, and none may reach the host.
    _run("mount", "--make-rshared", "/")
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for directory in ("netns", "lock", "lab", "overlay"):
        Path("/run", directory).mkdir()
    # "." and no canonical path: /run may just have hidden the state directory's own.
    _run("mount", "--no-canonicalize", "--bind", ".", str(INSIDE))
    os.chdir(INSIDE)
    for directory in OVERLAID:
        upper, work = (Path("/run/overlay", kind, directory.lstrip("/")) for kind in ("upper", "work"))
        upper.mkdir(parents=True)
        work.mkdir(parents=True)
        layers = f"lowerdir={directory},upperdir={upper},workdir={work}"
        _run("mount", "-t", "overlay", "-o", layers, "overlay", directory)
    for directory in PRIVATE:
        Path(directory).mkdir(parents=True, exist_ok=True)
        _run("mount", "--bind", f"{INSIDE}/files{directory}", directory)
        # A peer group for each, else every mount of the kubelet appears a second time below /run/lab.
        _run("mount", "--make-private", directory)
        _run("mount", "--make-shared", directory)


def prepare_network() -> None:
    """Give the node its address, and its own processes a way to Service addresses."""
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "link", "add", "node0", "type", "veth", "peer", "name", "node0p")
    _run("ip", "address", "add", NODE_NETWORK, "dev", "node0")
    _run("ip", "link", "set", "node0", "up")
    _run("ip", "link", "set", "node0p", "up")
    # Some route must exist before kube-proxy translates the address. There is no default one: nothing leaves.
    _run("ip", "route", "add", SERVICE_NETWORK, "dev", "node0")
    for setting in ("ip_forward", "conf/all/rp_filter"):
        Path("/proc/sys/net/ipv4", setting).write_text("1" if setting == "ip_forward" else "0")
    bridged = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if not bridged.exists():
        sys.exit("the kernel has no br_netfilter: run modprobe br_netfilter")
    bridged.write_text("1")  # from a pod to a Service with a pod on the same bridge


def start(daemon: Daemon) -> int:
    """Start a component; its pid."""
    log = str(INSIDE / "log" / f"{daemon.name}.log")
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    # Not subprocess: its objects reap children of their own accord, and supervise() would not see them end.
    return os.posix_spawnp(daemon.command[0], daemon.command, os.environ, file_actions=files, setsid=True)


def wait_for_api() -> None:
    """Return when the API server is ready."""
    deadline = time.monotonic() + READY_SECONDS
    context = ssl.create_default_context(cafile=str(CREDENTIALS / "ca.crt"))
    while time.monotonic() < deadline:
        connection = http.client.HTTPSConnection("127.0.0.1", API_PORT, timeout=2, context=context)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            pass  # it is not listening yet
        finally:
            connection.close()
        time.sleep(0.1)
    sys.exit(f"the API server was not ready in {READY_SECONDS:.0f} s: see log/kube-apiserver.log")


def supervise(running: dict[int, Daemon]) -> NoReturn:
    """Reap every child, and start a component again that ended."""
    while True:
        pid, status = os.wait()
        daemon = running.pop(pid, None)
        if daemon is not None:
            print(
                f"{daemon.name} ended with {os.waitstatus_to_exitcode(status)}, starting it again", flush=True
            )
            time.sleep(RESTART_SECONDS)
            running[start(daemon)] = daemon


def end(running: Mapping[int, Daemon]) -> None:
    """Let those components that keep data end well; the kernel kills the others when this process ends."""
    left = {pid for pid, daemon in running.items() if daemon.name in ("etcd", "containerd")}
    for pid in running:  # the others at once: their open requests would hold etcd up
        os.kill(pid, signal.SIGTERM if pid in left else signal.SIGKILL)
    deadline = time.monotonic() + STOP_SECONDS
    while left and time.monotonic() < deadline:
        try:
            left.discard(os.waitpid(-1, os.WNOHANG)[0])
        except ChildProcessError:
            return
        time.sleep(0.02)


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")


if __name__ == "__main__":
    main(sys.argv[1:])
