"""The kubelet of a node lab: stopped, or ended, whereupon the lab starts it again; and requests from a pod
that do not need it."""

from __future__ import annotations

import subprocess
import uuid

from lab.cluster import Cluster
from lab.node.cluster import enter, enter_command
from tests.support.api import Api
from tests.support.workloads import Answer

_SCRIPT = """
for process in /proc/[0-9]*; do
  if [ "$(cat $process/comm 2>/dev/null)" = kubelet ]; then kill -{signal} ${{process#/proc/}}; fi
done
"""


def signal_kubelet(cluster: Cluster, signal: str) -> None:
    """Sends the node's kubelet a signal, such as STOP, CONT or KILL. Its pods run on."""
    enter(cluster, "sh", "-c", _SCRIPT.format(signal=signal))


def find_container(api: Api, namespace: str, name: str) -> str:
    """The id of the container of this name in the one pod of the app of this name."""
    (pod,) = api.list("pod", namespace, labels=f"app={name}")
    (found,) = (s["containerID"] for s in pod["status"]["containerStatuses"] if s["name"] == name)
    return str(found).removeprefix("containerd://")


def ask_from(cluster: Cluster, container: str, url: str, *, count: int, seconds: int) -> Answer:
    """Requests from a container, as `ask` sends them by the kubelet."""
    command = ("/echo", "get", "-n", str(count), "-t", f"{seconds}s", url)
    process = ("tasks", "exec", "--exec-id", uuid.uuid4().hex, container)
    done = subprocess.run(
        [*enter_command(cluster), "ctr", "--namespace", "k8s.io", *process, *command],
        capture_output=True,
        text=True,
        timeout=240 + count,
        check=False,
    )
    return Answer(done.returncode == 0, done.stdout + done.stderr)
