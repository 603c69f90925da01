"""The cluster's certificates and the kubeconfigs of its components.

Owns `pki/` in the state directory. Must never make them again where they exist: a kept lab stays the same
cluster.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path

from lab.certificates import build_authority, build_signing_key, issue
from lab.node.layout import API_URL, NODE_ADDRESS, NODE_NAME, SERVICE_ADDRESS


@dataclass(frozen=True, slots=True)
class User:
    """A user of the API: the name and groups in its certificate."""

    file: str
    name: str
    groups: tuple[str, ...] = ()


USERS = (
    User("admin", "lab-admin", ("system:masters",)),
    User("kube-controller-manager", "system:kube-controller-manager"),
    User("kube-scheduler", "system:kube-scheduler"),
    User("kube-proxy", "system:kube-proxy"),
    User("kubelet", f"system:node:{NODE_NAME}", ("system:nodes",)),
)
_API_HOSTS = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
    "127.0.0.1",
    NODE_ADDRESS,
    SERVICE_ADDRESS,
)


def write_credentials(state: Path, *, relay: str) -> None:
    """Certificates and kubeconfigs; `relay` is the API server's URL for use from outside."""
    directory = state / "pki"
    if not (directory / "ca.crt").exists():
        authority = build_authority(common_name="lab-ca")
        pairs = {
            "ca": authority,
            "service-account": build_signing_key(),
            "apiserver": issue(authority, common_name="kube-apiserver", hosts=_API_HOSTS),
            "kubelet-server": issue(
                authority, common_name=NODE_NAME, hosts=(NODE_NAME, NODE_ADDRESS, "127.0.0.1")
            ),
            "kubelet-client": issue(
                authority, common_name="kube-apiserver", organisations=("system:masters",)
            ),
            "front-proxy": issue(authority, common_name="front-proxy"),
        }
        pairs |= {
            user.file: issue(authority, common_name=user.name, organisations=user.groups) for user in USERS
        }
        for name, pair in pairs.items():
            _write(directory / f"{name}.key", pair.key)
            _write(directory / f"{name}.crt", pair.certificate)
    for user in USERS:
        _write(directory / f"{user.file}.kubeconfig", _build_kubeconfig(directory, user.file, server=API_URL))
    _write(state / "kubeconfig", _build_kubeconfig(directory, "admin", server=relay))


def _build_kubeconfig(directory: Path, user: str, *, server: str) -> bytes:
    def encoded(name: str) -> str:
        return base64.b64encode((directory / name).read_bytes()).decode()

    pair = {"client-certificate-data": encoded(f"{user}.crt"), "client-key-data": encoded(f"{user}.key")}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [
            {"name": "lab", "cluster": {"server": server, "certificate-authority-data": encoded("ca.crt")}}
        ],
        "users": [{"name": user, "user": pair}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
    }
    return json.dumps(content, indent=1).encode()


def _write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content)
