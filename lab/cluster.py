"""A running cluster as its users see it: kubectl, a kubeconfig, an audit log.

Owns `cluster.json` in a lab's state, and `.lab/<name>/` of the checkout (kubeconfig and kubectl for people).
Must never start or stop anything. With `CLUSTER=current` no lab is used but the current kubeconfig context.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from lab import slots
from lab.progress import LabError

CHECKOUT = Path(__file__).parents[1]


class KubectlError(Exception):
    """A kubectl command that failed; its text is what kubectl said."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """How to reach a cluster. `audit_log` is None where there is no access to it (`CLUSTER=current`);
    `kubernetes` is the version of a light lab's API server (`1.37.2`), empty for other clusters."""

    name: str
    kind: Literal["light", "node", "current"]
    kubeconfig: Path
    kubectl: Path
    state: Path
    audit_log: Path | None
    kubernetes: str = ""

    def run(self, *arguments: str, stdin: str | None = None, timeout: float = 240) -> str:
        """Runs kubectl as cluster-admin and returns its output. KubectlError when it fails, or hangs."""
        argv = [str(self.kubectl), "--kubeconfig", str(self.kubeconfig), *arguments]
        try:
            done = subprocess.run(
                argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise KubectlError(f"kubectl {' '.join(arguments)}: no answer in {timeout} s") from error
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout


def is_current() -> bool:
    """Whether an existing cluster is to be used instead of a lab (`CLUSTER=current`)."""
    return os.environ.get("CLUSTER") == "current"


def find(name: str | None = None) -> Cluster:
    """The lab of this name. Without one: the current context's cluster if so wished, else the only lab.

    LabError when there is none, or more than one.
    """
    if name is None and is_current():
        return _current()
    if name is None:
        running = [lab for lab in slots.names() if (slots.state_of(lab) / "cluster.json").exists()]
        if len(running) != 1:
            told = f"several labs run ({', '.join(running)}): name one" if running else "no lab runs"
            raise LabError(f"{told}; python -m lab up light|node starts one")
        name = running[0]
    try:
        content = json.loads((slots.state_of(name) / "cluster.json").read_text())
    except FileNotFoundError:
        raise LabError(f"no lab {name!r} runs; python -m lab up light|node starts one") from None
    paths = {key: Path(content[key]) for key in ("kubeconfig", "kubectl", "audit_log")}
    kubernetes = content.get("kubernetes", "")
    return Cluster(
        name=name, kind=content["kind"], state=slots.state_of(name), kubernetes=kubernetes, **paths
    )


def published(name: str) -> Path:
    """The directory of the checkout where a lab's kubeconfig and kubectl are for people to use."""
    return CHECKOUT / ".lab" / name


def publish(cluster: Cluster) -> Path:
    """Records a lab that is up; writes `.lab/<name>/kubeconfig` and an executable `.lab/<name>/kubectl`."""
    fields = ("kind", "kubeconfig", "kubectl", "audit_log", "kubernetes")
    content = {field: str(getattr(cluster, field)) for field in fields}
    (cluster.state / "cluster.json").write_text(json.dumps(content))
    folder = published(cluster.name)
    folder.mkdir(parents=True, exist_ok=True)
    write_private(folder / "kubeconfig", cluster.kubeconfig.read_text())
    wrapper = folder / "kubectl"
    wrapper.write_text(f'#!/bin/sh\nexec "{cluster.kubectl}" --kubeconfig "{folder}/kubeconfig" "$@"\n')
    wrapper.chmod(0o755)
    return folder


def forget(name: str) -> None:
    """Removes a lab's state and what was published of it. Its processes must be gone."""
    shutil.rmtree(slots.state_of(name), ignore_errors=True)
    shutil.rmtree(published(name), ignore_errors=True)


def service_account_kubeconfig(
    cluster: Cluster, namespace: str, name: str, *, hours: int = 24, holder: str = ""
) -> Path:
    """A kubeconfig that authenticates as a ServiceAccount, by a token of the API server (TokenRequest).

    Each call makes a new token. `holder` gives the file a name of its own, where several share an account.
    """
    token = cluster.run("create", "token", name, "-n", namespace, f"--duration={hours}h").strip()
    view = _read_entry(cluster)
    path = cluster.state / "accounts" / f"{'.'.join(filter(None, (namespace, name, holder)))}.kubeconfig"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, build_kubeconfig(cluster=view, token=token))
    return path


def _read_entry(cluster: Cluster) -> dict[str, Any]:
    """How an API server is reached, without a user: of a lab as it was written, of another as kubectl reads
    it."""
    if cluster.kind == "current":
        told = cluster.run("config", "view", "--raw", "--minify", "--flatten", "-o", "json")
        content = json.loads(told)
    else:
        content = yaml.safe_load(cluster.kubeconfig.read_text())
    entry: dict[str, Any] = content["clusters"][0]["cluster"]
    return entry


def build_kubeconfig(*, cluster: dict[str, Any], token: str) -> str:
    """A kubeconfig of one cluster entry and one bearer token, as YAML."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "lab", "user": {"token": token}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
            "current-context": "lab",
        }
    )


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, whatever it was before."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)


def _current() -> Cluster:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise LabError("CLUSTER=current needs kubectl in the PATH")
    state = CHECKOUT / ".lab" / "current"
    state.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [kubectl, "config", "view", "--raw", "--minify", "--flatten"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LabError(f"CLUSTER=current, but there is no current context: {done.stderr.strip()}")
    # A copy, so that a later switch of the context does not move running tests to another cluster.
    write_private(state / "kubeconfig", done.stdout)
    return Cluster("current", "current", state / "kubeconfig", Path(kubectl), state, None)
