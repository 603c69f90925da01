"""What the stand-in makes of pods and of Istio's objects, against what the real istiod is known to do."""

import json
from typing import Any

import pytest
import yaml

from lab.light.injection import InjectionError, Injector, build_injector, inject, is_required
from lab.light.selectors import is_selected, is_selected_by_any
from lab.light.validation import ALWAYS_REJECT, validate

GLOBAL = {"hub": "example.org/istio", "tag": "1.31.0", "proxy": {"image": "proxyv2"}}
CUT = '{{- $name = $name | trunc 63 | trimAll "-_." -}}'
CUT_AS_BEFORE = '{{- $name = $name | trunc 63 | trimSuffix "-" -}}'
TEMPLATES = {"sidecar": CUT, "gateway": ""}
CONFIG = {"policy": "enabled", "defaultTemplates": ["sidecar"], "templates": TEMPLATES}
VOLUMES = [
    "workload-socket",
    "credential-socket",
    "workload-certs",
    "istiod-ca-cert",
    "istio-ca-crl",
    "istio-data",
    "istio-envoy",
    "istio-token",
    "istio-podinfo",
]


def injector(*, config: Any = None, mesh: Any = None, **values: Any) -> Injector:
    config_map = {
        "config": yaml.safe_dump({**CONFIG, **(config or {})}),
        "values": json.dumps({"global": GLOBAL, **values}),
    }
    return build_injector(revision="r", namespace="mesh", config_map=config_map, mesh=mesh or {})


def pod(*, containers: Any = ("app",), labels: Any = None, annotations: Any = None, **spec: Any) -> Any:
    listed = [{"name": c, "image": "app"} if isinstance(c, str) else c for c in containers]
    metadata = {"name": "hello", "labels": labels or {}, "annotations": annotations or {}}
    return {"metadata": metadata, "spec": {"containers": listed, **spec}}


def test_a_sidecar_is_a_native_one_before_all_other_init_containers() -> None:
    made = inject(pod(initContainers=[{"name": "mine", "image": "x"}]), injector=injector())
    names = [c["name"] for c in made["spec"]["initContainers"]]
    assert names == ["istio-init", "istio-proxy", "mine"]
    proxy = made["spec"]["initContainers"][1]
    assert proxy["restartPolicy"] == "Always"
    assert proxy["image"] == "example.org/istio/proxyv2:1.31.0"
    assert [c["name"] for c in made["spec"]["containers"]] == ["app"]
    assert [v["name"] for v in made["spec"]["volumes"]] == VOLUMES


def test_the_status_annotation_names_what_was_added_and_the_revision() -> None:
    status = inject(pod(), injector=injector())["metadata"]["annotations"]["sidecar.istio.io/status"]
    assert status == json.dumps(
        {
            "initContainers": ["istio-init", "istio-proxy"],
            "containers": None,
            "volumes": VOLUMES,
            "imagePullSecrets": None,
            "revision": "r",
        },
        separators=(",", ":"),
    )


def test_labels_and_annotations_are_those_of_istio() -> None:
    made = inject(pod(labels={"app": "shop"}), injector=injector())["metadata"]
    assert made["labels"] == {
        "app": "shop",
        "security.istio.io/tlsMode": "istio",
        "service.istio.io/canonical-name": "shop",
        "service.istio.io/canonical-revision": "latest",
    }
    assert made["annotations"]["istio.io/rev"] == "r"
    assert made["annotations"]["kubectl.kubernetes.io/default-container"] == "app"
    assert made["annotations"]["prometheus.io/port"] == "15020"


def test_injected_annotations_of_the_configuration_win() -> None:
    added = injector(config={"injectedAnnotations": {"mesh.navarch.io/proxy": "1-x"}})
    made = inject(pod(annotations={"mesh.navarch.io/proxy": "mine"}), injector=added)
    assert made["metadata"]["annotations"]["mesh.navarch.io/proxy"] == "1-x"


def test_a_deployments_pod_is_named_after_the_deployment() -> None:
    owned = pod(labels={"pod-template-hash": "abc"})
    owned["metadata"] |= {"name": None, "generateName": "shop-abc-"}
    owned["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "shop-abc", "controller": True}]
    made = inject(owned, injector=injector())
    assert made["metadata"]["labels"]["service.istio.io/canonical-name"] == "shop"


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        ({"name": "bare.1-"}, "bare.1"),
        ({"name": None, "generateName": "bare-"}, ""),
        ({"name": "long" * 20}, ("long" * 20)[:63]),
    ],
)
def test_a_bare_pods_canonical_name_is_its_own_as_far_as_it_is_known_and_valid(
    metadata: Any, name: str
) -> None:
    bare = pod()
    bare["metadata"] |= metadata
    made = inject(bare, injector=injector())
    assert made["metadata"]["labels"]["service.istio.io/canonical-name"] == name


@pytest.mark.parametrize(
    ("template", "name"), [(CUT, "a" * 62), (CUT_AS_BEFORE, "a" * 62 + "."), ("", "a" * 62 + ".bbbbb")]
)
def test_a_long_name_is_cut_as_the_template_says_even_where_no_label_comes_of_it(
    template: str, name: str
) -> None:
    bare = pod()
    bare["metadata"]["name"] = "a" * 62 + ".bbbbb"
    config = {"templates": {**TEMPLATES, "sidecar": template}}
    made = inject(bare, injector=injector(config=config))
    assert made["metadata"]["labels"]["service.istio.io/canonical-name"] == name


@pytest.mark.parametrize(("template", "length"), [(CUT, 62), ("", 68)])
def test_the_name_of_a_gateways_pod_is_cut_as_its_own_template_says(template: str, length: int) -> None:
    gateway = pod(containers=("istio-proxy",), annotations={"inject.istio.io/templates": "gateway"})
    gateway["metadata"]["name"] = "a" * 62 + ".bbbbb"
    made = inject(gateway, injector=injector(config={"templates": {"gateway": template}}))
    assert len(made["metadata"]["labels"]["service.istio.io/canonical-name"]) == length


def test_with_the_cni_plugin_no_container_needs_privileges() -> None:
    made = inject(pod(), injector=injector(pilot={"cni": {"enabled": True}}))
    first = made["spec"]["initContainers"][0]
    assert first["name"] == "istio-validation"
    assert "add" not in first["securityContext"]["capabilities"]


def test_a_pod_that_was_injected_before_gets_one_new_proxy() -> None:
    once = inject(pod(), injector=injector())
    twice = inject(once, injector=injector())
    assert twice == once


def test_a_gateway_keeps_its_container_and_gets_the_image() -> None:
    own = {"name": "istio-proxy", "image": "auto", "resources": {"limits": {"cpu": "9"}}}
    made = inject(
        pod(containers=[own], annotations={"inject.istio.io/templates": "gateway"}), injector=injector()
    )
    (proxy,) = made["spec"]["containers"]
    assert proxy["image"] == "example.org/istio/proxyv2:1.31.0"
    assert proxy["resources"] == {"limits": {"cpu": "9"}}
    assert "initContainers" not in made["spec"]
    assert "security.istio.io/tlsMode" not in made["metadata"]["labels"]


def test_a_template_that_is_not_configured_fails_the_injection() -> None:
    with pytest.raises(InjectionError, match="'waypoint'"):
        inject(pod(annotations={"inject.istio.io/templates": "waypoint"}), injector=injector())


def test_unusable_values_fail_the_injection() -> None:
    with pytest.raises(InjectionError):
        build_injector(revision="r", namespace="m", config_map={"config": "{}", "values": "{}"}, mesh={})


@pytest.mark.parametrize(
    ("kind", "image"),
    [
        ("distroless", "example.org/istio/proxyv2:1.31.0-distroless"),
        ("default", "example.org/istio/proxyv2:1.31.0"),
    ],
)
def test_the_image_type_is_a_suffix_of_the_tag(kind: str, image: str) -> None:
    mesh = {"defaultConfig": {"image": {"imageType": kind}}}
    made = inject(pod(), injector=injector(mesh=mesh))
    assert made["spec"]["initContainers"][1]["image"] == image


@pytest.mark.parametrize(
    ("given", "namespace", "config", "wanted"),
    [
        (pod(), "shop", {}, True),
        (pod(hostNetwork=True), "shop", {}, False),
        (pod(), "kube-system", {}, False),
        (pod(labels={"sidecar.istio.io/inject": "false"}), "shop", {}, False),
        (pod(annotations={"sidecar.istio.io/inject": "false"}), "shop", {}, False),
        (
            pod(labels={"sidecar.istio.io/inject": "true"}, annotations={"sidecar.istio.io/inject": "false"}),
            "shop",
            {},
            True,
        ),
        (pod(), "shop", {"policy": "disabled"}, False),
        (pod(labels={"sidecar.istio.io/inject": "true"}), "shop", {"policy": "disabled"}, True),
        (pod(labels={"a": "b"}), "shop", {"neverInjectSelector": [{"matchLabels": {"a": "b"}}]}, False),
        (
            pod(labels={"a": "b"}),
            "shop",
            {"policy": "disabled", "alwaysInjectSelector": [{"matchLabels": {"a": "b"}}]},
            True,
        ),
        (pod(), "shop", {"neverInjectSelector": [{}]}, True),
    ],
)
def test_whether_a_pod_is_injected(given: Any, namespace: str, config: Any, wanted: bool) -> None:
    assert is_required(given, namespace=namespace, config={**CONFIG, **config}) is wanted


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ({"key": "a", "operator": "In", "values": ["1"]}, True),
        ({"key": "a", "operator": "In", "values": ["2"]}, False),
        ({"key": "b", "operator": "In", "values": ["1"]}, False),
        ({"key": "a", "operator": "NotIn", "values": ["1"]}, False),
        ({"key": "b", "operator": "NotIn", "values": ["1"]}, True),
        ({"key": "a", "operator": "Exists"}, True),
        ({"key": "b", "operator": "Exists"}, False),
        ({"key": "b", "operator": "DoesNotExist"}, True),
    ],
)
def test_a_selector_expression_reads_as_in_kubernetes(expression: Any, wanted: bool) -> None:
    assert is_selected({"matchExpressions": [expression]}, {"a": "1"}) is wanted


def test_discovery_selectors_are_alternatives_and_none_selects_all() -> None:
    assert is_selected_by_any([], {})
    assert is_selected_by_any([{"matchLabels": {"a": "2"}}, {"matchLabels": {"a": "1"}}], {"a": "1"})
    assert not is_selected_by_any([{"matchLabels": {"a": "2"}}], {"a": "1"})


def istio_object(kind: str, spec: Any, **annotations: str) -> Any:
    return {"kind": kind, "metadata": {"annotations": annotations}, "spec": spec}


def route(*destinations: Any) -> Any:
    return {"hosts": ["shop"], "http": [{"route": list(destinations)}]}


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        (istio_object("VirtualService", route({"destination": {"host": "a"}})), True),
        (istio_object("VirtualService", {"hosts": ["a"], "http": [{"redirect": {"uri": "/x"}}]}), True),
        (istio_object("VirtualService", {"http": [{"route": [{"destination": {"host": "a"}}]}]}), True),
        (istio_object("VirtualService", {"hosts": ["a"]}), False),
        (istio_object("VirtualService", {"hosts": ["a"], "http": [{}]}), False),
        (istio_object("VirtualService", route({"weight": 1})), False),
        (istio_object("VirtualService", route({"destination": {"host": "a"}, "weight": -1})), False),
        (
            istio_object(
                "VirtualService", route({"destination": {"host": "a"}}, {"destination": {"host": "b"}})
            ),
            False,
        ),
        (istio_object("Gateway", {"servers": [{}]}), True),
        (istio_object("Gateway", {}), False),
        (istio_object("Telemetry", {}, **{ALWAYS_REJECT: "true"}), False),
        (istio_object("Telemetry", {}), True),
    ],
)
def test_plain_mistakes_are_refused_and_all_else_is_let_through(given: Any, accepted: bool) -> None:
    assert (validate(given) is None) is accepted
