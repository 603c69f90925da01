"""What a mesh says of Gateways: the templates they are deployed from, and the defaults of their classes."""

from __future__ import annotations

from typing import Any

import yaml

from tests.golden.rendering import NAMESPACE, REVISION, find_one, render_mesh, stamp_of, values_of

OVERLAYS: dict[str, Any] = {
    "deployment": {"spec": {"replicas": 3}},
    "service": {"spec": {"type": "NodePort"}},
}


def with_classes(**classes: Any) -> dict[str, Any]:
    return {"values": {"gatewayClasses": classes}}


def test_defaults_of_a_class_are_a_config_map_that_istiod_finds_by_label() -> None:
    made = find_one(render_mesh(with_classes(istio=OVERLAYS)), "ConfigMap", "gatewayclass")
    metadata = made["metadata"]
    assert (metadata["namespace"], metadata["name"]) == (NAMESPACE, f"istio-{REVISION}-gatewayclass-istio")
    assert metadata["labels"]["gateway.istio.io/defaults-for-class"] == "istio"
    assert metadata["labels"]["istio.io/rev"] == REVISION
    assert metadata["labels"]["mesh.navarch.io/revision"] == REVISION
    assert {kind: yaml.safe_load(text) for kind, text in made["data"].items()} == OVERLAYS


def test_every_class_has_its_own_and_without_any_there_is_none() -> None:
    def names(spec: dict[str, Any]) -> list[str]:
        objects = [o["metadata"]["name"] for o in render_mesh(spec) if o["kind"] == "ConfigMap"]
        return [name for name in objects if "gatewayclass" in name]

    classes = {"istio": OVERLAYS, "istio-waypoint": {}}
    assert len(names(with_classes(**classes))) == 2
    assert names({}) == []


def test_injection_does_not_see_the_classes_and_no_proxy_is_outdated_by_them() -> None:
    plain, classes = render_mesh(), render_mesh(with_classes(istio=OVERLAYS))
    assert "gatewayClasses" not in values_of(classes)
    assert stamp_of(classes) == stamp_of(plain)


def test_what_istiod_rolls_out_by_itself_outdates_no_injected_proxy() -> None:
    waypoint = {"nodeSelector": {"role": "edge"}}
    placed = render_mesh({"values": {"global": {"waypoint": waypoint}}})
    assert values_of(placed)["global"]["waypoint"]["nodeSelector"] == {"role": "edge"}
    assert stamp_of(placed) == stamp_of(render_mesh())
    template = {"sidecarInjectorWebhook": {"templates": {"kube-gateway": "kind: Own"}}}
    assert stamp_of(render_mesh({"values": template})) == stamp_of(render_mesh())
