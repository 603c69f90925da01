"""`python -m scripts.demo up|down`: the story that `make demo` tells, and its end.

Owns the order of the story. Must never leave the lab half made without saying how to remove it. Progress goes
to stderr, what there is to see to stdout.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

from lab import __main__ as labs
from lab import cluster as clusters
from lab import slots
from lab.cluster import Cluster, KubectlError
from lab.progress import LabError, say, wait_until
from lab.slots import Kind
from scripts.demo import ingress
from scripts.demo.installation import ROOT, Document, apply_documents, install, load_documents, uninstall
from scripts.suite.parts import find_obstacle

NAME = "demo"
EXAMPLE = ROOT / "examples" / "mesh.yaml"
MANIFESTS = ROOT / "lab" / "manifests"
CERTIFICATE = "X-Forwarded-Client-Cert"
"""Header in which a proxy tells its application who the other side of the mTLS connection was."""


def choose_kind() -> Kind:
    """`LAB=light|node` if set, else a node lab where this machine can, else a light one."""
    asked, obstacle = os.environ.get("LAB"), find_obstacle("node")
    if asked == "light":
        return "light"
    if asked not in (None, "node"):
        raise LabError(f"LAB={asked}: there are light and node")
    if obstacle is None or asked == "node":
        return "node"
    say(f"a light lab, in which pods are only pretended: {obstacle}")
    return "light"


def start_cluster() -> Cluster:
    """The current context's cluster if so wished, else the demo's own lab, started where it does not run."""
    if clusters.is_current():
        return clusters.find()
    try:
        return clusters.find(NAME)
    except LabError:
        labs.up(choose_kind(), NAME)
        return clusters.find(NAME)


def build_mesh(cluster: Cluster) -> list[Document]:
    """The example, in a lab with the lab's profile above the default."""
    documents = load_documents(EXAMPLE)
    for document in documents:
        if document["kind"] == "MeshControlPlane" and cluster.kind != "current":
            document["spec"]["profiles"] = ["default", "lab"]
    return documents


def make_mesh(cluster: Cluster) -> None:
    """Applies the example mesh and waits until it is ready."""
    if cluster.kind != "current":
        apply_documents(cluster, load_documents(MANIFESTS / "profile-lab.yaml"))
    apply_documents(cluster, build_mesh(cluster))
    say("waiting for the mesh to be ready")
    try:
        cluster.run(
            "-n", "mesh", "wait", "meshcp/demo", "--for=condition=Ready", "--timeout=180s", timeout=190
        )
    finally:
        print("$ kubectl get meshcp -n mesh")
        print(cluster.run("get", "meshcp", "-n", "mesh"))
        lines = "{range .status.conditions[*]}{.type}\t{.status}\t{.reason}\t{.message}\n{end}"
        told = cluster.run("-n", "mesh", "get", "meshcp/demo", "-o", f"jsonpath={lines}")
        print("Its conditions:")
        print(format_table([row.split("\t") for row in told.splitlines()]), end="\n\n")


def format_table(rows: list[list[str]]) -> str:
    """Rows of words in columns as wide as their widest word."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([word.ljust(width) for word, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in padded)


def start_apps(cluster: Cluster) -> None:
    """Two applications in a namespace of the mesh, and one outside of it."""
    apply_documents(cluster, load_documents(MANIFESTS / "apps.yaml"))
    say("waiting for two applications with their proxies, and one without")
    for namespace, name in (("shop", "server"), ("shop", "client"), ("outside", "stranger")):
        what = ("rollout", "status", f"deployment/{name}")
        cluster.run("-n", namespace, *what, "--timeout=120s", timeout=130)
    print("$ kubectl get pods -n shop; istio-proxy is what the mesh added:")
    containers = "{.metadata.name}\t{.spec.initContainers[*].name}\t{.spec.containers[*].name}\n"
    told = cluster.run("-n", "shop", "get", "pods", "-o", f"jsonpath={{range .items[*]}}{containers}{{end}}")
    rows = [row.split("\t") for row in told.splitlines()]
    print(format_table([["POD", "INIT CONTAINERS", "CONTAINERS"], *rows]), end="\n\n")


def ask(cluster: Cluster, namespace: str, client: str) -> tuple[bool, str]:
    """A request to the server from a client's pod: whether it was answered, and what the client printed."""
    command = [str(cluster.kubectl), "--kubeconfig", str(cluster.kubeconfig), "-n", namespace]
    command += ["exec", f"deploy/{client}", "-c", "client", "--", "/echo", "get", "http://server.shop/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode == 0, done.stdout or done.stderr


def send_requests(cluster: Cluster) -> None:
    """A request from client to server, the proof that it went through two proxies under mTLS, and one that
    is refused.
    """
    told = [""]

    def is_answered() -> bool:
        answered, told[0] = ask(cluster, "shop", "client")
        return answered

    wait_until(is_answered, what="a request from client to server", seconds=60, interval=1)
    named = re.search(rf'"{CERTIFICATE}":"([^"\\]|\\.)*"', told[0])
    if named is None:
        raise LabError(f"the request was answered, but not under mTLS: {told[0]}")
    print("$ kubectl exec -n shop deploy/client -c client -- /echo get http://server.shop/")
    print(told[0].strip())
    print("By this header the server's proxy names the client that it authenticated:")
    print(f"  {named.group()}\n")
    answered, text = ask(cluster, "outside", "stranger")
    if answered:
        raise LabError(f"a request in plaintext was answered although the mesh is strict: {text}")
    print("$ kubectl exec -n outside deploy/stranger -- /echo get http://server.shop/")
    print(text.splitlines()[0])
    print("From outside of the mesh there is no certificate, and mtls.mode Strict refuses plaintext.\n")


def show_next_steps(cluster: Cluster) -> None:
    """How to go on, and how to end."""
    kubeconfig = (
        cluster.kubeconfig if cluster.kind == "current" else clusters.published(cluster.name) / "kubeconfig"
    )
    print("Go on:")
    print(f"  export KUBECONFIG={kubeconfig}")
    if shutil.which("kubectl") is None and cluster.kind != "current":
        print(f"  alias kubectl={clusters.published(cluster.name) / 'kubectl'}")
    if cluster.kind == "node":
        print("\n".join(f"  {command}" for command in ingress.list_commands(cluster)))
    print("  kubectl describe meshcp demo -n mesh")
    print("  and docs/tutorial/first-mesh.md from its second step on")
    print("Clean up:\n  make demo-down")


def up() -> None:
    """The whole story."""
    cluster = start_cluster()
    install(cluster)
    make_mesh(cluster)
    if cluster.kind == "current":
        say(
            "no applications: their image is the lab's own; label a namespace of yours istio.io/rev=mesh-demo"
        )
    else:
        start_apps(cluster)
        ingress.make_ingress(cluster)
    if cluster.kind == "node":
        send_requests(cluster)
        ingress.send_request(cluster)
    elif cluster.kind == "light":
        say("no request: pods are pretended in a light lab; on Linux as root there are real ones")
    show_next_steps(cluster)


def down() -> None:
    """Removes what `up` made, and nothing else."""
    if not clusters.is_current():
        if slots.kind_of(NAME) is None:
            say("there is no demo to remove")
        else:
            labs.stop(NAME)
            say("the demo is removed; the cache of builds stays")
        return
    cluster = clusters.find()
    cluster.run("delete", "meshcp", "demo", "-n", "mesh", "--ignore-not-found", "--timeout=120s", timeout=130)
    cluster.run("delete", "namespace", "mesh", "--ignore-not-found", "--timeout=120s", timeout=130)
    uninstall(cluster)


def main(arguments: list[str]) -> int:
    """The exit code; an error is one line."""
    commands = {"up": up, "down": down}
    if len(arguments) != 1 or arguments[0] not in commands:
        print("usage: python -m scripts.demo up|down", file=sys.stderr)
        return 2
    try:
        commands[arguments[0]]()
    except (LabError, KubectlError) as error:
        print(f"demo: {error}", file=sys.stderr)
        if arguments == ["up"]:
            print("what was started is still there to look at; `make demo-down` removes it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
