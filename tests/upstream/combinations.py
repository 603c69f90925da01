"""The wishes that are rendered on both sides: what an IstioOperator says, and the MeshControlPlane that says
the same.

Owns the pairs. Must never hold a pair whose halves mean different things: then a gap would be the test's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.upstream.comparison import NAMESPACE


@dataclass(frozen=True, slots=True)
class Combination:
    """One wish; `upstream` is laid over the spec of an IstioOperator, `ours` over that of a mesh. `with_crds`
    says whether Istio's CRDs are compared, too: no wish changes them, and they are large."""

    name: str
    upstream: Mapping[str, Any] = field(default_factory=dict)
    ours: Mapping[str, Any] = field(default_factory=dict)
    namespace: str = NAMESPACE
    with_crds: bool = False

    @property
    def owns_default_tag(self) -> bool:
        """Whether istio-injection=enabled means this mesh."""
        return bool(self.ours.get("defaultTag"))

    def __str__(self) -> str:
        return self.name


def _pilot(**values: Any) -> dict[str, Any]:
    return {"values": {"pilot": values}}


def _globals(**values: Any) -> dict[str, Any]:
    return {"values": {"global": values}}


_PLACEMENT: Mapping[str, Any] = {
    "nodeSelector": {"role": "infra"},
    "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "mesh", "effect": "NoSchedule"}],
    "affinity": {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 100,
                    "podAffinityTerm": {
                        "topologyKey": "kubernetes.io/hostname",
                        "labelSelector": {"matchLabels": {"app": "istiod"}},
                    },
                }
            ]
        }
    },
    "topologySpreadConstraints": [
        {
            "topologyKey": "topology.kubernetes.io/zone",
            "maxSkew": 1,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": "istiod"}},
        }
    ],
}
_PROXY_RESOURCES: Mapping[str, Any] = {
    "requests": {"cpu": "50m", "memory": "96Mi"},
    "limits": {"cpu": "1500m", "memory": "2048Mi"},
}
_LIFECYCLE: Mapping[str, Any] = {"preStop": {"exec": {"command": ["sleep", "5"]}}}
_PROVIDERS: Mapping[str, Any] = {
    "extensionProviders": [
        {"name": "traces", "opentelemetry": {"service": "otel.telemetry.svc.cluster.local", "port": 4317}},
        {"name": "authz", "envoyExtAuthzGrpc": {"service": "authz.security.svc.cluster.local", "port": 9000}},
    ],
    "defaultProviders": {"tracing": ["traces"]},
}
_MESH_NETWORKS: Mapping[str, Any] = {
    "west": {"endpoints": [{"fromRegistry": "west"}], "gateways": [{"address": "192.0.2.1", "port": 15443}]}
}

COMBINATIONS: tuple[Combination, ...] = (
    Combination("defaults", with_crds=True),
    Combination("the default tag", ours={"defaultTag": True}),
    Combination("in istio-system", ours={"defaultTag": True}, namespace="istio-system"),
    Combination(
        "three replicas, no autoscaler",
        _pilot(autoscaleEnabled=False, replicaCount=3),
        {"controlPlane": {"replicas": 3, "autoscaling": {"enabled": False}}},
    ),
    Combination(
        "one replica, no autoscaler",
        _pilot(autoscaleEnabled=False),
        {"controlPlane": {"autoscaling": {"enabled": False}}},
    ),
    Combination(
        "two to seven replicas",
        _pilot(autoscaleMin=2, autoscaleMax=7, cpu={"targetAverageUtilization": 65}),
        {
            "controlPlane": {
                "autoscaling": {"minReplicas": 2, "maxReplicas": 7, "targetCPUUtilization": 65},
            }
        },
    ),
    Combination(
        "a budget of two",
        {
            "components": {"pilot": {"k8s": {"podDisruptionBudget": {"minAvailable": 2}}}},
            "values": {"pilot": {"autoscaleMin": 3}},
        },
        {"controlPlane": {"autoscaling": {"minReplicas": 3}, "podDisruptionBudget": {"minAvailable": 2}}},
    ),
    Combination(
        "no budget",
        {
            "values": {
                "pilot": {"autoscaleMin": 2},
                "global": {"defaultPodDisruptionBudget": {"enabled": False}},
            }
        },
        {"controlPlane": {"autoscaling": {"minReplicas": 2}, "podDisruptionBudget": {"enabled": False}}},
    ),
    Combination(
        "a network policy",
        _globals(networkPolicy={"enabled": True}),
        {"controlPlane": {"networkPolicy": True}},
    ),
    Combination(
        "placement",
        {"values": {"pilot": dict(_PLACEMENT), "global": {"priorityClassName": "system-cluster-critical"}}},
        {"controlPlane": {"placement": {**_PLACEMENT, "priorityClassName": "system-cluster-critical"}}},
    ),
    Combination(
        "istiod's resources",
        _pilot(
            resources={
                "requests": {"cpu": "1", "memory": "4Gi"},
                "limits": {"cpu": "4000m", "memory": "4096Mi"},
            }
        ),
        {
            "controlPlane": {
                "resources": {
                    "requests": {"cpu": "1000m", "memory": "4Gi"},
                    "limits": {"cpu": "4", "memory": "4Gi"},
                }
            }
        },
    ),
    Combination(
        "istiod's environment",
        _pilot(
            env={
                "PILOT_ENABLE_STATUS": "true",
                "COMPLIANCE_POLICY": "fips-140-3",
                "PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER": "false",
            }
        ),
        {
            "controlPlane": {
                "environment": [
                    {"name": "PILOT_ENABLE_STATUS", "value": "true"},
                    {"name": "COMPLIANCE_POLICY", "value": "fips-140-3"},
                    {"name": "PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER", "value": "false"},
                ]
            }
        },
    ),
    Combination(
        "logging",
        _globals(logAsJson=True, logging={"level": "default:warn,ads:debug"}),
        {
            "controlPlane": {"logging": {"level": "default:warn,ads:debug", "json": True}},
            "values": {"global": {"logAsJson": True, "logging": {"level": "default:warn,ads:debug"}}},
        },
    ),
    Combination(
        "half of all traces",
        _pilot(traceSampling=50),
        {"controlPlane": {"environment": [{"name": "PILOT_TRACE_SAMPLING", "value": "50"}]}},
    ),
    Combination(
        "a trust domain and its aliases",
        {
            "meshConfig": {
                "trustDomain": "example.org",
                "trustDomainAliases": ["old.example.org", "b.example"],
            }
        },
        {"trust": {"domain": "example.org", "additionalDomains": ["old.example.org", "b.example"]}},
    ),
    Combination(
        "an access log",
        {
            "meshConfig": {
                "accessLogFile": "/dev/stdout",
                "accessLogEncoding": "JSON",
                "accessLogFormat": '{"path": "%REQ(:PATH)%"}\n',
            }
        },
        {
            "proxy": {
                "accessLog": {
                    "file": "/dev/stdout",
                    "encoding": "JSON",
                    "format": '{"path": "%REQ(:PATH)%"}\n',
                }
            }
        },
    ),
    Combination(
        "TLS between proxies",
        {
            "meshConfig": {
                "meshMTLS": {"minProtocolVersion": "TLSV1_3", "cipherSuites": ["AES128-GCM-SHA256"]}
            }
        },
        {"mtls": {"minimumProtocolVersion": "TLSv1_3", "cipherSuites": ["AES128-GCM-SHA256"]}},
    ),
    Combination(
        "native sidecars",
        _pilot(env={"ENABLE_NATIVE_SIDECARS": "true"}),
        {"proxy": {"nativeSidecars": True}},
    ),
    Combination(
        "proxies",
        {
            "meshConfig": {"defaultConfig": {"holdApplicationUntilProxyStarts": True}},
            "values": {
                "global": {
                    "proxy": {
                        "resources": _PROXY_RESOURCES,
                        "lifecycle": _LIFECYCLE,
                        "logLevel": "info",
                        "componentLogLevel": "misc:error,upstream:debug",
                        "readinessPeriodSeconds": 5,
                    }
                }
            },
        },
        {
            "proxy": {
                "resources": _PROXY_RESOURCES,
                "lifecycle": _LIFECYCLE,
                "logLevel": "info",
                "componentLogLevel": "misc:error,upstream:debug",
                "readinessPeriodSeconds": 5,
                "holdApplicationUntilProxyStarts": True,
            }
        },
    ),
    Combination(
        "images from a mirror",
        {
            "hub": "mirror.example.org/istio",
            "tag": "custom",
            "values": {"global": {"imagePullPolicy": "Always", "imagePullSecrets": ["regcred", "other"]}},
        },
        {
            "images": {
                "hub": "mirror.example.org/istio",
                "tag": "custom",
                "pullPolicy": "Always",
                "pullSecrets": [{"name": "regcred"}, {"name": "other"}],
            }
        },
    ),
    Combination(
        "distroless images", _globals(variant="distroless"), {"values": {"global": {"variant": "distroless"}}}
    ),
    Combination(
        "traffic capture",
        {
            "meshConfig": {"defaultConfig": {"interceptionMode": "TPROXY"}},
            "values": {
                "global": {
                    "proxy": {
                        "includeInboundPorts": "8080,9090",
                        "excludeInboundPorts": "22",
                        "includeIPRanges": "10.0.0.0/8",
                        "excludeIPRanges": "10.9.0.0/16",
                        "excludeOutboundPorts": "3306",
                    }
                }
            },
        },
        {
            "proxy": {
                "trafficCapture": {
                    "mode": "TProxy",
                    "includeInboundPorts": "8080,9090",
                    "excludeInboundPorts": "22",
                    "includeOutboundIPRanges": "10.0.0.0/8",
                    "excludeOutboundIPRanges": "10.9.0.0/16",
                    "excludeOutboundPorts": "3306",
                }
            }
        },
    ),
    Combination("extension providers", {"meshConfig": _PROVIDERS}, {"meshConfig": _PROVIDERS}),
    Combination(
        "no metrics",
        {"meshConfig": {"defaultProviders": {"metrics": []}}},
        {"meshConfig": {"defaultProviders": {"metrics": []}}},
    ),
    Combination(
        "MeshConfig as it is written",
        {
            "meshConfig": {
                "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
                "enablePrometheusMerge": False,
                "defaultConfig": {"proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "true"}, "concurrency": 2},
                "serviceSettings": [{"settings": {"clusterLocal": True}, "hosts": ["*.a.svc.cluster.local"]}],
            }
        },
        {
            "meshConfig": {
                "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
                "enablePrometheusMerge": False,
                "defaultConfig": {"proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "true"}, "concurrency": 2},
                "serviceSettings": [{"settings": {"clusterLocal": True}, "hosts": ["*.a.svc.cluster.local"]}],
            }
        },
    ),
    Combination(
        "one cluster of several",
        _globals(
            meshID="shops", network="north", multiCluster={"clusterName": "c1"}, meshNetworks=_MESH_NETWORKS
        ),
        {
            "values": {
                "global": {
                    "meshID": "shops",
                    "network": "north",
                    "multiCluster": {"clusterName": "c1"},
                    "meshNetworks": _MESH_NETWORKS,
                }
            }
        },
    ),
    Combination(
        "the usual providers, said with nothing",
        {"meshConfig": {"defaultProviders": {}}},
        {"meshConfig": {"defaultProviders": {}}},
    ),
    Combination(
        "a tracer with an address",
        _globals(proxy={"tracer": "datadog"}, tracer={"datadog": {"address": "agent.dd.svc:8126"}}),
        {
            "values": {
                "global": {
                    "proxy": {"tracer": "datadog"},
                    "tracer": {"datadog": {"address": "agent.dd.svc:8126"}},
                }
            }
        },
    ),
    Combination(
        "a tracer",
        _globals(proxy={"tracer": "zipkin"}),
        {"values": {"global": {"proxy": {"tracer": "zipkin"}}}},
    ),
    Combination(
        "a cluster domain, nftables and a platform",
        _globals(proxy={"clusterDomain": "example.internal"}, nativeNftables=True, platform="openshift"),
        {
            "values": {
                "global": {
                    "proxy": {"clusterDomain": "example.internal"},
                    "nativeNftables": True,
                    "platform": "openshift",
                }
            }
        },
    ),
    Combination(
        "how injection is asked again",
        {
            "values": {
                "sidecarInjectorWebhook": {"reinvocationPolicy": "IfNeeded", "rewriteAppHTTPProbe": False}
            }
        },
        {
            "values": {
                "sidecarInjectorWebhook": {"reinvocationPolicy": "IfNeeded", "rewriteAppHTTPProbe": False}
            }
        },
    ),
    Combination(
        "probes of proxies",
        _globals(
            proxy={
                "startupProbe": {"enabled": False},
                "readinessInitialDelaySeconds": 1,
                "readinessFailureThreshold": 30,
                "statusPort": 15030,
                "outlierLogPath": "/dev/stdout",
            }
        ),
        {
            "values": {
                "global": {
                    "proxy": {
                        "startupProbe": {"enabled": False},
                        "readinessInitialDelaySeconds": 1,
                        "readinessFailureThreshold": 30,
                        "statusPort": 15030,
                        "outlierLogPath": "/dev/stdout",
                    }
                }
            }
        },
    ),
)
