"""`navarch check`, as a process, on a cluster of its own: what it says, and that it changes nothing.

The tests are in the order in which they spoil the cluster: without Navarch, with a mesh that is well, with
what may go wrong, and at the end without an operator.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.cluster import Cluster, service_account_kubeconfig
from tests.cluster.conftest import a_lab, a_running_operator, install
from tests.polling import eventually
from tests.support.activity import wait_for_rest
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.brought_authorities import change
from tests.support.command import Ended, navarch
from tests.support.guides import list_commands, run_command
from tests.support.meshes import build_mesh, edit, get_istiod, read_condition, read_told, wait_for
from tests.support.operator import USER, Operator

NS = "shop"
TAG = f"{NS}-demo"
REVISION = f"{TAG}-inplace"
ALWAYS = {"UntestedKubernetes"}
"""What is said of any mesh of the lab, whose Kubernetes is the newest there is."""


@dataclass(frozen=True)
class Place:
    """A cluster that may be spoilt."""

    cluster: Cluster
    api: Api
    audit: Audit

    async def check(self, *arguments: str, kubeconfig: Path | None = None, **more: Any) -> Ended:
        """`navarch check`; any write fails the test."""
        mark = self.audit.mark()
        ended = await asyncio.to_thread(
            navarch, "check", *arguments, kubeconfig=kubeconfig or self.cluster.kubeconfig, **more
        )
        done = [r for r in self.audit.everybody(mark) if r.agent == "navarch-cli"]
        assert done, f"the command asked for nothing: {ended}"
        assert [str(r) for r in done if r.verb not in ("get", "list") and not r.dry_run] == []
        return ended

    async def report(self, *arguments: str, **more: Any) -> Ended:
        """The same, for programs."""
        ended = await self.check("-o", "json", *arguments, **more)
        assert ended.out.startswith("{"), ended
        return ended

    def make(self, kind: str, name: str, namespace: str = "", **more: Any) -> Object:
        """A small object, made anew."""
        metadata = {"name": name, "namespace": namespace, **more.pop("metadata", {})}
        return self.api.create({"apiVersion": "v1", "kind": kind, "metadata": metadata, **more})


@pytest.fixture(scope="module")
async def bare() -> AsyncIterator[Place]:
    """A cluster without Navarch."""
    with a_lab("check") as cluster:
        assert cluster.audit_log is not None
        yield Place(cluster, Api(cluster.kubeconfig), Audit(cluster.audit_log, USER))


@dataclass(frozen=True)
class Inhabited(Place):
    """The same cluster, and the operator in it."""

    operator: Operator

    async def read_mesh(self) -> Object:
        """The mesh, once nothing moves any more."""
        await wait_for_rest(self.operator)
        mesh = self.api.get("mesh", NS, "demo")
        assert mesh is not None
        return mesh


@pytest.fixture(scope="module")
async def place(bare: Place) -> AsyncIterator[Inhabited]:
    """The cluster with Navarch, an operator, and one mesh that is ready."""
    await install(bare.api)
    async with a_running_operator(bare.cluster) as operator:
        bare.make("Namespace", NS)
        bare.api.create(build_mesh(NS))
        await wait_for(bare.api, NS)
        yield Inhabited(bare.cluster, bare.api, bare.audit, operator)


# --- without Navarch ---------------------------------------------------------------------------------------


async def test_a_cluster_without_navarch_is_fine_and_that_is_said(bare: Place) -> None:
    ended = await bare.report()
    assert (ended.code, ended.ids) == (0, {"NavarchNotInstalled"})
    assert ended.json["worst"] == "info"
    assert ended.json["counts"] == {"error": 0, "warning": 0, "info": 1}


async def test_a_manifest_can_be_checked_before_navarch_is_there(bare: Place) -> None:
    manifest = yaml.safe_dump(build_mesh("default"))
    ended = await bare.report("-f", "-", stdin=manifest)
    assert (ended.code, ended.ids) == (0, {"NavarchNotInstalled", *ALWAYS})
    wrong = yaml.safe_dump(build_mesh("default", version="1.99"))
    ended = await bare.report("-f", "-", stdin=wrong)
    assert (ended.code, ended.ids) == (2, {"NavarchNotInstalled", "UnknownVersion"})


def test_the_commands_of_the_guide_check_an_authority_and_hand_it_in(bare: Place, tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir()
    for key, value in change().items():
        (tmp_path / "ca" / key).write_bytes(value)
    command = f"{sys.executable} -P -m navarch ca verify --kubeconfig {bare.cluster.kubeconfig}"
    names = {"navarch ca verify": command, "-n mesh": "-n default"}
    (commands, *_) = list_commands("bring-your-own-ca.md", "Check it, and hand it in")
    printed = run_command(bare.cluster, commands, names=names, folder=tmp_path)
    assert printed.count("No problems found.") == 2
    assert "CertificateAuthority Secret default/cacerts  under istiod's names, 3 certificates" in printed
    bare.api.delete("secret", "default", "cacerts")
    ended = navarch("ca", "verify", "secret/cacerts", "-n", "default", kubeconfig=bare.cluster.kubeconfig)
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == "navarch ca verify: there is no Secret default/cacerts\n"


# --- a mesh that is well -----------------------------------------------------------------------------------


async def test_a_healthy_mesh_gives_nothing_above_an_information(place: Inhabited) -> None:
    await place.read_mesh()
    ended = await place.report()
    assert (ended.code, ended.ids) == (0, ALWAYS), ended
    assert ended.json["meshes"] == [{"kind": "MeshControlPlane", "namespace": NS, "name": "demo"}]


async def test_the_text_names_id_subject_message_and_remedy_and_has_no_colours(place: Inhabited) -> None:
    ended = await place.check()
    assert ended.code == 0
    assert "\x1b" not in ended.out
    assert "UntestedKubernetes  MeshControlPlane shop/demo  (SpecAccepted)" in ended.out
    assert "was tested on Kubernetes up to" in ended.out
    assert "do: " in ended.out
    assert "0 errors, 0 warnings, 1 info" in ended.out


# --- the same in the command, in conditions and in Events --------------------------------------------------


GOOD_WHEN_FALSE = ("Progressing", "Deleting", "Paused")


def assert_the_same(report: Ended, mesh: Object, events: list[Object], *, told: set[str]) -> None:
    """The command says what the mesh's conditions say, no less and no more, in the same words, but for what
    asks for nothing; and there are Events of `told`."""
    conditions = {c["type"]: c for c in mesh["status"]["conditions"]}
    findings = [f for f in report.json["findings"] if f["subject"]["kind"] == "MeshControlPlane"]
    for finding in findings:
        assert finding["conditions"], finding
        for kind in finding["conditions"]:
            condition = conditions[kind]
            assert finding["id"] == condition["reason"] or f"{finding['id']}: " in condition["message"]
            assert finding["message"] in condition["message"]
    for kind, condition in conditions.items():
        well = condition["status"] == ("False" if kind in GOOD_WHEN_FALSE else "True")
        if kind != "Ready" and not well and condition["reason"] != "AuthorityNotManaged":
            assert any(kind in f["conditions"] for f in findings if f["id"] == condition["reason"]), kind
    for finding in findings:
        if finding["id"] in told:
            kinds = finding["conditions"]
            notes = [e["note"] for e in events if e["reason"] == finding["id"]]
            assert any(kind in read_told(note) for note in notes for kind in kinds), notes
    assert told <= {f["id"] for f in findings}


def list_events(api: Api, mesh: Object) -> list[Object]:
    return [e for e in api.list("event", NS) if e["regarding"]["uid"] == mesh["metadata"]["uid"]]


@asynccontextmanager
async def edited(place: Inhabited, **spec: Any) -> AsyncIterator[None]:
    """The mesh has these fields while the block runs."""
    edit(place.api, NS, **spec)
    try:
        yield
    finally:
        edit(place.api, NS, **dict.fromkeys(spec))
        await wait_for(place.api, NS)


async def test_a_warning_about_the_spec_is_its_condition_and_its_event(place: Inhabited) -> None:
    async with edited(place, meshConfig={"accesLogFile": "/dev/stdout"}):
        await wait_for(place.api, NS, condition="SpecAccepted", reason="UnknownField")
        mesh = await place.read_mesh()
        ended = await place.report()
    assert (ended.code, ended.ids) == (1, {"UnknownField", *ALWAYS})
    events = list_events(place.api, mesh)
    assert_the_same(ended, mesh, events, told={"UnknownField"})
    (finding,) = ended.find("UnknownField")
    assert finding["field"] == "spec.meshConfig.accesLogFile"
    assert any(finding["message"] in e["note"] for e in events if e["reason"] == "UnknownField")


async def test_several_errors_of_a_spec_are_found_each_by_its_own_id(place: Inhabited) -> None:
    overlay = {"target": {"kind": "Service", "name": "none"}, "patch": {"spec": {}}}
    async with edited(place, meshConfig={"defaultConfig": []}, overlays=[overlay]):
        await wait_for(place.api, NS, condition="SpecAccepted", status="False")
        mesh = await place.read_mesh()
        ended = await place.report()
    assert ended.code == 2
    assert {"MeshConfigInvalid", "OverlayUnmatched"} <= ended.ids
    assert_the_same(ended, mesh, list_events(place.api, mesh), told={"MeshConfigInvalid"})


async def test_a_rollout_that_is_stuck_is_told_with_the_pods_own_words(place: Inhabited) -> None:
    nowhere = {"placement": {"nodeSelector": {"no": "where"}}}
    async with edited(place, controlPlane=nowhere):
        await wait_for(place.api, NS, condition="Progressing", reason="RolloutStuck")
        mesh = await place.read_mesh()
        ended = await place.report()
    assert ended.code == 2
    assert_the_same(ended, mesh, list_events(place.api, mesh), told={"RolloutStuck"})
    assert "Unschedulable" in ended.find("RolloutStuck")[0]["message"]


async def test_an_object_in_the_way_is_named_as_the_condition_names_it(place: Inhabited) -> None:
    theirs = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "default", "namespace": NS},
        "spec": {"mtls": {"mode": "PERMISSIVE"}},
    }
    place.api.create(theirs)
    async with edited(place, mtls={"mode": "Strict"}):
        await wait_for(place.api, NS, condition="Reconciled", status="False", reason="ForeignObject")
        # What no client waits for is written into status a few seconds later.
        await wait_for(place.api, NS, condition="Progressing", status="False")
        mesh = await place.read_mesh()
        ended = await place.report()
        place.api.delete("peerauthentication", NS, "default")
    assert ended.code == 2
    assert_the_same(ended, mesh, list_events(place.api, mesh), told={"ForeignObject"})


async def test_a_paused_mesh_is_a_warning(place: Inhabited) -> None:
    async with edited(place, paused=True):
        await wait_for(place.api, NS, condition="Paused")
        mesh = await place.read_mesh()
        ended = await place.report()
    assert ended.code == 1
    assert_the_same(ended, mesh, list_events(place.api, mesh), told={"Paused"})


async def test_of_a_paused_mesh_without_an_istiod_every_remedy_is_one_that_helps(place: Inhabited) -> None:
    async with edited(place, paused=True):
        await wait_for(place.api, NS, condition="Paused")
        istiod = get_istiod(place.api, NS)["metadata"]["name"]
        place.api.delete("hpa", NS, istiod)
        place.api.delete("deployment", NS, istiod)
        mesh = await wait_for(place.api, NS, condition="Available", status="False")
        assert read_condition(mesh, "Ready")["status"] == "False"
        await place.read_mesh()
        ended = await place.report()
        told = await asyncio.to_thread(
            navarch, "describe", "demo", "-n", NS, kubeconfig=place.cluster.kubeconfig
        )
    assert ended.code == 2
    (missing,) = ended.find("NoReplicaAvailable")
    assert missing["message"].endswith("does not exist any more, and nothing makes it: spec.paused is true")
    assert {"NoReplicaAvailable", "NotYetDetermined", "Paused"} <= ended.ids
    assert "Progressing" not in ended.ids
    remedies = [f["remedy"] for f in ended.json["findings"] if f["severity"] != "info"]
    assert [r for r in remedies if not r.startswith("Remove spec.paused")] == []
    assert "does not serve; last served Istio" in told.out
    assert "do: Wait" not in told.out


# --- a manifest that is yet to be applied ------------------------------------------------------------------


async def test_a_manifest_is_checked_against_the_clusters_state(place: Inhabited) -> None:
    place.make("Namespace", "second")
    for arguments, expected in (
        ({}, (0, set())),
        ({"tag": TAG}, (2, {"TagConflict"})),
        ({"meshConfig": {"accesLogFile": "x"}}, (1, {"UnknownField"})),
        ({"nonsense": 1}, (2, {"InvalidSpec"})),
    ):
        ended = await place.report("-f", "-", stdin=yaml.safe_dump(build_mesh("second", **arguments)))
        assert (ended.code, ended.ids - ALWAYS) == expected, ended
    assert place.api.get("mesh", "second", "demo") is None


async def test_meshes_of_one_file_see_what_the_others_are_to_become(place: Inhabited) -> None:
    older = build_mesh(NS, defaultTag=True)
    # As `kubectl get -o yaml` writes it; some of it is not the file's to say.
    live = place.api.get("mesh", NS, "demo")
    assert live is not None
    older["metadata"] |= {key: live["metadata"][key] for key in ("resourceVersion", "generation")}
    older["metadata"] |= {"uid": "of-another-cluster", "creationTimestamp": "2999-01-01T00:00:00Z"}
    newer = build_mesh("second", defaultTag=True)
    for order in ([older, newer], [newer, older]):
        ended = await place.report("-f", "-", stdin=yaml.safe_dump_all(order))
        assert (ended.code, ended.ids - ALWAYS) == (2, {"DefaultTagConflict", "TagContested"}), ended
        (finding,) = ended.find("DefaultTagConflict")
        assert finding["subject"]["namespace"] == "second"
    ended = await place.report("-f", "-", stdin=yaml.safe_dump(newer))
    assert (ended.code, ended.ids - ALWAYS) == (0, set()), ended
    older, newer = build_mesh(NS, tag="blue"), build_mesh("second", tag="blue")
    ended = await place.report("-f", "-", stdin=yaml.safe_dump_all([older, newer]))
    assert [f["subject"]["namespace"] for f in ended.find("TagConflict")] == ["second"]


async def test_what_the_api_server_itself_would_refuse_of_a_manifest_is_told(place: Inhabited) -> None:
    moved = build_mesh(NS, tag="another")
    ended = await place.report("-f", "-", stdin=yaml.safe_dump(moved))
    assert ended.code == 2
    assert "tag" in json.dumps(ended.find("InvalidSpec") + ended.find("AdmissionDenied"))
    ended = await place.report("-f", "-", stdin=yaml.safe_dump(build_mesh("nowhere")))
    assert (ended.code, ended.ids - ALWAYS) == (2, {"NamespaceMissing"})


async def test_an_object_that_would_stand_in_a_manifests_way_is_named(place: Inhabited) -> None:
    name = "istio-second-demo-inplace"
    place.make("ConfigMap", name, "second", data={})
    ended = await place.report("-f", "-", stdin=yaml.safe_dump(build_mesh("second")))
    assert (ended.code, ended.ids - ALWAYS) == (2, {"ForeignObject"})
    assert f"ConfigMap second/{name}" in ended.find("ForeignObject")[0]["message"]
    place.api.delete("configmap", "second", name)


# --- what belongs to no mesh -------------------------------------------------------------------------------


@contextmanager
def a_labelled_namespace(api: Api, name: str, **labels: str) -> Iterator[None]:
    plain = {key.replace("__", "/").replace("_", "-"): value for key, value in labels.items()}
    metadata = {"name": name, "labels": plain}
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    try:
        yield
    finally:
        api.delete("namespace", "", name)


async def test_namespaces_whose_labels_lead_nowhere_or_two_ways_are_named(place: Inhabited) -> None:
    with (
        a_labelled_namespace(place.api, "lost", **{"istio.io__rev": "prodution"}),
        a_labelled_namespace(place.api, "nobodys", istio_injection="enabled"),
        a_labelled_namespace(place.api, "torn", **{"istio.io__rev": TAG, "istio_injection": "disabled"}),
        a_labelled_namespace(place.api, "fine", **{"istio.io__rev": TAG}),
    ):
        ended = await place.report()
    assert ended.code == 2
    assert [f["subject"]["name"] for f in ended.find("RevisionNotFound")] == ["lost", "nobodys"]
    assert "istio.io/rev=prodution" in ended.find("RevisionNotFound")[0]["message"]
    torn = {f["subject"]["name"]: f["message"] for f in ended.find("LabelsContradict")}
    assert torn.keys() == {"torn", "demo"}, "the namespace, and the mesh that its label names"
    assert "torn (istio-injection=disabled)" in torn["demo"]
    assert ended.ids - ALWAYS == {"RevisionNotFound", "LabelsContradict"}


async def test_a_label_that_can_never_count_is_named_by_check_and_by_describe(place: Inhabited) -> None:
    with (
        a_labelled_namespace(place.api, "kube-tools", **{"istio.io__rev": TAG}),
        a_labelled_namespace(place.api, "openshift-tools", **{"istio.io__rev": f"{TAG}-inplace"}),
        a_labelled_namespace(place.api, "kubetools", **{"istio.io__rev": TAG}),
    ):
        whole, one = await place.report(), await place.report("demo", "-n", NS)
        told = await asyncio.to_thread(
            navarch, "describe", "demo", "-n", NS, kubeconfig=place.cluster.kubeconfig
        )
    for ended in (whole, one):
        found = {f["subject"]["name"]: f["message"] for f in ended.find("LabelWithoutEffect")}
        assert "never injects" in found["kube-tools"]
        assert "name begins with kube- are the cluster's" in found["kube-tools"]
        assert f"asks for mesh {NS}/demo" in found["kube-tools"]
        assert "kubectl label namespace kube-tools istio.io/rev-" in found["kube-tools"]
        assert "name begins with openshift-" in found["openshift-tools"]
        assert "kubetools" not in found
        assert "kube-tools (it is the platform's or Navarch's own)" in found["demo"]
        assert ended.code == 1
    assert "namespace kube-tools" in told.out.replace("\n", " ")


async def test_configuration_that_names_the_tag_is_told_object_by_object(place: Inhabited) -> None:
    names = {"by-tag": TAG, "by-revision": f"{TAG}-inplace", "by-none": ""}
    try:
        for name, revision in names.items():
            labels = {"labels": {"istio.io/rev": revision}} if revision else {}
            place.api.create(
                {
                    "apiVersion": "security.istio.io/v1",
                    "kind": "PeerAuthentication",
                    "metadata": {"name": name, "namespace": "default", **labels},
                    "spec": {"mtls": {"mode": "STRICT"}},
                }
            )
        ended = await place.report()
    finally:
        for name in names:
            place.api.delete("peerauthentication", "default", name)
    (finding,) = ended.find("ConfigurationNotRead")
    assert finding["subject"] == {"kind": "PeerAuthentication", "namespace": "default", "name": "by-tag"}
    remove = "kubectl label peerauthentications.security.istio.io by-tag -n default istio.io/rev-"
    assert remove in finding["message"]
    assert ended.code == 1


async def test_pods_of_a_revision_that_is_gone_are_counted(place: Inhabited) -> None:
    annotations = {"sidecar.istio.io/status": json.dumps({"revision": "gone"})}
    labels = {"service.istio.io/canonical-name": "web"}
    metadata = {"labels": labels, "annotations": annotations}
    spec = {"containers": [{"name": "app", "image": "app.invalid/app:1"}]}
    place.make("Pod", "web-1", "default", metadata=metadata, spec=spec)
    ended = await place.report()
    (finding,) = ended.find("ProxiesAbandoned")
    assert ended.code == 2
    assert finding["subject"] == {"kind": "Namespace", "namespace": "", "name": "default"}
    assert "1 pod runs a sidecar of revision gone" in finding["message"]
    place.api.delete("pod", "default", "web-1")
    await eventually(lambda: place.api.get("pod", "default", "web-1") is None, seconds=30, what="it is gone")


async def test_objects_of_a_mesh_that_is_gone_are_named(place: Inhabited) -> None:
    labels = {"mesh.navarch.io/mesh-namespace": "default", "mesh.navarch.io/mesh-name": "past"}
    place.make("ConfigMap", "left", "default", metadata={"labels": labels})
    ended = await place.report()
    assert (ended.code, ended.ids - ALWAYS) == (1, {"OrphanedObjects"})
    (finding,) = ended.find("OrphanedObjects")
    assert "ConfigMap default/left" in finding["message"]
    place.api.delete("configmap", "default", "left")


# --- a user with few rights --------------------------------------------------------------------------------


async def test_a_tenant_sees_what_the_operator_wrote_and_is_told_what_was_not_looked_at(
    place: Inhabited,
) -> None:
    api = place.api
    place.make("ServiceAccount", "tenant", NS)
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "tenant", "namespace": NS},
        "roleRef": role,
        "subjects": [{"kind": "ServiceAccount", "name": "tenant", "namespace": NS}],
    }
    api.create(binding)
    tenant = service_account_kubeconfig(place.cluster, NS, "tenant")
    ended = await place.report("-n", NS, kubeconfig=tenant)
    assert (ended.code, ended.ids) == (0, {"ToldByOperator", *ALWAYS}), ended
    assert "list customresourcedefinitions.apiextensions.k8s.io" in ended.find("ToldByOperator")[0]["message"]

    async with edited(place, meshConfig={"accesLogFile": "/dev/stdout"}):
        await wait_for(api, NS, condition="SpecAccepted", reason="UnknownField")
        mesh = await place.read_mesh()
        ended = await place.report("demo", "-n", NS, kubeconfig=tenant)
    assert ended.code == 1
    assert_the_same(ended, mesh, [], told=set())
    assert ended.find("UnknownField")

    ended = await place.report(kubeconfig=tenant)
    assert ended.code == 1
    unseen = {finding["message"] for finding in ended.find("NotLookedAt")}
    assert "list meshcontrolplanes.mesh.navarch.io: not permitted" in unseen
    assert ended.json["meshes"] == []


async def test_a_mesh_that_is_not_there_is_no_mesh_that_is_well(place: Inhabited) -> None:
    ended = await place.check("nosuch", "-n", NS)
    assert (ended.code, ended.out) == (3, "")
    assert f"there is no mesh nosuch in namespace {NS}" in ended.err


# --- without an operator -----------------------------------------------------------------------------------


async def test_without_an_operator_the_cluster_itself_is_looked_at(place: Inhabited) -> None:
    await place.read_mesh()
    place.operator.stop()
    place.api.delete("hpa", NS, get_istiod(place.api, NS)["metadata"]["name"])
    ended = await place.report()
    assert ended.code == 2
    assert ended.ids - ALWAYS == {"OperatorNotRunning", "Progressing"}
    (finding,) = ended.find("Progressing")
    assert finding["message"] == f"not as planned yet: HorizontalPodAutoscaler {NS}/istiod-{REVISION}"
    assert "no holder" in ended.find("OperatorNotRunning")[0]["message"]


async def test_what_an_installation_lacks_is_named(place: Inhabited) -> None:
    for kind in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
        path = f"/apis/admissionregistration.k8s.io/v1/{kind}/placement.mesh.navarch.io"
        place.api.request("DELETE", path)
    rules = [
        {"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/mtls"}
    ]
    place.api.patch("crd", "", "meshcontrolplanes.mesh.navarch.io", rules)
    place.api.delete("namespace", "", "navarch-probe")
    await eventually(
        lambda: place.api.get("namespace", "", "navarch-probe") is None, seconds=60, what="it is gone"
    )
    ended = await place.report()
    assert {"PolicyMissing", "NavarchCRDsOutdated", "ProbeNamespaceMissing"} <= ended.ids
    assert "placement.mesh.navarch.io" in ended.find("PolicyMissing")[0]["message"]
    assert "lacks field v1beta1.spec.mtls" in ended.find("NavarchCRDsOutdated")[0]["message"]


# --- the command itself ------------------------------------------------------------------------------------


def test_a_wrong_command_line_and_a_cluster_that_does_not_answer_have_codes_of_their_own(
    tmp_path: Path,
) -> None:
    assert navarch("check", "--nonsense").code == 64
    assert navarch("check", "-o", "xml").code == 64
    anonymous = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "x", "user": {}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(anonymous))
    ended = navarch("check", kubeconfig=path)
    assert (ended.code, ended.out) == (3, "")
    assert "no answer" in ended.err
    ended = navarch("check", "-f", str(tmp_path / "none.yaml"), kubeconfig=path)
    assert (ended.code, ended.out) == (3, "")
    assert "none.yaml" in ended.err
