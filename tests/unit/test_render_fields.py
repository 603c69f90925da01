"""Every field of the specification has its effect: where it is rendered, and as what."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
from navarch.api.spec import RevisionConfig
from navarch.core.model.refs import Manifest
from navarch.core.render.values import GATEWAY_CONTROLLER as SWITCH
from pydantic import BaseModel

from tests.golden.rendering import (
    ASSETS,
    NEWEST,
    REVISION,
    container_of,
    environment_of,
    find_one,
    injector_of,
    mesh_config_of,
    render_mesh,
    stamp_of,
    values_of,
)

Objects = list[Manifest]


def pod_of(objects: Objects) -> Any:
    """istiod's pod."""
    return find_one(objects, "Deployment")["spec"]["template"]["spec"]


def has(kind: str) -> Callable[[Objects], bool]:
    """Whether an object of a kind is rendered."""
    return lambda objects: any(o["kind"] == kind for o in objects)


def proxy_values(key: str) -> Callable[[Objects], Any]:
    """A key of values.global.proxy."""
    return lambda objects: values_of(objects)["global"]["proxy"][key]


def mesh(*path: str) -> Callable[[Objects], Any]:
    """A path in MeshConfig."""

    def read(objects: Objects) -> Any:
        node: Any = mesh_config_of(objects)
        for step in path:
            node = node[step]
        return node

    return read


def istiod(*path: str | int) -> Callable[[Objects], Any]:
    """A path in istiod's container."""

    def read(objects: Objects) -> Any:
        node: Any = container_of(objects)
        for step in path:
            node = node[step]
        return node

    return read


def policy(*path: str | int) -> Callable[[Objects], Any]:
    """A path in the spec of istiod's NetworkPolicy."""

    def read(objects: Objects) -> Any:
        node: Any = find_one(objects, "NetworkPolicy")["spec"]
        for step in path:
            node = node[step]
        return node

    return read


def scaler(objects: Objects) -> Any:
    """The autoscaler's spec."""
    return find_one(objects, "HorizontalPodAutoscaler")["spec"]


UNSCALED = {"controlPlane.autoscaling.enabled": False}
TWO = UNSCALED | {"controlPlane.replicas": 2}

# field, its value, where it shows, what shows there, what else has to be set for it to matter
DIGEST = f"sha256:{'7' * 64}"
FIELDS: list[tuple[str, Any, Callable[[Objects], Any], Any, dict[str, Any]]] = [
    (
        "certificateAuthority.type",
        "Managed",
        lambda objects: next(
            volume["secret"]["optional"]
            for volume in pod_of(objects)["volumes"]
            if volume["name"] == "cacerts"
        ),
        False,
        {},
    ),
    *(
        (
            f"certificateAuthority.managed.{field}",
            value,
            lambda objects, field=field: find_one(objects, "MeshRevision")["spec"]["config"][
                "certificateAuthority"
            ]["managed"][field],
            value,
            {"certificateAuthority.type": "Managed"},
        )
        for field, value in (
            ("algorithm", "RSA-3072"),
            ("rootLifetimeDays", 1000),
            ("intermediateLifetimeDays", 30),
        )
    ),
    *(
        (
            f"certificateAuthority.managed.rotation.{field}",
            value,
            lambda objects, field=field: find_one(objects, "MeshRevision")["spec"]["config"][
                "certificateAuthority"
            ]["managed"]["rotation"][field],
            value,
            {
                "certificateAuthority.type": "Managed",
                f"certificateAuthority.managed.rotation.{other}": left,
            },
        )
        for (field, value), (other, left) in (
            (("strategy", "MultiRoot"), ("keepOldRootSeconds", 60)),
            (("keepOldRootSeconds", 7), ("strategy", "CrossSigned")),
        )
    ),
    ("trust.domain", "example.org", mesh("trustDomain"), "example.org", {}),
    ("trust.additionalDomains", ["old.org"], mesh("trustDomainAliases"), ["old.org"], {}),
    (
        "mtls.mode",
        "Strict",
        lambda o: find_one(o, "PeerAuthentication")["spec"],
        {"mtls": {"mode": "STRICT"}},
        {},
    ),
    ("mtls.minimumProtocolVersion", "TLSv1_3", mesh("meshMTLS", "minProtocolVersion"), "TLSV1_3", {}),
    ("mtls.cipherSuites", ["AES128-GCM-SHA256"], mesh("meshMTLS", "cipherSuites"), ["AES128-GCM-SHA256"], {}),
    ("proxy.logLevel", "debug", proxy_values("logLevel"), "debug", {}),
    ("proxy.componentLogLevel", "jwt:debug", proxy_values("componentLogLevel"), "jwt:debug", {}),
    (
        "proxy.resources.requests.cpu",
        "7m",
        lambda o: proxy_values("resources")(o)["requests"]["cpu"],
        "7m",
        {},
    ),
    (
        "proxy.resources.requests.memory",
        "7Mi",
        lambda o: proxy_values("resources")(o)["requests"]["memory"],
        "7Mi",
        {},
    ),
    ("proxy.resources.limits.cpu", "7", lambda o: proxy_values("resources")(o)["limits"]["cpu"], "7", {}),
    (
        "proxy.resources.limits.memory",
        "7Gi",
        lambda o: proxy_values("resources")(o)["limits"]["memory"],
        "7Gi",
        {},
    ),
    (
        "proxy.lifecycle",
        {"preStop": {"sleep": {"seconds": 5}}},
        proxy_values("lifecycle"),
        {"preStop": {"sleep": {"seconds": 5}}},
        {},
    ),
    (
        "proxy.holdApplicationUntilProxyStarts",
        True,
        mesh("defaultConfig", "holdApplicationUntilProxyStarts"),
        True,
        {},
    ),
    ("proxy.readinessPeriodSeconds", 2, proxy_values("readinessPeriodSeconds"), 2, {}),
    ("proxy.trafficCapture.mode", "TProxy", mesh("defaultConfig", "interceptionMode"), "TPROXY", {}),
    ("proxy.trafficCapture.includeInboundPorts", "80", proxy_values("includeInboundPorts"), "80", {}),
    ("proxy.trafficCapture.excludeInboundPorts", "81", proxy_values("excludeInboundPorts"), "81", {}),
    (
        "proxy.trafficCapture.includeOutboundIPRanges",
        "10.0.0.0/8",
        proxy_values("includeIPRanges"),
        "10.0.0.0/8",
        {},
    ),
    (
        "proxy.trafficCapture.excludeOutboundIPRanges",
        "10.1.0.0/16",
        proxy_values("excludeIPRanges"),
        "10.1.0.0/16",
        {},
    ),
    ("proxy.trafficCapture.excludeOutboundPorts", "3306", proxy_values("excludeOutboundPorts"), "3306", {}),
    ("proxy.accessLog.file", "/dev/stdout", mesh("accessLogFile"), "/dev/stdout", {}),
    ("proxy.accessLog.encoding", "JSON", mesh("accessLogEncoding"), "JSON", {}),
    ("proxy.accessLog.format", "%PROTOCOL%\n", mesh("accessLogFormat"), "%PROTOCOL%\n", {}),
    ("proxy.nativeSidecars", False, lambda o: environment_of(o)["ENABLE_NATIVE_SIDECARS"], "false", {}),
    ("controlPlane.replicas", 3, lambda o: find_one(o, "Deployment")["spec"]["replicas"], 3, UNSCALED),
    ("controlPlane.autoscaling.enabled", False, has("HorizontalPodAutoscaler"), False, {}),
    ("controlPlane.autoscaling.minReplicas", 2, lambda o: scaler(o)["minReplicas"], 2, {}),
    ("controlPlane.autoscaling.maxReplicas", 9, lambda o: scaler(o)["maxReplicas"], 9, {}),
    (
        "controlPlane.autoscaling.targetCPUUtilization",
        55,
        lambda o: scaler(o)["metrics"][0]["resource"]["target"]["averageUtilization"],
        55,
        {},
    ),
    ("controlPlane.resources.requests.cpu", "7m", istiod("resources", "requests", "cpu"), "7m", {}),
    ("controlPlane.resources.requests.memory", "7Mi", istiod("resources", "requests", "memory"), "7Mi", {}),
    ("controlPlane.resources.limits.cpu", "7", istiod("resources", "limits", "cpu"), "7", {}),
    ("controlPlane.resources.limits.memory", "7Gi", istiod("resources", "limits", "memory"), "7Gi", {}),
    ("controlPlane.placement.nodeSelector", {"a": "b"}, lambda o: pod_of(o)["nodeSelector"], {"a": "b"}, {}),
    (
        "controlPlane.placement.tolerations",
        [{"operator": "Exists"}],
        lambda o: pod_of(o)["tolerations"][1:],
        [{"operator": "Exists"}],
        {},
    ),
    (
        "controlPlane.placement.affinity",
        {"nodeAffinity": {}},
        lambda o: pod_of(o)["affinity"],
        {"nodeAffinity": {}},
        {},
    ),
    (
        "controlPlane.placement.topologySpreadConstraints",
        [{"maxSkew": 1}],
        lambda o: pod_of(o)["topologySpreadConstraints"],
        [{"maxSkew": 1}],
        {},
    ),
    (
        "controlPlane.placement.priorityClassName",
        "high",
        lambda o: pod_of(o)["priorityClassName"],
        "high",
        {},
    ),
    ("controlPlane.podDisruptionBudget.enabled", False, has("PodDisruptionBudget"), False, TWO),
    (
        "controlPlane.podDisruptionBudget.minAvailable",
        2,
        lambda o: find_one(o, "PodDisruptionBudget")["spec"]["minAvailable"],
        2,
        TWO,
    ),
    (
        "controlPlane.environment",
        [{"name": "A", "value": "b"}],
        lambda o: environment_of(o).get("A"),
        "b",
        {},
    ),
    ("controlPlane.logging.level", "all:debug", istiod("args", 2), "--log_output_level=all:debug", {}),
    ("controlPlane.logging.json", True, lambda o: "--log_as_json" in container_of(o)["args"], True, {}),
    (
        "controlPlane.gatewayController",
        False,
        lambda objects: environment_of(objects).get(SWITCH),
        "false",
        {},
    ),
    ("controlPlane.networkPolicy", True, has("NetworkPolicy"), True, {}),
    ("networkPolicies.manage", True, has("NetworkPolicy"), True, {}),
    (
        "networkPolicies.isolateMembers",
        True,
        lambda objects: find_one(objects, "MeshRevision")["spec"]["config"]["networkPolicies"].get(
            "isolateMembers"
        ),
        True,
        {"networkPolicies.manage": True},
    ),
    (
        "networkPolicies.monitoringNamespaces",
        ["watch"],
        policy("ingress", 2, "from", 0, "namespaceSelector", "matchExpressions", 0, "values"),
        ["watch"],
        {"networkPolicies.manage": True},
    ),
    (
        "networkPolicies.monitoringLabels",
        {"team": "watch"},
        policy("ingress", 2, "from", 0, "namespaceSelector", "matchLabels"),
        {"team": "watch"},
        {"networkPolicies.manage": True},
    ),
    (
        "networkPolicies.webhookSources",
        ["10.0.0.0/28"],
        policy("ingress", 1, "from"),
        [{"ipBlock": {"cidr": "10.0.0.0/28"}}],
        {"networkPolicies.manage": True},
    ),
    (
        "networkPolicies.plaintextDiscovery",
        True,
        policy("ingress", 0, "ports", 1, "port"),
        15010,
        {"networkPolicies.manage": True},
    ),
    ("images.hub", "mirror/istio", istiod("image"), f"mirror/istio/pilot:{NEWEST}", {}),
    ("images.tag", "custom", istiod("image"), "registry.istio.io/release/pilot:custom", {}),
    (
        "images.digests.pilot",
        DIGEST,
        istiod("image"),
        f"registry.istio.io/release/pilot:{NEWEST}@{DIGEST}",
        {},
    ),
    (
        "images.digests.proxyv2",
        DIGEST,
        lambda o: values_of(o)["global"]["proxy"]["image"],
        f"registry.istio.io/release/proxyv2:{NEWEST}@{DIGEST}",
        {},
    ),
    (
        "images.digests.agentgateway",
        DIGEST,
        lambda o: values_of(o)["global"]["agentgateway"]["image"],
        f"registry.istio.io/release/agentgateway:{NEWEST}@{DIGEST}",
        {},
    ),
    ("images.pullPolicy", "Always", istiod("imagePullPolicy"), "Always", {}),
    (
        "images.pullSecrets",
        [{"name": "s"}],
        lambda o: find_one(o, "ServiceAccount")["imagePullSecrets"],
        [{"name": "s"}],
        {},
    ),
    ("meshConfig", {"enableTracing": True}, mesh("enableTracing"), True, {}),
    ("values", {"global": {"network": "north"}}, lambda o: values_of(o)["global"]["network"], "north", {}),
    (
        "overlays",
        [
            {
                "target": {"kind": "Service", "name": f"istiod-{REVISION}"},
                "patch": {"spec": {"type": "NodePort"}},
            }
        ],
        lambda o: find_one(o, "Service", f"istiod-{REVISION}")["spec"]["type"],
        "NodePort",
        {},
    ),
]

RESTARTED = {
    "proxy.logLevel",
    "proxy.lifecycle",
    "proxy.resources.limits.cpu",
    "proxy.nativeSidecars",
    "proxy.trafficCapture.mode",
    "proxy.holdApplicationUntilProxyStarts",
    "proxy.readinessPeriodSeconds",
    "trust.domain",
    "images.hub",
    "images.tag",
    "images.digests.proxyv2",
    "values",
}
LIVE = {
    "certificateAuthority.type",
    "certificateAuthority.managed.intermediateLifetimeDays",
    "images.digests.agentgateway",
    "images.digests.pilot",
    "trust.additionalDomains",
    "mtls.mode",
    "mtls.minimumProtocolVersion",
    "proxy.accessLog.file",
    "controlPlane.environment",
    "controlPlane.resources.limits.cpu",
    "controlPlane.replicas",
    "networkPolicies.manage",
    "networkPolicies.isolateMembers",
    "meshConfig",
    "overlays",
}


def build_spec(fields: dict[str, Any]) -> dict[str, Any]:
    """A spec from dotted paths."""
    spec: dict[str, Any] = {}
    for path, value in fields.items():
        *above, last = path.split(".")
        node = spec
        for step in above:
            node = node.setdefault(step, {})
        node[last] = value
    return spec


def read(where: Callable[[Objects], Any], objects: Objects) -> Any:
    """What stands there, None when nothing does."""
    try:
        return where(objects)
    except (KeyError, IndexError, ValueError):
        return None


def leaves(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Every field of the specification that is no group of others."""
    for name, field in model.model_fields.items():
        nested = next(
            (p for p in get_args(field.annotation) if isinstance(p, type) and issubclass(p, BaseModel)), None
        )
        where = f"{path}{field.alias or name}"
        if nested:
            yield from leaves(nested, f"{where}.")
        else:
            yield where


def test_no_field_is_without_a_line_here() -> None:
    assert sorted(leaves(RevisionConfig)) == sorted(path for path, *_ in FIELDS)


@pytest.mark.parametrize(("path", "value", "where", "expected", "beside"), FIELDS, ids=[f[0] for f in FIELDS])
def test_a_field_has_its_effect(
    path: str, value: Any, where: Any, expected: Any, beside: dict[str, Any]
) -> None:
    without, with_field = render_mesh(build_spec(beside)), render_mesh(build_spec({**beside, path: value}))
    assert read(where, with_field) == expected
    assert read(where, without) != expected


@pytest.mark.parametrize("path", sorted(RESTARTED | LIVE))
def test_proxies_are_outdated_by_what_only_a_restart_changes(path: str) -> None:
    value, beside = next((value, beside) for name, value, _, _, beside in FIELDS if name == path)
    without, with_field = render_mesh(build_spec(beside)), render_mesh(build_spec({**beside, path: value}))
    assert (stamp_of(without) != stamp_of(with_field)) is (path in RESTARTED)


@pytest.mark.parametrize(
    ("mesh_config", "outdated"),
    [
        ({"defaultConfig": {"concurrency": 4}}, True),
        ({"defaultConfig": {"proxyMetadata": {"A": "b"}}}, True),
        ({"defaultConfig": {"tracing": {"sampling": 5}}}, True),
        ({"defaultConfig": {"terminationDrainDuration": "9s"}}, True),
        ({"accessLogFile": "/dev/stdout"}, False),
    ],
    ids=str,
)
def test_of_mesh_config_what_a_proxy_starts_with_outdates_it(
    mesh_config: dict[str, Any], outdated: bool
) -> None:
    assert (stamp_of(render_mesh({"meshConfig": mesh_config})) != stamp_of(render_mesh({}))) is outdated


def test_pull_secrets_and_policy_reach_proxies_too() -> None:
    values = values_of(render_mesh({"images": {"pullPolicy": "Always", "pullSecrets": [{"name": "s"}]}}))[
        "global"
    ]
    assert (values["imagePullPolicy"], values["imagePullSecrets"]) == ("Always", ["s"])


def test_the_users_mesh_config_wins_over_typed_fields_but_not_over_navarchs_own() -> None:
    spec = {
        "proxy": {"accessLog": {"file": "/dev/stdout"}},
        "meshConfig": {
            "accessLogFile": "/tmp/log",
            "rootNamespace": "elsewhere",
            "trustDomain": "evil",
            "discoverySelectors": [],
            "defaultConfig": {"discoveryAddress": "evil:15012", "concurrency": 2},
        },
    }
    mesh_config = mesh_config_of(render_mesh(spec))
    assert mesh_config["accessLogFile"] == "/tmp/log"
    assert (mesh_config["rootNamespace"], mesh_config["trustDomain"]) == ("mesh-a", "cluster.local")
    assert mesh_config["defaultConfig"] == {
        "concurrency": 2,
        "discoveryAddress": f"istiod-{REVISION}.mesh-a.svc:15012",
    }
    assert len(mesh_config["discoverySelectors"]) == 2


def test_default_providers_of_the_user_replace_istios() -> None:
    spec = {"meshConfig": {"defaultProviders": {"accessLogging": ["otel"]}}}
    assert mesh_config_of(render_mesh(spec))["defaultProviders"] == {"accessLogging": ["otel"]}


def test_values_that_are_navarchs_own_stay_as_they_are() -> None:
    own = {
        "revision": "x",
        "global": {"istioNamespace": "x", "tag": "x", "proxy": {"privileged": True}},
        "pilot": {"env": {"A": "b"}},
    }
    values = values_of(render_mesh({"values": own}))
    assert values == values_of(render_mesh())


def test_variables_that_say_who_istiod_is_cannot_be_set() -> None:
    variables = [
        {"name": name, "value": "x"} for name in ("REVISION", "POD_NAMESPACE", "CA_TRUSTED_NODE_ACCOUNTS")
    ]
    objects = render_mesh({"controlPlane": {"environment": variables}})
    assert environment_of(objects) == environment_of(render_mesh())


def test_a_variable_of_the_user_replaces_a_default_of_the_same_name() -> None:
    variables = [{"name": "PILOT_TRACE_SAMPLING", "value": "100"}]
    container = container_of(render_mesh({"controlPlane": {"environment": variables}}))
    assert [v for v in container["env"] if v["name"] == "PILOT_TRACE_SAMPLING"] == variables


def bound_by(objects: list[Manifest]) -> list[str]:
    """The names of the roles that istiod is bound to in the whole cluster, without the hashes."""
    names = [o["roleRef"]["name"] for o in objects if o["kind"] == "ClusterRoleBinding"]
    return sorted(name.removesuffix("-mesh-a").rpartition("-")[0] for name in names)


@pytest.mark.parametrize(
    "control_plane",
    [
        {"gatewayController": False},
        *({"environment": [{"name": SWITCH, "value": no}]} for no in ("false", "0", "F")),
        {"gatewayController": False, "environment": [{"name": SWITCH, "value": "true"}]},
    ],
)
def test_the_right_to_deploy_gateways_goes_with_the_switch(control_plane: dict[str, Any]) -> None:
    objects = render_mesh({"controlPlane": control_plane})
    assert environment_of(objects)[SWITCH] in ("false", "0", "F")
    assert bound_by(objects) == ["istiod-webhooks-mesh-a-basic", "navarch-istiod-confined-1.31"]


@pytest.mark.parametrize(
    "control_plane",
    [{}, {"gatewayController": True}, {"environment": [{"name": SWITCH, "value": "true"}]}],
)
def test_the_right_to_deploy_gateways_is_there_by_default(control_plane: dict[str, Any]) -> None:
    objects = render_mesh({"controlPlane": control_plane})
    assert environment_of(objects).get(SWITCH) in (None, "true")
    assert bound_by(objects) == ["navarch-istiod-1.31"]


@pytest.mark.parametrize("default", [False, True])
@pytest.mark.parametrize("version", ["1.29", "1.30", "1.31"])
def test_without_the_gateway_controller_istiod_writes_the_webhooks_of_its_mesh_alone(
    version: str, default: bool
) -> None:
    controls = {"gatewayController": False}
    objects = render_mesh({"version": version, "controlPlane": controls, "defaultTag": default})
    rules = find_one(objects, "ClusterRole", "istiod-webhooks")["rules"]
    for rule, kind in zip(
        rules, ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"), strict=True
    ):
        own = {o["metadata"]["name"] for o in objects if o["kind"] == kind}
        assert own <= set(rule["resourceNames"])
        strange = set(rule["resourceNames"]) - own
        assert strange <= {"istio-revision-tag-default", "istio-revision-tag-default-mesh-a"}
        assert default or not strange


def test_a_variant_of_the_images_holds_for_istiod_and_proxies() -> None:
    objects = render_mesh({"values": {"global": {"variant": "distroless"}}})
    assert container_of(objects)["image"].endswith(f"pilot:{NEWEST}-distroless")
    assert mesh_config_of(objects)["defaultConfig"]["image"] == {"imageType": "distroless"}


def test_clusters_and_networks_come_from_values() -> None:
    shared = {
        "meshID": "m",
        "multiCluster": {"clusterName": "c"},
        "meshNetworks": {"north": {"endpoints": []}},
    }
    objects = render_mesh({"values": {"global": shared}})
    assert environment_of(objects)["CLUSTER_ID"] == "c"
    assert mesh_config_of(objects)["defaultConfig"]["meshId"] == "m"
    assert "north:" in find_one(objects, "ConfigMap", f"istio-{REVISION}")["data"]["meshNetworks"]


def test_the_default_tag_takes_istio_injection_and_validates_what_names_no_revision() -> None:
    objects = render_mesh({"defaultTag": True})
    entries = find_one(objects, "MutatingWebhookConfiguration", "tag-default")["webhooks"]
    assert [e["name"].removesuffix("sidecar-injector.istio.io") for e in entries] == [
        "rev.namespace.",
        "rev.object.",
        "namespace.",
        "object.",
    ]
    assert (
        find_one(objects, "ValidatingWebhookConfiguration", "default")["webhooks"][0]["namespaceSelector"]
        == {}
    )
    assert find_one(objects, "Service", "tag-default")["metadata"]["labels"]["istio.io/tag"] == "default"


def test_a_tag_can_be_chosen() -> None:
    objects = render_mesh({"tag": "blue"})
    webhook = find_one(objects, "MutatingWebhookConfiguration", "tag-blue")
    assert webhook["metadata"]["labels"]["istio.io/tag"] == "blue"
    assert webhook["metadata"]["labels"]["istio.io/rev"] == "blue-inplace"


@pytest.mark.parametrize("name", sorted(ASSETS.profiles))
def test_values_show_what_was_asked_for_and_what_came_of_it(name: str) -> None:
    asked = {"global": {"network": "north"}}
    data = find_one(render_mesh({"profiles": [name], "values": asked}), "ConfigMap", "values-")["data"]
    assert json.loads(data["original-values"]) == asked
    assert json.loads(data["merged-values"])["global"]["network"] == "north"


def test_selectors_and_templates_of_the_injector_come_from_values() -> None:
    webhook = {
        "neverInjectSelector": [{"matchLabels": {"a": "b"}}],
        "injectedAnnotations": {"x": "y"},
        "templates": {"own": "metadata: {}"},
        "defaultTemplates": ["sidecar", "own"],
    }
    injector = injector_of(render_mesh({"values": {"sidecarInjectorWebhook": webhook}}))
    assert injector["neverInjectSelector"] == [{"matchLabels": {"a": "b"}}]
    assert injector["injectedAnnotations"].keys() == {"x", "mesh.navarch.io/proxy"}
    assert injector["templates"].keys() - injector_of(render_mesh())["templates"].keys() == {"own"}
    assert injector["defaultTemplates"] == ["sidecar", "own"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"proxy": {"tracer": "zipkin"}}, {"zipkin": {"address": "zipkin.mesh-a:9411"}}),
        (
            {"proxy": {"tracer": "datadog"}, "tracer": {"datadog": {"address": "agent.dd:8126"}}},
            {"datadog": {"address": "agent.dd:8126"}},
        ),
        (
            {"proxy": {"tracer": "stackdriver"}, "tracer": {"stackdriver": {"debug": True}}},
            {
                "stackdriver": {
                    "debug": True,
                    "maxNumberOfAttributes": 200,
                    "maxNumberOfAnnotations": 200,
                    "maxNumberOfMessageEvents": 200,
                }
            },
        ),
    ],
)
def test_a_tracer_of_the_values_is_one_of_mesh_config(values: Any, expected: Any) -> None:
    mesh = mesh_config_of(render_mesh({"values": {"global": values}}))
    assert mesh["defaultConfig"]["tracing"] == expected


def test_no_tracer_of_the_values_says_nothing_of_tracing() -> None:
    assert "tracing" not in mesh_config_of(render_mesh())["defaultConfig"]


def test_empty_default_providers_leave_the_usual_ones_as_upstream_does() -> None:
    spec = {"meshConfig": {"defaultProviders": {}}}
    assert mesh_config_of(render_mesh(spec))["defaultProviders"] == {"metrics": ["prometheus"]}
