"""The kubelet of a node lab: stopped, or ended, whereupon the lab starts it again."""

from __future__ import annotations

from lab.cluster import Cluster
from lab.node.cluster import enter

_SCRIPT = """
for process in /proc/[0-9]*; do
  if [ "$(cat $process/comm 2>/dev/null)" = kubelet ]; then kill -{signal} ${{process#/proc/}}; fi
done
"""


def signal_kubelet(cluster: Cluster, signal: str) -> None:
    """Sends the node's kubelet a signal, such as STOP, CONT or KILL. Its pods run on."""
    enter(cluster, "sh", "-c", _SCRIPT.format(signal=signal))
