"""Overlays: what a patch may reach, and what comes of one that may not."""

from __future__ import annotations

from typing import Any

import pytest
from navarch.api.spec import Overlay
from navarch.core.model.labels import MESH_NAME
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest
from navarch.core.render.overlays import OverlayProblem, apply_overlays
from navarch.core.render.stages import find_overlay_problems
from navarch.core.revision.source import build_revision_input

from tests.golden.rendering import ASSETS, ENVIRONMENT, REVISION, find_one, render_mesh

SERVICE = f"istiod-{REVISION}"


def build_overlay(kind: str, name: str, patch: dict[str, Any]) -> dict[str, Any]:
    """An overlay as a user writes it."""
    return {"target": {"kind": kind, "name": name}, "patch": patch}


def problems_of(*overlays: dict[str, Any]) -> tuple[OverlayProblem, ...]:
    """What is wrong with overlays on everything that a mesh becomes."""
    manifest = find_one(render_mesh({"overlays": list(overlays)}), "MeshRevision")
    return find_overlay_problems(build_revision_input(manifest, ASSETS, ENVIRONMENT), ASSETS)


def find_service(overlay: dict[str, Any]) -> Manifest:
    """istiod's Service under an overlay."""
    return find_one(render_mesh({"overlays": [overlay]}), "Service", SERVICE)


def test_maps_are_merged_lists_replaced_and_null_removes() -> None:
    ports = [{"name": "only", "port": 1, "protocol": "TCP"}]
    patch = {
        "spec": {"ports": ports, "selector": {"app": None, "x": "y"}},
        "metadata": {"annotations": {"a": "b"}},
    }
    service = find_service(build_overlay("Service", SERVICE, patch))
    assert service["spec"]["ports"] == ports
    assert service["spec"]["selector"] == {"istio.io/rev": REVISION, MESH_NAME: "basic", "x": "y"}
    assert service["metadata"]["annotations"] == {"a": "b"}


def test_a_later_overlay_wins() -> None:
    one, two = (
        build_overlay("Service", SERVICE, {"spec": {"type": t}}) for t in ("NodePort", "LoadBalancer")
    )
    objects = render_mesh({"overlays": [one, two]})
    assert find_one(objects, "Service", SERVICE)["spec"]["type"] == "LoadBalancer"


def test_an_overlay_reaches_the_objects_of_the_mesh_too() -> None:
    tag_service = "istiod-revision-tag-mesh-a-basic"
    overlay = build_overlay("Service", tag_service, {"spec": {"type": "NodePort"}})
    assert not problems_of(overlay)
    objects = render_mesh({"overlays": [overlay]})
    assert find_one(objects, "Service", tag_service)["spec"]["type"] == "NodePort"


def test_what_no_overlay_names_is_left_as_it_was() -> None:
    untouched = [o for o in render_mesh() if o["kind"] not in ("Service", "MeshRevision")]
    overlay = build_overlay("Service", SERVICE, {"spec": {"type": "NodePort"}})
    objects = render_mesh({"overlays": [overlay]})
    assert [o for o in objects if o["kind"] not in ("Service", "MeshRevision")] == untouched


def test_an_overlay_that_matches_nothing_is_told() -> None:
    (problem,) = problems_of(build_overlay("Service", "istiod", {"spec": {}}))
    assert (problem.index, problem.reason) == (0, Reason.OVERLAY_UNMATCHED)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("ClusterRoleBinding", find_one(render_mesh(), "ClusterRoleBinding")["metadata"]["name"]),
        ("MutatingWebhookConfiguration", "istio-revision-tag-mesh-a-basic"),
    ],
)
def test_a_cluster_scoped_object_is_out_of_reach(kind: str, name: str) -> None:
    (problem,) = problems_of(build_overlay(kind, name, {"metadata": {"annotations": {"a": "b"}}}))
    assert problem.reason is Reason.OVERLAY_REFUSED
    assert "cluster-scoped" in problem.message


@pytest.mark.parametrize(
    ("patch", "path"),
    [
        ({"apiVersion": "v2"}, "apiVersion"),
        ({"kind": "Pod"}, "kind"),
        ({"status": {}}, "status"),
        ({"metadata": {"name": "x"}}, "metadata.name"),
        ({"metadata": {"namespace": "kube-system"}}, "metadata.namespace"),
        ({"metadata": {"finalizers": []}}, "metadata.finalizers"),
        ({"metadata": {"ownerReferences": []}}, "metadata.ownerReferences"),
        ({"metadata": None}, "metadata"),
        ({"metadata": {"labels": None}}, "metadata.labels"),
        ({"metadata": {"labels": {"istio.io/rev": "x"}}}, "metadata.labels[istio.io/rev]"),
        (
            {"metadata": {"labels": {"mesh.navarch.io/mesh-name": None}}},
            "metadata.labels[mesh.navarch.io/mesh-name]",
        ),
        (
            {"metadata": {"annotations": {"mesh.navarch.io/applied": "x"}}},
            "metadata.annotations[mesh.navarch.io/applied]",
        ),
    ],
)
def test_what_an_object_is_found_by_is_out_of_reach(patch: dict[str, Any], path: str) -> None:
    overlay = build_overlay("Service", SERVICE, patch)
    (problem,) = problems_of(overlay)
    assert problem.reason is Reason.OVERLAY_REFUSED
    assert f"touches {path}," in problem.message
    assert find_service(overlay) == find_one(render_mesh(), "Service", SERVICE)


def test_one_bad_overlay_does_not_stop_another() -> None:
    objects = [find_one(render_mesh(), "Service", SERVICE)]
    good = build_overlay("Service", SERVICE, {"spec": {"type": "NodePort"}})
    overlays = [Overlay.model_validate(o) for o in (build_overlay("Service", "x", {}), good)]
    (service,), (problem,) = apply_overlays(objects, overlays)
    assert service["spec"]["type"] == "NodePort"
    assert problem.index == 0
    assert objects[0]["spec"]["type"] == "ClusterIP"
