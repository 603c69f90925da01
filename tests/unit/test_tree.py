"""The tree of a mesh: each reason at the node that it is about, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from navarch.core.diagnosis.node import Node
from navarch.core.diagnosis.report import CLUSTER, Diagnosis, Subject
from navarch.core.diagnosis.routes import ObservedRoutes
from navarch.core.diagnosis.routing import API, Entrance, read_gateway, read_route
from navarch.core.diagnosis.tree import EventNote, Portrait, build_tree, count_workloads
from navarch.core.diagnosis.workloads import Workload
from navarch.core.model.findings import Severity
from navarch.core.world.proxies import ProxyPod
from navarch.survey.description import read_workload, take_last

from tests.unit.observations import a_revision

REVISION = "shop-mesh-inplace"
MESH = Subject("MeshControlPlane", "shop", "mesh")
OF_REVISION = Subject("MeshRevision", "shop", REVISION)


def a_portrait(*diagnoses: Diagnosis, **changes: Any) -> Portrait:
    """A mesh with one revision, one istiod and no proxy."""
    revision = a_revision("1.31.1", serving="1.31.1")
    component = {"kind": "Deployment", "name": "istiod-x", "ready": 1, "desired": 2}
    revision["status"] |= {"components": [component], "proxy": "1.31.1-new"}
    mesh = {
        "apiVersion": "mesh.navarch.io/v1beta1",
        "kind": "MeshControlPlane",
        "metadata": {"name": "mesh", "namespace": "shop"},
        "status": {"tag": "shop-mesh", "version": {"active": "1.31.1", "desired": "1.31.1"}},
    }
    portrait = Portrait(mesh, (revision,), (), diagnoses)
    return replace(portrait, **changes)


def test_a_hosted_mesh_is_told_with_the_namespace_of_its_control_plane() -> None:
    plain = a_portrait()
    assert "hosted" not in build_tree(plain).summary
    status = {**plain.mesh["status"], "controlPlaneNamespace": "navarch-0"}
    node = build_tree(replace(plain, mesh={**plain.mesh, "status": status}))
    assert "hosted in navarch-0" in node.summary
    assert node.facts["controlPlaneNamespace"] == "navarch-0"


def a_diagnosis(id: str, *conditions: str, subject: Subject = MESH, message: str = "words") -> Diagnosis:
    return Diagnosis(id, Severity.ERROR, subject, message, "remedy", conditions)


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from walk(child)


def troubles(node: Node) -> list[tuple[str, str]]:
    return [(n.kind, t.id) for n in walk(node) for t in n.troubles]


@pytest.mark.parametrize(
    ("diagnosis", "place"),
    [
        (a_diagnosis("UnknownVersion", "SpecAccepted"), "MeshControlPlane"),
        (a_diagnosis("RolloutStuck", "Progressing"), "Deployment"),
        (a_diagnosis("NoReplicaAvailable", "Available", subject=OF_REVISION), "Deployment"),
        (a_diagnosis("NotInjected", "InjectionReady"), "Injection"),
        (a_diagnosis("CRDsOutdated", "DependenciesReady"), "CRDs"),
        (a_diagnosis("ProxiesOutdated", "UpToDate"), "Proxies"),
        (a_diagnosis("ApplyFailed", "Reconciled", subject=OF_REVISION), "MeshRevision"),
        (a_diagnosis("OperatorNotRunning", subject=CLUSTER), "MeshControlPlane"),
    ],
    ids=lambda value: value.id if isinstance(value, Diagnosis) else "",
)
def test_a_diagnosis_stands_at_the_node_that_it_is_about(diagnosis: Diagnosis, place: str) -> None:
    assert troubles(build_tree(a_portrait(diagnosis))) == [(place, diagnosis.id)]


GATEWAY = {
    "kind": "MeshGateway",
    "metadata": {"namespace": "front", "name": "ingress"},
    "spec": {"type": "Ingress"},
    "status": {"ready": 1, "desired": 2, "version": "1.31.1", "addresses": ["203.0.113.7"]},
}


@pytest.mark.parametrize("reason", ["RolloutStuck", "AddressPending", "ProxiesOutdated", "NotAMember"])
def test_what_is_wrong_with_a_gateway_stands_at_the_gateway(reason: str) -> None:
    subject = Subject("MeshGateway", "front", "ingress")
    tree = build_tree(a_portrait(a_diagnosis(reason, "Available", subject=subject), gateways=(GATEWAY,)))
    assert troubles(tree) == [("MeshGateway", reason)]
    (node,) = [n for n in walk(tree) if n.kind == "MeshGateway"]
    assert (node.name, node.summary) == ("front/ingress", "Ingress, 1 of 2 pods ready, at 203.0.113.7")


def test_gateways_that_istiod_deploys_are_shown_with_their_routes_and_counted_as_others_are() -> None:
    way = Workload("apps", "Deployment", "way", "way")
    proxies = (a_proxy("way-1", "1.31.1-new", way), a_proxy("way-2", "1.30.0-old", way))
    waypoint = {"name": "mesh", "port": 15008, "protocol": "HBONE"}
    web = {"name": "http", "port": 80, "protocol": "HTTP"}
    others = {"addresses": [{"type": "Hostname", "value": "ingress.front.svc.cluster.local"}]}
    entrances = (
        a_gateway("way", waypoint),
        a_gateway("way", web, namespace="another"),
        a_gateway("of-another-controller", web),
        a_gateway("ours", web, **others),
    )
    spec = {"parentRefs": [{"name": "way"}], "hostnames": ["web.example.com"], "rules": [{}]}
    route = read_route({"kind": "HTTPRoute", "metadata": {"namespace": "apps", "name": "web"}, "spec": spec})
    tree = build_tree(a_portrait(proxies=proxies, routes=ObservedRoutes(entrances, (route,))))
    (node,) = [n for n in walk(tree) if n.kind == API]
    assert node.name == "apps/way"
    assert node.summary == ("ports 15008 HBONE; 1 route; pods that istiod deployed: 1 current, 1 outdated")
    assert [(n.kind, n.name) for n in node.children] == [("HTTPRoute", "apps/web")]
    assert {"current": 1, "outdated": 1}.items() <= node.facts.items()
    assert troubles(tree) == [("Deployment", "ProxiesOutdated")], "the restart stands at the workload"


def a_gateway(name: str, listener: Any, *, namespace: str = "apps", **spec: Any) -> Entrance:
    metadata = {"namespace": namespace, "name": name}
    return read_gateway({"metadata": metadata, "spec": {"listeners": [listener], **spec}})


def test_what_is_wrong_with_a_roll_stands_at_the_roll() -> None:
    status = {"members": {"total": 3, "ready": 2, "pending": 1}}
    roll = {"kind": "MeshMemberRoll", "metadata": {"namespace": "shop", "name": "default"}, "status": status}
    subject = Subject("MeshMemberRoll", "shop", "default")
    tree = build_tree(a_portrait(a_diagnosis("NamespacesPending", "Ready", subject=subject), rolls=(roll,)))
    assert troubles(tree) == [("MeshMemberRoll", "NamespacesPending")]
    (node,) = [n for n in walk(tree) if n.kind == "MeshMemberRoll"]
    assert (node.name, node.summary) == ("shop/default", "2 of 3 namespaces are members")


def test_what_has_no_node_stands_at_the_root() -> None:
    tree = build_tree(a_portrait(a_diagnosis("NotInstalled", "Available"), revisions=()))
    assert troubles(tree) == [("MeshControlPlane", "NotInstalled")]
    tree = build_tree(a_portrait(a_diagnosis("WebhookMissing", "InjectionReady"), revisions=()))
    assert troubles(tree) == [("MeshControlPlane", "WebhookMissing")]


def test_what_only_repeats_another_ones_words_is_left_out() -> None:
    stuck, echo = a_diagnosis("RolloutStuck", "Progressing"), a_diagnosis("VersionPending", "UpToDate")
    assert troubles(build_tree(a_portrait(stuck, echo))) == [("Deployment", "RolloutStuck")]
    other = replace(echo, message="the revision is not yet as the spec asks")
    assert ("MeshControlPlane", "VersionPending") in troubles(build_tree(a_portrait(stuck, other)))


def test_a_mesh_that_is_well_has_no_trouble_and_says_what_it_is() -> None:
    tree = build_tree(a_portrait())
    assert troubles(tree) == []
    assert (tree.name, tree.summary) == ("shop/mesh", "Istio 1.31.1, tag shop-mesh, readiness unknown")
    assert {n.kind: n.summary for n in walk(tree) if n is not tree} == {
        "CRDs": "as they should be",
        "MeshRevision": "serves Istio 1.31.1",
        "Deployment": "1 of 2 ready",
        "Injection": "proved",
        "Proxies": "none",
    }


# --- proxies -----------------------------------------------------------------------------------------------


def a_proxy(name: str, stamp: str, workload: Workload) -> tuple[ProxyPod, Workload]:
    return ProxyPod(workload.namespace, name, REVISION, stamp), workload


WEB, JOB, BARE = (Workload("apps", kind, kind.lower()) for kind in ("Deployment", "Job", "Pod"))
PROXIES = (
    a_proxy("web-1", "1.31.1-new", WEB),
    a_proxy("web-2", "1.30.0-old", WEB),
    a_proxy("web-3", "", WEB),
    a_proxy("job-1", "1.30.0-old", JOB),
    a_proxy("bare", "1.31.1-new", BARE),
)


def test_proxies_are_current_outdated_or_left_to_hands() -> None:
    counted = count_workloads(a_portrait(proxies=PROXIES))
    assert {w.kind: str(c) for w, c in counted.items()} == {
        "Deployment": "1 current, 2 outdated",
        "Job": "0 current, 1 to be replaced by hand",
        "Pod": "1 current",
    }


def test_outdated_proxies_are_told_at_their_workloads_instead_of_as_a_sum() -> None:
    tree = build_tree(a_portrait(a_diagnosis("ProxiesOutdated", "UpToDate"), proxies=PROXIES))
    assert troubles(tree) == [("Deployment", "ProxiesOutdated"), ("Job", "ProxiesOutdated")]
    (namespace,) = [n for n in walk(tree) if n.kind == "Namespace"]
    assert namespace.facts == {"current": 2, "outdated": 2, "manual": 1}
    narrowed = a_portrait(a_diagnosis("ProxiesOutdated", "UpToDate"), proxies=PROXIES, narrowed="apps")
    assert ("Proxies", "ProxiesOutdated") in troubles(build_tree(narrowed))


OF_WAYPOINT = {"pod-template-hash": "5c9f", "gateway.networking.k8s.io/gateway-name": "way"}


@pytest.mark.parametrize(
    ("owner", "labels", "expected"),
    [
        (None, {}, ("Pod", "web-5c9f-x2x")),
        (("ReplicaSet", "web-5c9f"), {"pod-template-hash": "5c9f"}, ("Deployment", "web")),
        (("ReplicaSet", "way-5c9f"), OF_WAYPOINT, ("Deployment", "way", "way")),
        (("ReplicaSet", "alone"), {}, ("ReplicaSet", "alone")),
        (("StatefulSet", "db"), {}, ("StatefulSet", "db")),
        (("Job", "once"), {}, ("Job", "once")),
    ],
)
def test_a_pods_workload_is_what_would_make_it_again(
    owner: tuple[str, str] | None, labels: dict[str, str], expected: tuple[str, ...]
) -> None:
    metadata: dict[str, Any] = {"name": "web-5c9f-x2x", "namespace": "apps", "labels": labels}
    if owner:
        metadata["ownerReferences"] = [{"kind": owner[0], "name": owner[1], "controller": True}]
    assert read_workload({"metadata": metadata}) == Workload("apps", *expected)


# --- forms -------------------------------------------------------------------------------------------------


def test_events_are_the_trees_last_part() -> None:
    note = EventNote(
        "2026-10-01T12:00:00Z", "Warning", "RolloutStuck", "MeshControlPlane mesh", "words", "me"
    )
    (event,) = build_tree(a_portrait(events=(note,))).children[-1].children
    assert (event.name, event.facts) == ("RolloutStuck", {"at": note.at, "type": "Warning", "source": "me"})
    assert event.summary == "2026-10-01T12:00:00Z Warning, MeshControlPlane mesh: words (by me)"


def test_events_of_one_second_keep_their_order() -> None:
    note = EventNote("", "Normal", "AsExpected", "MeshControlPlane mesh", "", "me")
    times = [f"2026-10-01T12:00:00.{micro:06}Z" for micro in (900_000, 100_000, 5)]
    notes = [replace(note, at=at, message=at) for at in times]
    taken = take_last(notes)
    assert [each.message for each in taken] == sorted(times)
    assert {each.at for each in taken} == {"2026-10-01T12:00:00Z"}


def test_a_node_is_the_same_for_programs() -> None:
    tree = build_tree(a_portrait(a_diagnosis("RolloutStuck", "Progressing"))).to_json()
    assert set(tree) == {"kind", "name", "summary", "facts", "troubles", "children"}
    (istiod,) = [c for r in tree["children"] for c in r["children"] if c["kind"] == "Deployment"]
    assert istiod["troubles"] == [
        {"id": "RolloutStuck", "severity": "error", "message": "words", "remedy": "remedy"}
    ]
