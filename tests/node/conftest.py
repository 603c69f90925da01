"""What the tests on a real node share: a lab, the operator as a pod in it, and a mesh with two applications.

The shared mesh `mesh/demo` is the example's; a test that edits it puts it back. Each other mesh has a
namespace of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.cluster import Cluster
from lab.node.cluster import enter
from scripts.demo.installation import install
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.meshes import build_mesh, wait_for
from tests.support.operator import USER
from tests.support.workloads import create_namespace, load_profile, start_apps

EXAMPLE = Path(__file__).parents[2] / "examples" / "mesh.yaml"
PROFILES = ["default", "lab"]
_OPERATORS = """
for process in /proc/[0-9]*; do
  if tr '\\0' ' ' < $process/cmdline 2>/dev/null | grep -q '[n]avarch.* run'; then echo ${process#/proc/}; fi
done
"""


@dataclass(frozen=True, slots=True)
class Mesh:
    """A mesh that is ready, and the namespaces of its applications."""

    api: Api
    cluster: Cluster
    namespace: str
    name: str
    apps: str
    outside: str = ""

    @property
    def tag(self) -> str:
        return f"{self.namespace}-{self.name}"

    @property
    def revision(self) -> str:
        return f"{self.tag}-inplace"

    @property
    def istiod(self) -> str:
        return f"istiod-{self.revision}"

    @property
    def url(self) -> str:
        """Where the server of its applications is."""
        return f"http://server.{self.apps}/"

    def edit(self, **spec: Any) -> None:
        """A merge patch on the spec; None takes a field away."""
        self.api.patch("mesh", self.namespace, self.name, {"spec": spec})

    async def wait_for(self, condition: str = "Ready", status: str = "True", **more: Any) -> Object:
        return await wait_for(
            self.api, self.namespace, self.name, condition=condition, status=status, **{"seconds": 90, **more}
        )

    def list_istiods(self) -> list[Object]:
        """istiod's pods, those on their way out included."""
        return self.api.list("pod", self.namespace, labels=f"app=istiod,istio.io/rev={self.revision}")


@pytest.fixture(scope="session")
def api(node: Cluster) -> Api:
    return Api(node.kubeconfig)


@pytest.fixture(scope="session")
def audit(node: Cluster) -> Audit:
    assert node.audit_log is not None
    return Audit(node.audit_log, USER)


@pytest.fixture(scope="session")
def operator(node: Cluster, api: Api) -> Cluster:
    """The cluster with the operator in it, installed as a user would, and the lab's profile."""
    install(node)
    api.apply(load_profile())
    return node


@pytest.fixture(scope="session")
async def mesh(operator: Cluster, api: Api) -> Mesh:
    """The example mesh with a server and a client in it, and a client outside of it."""
    for manifest in yaml.safe_load_all(EXAMPLE.read_text()):
        if manifest["kind"] == "MeshControlPlane":
            manifest["spec"]["profiles"] = PROFILES
        api.apply(manifest)
    made = Mesh(api, operator, "mesh", "demo", apps="shop", outside="outside")
    await made.wait_for()
    await start_apps(api, made.apps, made.tag, outside=made.outside)
    return made


async def make_mesh(cluster: Cluster, api: Api, namespace: str, **spec: Any) -> Mesh:
    """A mesh `namespace/demo` with two applications in `namespace-apps`, all ready."""
    made = Mesh(api, cluster, namespace, "demo", apps=f"{namespace}-apps")
    await create_namespace(api, namespace)
    api.create(build_mesh(namespace, profiles=PROFILES, **spec))
    await made.wait_for()
    await start_apps(api, made.apps, made.tag)
    return made


def remove_mesh(made: Mesh) -> None:
    """Removes a mesh and its applications, also against what protects them."""
    made.api.delete("namespace", "", made.apps)
    if made.api.get("mesh", made.namespace, made.name):
        force = {"metadata": {"annotations": {"mesh.navarch.io/force-delete": "true"}}}
        made.api.patch("mesh", made.namespace, made.name, force)
        made.api.delete("mesh", made.namespace, made.name)
    made.api.delete("namespace", "", made.namespace)


def kill_operators(cluster: Cluster) -> None:
    """SIGKILL to every process of the operator."""
    killed = enter(cluster, "sh", "-c", _OPERATORS).split()
    assert killed
    enter(cluster, "kill", "-KILL", *killed)
