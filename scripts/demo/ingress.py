"""The demo's way in: a gateway that ends TLS, and a request through it from this machine.

Owns the certificate, which is made anew each time, and the one place that says how the gateway is reached.
Must never open a port of this machine but on loopback, and none beyond the request.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import cluster as clusters
from lab.certificates import build_authority, issue
from lab.cluster import Cluster
from lab.progress import say, wait_until
from scripts.demo.installation import ROOT, apply_documents, load_documents

HOST = "shop.example.com"
LOCAL = 8443
"""Port of this machine in the commands that are shown."""


def find_authority(cluster: Cluster) -> Path:
    """Where the certificate lies by which a client knows the gateway."""
    return clusters.published(cluster.name) / "ca.crt"


def make_ingress(cluster: Cluster) -> None:
    """The example's gateway, a certificate for it, and a route to the server; ready."""
    authority = build_authority(common_name="demo")
    pair = issue(authority, common_name=HOST, hosts=[HOST], days=30)
    find_authority(cluster).write_bytes(authority.certificate)
    data = {"tls.crt": pair.certificate, "tls.key": pair.key}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "shop", "namespace": "mesh"},
        "type": "kubernetes.io/tls",
        "data": {name: b64encode(value).decode() for name, value in data.items()},
    }
    routes = load_documents(ROOT / "lab" / "manifests" / "ingress.yaml")
    apply_documents(cluster, [secret, *load_documents(ROOT / "examples" / "gateway.yaml"), *routes])
    say("waiting for the gateway")
    cluster.run(
        "-n", "mesh", "wait", "meshgw/ingress", "--for=condition=Ready", "--timeout=180s", timeout=190
    )
    print("$ kubectl get meshgw -n mesh")
    print(cluster.run("get", "meshgw", "-n", "mesh"))


def send_request(cluster: Cluster) -> None:
    """A request from this machine through the gateway, which shows the certificate of its Secret."""
    answers: list[str] = []

    def is_answered() -> bool:
        try:
            with _forwarded(cluster) as port:
                answers.append(_ask(port, find_authority(cluster)))
        except (OSError, http.client.HTTPException):
            return False
        return True

    wait_until(is_answered, what="a request through the gateway", seconds=60, interval=1)
    print(f"From this machine through the gateway, with TLS for {HOST}:")
    print(f"{answers[-1].strip()}\n")


def list_commands(cluster: Cluster) -> list[str]:
    """What a user types to send the request once more."""
    return [
        f"kubectl port-forward -n mesh service/ingress {LOCAL}:443 &",
        f"curl --cacert {find_authority(cluster)} --resolve {HOST}:{LOCAL}:127.0.0.1 https://{HOST}:{LOCAL}/",
    ]


@contextmanager
def _forwarded(cluster: Cluster) -> Iterator[int]:
    """A free port of loopback that leads to a pod of the gateway's."""
    command = [str(cluster.kubectl), "--kubeconfig", str(cluster.kubeconfig), "-n", "mesh"]
    command += ["port-forward", "service/ingress", ":443"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as forwarding:
        try:
            assert forwarding.stdout is not None
            told = forwarding.stdout.readline()
            if not told.startswith("Forwarding from 127.0.0.1:"):
                raise ConnectionError(f"kubectl port-forward: {told}")
            yield int(told.split(":")[1].split()[0])
        finally:
            forwarding.terminate()


def _ask(port: int, authority: Path) -> str:
    context = ssl.create_default_context(cafile=str(authority))
    connection = http.client.HTTPSConnection(HOST, port, timeout=10, context=context)
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sock = context.wrap_socket(plain, server_hostname=HOST)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise http.client.HTTPException(f"status {answer.status}")
        return answer.read().decode()
    finally:
        connection.close()
