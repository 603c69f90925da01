"""What the operator keeps of its own installation, where the installer did not bring it or another client
changes it: admission policies, the probe's namespace, and the binding in it. A lab of the module's own.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from navarch.api.install import build_kept
from navarch.api.meta import RELEASE
from navarch.core.model.refs import Manifest, ref_of
from navarch.kube.resources import resource_for

from lab.cluster import Cluster, KubectlError
from tests.cluster.conftest import a_lab, build_operator, install
from tests.polling import eventually
from tests.support.activity import bring_up
from tests.support.api import Api, Object, Refused
from tests.support.audit import Audit
from tests.support.meshes import build_mesh, read_condition, wait_for
from tests.support.operator import USER, Operator

NS, PROBE = "mesh", "navarch-probe"
METRIC = "navarch_installation_missing_objects"
pytestmark = pytest.mark.chain


@dataclass(frozen=True)
class Place:
    """A cluster with Navarch's rights and kinds, and nothing of what the operator keeps."""

    cluster: Cluster
    api: Api
    operator: Operator
    audit: Audit

    def read(self, manifest: Manifest) -> Object | None:
        try:
            found: Object = self.api.request("GET", path_of(manifest))
        except Refused as refused:
            if refused.code != 404:
                raise
            return None
        return found

    def count_missing(self) -> float:
        (line,) = (
            row for row in self.operator.fetch("/metrics")[1].splitlines() if row.startswith(f"{METRIC} ")
        )
        return float(line.split()[1])

    def list_writes(self, mark: int) -> list[str]:
        kinds = ("validatingadmissionpolicies", "validatingadmissionpolicybindings", "namespaces")
        return [str(r) for r in self.audit.since(mark) if r.is_mutating and r.resource in kinds]


def path_of(manifest: Manifest) -> str:
    ref = ref_of(manifest)
    return resource_for(ref).path(namespace=ref.namespace, name=ref.name)


def find(kind: str, name: str = "") -> Manifest:
    return next(each for each in build_kept() if each["kind"] == kind and name in each["metadata"]["name"])


@pytest.fixture(scope="module")
async def place() -> AsyncIterator[Place]:
    with a_lab("kept") as cluster:
        api = Api(cluster.kubeconfig)
        await install(api)
        for each in reversed(build_kept()):
            api.request("DELETE", path_of(each))
        await eventually(lambda: api.get("namespace", "", PROBE) is None, seconds=60, what="it is bare")
        assert cluster.audit_log is not None
        operator = build_operator(cluster)
        place = Place(cluster, api, operator, Audit(cluster.audit_log, USER))
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}})
        api.create(build_mesh(NS))
        try:
            await bring_up(operator)
            yield place
        finally:
            operator.stop()


async def test_a_bare_cluster_gets_all_of_it_before_anything_of_a_mesh(place: Place) -> None:
    mesh = await wait_for(place.api, NS)
    assert read_condition(mesh, "InjectionReady")["reason"] == "InjectionProved"
    assert [ref_of(each) for each in build_kept() if place.read(each) is None] == []
    assert place.count_missing() == 0
    writes = [r for r in place.audit.since(0) if r.is_mutating and r.resource != "leases" and r.code < 300]
    first = [(r.resource, r.name) for r in writes[: len(build_kept())]]
    assert sorted(first) == sorted(
        (resource_for(ref_of(each)).plural, each["metadata"]["name"]) for each in build_kept()
    )


async def test_an_operator_that_starts_again_writes_none_of_it(place: Place) -> None:
    place.operator.stop()
    mark = place.audit.mark()
    await bring_up(place.operator)
    await wait_for(place.api, NS)
    assert place.list_writes(mark) == []


CHANGES: dict[str, Callable[[Object], None]] = {
    "a condition that no request meets": lambda policy: (
        policy["spec"].setdefault("matchConditions", []).append({"name": "never", "expression": "false"})
    ),
    "failures that are ignored": lambda policy: policy["spec"].update(failurePolicy="Ignore"),
    "a rule less": lambda policy: policy["spec"]["validations"].pop(),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_a_policy_that_another_client_changed_is_put_right(place: Place, what: str) -> None:
    wanted = find("ValidatingAdmissionPolicy", "placement")
    before = place.read(wanted) or {}
    changed = json.loads(json.dumps(before))
    CHANGES[what](changed)
    place.api.request("PUT", path_of(wanted), changed)

    def is_right() -> bool:
        return (place.read(wanted) or {})["spec"] == before["spec"]

    await eventually(is_right, seconds=60, every=0.2, what="the policy is as it was")


@pytest.mark.parametrize(
    "kind", ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "RoleBinding"]
)
async def test_what_another_client_removed_is_there_again(place: Place, kind: str) -> None:
    wanted = find(kind)
    place.api.request("DELETE", path_of(wanted))
    await eventually(lambda: place.read(wanted), seconds=60, every=0.2, what=f"the {kind} is back")


async def test_what_a_newer_release_wrote_is_left_alone(place: Place) -> None:
    wanted = find("ValidatingAdmissionPolicyBinding", "placement")
    newer = place.read(wanted) or {}
    newer["metadata"]["annotations"][RELEASE] = "99.0.0"
    newer["spec"]["validationActions"] = ["Audit"]
    newer = place.api.request("PUT", path_of(wanted), newer)
    # Another object is put right after it was seen, so this one was seen, too.
    other = find("RoleBinding")
    place.api.request("DELETE", path_of(other))
    await eventually(lambda: place.read(other), seconds=60, every=0.2, what="the other one is back")
    assert (place.read(wanted) or {})["metadata"]["resourceVersion"] == newer["metadata"]["resourceVersion"]
    newer["metadata"]["annotations"][RELEASE] = "0.0.1"
    place.api.request("PUT", path_of(wanted), newer)

    def is_ours() -> bool:
        return (place.read(wanted) or {})["spec"]["validationActions"] == ["Deny"]

    await eventually(is_ours, seconds=60, every=0.2, what="an older release's object is brought up to date")


def test_the_operator_writes_policies_by_name_only(place: Place) -> None:
    def may(verb: str, name: str = "") -> bool:
        target = f"validatingadmissionpolicies{f'/{name}' if name else ''}"
        ask = ["auth", "can-i", verb, target, f"--as={USER}"]
        try:
            return place.cluster.run(*ask).strip() == "yes"
        except KubectlError:
            return False

    for verb in ("create", "update", "patch"):
        assert may(verb, "host.mesh.navarch.io")
        assert not may(verb)
        assert not may(verb, "another.example.org")
    assert not may("delete", "host.mesh.navarch.io")


async def test_without_the_right_it_says_what_is_missing_and_works_on_meshes(place: Place) -> None:
    role = place.api.get("clusterrole", "", "navarch") or {}
    fewer = [
        rule for rule in role["rules"] if "validatingadmissionpolicies" not in (rule.get("resources") or ())
    ]
    wanted = find("ValidatingAdmissionPolicy")
    place.operator.stop()
    place.api.patch("clusterrole", "", "navarch", {"rules": fewer})
    place.api.request("DELETE", path_of(wanted))
    try:
        await bring_up(place.operator)
        await eventually(lambda: place.count_missing() > 0, seconds=60, what="the metric says it")
        place.api.patch("mesh", NS, "demo", {"spec": {"mtls": {"mode": "Strict"}}})
        await wait_for(place.api, NS)
    finally:
        place.api.patch("clusterrole", "", "navarch", {"rules": role["rules"]})
    await eventually(lambda: place.count_missing() == 0, seconds=90, every=0.5, what="it is put right")
    assert place.read(wanted) is not None
