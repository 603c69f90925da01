"""Istios of others: who made them, how far they reach, and what that has to do with our meshes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from navarch.core.diagnosis.installations import (
    Installation,
    Installer,
    find_deployments,
    find_resources,
    merge_installations,
)
from navarch.core.diagnosis.sharing import Neighbour, find_members, find_reach, find_shared, read_members
from navarch.core.world.cluster import Namespace

from tests.unit.observations import PARENT, a_mesh

HELM = {"meta.helm.sh/release-name": "pilot", "meta.helm.sh/release-namespace": "istio-system"}
CHART = {"install.operator.istio.io/owning-resource": "unknown", "app.kubernetes.io/managed-by": "Helm"}
NAMESPACES = {
    n.name: n
    for n in (
        Namespace("shop", {"kubernetes.io/metadata.name": "shop"}),
        Namespace("apps", {"istio.io/rev": "shop-mesh"}),
        Namespace("theirs", {"team": "theirs"}),
        Namespace("istio-system", {}),
    )
}


def a_deployment(
    labels: dict[str, str] | None = None, image: str = "hub/pilot:1.30.3", **metadata: Any
) -> dict[str, Any]:
    """A foreign istiod."""
    containers = [{"name": "discovery", "image": image}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "istiod", "namespace": "istio-system", "labels": labels or {}, **metadata},
        "spec": {"template": {"spec": {"containers": containers}}},
    }


def owned_by(kind: str) -> list[dict[str, str]]:
    return [{"kind": kind, "name": "it", "apiVersion": "x/v1"}]


@pytest.mark.parametrize(
    ("deployment", "installer", "evidence"),
    [
        (a_deployment(CHART, annotations=HELM), Installer.HELM, "release pilot, deployed"),
        (a_deployment(CHART), Installer.ISTIOCTL, "manifests of Istio's charts without a Helm release"),
        (
            a_deployment({**CHART, "operator.istio.io/managed": "Reconcile"}),
            Installer.ISTIOCTL,
            "installed by istioctl itself",
        ),
        (
            a_deployment(CHART, managedFields=[{"manager": "istio-operator"}]),
            Installer.ISTIOCTL,
            "installed by istioctl itself",
        ),
        (
            a_deployment({"app.kubernetes.io/managed-by": "sail-operator"}, annotations=HELM),
            Installer.SAIL,
            "label app.kubernetes.io/managed-by=sail-operator",
        ),
        (
            a_deployment(CHART, ownerReferences=owned_by("IstioRevision"), annotations=HELM),
            Installer.SAIL,
            "owned by IstioRevision it",
        ),
        (
            a_deployment(ownerReferences=owned_by("ServiceMeshControlPlane")),
            Installer.MAISTRA,
            "owned by ServiceMeshControlPlane it",
        ),
        (a_deployment({"maistra-version": "2.6.0"}), Installer.MAISTRA, "label maistra-version"),
        (a_deployment(), Installer.UNKNOWN, "no mark of a known installer"),
    ],
)
def test_an_installer_is_told_by_its_own_mark(
    deployment: dict[str, Any], installer: Installer, evidence: str
) -> None:
    (found,) = find_deployments([deployment], {("istio-system", "pilot"): "deployed"})
    assert (found.installer, found.evidence, found.version) == (installer, evidence, "1.30.3")


def test_an_istiod_of_ours_is_none_of_others() -> None:
    ours = a_deployment(PARENT.labels(component="istiod"), namespace=PARENT.namespace)
    assert list(find_deployments([ours], {})) == []


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("hub:5000/pilot:1.30.3-distroless@sha256:abc", "1.30.3-distroless"),
        ("hub:5000/pilot@sha256:abc", "1.9.9"),
        ("", "1.9.9"),
    ],
)
def test_a_version_is_the_images_tag_or_else_the_label(image: str, version: str) -> None:
    deployment = a_deployment({"app.kubernetes.io/version": "1.9.9", "istio.io/rev": "default"}, image)
    (found,) = find_deployments([deployment], {})
    assert (found.version, found.revision) == (version, "")


def a_resource(kind: str, name: str, place: str = "", parent: str = "", **spec: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": place}
    if parent:
        metadata["ownerReferences"] = [{"kind": "Istio", "name": parent}]
    return {"apiVersion": "x/v1", "kind": kind, "metadata": metadata, "spec": spec}


def test_resources_of_other_operators_are_control_planes_too() -> None:
    sail = {"namespace": "istio-system", "version": "v1.28.0"}
    found = list(
        find_resources(
            [
                a_resource("Istio", "canary", **sail),
                a_resource("Istio", "lonely", **sail),
                a_resource("IstioRevision", "canary-v1-28-0", parent="canary", **sail),
                a_resource("IstioRevision", "default", **sail),
                a_resource("ServiceMeshControlPlane", "basic", "mesh", version="v2.6"),
                a_resource("IstioOperator", "old", "istio-system", revision="1-17", tag="1.17.8"),
                a_resource("Unknown", "x"),
            ]
        )
    )
    assert [(i.name, i.namespace, i.revision, i.version) for i in found] == [
        ("Istio lonely", "istio-system", "", "v1.28.0"),
        ("IstioRevision canary-v1-28-0", "istio-system", "canary-v1-28-0", "v1.28.0"),
        ("IstioRevision default", "istio-system", "", "v1.28.0"),
        ("ServiceMeshControlPlane basic", "mesh", "basic", "v2.6"),
        ("IstioOperator old", "istio-system", "1-17", "1.17.8"),
    ]


def test_a_resource_and_what_came_of_it_are_one_installation() -> None:
    resource = Installation(Installer.SAIL, "istio-system", "IstioRevision a", "a", "", "exists")
    deployment = replace(resource, name="Deployment istiod-a", version="1.30.3")
    other = replace(resource, revision="b", name="Deployment istiod-b")
    assert merge_installations([resource, deployment, other]) == [replace(resource, version="1.30.3"), other]


# --- what is shared ----------------------------------------------------------------------------------------


MESH = a_mesh("shop", "mesh")
NEIGHBOUR = Neighbour(MESH, find_members(MESH, NAMESPACES, probe="navarch-probe"))
THEIRS = Installation(Installer.HELM, "istio-system", "Deployment istiod", "", "1.30.3", "release x")


def test_the_members_of_a_mesh_are_its_own_namespace_and_those_of_its_tag() -> None:
    assert NEIGHBOUR.members == {"shop", "apps"}


@pytest.mark.parametrize(
    ("config", "reach"),
    [
        ({}, set(NAMESPACES)),
        ({"discoverySelectors": []}, set(NAMESPACES)),
        ({"discoverySelectors": [{"matchLabels": {"team": "theirs"}}]}, {"istio-system", "theirs"}),
    ],
)
def test_an_istiod_reaches_what_its_selectors_select(config: dict[str, Any], reach: set[str]) -> None:
    assert find_reach(config, "istio-system", NAMESPACES) == reach


@pytest.mark.parametrize(
    ("installation", "reach", "texts"),
    [
        (THEIRS, frozenset({"istio-system", "theirs"}), []),
        (THEIRS, None, []),
        (THEIRS, frozenset({"apps"}), ["its istiod writes its root certificate into apps of mesh shop/mesh"]),
        (replace(THEIRS, namespace="shop"), None, ["it is in the namespace of mesh shop/mesh"]),
        (replace(THEIRS, revision="shop-mesh-inplace"), None, ["it has the revision of mesh shop/mesh"]),
        (
            replace(THEIRS, installer=Installer.MAISTRA),
            frozenset({"apps", "shop"}),
            ["its member roll names apps, shop of mesh shop/mesh"],
        ),
    ],
)
def test_what_two_control_planes_have_in_common_is_told(
    installation: Installation, reach: frozenset[str] | None, texts: list[str]
) -> None:
    assert list(find_shared(installation, reach, [NEIGHBOUR])) == texts


def test_a_member_roll_counts_what_it_asks_for_and_what_it_has() -> None:
    roll = {
        "kind": "ServiceMeshMemberRoll",
        "metadata": {"namespace": "mesh", "name": "default"},
        "spec": {"members": ["a"]},
        "status": {"members": ["b"]},
    }
    elsewhere = {**roll, "metadata": {"namespace": "other", "name": "default"}, "spec": {"members": ["c"]}}
    assert read_members([roll, elsewhere], "mesh") == {"mesh", "a", "b"}
