"""The guides that install, upgrade and remove Navarch, command by command as they stand there, both ways."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from navarch.api.olm.installer import INSTALLER

from lab.cluster import KubectlError, service_account_kubeconfig
from lab.light.olm import CATALOG
from scripts import olm
from tests.olm.conftest import RELEASE, a_hub
from tests.polling import eventually
from tests.support.activity import bring_up
from tests.support.guides import list_commands, read_yaml, run_command
from tests.support.hub import Hub
from tests.support.meshes import build_mesh, wait_for
from tests.support.operator import SYSTEM

Object = dict[str, Any]


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """An OLM of this module's own: each test installs Navarch and removes it without a trace."""
    with a_hub("guides") as hub:
        yield hub


LEFT = (
    *("namespaces", "customresourcedefinitions", "clusterroles", "clusterrolebindings"),
    *("validatingadmissionpolicies", "validatingadmissionpolicybindings"),
)


def list_left(hub: Hub) -> list[str]:
    """What of Navarch is in the cluster, beside what lies in its namespaces."""
    found = json.loads(hub.cluster.run("get", ",".join(LEFT), "-o", "json"))["items"]
    names = (f"{each['kind']} {each['metadata']['name']}" for each in found)
    return [name for name in names if "navarch" in name and "olm.og." not in name]


async def see_a_mesh(hub: Hub) -> None:
    """The operator works: it brings a mesh to Ready and removes it."""
    operator = hub.build_replica("guided")
    try:
        await bring_up(operator, seconds=180)
        hub.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "guided"}})
        hub.api.create(build_mesh("guided"))
        await wait_for(hub.api, "guided")
        hub.api.delete("mesh", "guided", "demo")
        await eventually(lambda: hub.api.get("mesh", "guided", "demo") is None, what="the mesh is gone")
        hub.api.delete("namespace", "", "guided")
    finally:
        operator.stop()


async def test_navarch_is_installed_and_removed_by_olm_as_the_guides_say(hub: Hub) -> None:
    hub.publish(RELEASE)
    manifests = read_yaml("install.md", "From OperatorHub").replace("YOUR_CATALOG", CATALOG)
    hub.cluster.run("apply", "-f", "-", stdin=manifests)
    waiting, *_ = list_commands("install.md", "From OperatorHub")
    run_command(hub.cluster, waiting)
    assert hub.read_status(RELEASE)["phase"] == "Succeeded"
    await see_a_mesh(hub)
    ending, rest = list_commands("remove-navarch.md", "From OperatorHub")
    run_command(hub.cluster, ending)
    assert hub.list_versions() == []
    run_command(hub.cluster, rest)
    await eventually(lambda: list_left(hub) == [], seconds=90, every=0.5, what="nothing is left")


async def test_the_account_of_the_guide_makes_replaces_and_removes_all_of_the_bundle(hub: Hub) -> None:
    """As OLM v1 does, by the rights that the real API server checks: of roles it makes, it has to hold each
    rule itself."""
    (command,) = (c for c in list_commands("install.md", "From OperatorHub") if "olm-v1" in c)
    run_command(hub.cluster, command, names={"navarch manifests": f"{sys.executable} -m navarch manifests"})
    kubeconfig = service_account_kubeconfig(hub.cluster, SYSTEM, INSTALLER)
    installer = replace(hub.cluster, kubeconfig=kubeconfig)
    objects = build_installed(olm.build_objects(RELEASE).values(), SYSTEM)
    manifests = "\n---\n".join(map(json.dumps, objects))
    installer.run("create", "-f", "-", stdin=manifests)
    for each in objects:
        each["metadata"].setdefault("labels", {})["again"] = "yes"
    again = "\n---\n".join(map(json.dumps, objects))
    installer.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=again)
    more = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["delete"]}
    role = next(each for each in objects if each["kind"] == "ClusterRole")
    other = {**role, "metadata": {"name": "more"}, "rules": [*role["rules"], more]}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "more"}}
    for refused, why in ((other, "attempting to grant RBAC permissions"), (node, "cannot create")):
        with pytest.raises(KubectlError, match=why):
            installer.run("create", "-f", "-", stdin=json.dumps(refused))
    installer.run("delete", "-f", "-", "--wait=false", stdin=manifests)
    hub.cluster.run("delete", "clusterrole,clusterrolebinding", INSTALLER)
    hub.cluster.run("delete", "namespace", SYSTEM)
    await eventually(lambda: list_left(hub) == [], seconds=90, every=0.5, what="nothing is left")


def build_installed(bundle: Iterable[Object], namespace: str) -> list[Object]:
    """What OLM v1 makes of a bundle: its objects, its operator's Deployment and account, and a role of the
    cluster with its binding for each set of permissions."""
    others, made = [], []
    for each in json.loads(json.dumps(list(bundle))):
        if each["kind"] != "ClusterServiceVersion":
            is_within = each["kind"] in ("Service", "PodDisruptionBudget")
            each["metadata"] |= {"namespace": namespace} if is_within else {}
            others.append(each)
            continue
        strategy = each["spec"]["install"]["spec"]
        place = {"namespace": namespace}
        account = {"kind": "ServiceAccount", "name": "navarch", **place}
        made.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "navarch", **place}})
        for number, grant in enumerate((*strategy["clusterPermissions"], *strategy["permissions"])):
            name = f"navarch-hash-{number}"
            group = "rbac.authorization.k8s.io"
            role = {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": name}}
            reference = {"apiGroup": group, "kind": "ClusterRole", "name": name}
            made.append({**role, "rules": grant["rules"]})
            made.append({**role, "kind": "ClusterRoleBinding", "roleRef": reference, "subjects": [account]})
        for deployment in strategy["deployments"]:
            metadata = {"name": deployment["name"], **place}
            spec = {"metadata": metadata, "spec": deployment["spec"]}
            made.append({"apiVersion": "apps/v1", "kind": "Deployment", **spec})
    return [*others, *made]


async def test_navarch_is_installed_upgraded_and_removed_by_kubectl_as_the_guides_say(hub: Hub) -> None:
    _, installing = list_commands("install.md", "By kubectl")
    run_command(hub.cluster, installing)
    deployment = hub.api.get("deployment", SYSTEM, "navarch") or {}
    assert deployment["status"]["readyReplicas"] == 2
    await see_a_mesh(hub)
    upgrading, looking = list_commands("upgrade-navarch.md", "By kubectl")
    run_command(hub.cluster, upgrading)
    assert "navarch-istiod-1.31" in run_command(hub.cluster, looking)
    ending, rest = list_commands("remove-navarch.md", "By kubectl")
    run_command(hub.cluster, ending)
    run_command(hub.cluster, rest)
    await eventually(lambda: list_left(hub) == [], seconds=90, every=0.5, what="nothing is left")
