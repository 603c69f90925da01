"""`/usr/bin/gather` of the operator's image, in a pod such as `oc adm must-gather --image` makes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from lab.images.operator import OPERATOR
from tests.node.conftest import Mesh
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.operator import SYSTEM
from tests.support.workloads import is_ready

NS = "openshift-must-gather-x"
READ = """
import json, pathlib
root = pathlib.Path("/must-gather")
print(json.dumps({str(p.relative_to(root)): p.read_text()[-4000:] for p in root.rglob("*") if p.is_file()}))
"""


def build_pod() -> Object:
    """As oc makes it: one container collects, another one holds the files until they are copied."""
    mounts = [{"name": "must-gather-output", "mountPath": "/must-gather"}]
    wait = "import time; time.sleep(3600)"
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    common = {"image": OPERATOR, "volumeMounts": mounts, "securityContext": security}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "must-gather", "namespace": NS},
        "spec": {
            "serviceAccountName": "must-gather",
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "initContainers": [{"name": "gather", "command": ["/usr/bin/gather"], **common}],
            "containers": [{"name": "copy", "command": ["python", "-c", wait], **common}],
            "volumes": [{"name": "must-gather-output", "emptyDir": {}}],
        },
    }


def build_rights() -> list[Object]:
    """The namespace that oc makes, and its account with an administrator's rights."""
    name = {"name": "must-gather", "namespace": NS}
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS, "labels": enforce}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": name},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NS},
            "roleRef": role,
            "subjects": [{"kind": "ServiceAccount", **name}],
        },
    ]


@pytest.fixture
async def pod(mesh: Mesh, api: Api) -> AsyncIterator[str]:
    """A pod that has collected."""
    made = "\n---\n".join(map(json.dumps, [*build_rights(), build_pod()]))
    mesh.cluster.run("apply", "-f", "-", stdin=made)
    find = lambda: api.get("pod", NS, "must-gather") or {"status": {}}  # noqa: E731
    await eventually(lambda: is_ready(find()), seconds=180, every=0.5, what="it has collected")
    yield "must-gather"
    mesh.cluster.run("delete", "clusterrolebinding", NS)
    mesh.cluster.run("delete", "namespace", NS, "--wait=false")


def test_the_images_entry_point_collects_objects_and_logs_of_operator_and_istiod(
    mesh: Mesh, pod: str
) -> None:
    said = mesh.cluster.run("exec", "-n", NS, pod, "-c", "copy", "--", "python", "-c", READ)
    files: dict[str, str] = json.loads(said)
    assert f"namespaces/{mesh.namespace}/mesh.navarch.io/meshcontrolplanes/{mesh.name}.yaml" in files
    assert "navarch/must-gather" in files["version"]

    def read_logs(namespace: str, pod: str) -> list[str]:
        begin = f"namespaces/{namespace}/pods/{pod}"
        return [text for path, text in files.items() if path.startswith(begin) and path.endswith("t.log")]

    assert any('"level": "info"' in text for text in read_logs(SYSTEM, "navarch-"))
    assert any("info" in text for text in read_logs(mesh.namespace, mesh.istiod))
    # Pods of other tests' meshes may go meanwhile.
    missing = files.get("not-read.txt", "").splitlines()
    assert [line for line in missing if not line.endswith("not found")] == []
