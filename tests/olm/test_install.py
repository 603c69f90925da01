"""Navarch installed by a real OLM from its bundle: what is there, with which rights, and that it works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path

import pytest
import yaml
from navarch.api.admission.host import HOST_RESOURCE, HOST_VERB
from navarch.api.install import build_kept
from navarch.core.model.refs import ref_of
from navarch.kube.resources import resource_for

from lab import processes
from lab.cluster import Cluster, service_account_kubeconfig
from lab.light.olm import CATALOG, NAMESPACE
from scripts.files import ROOT
from tests.olm.conftest import RELEASE
from tests.polling import eventually
from tests.support.api import Api, Object, Refused
from tests.support.command import navarch
from tests.support.hub import COREOS, Hub
from tests.support.meshes import build_mesh, is_current, read_condition, wait_for
from tests.support.operator import SYSTEM, USER, Operator
from tests.support.rights import list_rights, spell


@pytest.fixture(scope="module")
def strategy() -> Object:
    """What the committed bundle asks OLM for."""
    csv = yaml.safe_load((ROOT / "bundle/manifests/navarch.clusterserviceversion.yaml").read_text())
    found: Object = csv["spec"]["install"]["spec"]
    return found


def test_olm_runs_the_deployment_of_the_bundle(installed: Cluster, api: Api, strategy: Object) -> None:
    (wanted,) = strategy["deployments"]
    deployment = api.get("deployment", SYSTEM, "navarch") or {}
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (asked,) = wanted["spec"]["template"]["spec"]["containers"]
    assert container["image"] == asked["image"]
    assert container["securityContext"] == asked["securityContext"]
    assert container["resources"] == asked["resources"]
    own = [each for each in container["env"] if each["name"] != "OPERATOR_CONDITION_NAME"]
    assert [(each["name"], each.get("value")) for each in own] == [
        (each["name"], each.get("value")) for each in asked["env"]
    ]
    assert deployment["spec"]["replicas"] == deployment["status"]["readyReplicas"] == 2


def test_everything_else_of_the_bundle_is_there(installed: Cluster, api: Api) -> None:
    assert api.get("pdb", SYSTEM, "navarch")
    assert api.get("service", SYSTEM, "navarch-metrics")
    for path in sorted((ROOT / "bundle/manifests").glob("*.clusterrole.yaml")):
        role = yaml.safe_load(path.read_text())
        assert (api.get("clusterrole", "", role["metadata"]["name"]) or {})["rules"] == role["rules"]


ADDED = {("", "namespaces", "", verb) for verb in ("get", "list", "watch")}
"""What OLM adds to the permissions of an operator that is installed for all namespaces."""


def test_the_account_holds_exactly_the_rights_of_the_bundle(
    installed: Cluster, api: Api, strategy: Object
) -> None:
    (cluster,), (own,) = strategy["clusterPermissions"], strategy["permissions"]
    everywhere = spell(cluster["rules"]) | spell(own["rules"]) | ADDED
    assert list_rights(api, USER, "") == everywhere
    assert list_rights(api, USER, SYSTEM) <= everywhere


def test_the_api_server_grants_what_the_bundle_asks_for_and_nothing_more(
    installed: Cluster, api: Api, strategy: Object
) -> None:
    rules = [*strategy["clusterPermissions"][0]["rules"], *strategy["permissions"][0]["rules"]]
    for group, resource, name, verb in sorted(spell(rules)):
        assert may(api, verb, group, resource, name=name), (verb, group, resource, name)
    for verb, group, resource, name in (
        ("get", "", "secrets", ""),
        ("create", "", "pods", ""),
        ("update", "coordination.k8s.io", "leases", "another"),
        ("create", "rbac.authorization.k8s.io", "roles", ""),
        ("bind", "rbac.authorization.k8s.io", "clusterroles", "cluster-admin"),
        ("escalate", "rbac.authorization.k8s.io", "clusterroles", "navarch"),
        ("impersonate", "", "users", ""),
        ("delete", "apiextensions.k8s.io", "customresourcedefinitions", ""),
        ("delete", "mesh.navarch.io", "meshcontrolplanes", ""),
    ):
        assert not may(api, verb, group, resource, name=name), (verb, group, resource, name)


@pytest.mark.parametrize("role", ["admin", "edit"])
async def test_roles_of_olms_own_give_no_user_the_power_of_istiod(
    role: str, installed: Cluster, api: Api
) -> None:
    user = f"{role}-of-a-namespace"
    api.create(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": user, "namespace": "default"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }
    )
    group = "mesh.navarch.io"
    await eventually(
        lambda: may(api, "create", group, "meshcontrolplanes", user=user), what="the binding is in force"
    )
    assert not may(api, HOST_VERB, group, HOST_RESOURCE, user=user)


def may(api: Api, verb: str, group: str, resource: str, *, name: str = "", user: str = USER) -> bool:
    """What the API server says of a request in the namespace `default`."""
    kind, _, subresource = resource.partition("/")
    attributes = {"verb": verb, "group": group, "resource": kind, "subresource": subresource, "name": name}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user,
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": {**attributes, "namespace": "default"},
        },
    }
    told = api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(told["status"]["allowed"])


@pytest.fixture
async def operator(installed: Cluster) -> AsyncIterator[Operator]:
    """The operator as a process, with a token of the account that OLM made."""
    kubeconfig = service_account_kubeconfig(installed, SYSTEM, "navarch")
    process = Operator(kubeconfig, installed.state / "operator.log")
    process.start()
    try:
        await eventually(process.is_ready, seconds=180, what=f"the operator is ready, see {process.log}")
        yield process
    finally:
        process.stop()


async def test_the_operator_brings_a_mesh_to_ready_with_the_account_that_olm_made(
    operator: Operator, api: Api
) -> None:
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mesh"}})
    api.create(build_mesh("mesh", mtls={"mode": "Strict"}))
    mesh = await wait_for(api, "mesh")
    assert is_current(mesh)
    assert read_condition(mesh, "InjectionReady")["reason"] == "InjectionProved"
    for each in build_kept():
        assert read_content(api, each) is not None, each["metadata"]["name"]
    assert "navarch_installation_missing_objects 0.0" in operator.fetch("/metrics")[1]
    assert (api.get("lease", SYSTEM, "navarch") or {})["spec"]["holderIdentity"]


def read_content(api: Api, manifest: Object) -> Object | None:
    """An object as the cluster has it."""
    resource = resource_for(ref_of(manifest))
    ref = ref_of(manifest)
    try:
        found: Object = api.request("GET", resource.path(namespace=ref.namespace, name=ref.name))
    except Refused:
        return None
    return found


async def test_olm_installs_it_by_one_plan_and_each_phase_once(
    installed: Cluster, hub: Hub, record_property: Callable[[str, object], None]
) -> None:
    """How long that took is told (`--junit-xml`, `-s`), and nothing depends on it. Wanted are ten seconds on
    a quiet machine; OLM makes one object after the other, so what is judged is how many there are."""

    def list_plans() -> list[Object]:
        """OLM ends a plan after the ClusterServiceVersion has succeeded."""
        return hub.list_objects("installplan")

    await eventually(
        lambda: all(plan["status"]["phase"] != "Installing" for plan in list_plans()),
        seconds=60,
        what="the plan is complete",
    )
    (plan,) = list_plans()
    assert plan["status"]["phase"] == "Complete"
    steps = plan["status"]["plan"]
    assert {step["status"] for step in steps} <= {"Created", "Present"}
    of_permissions = 1 + 2 + 2  # the account; roles and bindings in the cluster and in the namespace
    assert len(steps) == len(list((ROOT / "bundle/manifests").iterdir())) + of_permissions
    conditions = hub.read_status(RELEASE)["conditions"]
    phases = [condition["phase"] for condition in conditions]
    assert phases[-1] == "Succeeded"
    assert "Failed" not in phases
    assert phases.count("InstallReady") == phases.count("Succeeded") == 1
    asked = hub.read("subscription", "navarch")["metadata"]["creationTimestamp"]
    times = {c["phase"]: read_time(c["lastTransitionTime"]) for c in conditions}
    took = {phase: (time - read_time(asked)).total_seconds() for phase, time in times.items()}
    record_property("seconds from Subscription to Succeeded", took["Succeeded"])
    told = ", ".join(f"{phase} {seconds:.0f} s" for phase, seconds in took.items())
    print(f"{len(steps)} steps; from the Subscription to {told}; load {os.getloadavg()[0]:.0f}")


def read_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_olm_shows_the_release_and_no_other(installed: Cluster, hub: Hub) -> None:
    assert hub.read_status(RELEASE)["reason"] == "InstallSucceeded"
    subscription = hub.read("subscription", "navarch")
    assert subscription["status"]["installedCSV"] == RELEASE.name


def test_an_archive_for_support_holds_what_olm_says(installed: Cluster, hub: Hub, tmp_path: Path) -> None:
    done = navarch("must-gather", "--directory", str(tmp_path), kubeconfig=installed.kubeconfig)
    assert done.code == 0, done
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.yaml")}
    ours = f"namespaces/{SYSTEM}/{COREOS}"
    plans = installed.run("get", f"installplans.{COREOS}", "-n", SYSTEM, "-o", "name").split()
    expected = {
        f"{ours}/subscriptions/navarch.yaml",
        f"{ours}/clusterserviceversions/{RELEASE.name}.yaml",
        f"{ours}/operatorgroups/navarch.yaml",
        f"{ours}/operatorconditions/{RELEASE.name}.yaml",
        *(f"{ours}/installplans/{plan.rpartition('/')[2]}.yaml" for plan in plans),
        f"namespaces/{NAMESPACE}/{COREOS}/catalogsources/{CATALOG}.yaml",
        f"cluster-scoped-resources/{COREOS}/operators/navarch.{SYSTEM}.yaml",
    }
    assert plans
    assert expected - files == set()


def test_olm_listens_on_loopback_and_nowhere_else(installed: Cluster) -> None:
    ours = {p.name: p.pid for p in processes.recorded(installed.state) if p.name in ("olm", "catalog", "opm")}
    assert ours.keys() == {"olm", "catalog", "opm"}
    for pid in ours.values():
        links = (link for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink())
        sockets = {str(link.readlink()) for link in links}
        rows = (
            line.split()
            for table in ("tcp", "tcp6")
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        )
        listening = {
            row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets
        }
        assert listening == {"0100007F"}


def test_a_lab_with_olm_that_runs_is_found_again(installed: Cluster) -> None:
    """By `python -m lab up --with olm`."""
    before = processes.recorded(installed.state)
    command = [sys.executable, "-m", "lab", "up", "light", "--name", installed.name, "--with", "olm"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("kubeconfig")
    assert processes.recorded(installed.state) == before
