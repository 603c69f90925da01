"""Installs the operator into a cluster: that of this checkout, unless another is named.

Owns how `crds/` and `deploy/` reach a cluster that has no registry: on a node lab the operator runs as a pod
of the image made from the Containerfile, elsewhere as a process of this machine. Must never give it more than
its own ServiceAccount, so that both ways run under the ClusterRole that is shipped.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from lab import processes
from lab.cluster import Cluster, service_account_kubeconfig
from lab.progress import LabError, say

Document: TypeAlias = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
FIRST = ("Namespace", "CustomResourceDefinition", "ServiceAccount")


def load_documents(*paths: Path) -> list[Document]:
    """All objects of YAML files, those first that others need."""
    documents = [document for path in paths for document in yaml.safe_load_all(path.read_text()) if document]
    return sorted(documents, key=lambda one: FIRST.index(one["kind"]) if one["kind"] in FIRST else len(FIRST))


def load_installation(root: Path = ROOT) -> tuple[list[Document], Document]:
    """What installs the operator of a checkout, and apart from it its Deployment."""
    everything = load_documents(
        *sorted((root / "crds").glob("*.yaml")), *sorted((root / "deploy").glob("*.yaml"))
    )
    deployments = [document for document in everything if document["kind"] == "Deployment"]
    if len(deployments) != 1:
        raise LabError(
            f"deploy/ holds {len(deployments)} Deployments instead of one; `make generate` writes it"
        )
    return [document for document in everything if document["kind"] != "Deployment"], deployments[0]


def apply_documents(cluster: Cluster, documents: list[Document]) -> None:
    """Applies objects on the server's side, in their order."""
    text = yaml.safe_dump_all(documents, sort_keys=False)
    cluster.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text, timeout=120)


def install(cluster: Cluster, root: Path = ROOT) -> None:
    """The operator of a checkout, running; LabError or KubectlError when it does not come up."""
    documents, deployment = load_installation(root)
    apply_documents(cluster, documents)
    kinds = [
        f"crd/{one['metadata']['name']}" for one in documents if one["kind"] == "CustomResourceDefinition"
    ]
    cluster.run("wait", "--for=condition=Established", *kinds, "--timeout=180s", timeout=190)
    if cluster.kind == "node":
        _start_pod(cluster, deployment, root)
    else:
        _start_process(cluster, deployment)


def uninstall(cluster: Cluster) -> None:
    """Everything that install made. Meshes must be gone."""
    processes.stop_all(cluster.state)
    documents, deployment = load_installation()
    text = yaml.safe_dump_all([deployment, *reversed(documents)])
    cluster.run("delete", "--ignore-not-found", "-f", "-", stdin=text, timeout=180)


def _start_pod(cluster: Cluster, deployment: Document, root: Path) -> None:
    from lab.images.operator import OPERATOR, ensure_operator_archive
    from lab.node.cluster import load_image

    archive = ensure_operator_archive(root)
    load_image(cluster, archive)
    template = deployment["spec"]["template"]
    # The archive is named after its content: another operator under the same name makes new pods.
    template["metadata"].setdefault("annotations", {})["lab.local/image"] = archive.stem
    for container in template["spec"]["containers"]:
        container |= {"image": OPERATOR, "imagePullPolicy": "IfNotPresent"}
    apply_documents(cluster, [deployment])
    name, namespace = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
    say("the operator starts as a pod")
    cluster.run("-n", namespace, "rollout", "status", f"deployment/{name}", "--timeout=300s", timeout=310)


def _start_process(cluster: Cluster, deployment: Document) -> None:
    if any(one.name == "operator" and one.is_alive() for one in processes.recorded(cluster.state)):
        return
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
    kubeconfig = service_account_kubeconfig(cluster, deployment["metadata"]["namespace"], account)
    # Loopback and a free port: several labs run side by side, and no other program needs to reach it.
    settings = {"KUBECONFIG": str(kubeconfig), "LISTEN_HOST": "127.0.0.1", "LISTEN_PORT": "0"}
    settings["METRICS_PORT"] = "0"
    environment = {**os.environ, **{f"NAVARCH_{name}": value for name, value in settings.items()}}
    log = cluster.state / "log" / "operator.log"
    log.parent.mkdir(exist_ok=True)
    say(f"the operator starts as a process; its log is {log}")
    command = [sys.executable, "-P", "-m", "navarch", "run"]
    processes.start(cluster.state, "operator", command, log=log, env=environment)
