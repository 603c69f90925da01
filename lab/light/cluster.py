"""Starts and ends the light cluster.

Owns the processes of one light lab and everything in its state directory.
Must never listen anywhere but on 127.0.0.1 and unix sockets, and needs no privilege.
Invariant: whatever happens in `up`, the next `down` finds and ends every process that it started.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import ssl
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from lab import builds, certificates, processes, slots
from lab.cluster import CHECKOUT, Cluster, build_kubeconfig, find, forget, publish, write_private
from lab.processes import Process
from lab.progress import LabError, say, wait_until
from lab.slots import Slot

HERE = Path(__file__).parent
ZONES = ("zone-a", "zone-b", "zone-c")
USERS = {
    "admin": "system:masters",
    "stand-in": "system:masters",
    "kwok": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
}
SOCKET_LENGTH = 107
"""The longest path of a unix socket on Linux, in bytes."""
GARBAGE = {"GOGC": "200", "GOMEMLIMIT": "1400MiB"}
"""How Go's collector works in the lab's programs: half as often as by default, where a fifth of the API
server's CPU goes into it, as long as they are small. An API server with OLM and many meshes took 2.6 GiB
without that bound, and a worker has two labs in 2 GiB."""


def up(name: str = "light", *, kubernetes: str = "") -> Cluster:
    """Starts a light cluster, or returns the one that runs under this name. `kubernetes` is a minor; default:
    `$NAVARCH_LAB_KUBERNETES`, else the newest. LabError when the lab cannot start, or runs with another minor
    than is asked for."""
    kubernetes = kubernetes or os.environ.get("NAVARCH_LAB_KUBERNETES", "")
    builds.recipes("light", kubernetes)  # a minor that is not pinned is refused before anything is made
    if slots.kind_of(name) is not None:
        if is_running(name):
            return _find_running(name, kubernetes)
        say(f"{name}: was not ended properly; cleaning up first")
        down(name)
    binaries = builds.ensure("light", kubernetes=kubernetes)
    started = time.monotonic()
    try:
        cluster = _prepare(name, binaries).start()
    except BaseException:
        down(name)
        raise
    say(f"{name}: up after {time.monotonic() - started:.1f} s")
    return cluster


def _find_running(name: str, kubernetes: str) -> Cluster:
    running = find(name)
    if kubernetes and not running.kubernetes.startswith(f"{kubernetes}."):
        told = f"the lab {name!r} runs Kubernetes {running.kubernetes}"
        raise LabError(f"{told}: end it by python -m lab down --name {name}, or choose another --name")
    return running


def down(name: str = "light") -> None:
    """Ends a light cluster and removes what is left of it, however it ended."""
    state = slots.state_of(name)
    processes.stop_all(state)
    link = state / "sockets"
    if link.is_symlink():
        shutil.rmtree(link.resolve(), ignore_errors=True)
    forget(name)


def is_running(name: str) -> bool:
    """Whether a lab came up and all its processes live."""
    state = slots.state_of(name)
    return (state / "cluster.json").exists() and all(p.is_alive() for p in processes.recorded(state))


def choose_socket_folder(state: Path) -> Path:
    """Where the sockets go: the state directory, or a short temporary one that `sockets` links to."""
    folder = state / "sockets"
    if len(str(folder / "istiod-00000.sock").encode()) <= SOCKET_LENGTH:
        folder.mkdir()
        return folder
    short = Path(tempfile.mkdtemp(prefix="navlab-"))
    folder.symlink_to(short)
    return short


@dataclass(frozen=True, slots=True)
class _Lab:
    """What a light cluster is started from."""

    name: str
    slot: Slot
    state: Path
    sockets: Path
    binaries: Mapping[str, Path]

    @property
    def server(self) -> str:
        return f"https://127.0.0.1:{self.slot.port('apiserver')}"

    def kubeconfig(self, user: str) -> Path:
        return self.state / "users" / f"{user.removeprefix('system:')}.kubeconfig"

    def start(self) -> Cluster:
        """Starts everything in order of need, and waits until a pod can be created and run."""
        self._start_etcd()
        apiserver = self._start_apiserver()
        # Python takes its second to start beside the API server, which needs longer.
        self._start_standin()
        self._wait_for("readyz", apiserver, self._is_ready)
        # kube-controller-manager gives up when it comes before the bootstrap roles exist, so only now.
        self._start_controllers()
        cluster = Cluster(
            name=self.name,
            kind="light",
            kubeconfig=self.kubeconfig("admin"),
            kubectl=self.binaries["kubectl"],
            state=self.state,
            audit_log=self.state / "audit.log",
            kubernetes=self._read_version(),
        )
        cluster.run("apply", "-f", "-", stdin=build_nodes())
        cluster.run("wait", "--for=condition=Ready", "node", "--all", "--timeout=240s", timeout=250)
        cluster.run(
            "wait", "--for=create", "serviceaccount/default", "-n", "default", "--timeout=240s", timeout=250
        )
        publish(cluster)
        return cluster

    def _run(self, name: str, *flags: str) -> Process:
        argv = [str(self.binaries[name]), *flags]
        log = self.state / "log" / f"{name}.log"
        env = {**GARBAGE, **os.environ}
        return processes.start(self.state, name, argv, log=log, port=self._port(name), env=env)

    def _port(self, daemon: str) -> int:
        return self.slot.port(daemon.removeprefix("kube-"))

    def _start_etcd(self) -> None:
        client = f"http://127.0.0.1:{self.slot.port('etcd')}"
        peer = f"http://127.0.0.1:{self.slot.port('etcd-peer')}"
        self._run(
            "etcd",
            "--name=lab",
            f"--data-dir={self.state}/etcd",
            "--unsafe-no-fsync",
            # What was written is in the log at once, and in the database's file ten times as seldom as usual.
            "--backend-batch-interval=1s",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=lab={peer}",
            "--log-level=warn",
        )

    def _start_apiserver(self) -> Process:
        pki = self.state / "pki"
        return self._run(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self.slot.port('etcd')}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            # Endpoints may not hold a loopback address, so the kubernetes Service goes without.
            "--endpoint-reconciler-type=none",
            f"--secure-port={self.slot.port('apiserver')}",
            f"--tls-cert-file={pki}/serving.crt",
            f"--tls-private-key-file={pki}/serving.key",
            f"--client-ca-file={pki}/ca.crt",
            "--authorization-mode=Node,RBAC",
            f"--token-auth-file={self.state}/tokens.csv",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={pki}/accounts.key",
            f"--service-account-key-file={pki}/accounts.pub",
            f"--service-cluster-ip-range={self.slot.service_network}",
            "--allow-privileged=true",
            f"--egress-selector-config-file={self.state}/egress.yaml",
            f"--audit-policy-file={HERE}/audit-policy.yaml",
            f"--audit-log-path={self.state}/audit.log",
            "--audit-log-maxsize=4000",
            # Blocking: an event is in the file before its request returns, so a reader need not wait.
            "--audit-log-mode=blocking",
            "--max-requests-inflight=1500",
            "--max-mutating-requests-inflight=1000",
        )

    def _start_standin(self) -> None:
        argv = [sys.executable, "-P", "-m", "lab.light.standin", self.server, self.state, self.sockets]
        log = self.state / "log" / "stand-in.log"
        env = {"PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1"}
        processes.start(self.state, "stand-in", [str(a) for a in argv], log=log, env=env)

    def _start_controllers(self) -> None:
        for name in ("kube-controller-manager", "kube-scheduler"):
            kubeconfig = self.kubeconfig(f"system:{name}")
            flags = [
                f"--kubeconfig={kubeconfig}",
                f"--authorization-kubeconfig={kubeconfig}",
                "--authentication-skip-lookup=true",
                "--bind-address=127.0.0.1",
                f"--secure-port={self._port(name)}",
                f"--cert-dir={self.state}/pki/{name}",
                "--leader-elect=false",
                "--kube-api-qps=300",
                "--kube-api-burst=600",
            ]
            if name == "kube-controller-manager":
                flags += [
                    f"--service-account-private-key-file={self.state}/pki/accounts.key",
                    f"--root-ca-file={self.state}/pki/ca.crt",
                    "--use-service-account-credentials=true",
                    f"--flex-volume-plugin-dir={self.state}/volume-plugins",
                ]
            self._run(name, *flags)
        self._run(
            "kwok",
            f"--kubeconfig={self.kubeconfig('kwok')}",
            f"--config={self.binaries['kwok-stages']}",
            "--manage-all-nodes=true",
            # Addresses that exist nowhere: EndpointSlices refuse loopback, and nobody dials a pretended pod.
            "--cidr=10.244.0.0/16",
            "--node-ip=127.0.0.1",
            f"--node-port={self.slot.port('kwok')}",
            f"--server-address=127.0.0.1:{self.slot.port('kwok')}",
            "--node-lease-duration-seconds=40",
        )

    def _is_ready(self) -> bool:
        context = ssl.create_default_context(cafile=str(self.state / "pki" / "ca.crt"))
        try:
            with urllib.request.urlopen(f"{self.server}/readyz", context=context, timeout=2) as answer:
                return bool(answer.read() == b"ok")
        except (urllib.error.URLError, OSError):
            return False

    def _read_version(self) -> str:
        context = ssl.create_default_context(cafile=str(self.state / "pki" / "ca.crt"))
        with urllib.request.urlopen(f"{self.server}/version", context=context, timeout=30) as answer:
            return str(json.load(answer)["gitVersion"]).removeprefix("v")

    def _wait_for(self, what: str, process: Process, check: Callable[[], bool]) -> None:
        def is_true_or_hopeless() -> bool:
            for one in processes.recorded(self.state):
                if not one.is_alive():
                    raise LabError(self._explain_end(one))
            return check()

        wait_until(is_true_or_hopeless, what=f"{self.name}: {process.name} {what}", seconds=240)

    def _explain_end(self, process: Process) -> str:
        """Why a process has ended that should run: its last words, and in one sentence what is usual."""
        log = self.state / "log" / f"{process.name}.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        if taken := next((line for line in lines if "address already in use" in line), ""):
            return (
                f"{self.name}: another program has taken a port of {process.name} since it was chosen: "
                f"start the lab again, and it chooses others ({taken.strip()})"
            )
        return "\n".join([f"{self.name}: {process.name} ended:", *lines[-10:]])


def build_nodes() -> str:
    """One pretended node for each zone, as YAML."""
    return yaml.safe_dump_all(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": f"node-{number}",
                "labels": {
                    "kubernetes.io/os": "linux",
                    "kubernetes.io/arch": "amd64",
                    "kubernetes.io/hostname": f"node-{number}",
                    "topology.kubernetes.io/region": "lab",
                    "topology.kubernetes.io/zone": zone,
                },
            },
        }
        for number, zone in enumerate(ZONES, 1)
    )


def _prepare(name: str, binaries: Mapping[str, Path]) -> _Lab:
    slot = slots.claim(name, "light")
    state = slots.state_of(name)
    for folder in ("pki", "users", "log"):
        (state / folder).mkdir()
    state.chmod(0o700)
    lab = _Lab(name, slot, state, choose_socket_folder(state), binaries)
    _write_pki(lab)
    tokens = {user: secrets.token_hex(16) for user in USERS}
    rows = [f'{tokens[user]},{user},{number},"{USERS[user]}"' for number, user in enumerate(USERS, 1)]
    write_private(state / "tokens.csv", "\n".join(rows) + "\n")
    entry = {"server": lab.server, "certificate-authority": str(state / "pki" / "ca.crt")}
    for user, token in tokens.items():
        write_private(lab.kubeconfig(user), build_kubeconfig(cluster=entry, token=token))
    write_private(state / "stand-in.token", tokens["stand-in"])
    (state / "egress.yaml").write_text(build_egress_config(lab.sockets / "egress.sock"))
    return lab


def build_egress_config(socket: Path) -> str:
    """The API server's egress configuration: what goes to the cluster network goes through our proxy."""
    through = {"proxyProtocol": "HTTPConnect", "transport": {"uds": {"udsName": str(socket)}}}
    return yaml.safe_dump(
        {
            "apiVersion": "apiserver.k8s.io/v1beta1",
            "kind": "EgressSelectorConfiguration",
            "egressSelections": [{"name": "cluster", "connection": through}],
        }
    )


def _write_pki(lab: _Lab) -> None:
    authority = certificates.build_authority(common_name="lab")
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
    hosts = [*names, "127.0.0.1", f"{lab.slot.service_prefix}0.1"]
    serving = certificates.issue(authority, common_name="kube-apiserver", hosts=hosts)
    accounts = certificates.build_signing_key()
    for file, content in (
        ("ca.crt", authority.certificate),
        ("serving.crt", serving.certificate),
        ("serving.key", serving.key),
        ("accounts.pub", accounts.certificate),
        ("accounts.key", accounts.key),
    ):
        write_private(lab.state / "pki" / file, content.decode())
