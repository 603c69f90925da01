"""The node lab itself: it works, and it leaves nothing behind."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import slots
from lab.cluster import Cluster
from lab.images.archive import Image, Layer, ensure_archive
from lab.node import cluster as node_cluster
from lab.node import host
from lab.progress import LabError, wait_until

POD = """
apiVersion: v1
kind: Pod
metadata: {name: asks, namespace: default}
spec:
  restartPolicy: Never
  containers:
    - name: asks
      image: lab.local/echo:1
      args: [get, -n, "20", -t, 2s, "http://kube-dns.kube-system.svc.cluster.local:8181/ready"]
"""
NAME = f"test-lab-{os.getpid()}"


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """A lab of this module's own, beside whichever other labs run."""
    try:
        yield node_cluster.up(NAME)
    finally:
        node_cluster.down(NAME)


def test_a_pod_resolves_and_reaches_a_service(own: Cluster) -> None:
    own.run("apply", "-f", "-", stdin=POD)

    def is_over() -> bool:
        return own.run("get", "pod", "asks", "-o", "jsonpath={.status.phase}") in {"Succeeded", "Failed"}

    wait_until(is_over, what="the end of the pod", seconds=60, interval=0.2)
    assert "requests=20 failed=0" in own.run("logs", "asks")


def test_the_host_sees_nothing_of_the_labs_network_and_mounts(own: Cluster) -> None:
    assert "node0" in node_cluster.enter(own, "ip", "-brief", "link")
    assert not Path("/sys/class/net/node0").exists()
    mounts = Path("/proc/self/mounts").read_text()
    assert "/run/containerd" in node_cluster.enter(own, "cat", "/proc/self/mounts")
    assert str(own.state) not in mounts


def test_a_command_that_fails_inside_is_an_error_with_its_own_words(own: Cluster) -> None:
    with pytest.raises(LabError, match="No such file"):
        node_cluster.enter(own, "cat", "/does/not/exist")


def test_an_image_that_is_loaded_again_replaces_the_one_of_its_name(own: Cluster, tmp_path: Path) -> None:
    seen = []
    for text in ("first", "second"):
        layer = Layer()
        layer.add_text("/text", text)
        node_cluster.load_image(
            own, ensure_archive(tmp_path, "text", [Image("lab.local/text:1", (layer,), {})])
        )
        images = node_cluster.enter(
            own, "ctr", "--namespace", "k8s.io", "images", "ls", "name==lab.local/text:1"
        )
        seen.append(images.splitlines()[1].split()[2])
    assert seen[0] != seen[1]


def test_a_second_start_under_the_same_name_is_refused_in_one_line(own: Cluster) -> None:
    with pytest.raises(LabError, match="runs already") as refusal:
        node_cluster.up(NAME)
    assert "\n" not in str(refusal.value)
    own.run("get", "--raw", "/readyz")


def test_every_write_is_in_the_audit_log_when_it_is_answered(own: Cluster) -> None:
    own.run("create", "configmap", "seen-by-the-audit-log", "--namespace", "default")
    assert own.audit_log is not None
    assert "seen-by-the-audit-log" in own.audit_log.read_text()


def test_a_component_that_dies_is_started_again(own: Cluster) -> None:
    def find() -> set[int]:
        pids = host.marked_processes(own.state)
        return {pid for pid in pids if os.path.realpath(f"/proc/{pid}/exe").endswith("/kube-scheduler")}

    (before,) = find()
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: bool(find() - {before}), what="another kube-scheduler", seconds=30)


def test_nothing_is_left_of_a_lab_that_crashed(own: Cluster) -> None:
    first = host.first_process(own.state)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: host.first_process(own.state) is None, what="the end of the lab", seconds=30)
    assert node_cluster.leftovers(NAME)
    node_cluster.down(NAME)
    assert node_cluster.leftovers(NAME) == []
    assert NAME not in slots.names()
