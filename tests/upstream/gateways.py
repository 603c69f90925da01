"""Gateways of every class that istiod deploys, and what it made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from navarch.core.model.merging import merge

from lab.builds import NEWEST_ISTIO, IstioLine, find_source
from tests.golden.rendering import ASSETS
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.upstream.installations import LOADER, TAG, Setting

SHOPS, ELSEWHERE = "shops", "elsewhere"
MANAGED = "gateway.istio.io/managed"
KINDS = ("serviceaccount", "deployment", "service", "hpa", "pdb")
API_VERSION = "gateway.networking.k8s.io/v1"
PARAMETERS = "waypoint-options"

SWITCHES = {
    "AMBIENT_ENABLE_MULTI_NETWORK": "true",
    "PILOT_ENABLE_AGENTGATEWAY": "true",
    "PILOT_ENABLE_AMBIENT": "true",
}
AFFINITY = {
    "nodeAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "preference": {"matchExpressions": [{"key": "fast", "operator": "Exists"}]}}
        ]
    }
}
SPREAD = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
VALUES: dict[str, Any] = {
    "global": {
        "agentgateway": {"image": "agentgateway"},
        "logAsJson": True,
        "meshID": "north-mesh",
        "multiCluster": {"clusterName": "Kubernetes"},
        "network": "north-net",
        "sts": {"servicePort": 15463},
        "proxy": {"outlierLogPath": "/dev/stdout"},
        "waypoint": {
            "affinity": AFFINITY,
            "resources": {"requests": {"cpu": "55m"}},
            "topologySpreadConstraints": [SPREAD],
        },
    },
    "gateways": {"seccompProfile": {"type": "RuntimeDefault"}},
    "gatewayClasses": {
        "istio": {
            "deployment": {"spec": {"replicas": 3}},
            "horizontalPodAutoscaler": {"spec": {"minReplicas": 2, "maxReplicas": 4}},
            "podDisruptionBudget": {"spec": {"minAvailable": 1}},
            "service": {"spec": {"externalTrafficPolicy": "Local", "type": "LoadBalancer"}},
        }
    },
}
UNCHECKED: dict[str, Any] = {
    "global": {
        "waypoint": {
            "nodeSelector": {"role": "edge"},
            "tolerations": [{"key": "edge", "operator": "Exists"}],
        }
    }
}
LIFECYCLE = {"preStop": {"exec": {"command": ["sleep", "5"]}}}
METADATA = {"ISTIO_META_OWN": "a: b"}
BARE = {"global": {"agentgateway": {"image": "agentgateway"}}}


def build_setting(
    values: Mapping[str, Any], *, mesh: Mapping[str, Any], unchecked: Mapping[str, Any], **proxy: Any
) -> Setting:
    """Both sides' words for the same values, meshConfig and proxies, every kind of gateway switched on."""
    shared = dict(values.get("global", {}))
    theirs = {**shared, "proxy": {**shared.get("proxy", {}), **proxy}}
    return Setting(
        values={**values, "global": theirs, "pilot": {"env": SWITCHES}},
        mesh=mesh,
        unchecked=unchecked,
        spec={
            "values": merge(values, unchecked),
            "meshConfig": dict(mesh),
            "proxy": proxy,
            "controlPlane": {
                "environment": [{"name": name, "value": value} for name, value in SWITCHES.items()]
            },
        },
    )


SETTINGS = {
    "default": build_setting(BARE, mesh={}, unchecked={}),
    "everything": build_setting(
        VALUES,
        mesh={"defaultConfig": {"proxyMetadata": METADATA, "concurrency": 3}},
        unchecked=UNCHECKED,
        lifecycle=LIFECYCLE,
        logLevel="debug",
    ),
}


def build_gateway(name: str, gateway_class: str, *listeners: tuple[str, int, str], **more: Any) -> Object:
    """A Gateway; a listener is its name, its port and its protocol."""
    metadata = {"name": name, "namespace": SHOPS, **more.pop("metadata", {})}
    built = [
        {"name": listener, "port": port, "protocol": protocol, **more.get("tls", {})}
        for listener, port, protocol in listeners
    ]
    more.pop("tls", None)
    spec = {"gatewayClassName": gateway_class, "listeners": built, **more}
    return {"apiVersion": API_VERSION, "kind": "Gateway", "metadata": metadata, "spec": spec}


def build_gateways(line: IstioLine = NEWEST_ISTIO) -> list[Object]:
    """At least one Gateway of every class that the minor deploys."""
    infrastructure = {
        "labels": {"topology.istio.io/network": "own-net", "team": "web"},
        "annotations": {"note": 'said "so"'},
    }
    reference = {"group": "", "kind": "ConfigMap", "name": PARAMETERS}
    mutual = {"mode": "Terminate", "options": {"gateway.istio.io/tls-terminate-mode": "ISTIO_MUTUAL"}}
    gateways = [
        build_gateway("plain", "istio", ("http", 80, "HTTP")),
        build_gateway(
            "web",
            "istio",
            ("http", 80, "HTTP"),
            ("raw.tcp", 9000, "TCP"),
            infrastructure=infrastructure,
            metadata={"annotations": {"sidecar.istio.io/logLevel": "error"}},
        ),
        build_gateway(
            "inside",
            "istio",
            ("http", 8080, "HTTP"),
            metadata={
                "annotations": {
                    "gateway.istio.io/name-override": "other-name",
                    "gateway.istio.io/service-account": "other-account",
                    "networking.istio.io/service-type": "ClusterIP",
                    "sidecar.istio.io/proxyImage": "mirror.example.org/proxyv2:own",
                },
                "labels": {"team": "inside"},
            },
        ),
        build_gateway(
            "fixed", "istio", ("http", 80, "HTTP"), addresses=[{"type": "IPAddress", "value": "192.0.2.7"}]
        ),
        build_gateway("way", "istio-waypoint", ("mesh", 15008, "HBONE")),
        build_gateway(
            "way-more",
            "istio-waypoint",
            ("mesh", 15008, "HBONE"),
            infrastructure={"parametersRef": reference},
        ),
        build_gateway(
            "east-west",
            "istio-east-west",
            ("mesh", 15008, "HBONE"),
            tls={"tls": mutual},
            metadata={"labels": {"topology.istio.io/network": "own-net"}},
        ),
        build_gateway("agent", "istio-agentgateway", ("http", 80, "HTTP")),
        build_gateway("agent-way", "istio-agentgateway-waypoint", ("mesh", 15008, "HBONE")),
    ]
    release = ASSETS.catalog.find(line.minor)
    newer = set() if release and release.minor.features.agentgateway_waypoint else {"agent-way"}
    return [gateway for gateway in gateways if gateway["metadata"]["name"] not in newer]


def build_parameters() -> Object:
    """What one waypoint is deployed with besides."""
    overlays = {
        "horizontalPodAutoscaler": {"spec": {"minReplicas": 2, "maxReplicas": 3}},
        "podDisruptionBudget": {"spec": {"minAvailable": 1}},
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": PARAMETERS, "namespace": SHOPS},
        "data": {kind: yaml.safe_dump(patch) for kind, patch in overlays.items()},
    }


def read_crds(line: IstioLine) -> list[Object]:
    """The CRDs of Gateway API at the version that this Istio is built with."""
    folder = find_source(line.module, "sigs.k8s.io/gateway-api") / "config" / "crd" / "standard"
    documents = [
        document
        for path in sorted(folder.glob("gateway.networking.k8s.io_*.yaml"))
        for document in yaml.load_all(path.read_text(), LOADER)
    ]
    return [d for d in documents if d and d["kind"] == "CustomResourceDefinition"]


async def set_up_crds(api: Api, line: IstioLine) -> None:
    """Gateway API, as this Istio is built with it."""
    crds = read_crds(line)
    for crd in crds:
        api.apply(crd)
    names = {crd["metadata"]["name"] for crd in crds}

    def established() -> bool:
        return names <= {
            crd["metadata"]["name"]
            for crd in api.list("crd")
            for condition in (crd.get("status") or {}).get("conditions") or ()
            if condition["type"] == "Established" and condition["status"] == "True"
        }

    await eventually(established, seconds=60)


async def set_up(api: Api, line: IstioLine) -> None:
    """Gateway API, a member namespace, and the Gateways in it."""
    await set_up_crds(api, line)
    for name, labels in ((SHOPS, {"istio.io/rev": TAG}), (ELSEWHERE, {})):
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    api.apply(build_parameters())
    outside = build_gateway("outside", "istio", ("http", 80, "HTTP"), metadata={"namespace": ELSEWHERE})
    for gateway in (outside, *build_gateways(line)):
        place = gateway["metadata"]["namespace"]
        api.request("POST", f"/apis/{API_VERSION}/namespaces/{place}/gateways", gateway)


async def remove_gateways(api: Api) -> None:
    """Take the Gateways away, for another minor's to be made."""
    paths = [f"/apis/{API_VERSION}/namespaces/{namespace}/gateways" for namespace in (SHOPS, ELSEWHERE)]
    for path in paths:
        api.request("DELETE", path, {})
    await eventually(lambda: not any(api.request("GET", path)["items"] for path in paths), seconds=60)


def list_made(api: Api) -> dict[str, Object]:
    """What istiod deployed, by kind and name."""
    return {
        f"{kind} {manifest['metadata']['name']}": manifest
        for kind in KINDS
        for manifest in api.list(kind, SHOPS, labels=MANAGED)
    }


async def remove_made(api: Api) -> None:
    """Take away what an istiod deployed, for the next one to do it anew. None may be running."""
    for kind in KINDS:
        api.request("DELETE", f"{api.path(kind, SHOPS)}?labelSelector={MANAGED}", {})
    await eventually(lambda: not list_made(api), seconds=60)


def strip(manifest: Object) -> Object:
    """An object without what the cluster itself writes into it."""
    metadata = {
        key: value
        for key, value in manifest["metadata"].items()
        if key not in {"creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"}
    }
    metadata["annotations"] = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if key != "deployment.kubernetes.io/revision"
    }
    content = {key: value for key, value in manifest.items() if key not in {"metadata", "status"}}
    if manifest["kind"] == "Service":
        given = {"clusterIP", "clusterIPs", "healthCheckNodePort", "ports"}
        spec = {key: value for key, value in manifest["spec"].items() if key not in given}
        ports = [
            {key: value for key, value in port.items() if key != "nodePort"}
            for port in manifest["spec"]["ports"]
        ]
        content["spec"] = {**spec, "ports": ports}
    return {**content, "metadata": metadata}
