"""The commands of the node's components.

Must never start anything. Everything listens inside the lab's network namespace, hence the usual ports. The
controller manager ends itself when it comes before the API server's RBAC bootstrap, so it belongs to the
second group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lab.node.layout import (
    API_PORT,
    CONFIGURATION,
    CREDENTIALS,
    INSIDE,
    NODE_ADDRESS,
    NODE_NAME,
    SERVICE_NETWORK,
)

_ETCD = "http://127.0.0.1:2379"
_ETCD_PEER = "http://127.0.0.1:2380"


@dataclass(frozen=True, slots=True)
class Daemon:
    """A component: its name, which is also its log's, and its command."""

    name: str
    command: tuple[str, ...]


def first_daemons(programs: Mapping[str, str]) -> tuple[Daemon, ...]:
    """What comes up without an API server, and the API server. `programs` is by component name."""
    return (
        Daemon("containerd", ("containerd", "--config", f"{CONFIGURATION}/containerd.toml")),
        _build_etcd(programs["etcd"]),
        _build_apiserver(programs["kube-apiserver"]),
        Daemon(
            "relay",
            ("socat", f"UNIX-LISTEN:{INSIDE}/run/api.sock,fork,unlink-early", f"TCP:127.0.0.1:{API_PORT}"),
        ),
    )


def second_daemons(programs: Mapping[str, str]) -> tuple[Daemon, ...]:
    """What needs an API server that is ready."""
    return (
        _build_controller_manager(programs["kube-controller-manager"]),
        _build_scheduler(programs["kube-scheduler"]),
        Daemon(
            "kubelet",
            (
                programs["kubelet"],
                f"--config={CONFIGURATION}/kubelet.yaml",
                f"--kubeconfig={CREDENTIALS}/kubelet.kubeconfig",
                f"--hostname-override={NODE_NAME}",
                f"--node-ip={NODE_ADDRESS}",
            ),
        ),
        Daemon("kube-proxy", (programs["kube-proxy"], f"--config={CONFIGURATION}/kube-proxy.yaml")),
    )


def _build_etcd(program: str) -> Daemon:
    command = (
        program,
        "--name=lab",
        f"--data-dir={INSIDE}/etcd",
        "--unsafe-no-fsync",  # a lab's data need not survive the machine
        "--log-level=warn",
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        f"--listen-peer-urls={_ETCD_PEER}",
        f"--initial-advertise-peer-urls={_ETCD_PEER}",
        f"--initial-cluster=lab={_ETCD_PEER}",
    )
    return Daemon("etcd", command)


def _build_apiserver(program: str) -> Daemon:
    command = (
        program,
        f"--etcd-servers={_ETCD}",
        f"--secure-port={API_PORT}",
        f"--advertise-address={NODE_ADDRESS}",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        "--allow-privileged=true",
        "--profiling=false",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--kubelet-preferred-address-types=InternalIP",
        f"--tls-cert-file={CREDENTIALS}/apiserver.crt",
        f"--tls-private-key-file={CREDENTIALS}/apiserver.key",
        f"--client-ca-file={CREDENTIALS}/ca.crt",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={CREDENTIALS}/service-account.crt",
        f"--service-account-signing-key-file={CREDENTIALS}/service-account.key",
        f"--kubelet-client-certificate={CREDENTIALS}/kubelet-client.crt",
        f"--kubelet-client-key={CREDENTIALS}/kubelet-client.key",
        f"--requestheader-client-ca-file={CREDENTIALS}/ca.crt",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={CREDENTIALS}/front-proxy.crt",
        f"--proxy-client-key-file={CREDENTIALS}/front-proxy.key",
        f"--audit-policy-file={CONFIGURATION}/audit.yaml",
        f"--audit-log-path={INSIDE}/audit.log",
        "--audit-log-mode=blocking",  # the log is complete when a request is answered
    )
    return Daemon("kube-apiserver", command)


def _build_controller_manager(program: str) -> Daemon:
    command = (
        program,
        *_client_flags("kube-controller-manager"),
        f"--root-ca-file={CREDENTIALS}/ca.crt",
        f"--service-account-private-key-file={CREDENTIALS}/service-account.key",
        f"--cluster-signing-cert-file={CREDENTIALS}/ca.crt",
        f"--cluster-signing-key-file={CREDENTIALS}/ca.key",
        "--use-service-account-credentials=true",
        "--kube-api-qps=100",
        "--kube-api-burst=200",
        "--horizontal-pod-autoscaler-sync-period=2s",  # not 15: tests wait for it
        "--flex-volume-plugin-dir=/var/lib/kubelet/volume-plugins",
    )
    return Daemon("kube-controller-manager", command)


def _build_scheduler(program: str) -> Daemon:
    return Daemon("kube-scheduler", (program, *_client_flags("kube-scheduler")))


def _client_flags(name: str) -> tuple[str, ...]:
    kubeconfig = f"{CREDENTIALS}/{name}.kubeconfig"
    return (
        "--leader-elect=false",
        "--profiling=false",
        "--bind-address=127.0.0.1",
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
    )
