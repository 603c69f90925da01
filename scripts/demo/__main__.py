"""`python -m scripts.demo up|down`: the story that `make demo` tells, and its end.

Owns the order of the story. Must never leave the lab half made without saying how to remove it. Progress goes
to stderr, what there is to see to stdout.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from lab import __main__ as labs
from lab import cluster as clusters
from lab import slots
from lab.cluster import Cluster, KubectlError
from lab.progress import LabError, say, wait_until
from lab.slots import Kind
from scripts.demo.installation import ROOT, Document, apply_documents, install, load_documents, uninstall
from scripts.suite import find_obstacle

NAME = "demo"
HERE = Path(__file__).parent
EXAMPLE = ROOT / "examples" / "mesh.yaml"
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
        apply_documents(cluster, load_documents(HERE / "profile.yaml"))
    apply_documents(cluster, build_mesh(cluster))
    say("waiting for the mesh to be ready")
    try:
        cluster.run(
            "-n", "mesh", "wait", "meshcp/demo", "--for=condition=Ready", "--timeout=180s", timeout=190
        )
    finally:
        print(cluster.run("get", "meshcp", "-n", "mesh"))
        lines = "{range .status.conditions[*]}{.type}\t{.status}\t{.reason}\t{.message}\n{end}"
        told = cluster.run("-n", "mesh", "get", "meshcp/demo", "-o", f"jsonpath={lines}")
        print(format_table([row.split("\t") for row in told.splitlines()]))


def format_table(rows: list[list[str]]) -> str:
    """Rows of words in columns as wide as their widest word."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([word.ljust(width) for word, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in padded)


def start_apps(cluster: Cluster) -> None:
    """Two applications in a namespace of the mesh."""
    apply_documents(cluster, load_documents(HERE / "apps.yaml"))
    say("waiting for two applications with their proxies")
    for name in ("server", "client"):
        cluster.run("-n", "shop", "rollout", "status", f"deployment/{name}", "--timeout=120s", timeout=130)
    containers = (
        "{range .items[*]}{.metadata.name}: {.spec.initContainers[*].name} {.spec.containers[*].name}\n{end}"
    )
    print(cluster.run("-n", "shop", "get", "pods", "-o", f"jsonpath={containers}"))


def send_request(cluster: Cluster) -> None:
    """A request from client to server, and the proof that it went through two proxies under mTLS."""
    command = [
        "-n",
        "shop",
        "exec",
        "deploy/client",
        "-c",
        "client",
        "--",
        "/echo",
        "get",
        "http://server.shop/",
    ]
    answers: list[str] = []

    def is_answered() -> bool:
        try:
            answers.append(cluster.run(*command))
        except KubectlError as error:
            answers.append(str(error))
            return False
        return True

    wait_until(is_answered, what="a request from client to server", seconds=60, interval=1)
    if f'"{CERTIFICATE}"' not in answers[-1]:
        raise LabError(f"the request was answered, but not under mTLS: {answers[-1]}")
    print(f"A request from client to server; {CERTIFICATE} is how the server's proxy names the client:")
    print(answers[-1])


def show_next_steps(cluster: Cluster) -> None:
    """How to go on, and how to end."""
    kubeconfig = (
        cluster.kubeconfig if cluster.kind == "current" else clusters.published(cluster.name) / "kubeconfig"
    )
    print("Go on:")
    print(f"  export KUBECONFIG={kubeconfig}")
    if shutil.which("kubectl") is None and cluster.kind != "current":
        print(f"  alias kubectl={clusters.published(cluster.name) / 'kubectl'}")
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
    if cluster.kind == "node":
        send_request(cluster)
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
