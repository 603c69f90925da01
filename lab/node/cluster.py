"""A node lab from nothing to a ready node with DNS, and back to nothing.

Owns the order of the steps. Must never leave something behind without `leftovers` naming it; whatever state
a crash leaves a lab in, `down` ends it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab import cluster as clusters
from lab import processes, slots
from lab.builds import ensure
from lab.cluster import Cluster, KubectlError
from lab.images.base import ensure_base_archive
from lab.node import host
from lab.node.configs import write_configs
from lab.node.credentials import write_credentials
from lab.node.layout import MARK, NODE_NAME, PRIVATE, SUBDIRECTORIES, files_of
from lab.node.store import copy_store, ensure_store, managed_images, read_names
from lab.progress import LabError, say, wait_until

MANIFESTS = Path(__file__).parents[1] / "manifests"
_DNS = "/api/v1/namespaces/kube-system/services/kube-dns:ready"
_COMPONENTS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
)


def up(name: str = "node") -> Cluster:
    """A running cluster of one real node; what a kept lab had is still there.

    LabError, one line, when this machine cannot do it or a step takes too long; then nothing is left running.
    """
    if slots.kind_of(name) == "light":
        raise LabError(f"{name!r} is a light lab: choose another name")
    host.check_host()
    state = slots.state_of(name)
    if host.marked_processes(state):
        raise LabError(f"the lab {name!r} runs already, or parts of it: python -m lab down --name {name}")
    programs = ensure("node")
    store = ensure_store(ensure_base_archive())
    try:
        return _start(name, programs=programs, store=store)
    except BaseException:
        down(name, keep=True)
        raise


def down(name: str, *, keep: bool = False) -> None:
    """End a lab, also one that crashed. With `keep`, its state stays, and the next `up` continues it as
    after a reboot.
    """
    state = slots.state_of(name)
    if (first := host.first_process(state)) is not None:
        _end(first, kindly=keep)
    processes.stop_all(state)
    for pid in host.marked_processes(state):  # of a command that was killed before it had recorded them
        _signal(pid, signal.SIGKILL)
    wait_until(
        lambda: not host.marked_processes(state), what=f"end of the processes of {name!r}", seconds=120
    )
    wait_until(lambda: host.remove_cgroups(name), what=f"removal of the cgroups of {name!r}", seconds=120)
    if keep:
        (state / "cluster.json").unlink(missing_ok=True)
    else:
        clusters.forget(name)
        host.restore_settings()


def enter(cluster: Cluster, *command: str, stdin: bytes | None = None, timeout: float = 60) -> str:
    """Run a command inside the lab (its mounts, processes and network) and return its output.

    LabError with what it wrote on stderr when it fails.
    """
    done = subprocess.run(
        [*enter_command(cluster), *command], input=stdin, capture_output=True, timeout=timeout, check=False
    )
    if done.returncode != 0:
        raise LabError(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode()


def enter_command(cluster: Cluster) -> list[str]:
    """What to put before a command so that it runs inside the lab, for callers that start it themselves."""
    first = host.first_process(cluster.state)
    if first is None:
        raise LabError(f"the lab {cluster.name!r} does not run")
    return ["nsenter", f"--target={first}", "--mount", "--net", "--pid"]


def load_image(cluster: Cluster, archive: Path) -> None:
    """Give the node the images of a docker-archive. One of the same name is replaced, for pods made from
    now on.
    """
    ctr = [*enter_command(cluster), "ctr", "--namespace", "k8s.io"]
    names = read_names(archive)
    # Known names are removed first: of one that is replaced, nothing tells when the kubelet's side knows.
    if known := managed_images(ctr) & set(names):
        _checked([*ctr, "images", "rm", "--sync", *sorted(known)])
    with archive.open("rb") as content:
        _checked([*ctr, "images", "import", "-"], stdin=content.fileno())
    wait_until(lambda: set(names) <= managed_images(ctr), what=f"{', '.join(names)} in the node", seconds=120)


def load_by_digest(cluster: Cluster, archive: Path) -> dict[str, str]:
    """Give the node the images of an archive also under names with their digests; these by the images' names.
    A pod that names an image so never asks a registry for one that is there."""
    load_image(cluster, archive)
    ctr = [*enter_command(cluster), "ctr", "--namespace", "k8s.io"]
    done = subprocess.run([*ctr, "images", "ls"], capture_output=True, text=True, check=True)
    digests = {words[0]: words[2] for words in map(str.split, done.stdout.splitlines()[1:])}
    references = {name: f"{name.rpartition(':')[0]}@{digests[name]}" for name in read_names(archive)}
    for name, reference in references.items():
        _checked([*ctr, "images", "tag", "--force", name, reference])
    known = set(references.values())
    wait_until(lambda: known <= managed_images(ctr), what=f"{', '.join(known)} in the node", seconds=120)
    return references


def leftovers(name: str) -> list[str]:
    """What is still there of a lab, one line each; empty after `down`."""
    state = slots.state_of(name)
    found = [f"process {pid}" for pid in host.marked_processes(state)]
    found += [
        f"process {process.pid} ({process.name})"
        for process in processes.recorded(state)
        if process.is_alive()
    ]
    found += [f"mount {mount}" for mount in host.mounts_of(state)]
    found += [f"cgroup {group}" for group in host.cgroups_of(name)]
    found += [f"directory {path}" for path in (state, clusters.CHECKOUT / ".lab" / name) if path.exists()]
    return found


def _start(name: str, *, programs: Mapping[str, Path], store: Path) -> Cluster:
    began = time.monotonic()

    def tell(step: str) -> None:
        say(f"{name}: {step} {time.monotonic() - began:.1f} s")

    port = slots.claim(name, "node").port("apiserver")
    state = slots.state_of(name)
    _write_state(state, name, port=port, store=store)
    host.raise_settings()
    host.make_cgroups(name)
    tell("prepared")
    _start_processes(state, port=port, programs=programs)
    cluster = Cluster(name, "node", state / "kubeconfig", programs["kubectl"], state, state / "audit.log")
    _wait_until(cluster, "API server ready", "get", "--raw", "/readyz")
    tell("API server ready")
    _wait_until(cluster, "DNS applied", "apply", "--server-side", "-f", str(MANIFESTS / "dns.yaml"))
    _wait_until(cluster, "node ready", "wait", "--for=condition=Ready", f"node/{NODE_NAME}", "--timeout=5s")
    tell("node ready")
    _wait_until(cluster, "default ServiceAccount", "-n", "default", "get", "serviceaccount", "default")
    # Asked of DNS itself: what the API says may be a kept lab's status from before it was stopped.
    _wait_until(cluster, "DNS ready", "get", "--raw", f"{_DNS}/proxy/ready")
    tell("DNS ready")
    clusters.publish(cluster)
    return cluster


def _write_state(state: Path, name: str, *, port: int, store: Path) -> None:
    for directory in SUBDIRECTORIES:
        (state / directory).mkdir(exist_ok=True)
    copy_store(store, files_of(state, "/var/lib/containerd"))
    for directory in PRIVATE:
        files_of(state, directory).mkdir(parents=True, exist_ok=True)
    write_credentials(state, relay=f"https://127.0.0.1:{port}")
    write_configs(state, name)


def _start_processes(state: Path, *, port: int, programs: Mapping[str, Path]) -> None:
    paths = json.dumps({component: str(programs[component]) for component in _COMPONENTS})
    apart = [
        "unshare",
        "--mount",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--propagation=private",
    ]
    first = [sys.executable, "-m", "lab.node.init", str(state), paths]
    environment = {
        **os.environ,
        MARK: str(state),
        "PYTHONPATH": str(clusters.CHECKOUT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    processes.start(state, "node", [*apart, *first], log=state / "log" / "init.log", env=environment)
    # A unix socket is a file, so it leads out of the network namespace, and no packet needs to.
    relay = [
        "socat",
        f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork",
        f"UNIX-CONNECT:{state}/run/api.sock",
    ]
    processes.start(
        state, "relay", relay, log=state / "log" / "relay-outside.log", port=port, env=environment
    )


def _wait_until(cluster: Cluster, what: str, *arguments: str) -> None:
    """Wait for a kubectl command to succeed, or for the lab's first process to end with a message."""

    def check() -> bool:
        if any(p.name == "node" and not p.is_alive() for p in processes.recorded(cluster.state)):
            raise LabError(
                (cluster.state / "log" / "init.log").read_text().strip() or "the node's first process ended"
            )
        try:
            cluster.run(*arguments, timeout=10)
        except KubectlError:
            return False
        return True

    wait_until(check, what=f"{what} (logs in {cluster.state / 'log'})", seconds=240, interval=0.1)


def _end(first: int, *, kindly: bool) -> None:
    """End the lab's first process and with it all others; `kindly` lets what keeps data write it first."""
    deadline = time.monotonic() + (10 if kindly else 0)
    _signal(first, signal.SIGTERM)
    while Path(f"/proc/{first}").exists():
        if time.monotonic() > deadline:
            _signal(first, signal.SIGKILL)
        time.sleep(0.02)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _checked(command: Sequence[str], *, stdin: int = subprocess.DEVNULL) -> None:
    done = subprocess.run(command, stdin=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip()}")
