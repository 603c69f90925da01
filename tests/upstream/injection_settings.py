"""The ways of installing under which injected pods are compared: a value of upstream's installer, and what a
mesh of ours says for the same."""

from __future__ import annotations

from tests.upstream.installations import Setting

RESOURCES = {"requests": {"cpu": "15m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
LIFECYCLE = {"preStop": {"exec": {"command": ["sleep", "5"]}}}


SETTINGS: dict[str, Setting] = {
    "default": Setting(),
    "native sidecars": Setting(
        values={"pilot": {"env": {"ENABLE_NATIVE_SIDECARS": "true"}}},
        spec={"proxy": {"nativeSidecars": True}},
    ),
    "capture by TPROXY": Setting(
        values={
            "global": {
                "proxy": {
                    "excludeIPRanges": "10.0.0.0/8",
                    "excludeInboundPorts": "8086",
                    "excludeOutboundPorts": "3306",
                    "includeIPRanges": "*",
                    "includeInboundPorts": "*",
                }
            }
        },
        mesh={"defaultConfig": {"interceptionMode": "TPROXY"}},
        spec={
            "proxy": {
                "trafficCapture": {
                    "mode": "TProxy",
                    "excludeOutboundIPRanges": "10.0.0.0/8",
                    "excludeInboundPorts": "8086",
                    "excludeOutboundPorts": "3306",
                    "includeInboundPorts": "*",
                }
            }
        },
    ),
    "no capture": Setting(
        mesh={"defaultConfig": {"interceptionMode": "NONE"}},
        spec={"proxy": {"trafficCapture": {"mode": "None"}}},
    ),
    "held until the proxy starts": Setting(
        values={"global": {"proxy": {"holdApplicationUntilProxyStarts": True}}},
        mesh={"defaultConfig": {"holdApplicationUntilProxyStarts": True}},
        spec={"proxy": {"holdApplicationUntilProxyStarts": True}},
    ),
    "own resources and logs": Setting(
        values={
            "global": {
                "proxy": {
                    "resources": RESOURCES,
                    "lifecycle": LIFECYCLE,
                    "logLevel": "debug",
                    "componentLogLevel": "http:trace",
                    "readinessPeriodSeconds": 7,
                },
                "imagePullPolicy": "Always",
                "imagePullSecrets": ["one", "two"],
            }
        },
        spec={
            "proxy": {
                "resources": RESOURCES,
                "lifecycle": LIFECYCLE,
                "logLevel": "debug",
                "componentLogLevel": "http:trace",
                "readinessPeriodSeconds": 7,
            },
            "images": {"pullPolicy": "Always", "pullSecrets": [{"name": "one"}, {"name": "two"}]},
        },
    ),
    "CNI": Setting(
        values={"pilot": {"cni": {"provider": "multus"}}},
        components={"cni": {"enabled": True}},
        spec={"values": {"pilot": {"cni": {"enabled": True, "provider": "multus"}}}},
    ),
    "everything in values": Setting(
        values={
            "global": {
                "logAsJson": True,
                "logging": {"level": "all:debug"},
                "meshID": "north-mesh",
                "multiCluster": {"clusterName": "north"},
                "nativeNftables": True,
                "network": "north-net",
                "sts": {"servicePort": 15463},
                "proxy": {
                    "includeOutboundPorts": "9000",
                    "outlierLogPath": "/dev/stdout",
                    "readinessFailureThreshold": 9,
                    "readinessInitialDelaySeconds": 3,
                    "seccompProfile": {"type": "RuntimeDefault"},
                    "startupProbe": {"enabled": False},
                    "statusPort": 15999,
                },
            },
            "gateways": {"seccompProfile": {"type": "RuntimeDefault"}},
            "pilot": {"env": {"COMPLIANCE_POLICY": "fips-140-3"}},
        },
        unchecked={
            "global": {"proxy": {"capNetBindService": True}, "proxy_init": {"forceApplyIptables": True}}
        },
        spec={
            "controlPlane": {"environment": [{"name": "COMPLIANCE_POLICY", "value": "fips-140-3"}]},
            "values": {
                "global": {
                    "logAsJson": True,
                    "logging": {"level": "all:debug"},
                    "meshID": "north-mesh",
                    "multiCluster": {"clusterName": "north"},
                    "nativeNftables": True,
                    "network": "north-net",
                    "sts": {"servicePort": 15463},
                    "proxy_init": {"forceApplyIptables": True},
                    "proxy": {
                        "capNetBindService": True,
                        "includeOutboundPorts": "9000",
                        "outlierLogPath": "/dev/stdout",
                        "readinessFailureThreshold": 9,
                        "readinessInitialDelaySeconds": 3,
                        "seccompProfile": {"type": "RuntimeDefault"},
                        "startupProbe": {"enabled": False},
                        "statusPort": 15999,
                    },
                },
                "gateways": {"seccompProfile": {"type": "RuntimeDefault"}},
            },
        },
    ),
    "everything in meshConfig": Setting(
        mesh={
            "enablePrometheusMerge": False,
            "extensionProviders": [
                {"name": "otel", "opentelemetry": {"port": 4317, "service": "otel.example.com"}}
            ],
            "inboundTrafficPolicy": {"mode": "LOCALHOST"},
            "proxyInboundListenPort": 16006,
            "proxyListenPort": 16001,
            "trustDomain": "example.org",
            "defaultConfig": {
                "concurrency": 3,
                "image": {"imageType": "distroless"},
                "terminationDrainDuration": "7s",
                "tracing": {"sampling": 17.5, "zipkin": {"address": "zipkin.example.com:9411"}},
                "proxyMetadata": {
                    "IPTABLES_TRACE_LOGGING": "true",
                    "ISTIO_META_DNS_CAPTURE": "true",
                    "ISTIO_META_ENABLE_HBONE": "true",
                },
            },
        },
        spec={
            "trust": {"domain": "example.org"},
            "meshConfig": {
                "enablePrometheusMerge": False,
                "extensionProviders": [
                    {"name": "otel", "opentelemetry": {"port": 4317, "service": "otel.example.com"}}
                ],
                "inboundTrafficPolicy": {"mode": "LOCALHOST"},
                "proxyInboundListenPort": 16006,
                "proxyListenPort": 16001,
                "defaultConfig": {
                    "concurrency": 3,
                    "image": {"imageType": "distroless"},
                    "terminationDrainDuration": "7s",
                    "tracing": {"sampling": 17.5, "zipkin": {"address": "zipkin.example.com:9411"}},
                    "proxyMetadata": {
                        "IPTABLES_TRACE_LOGGING": "true",
                        "ISTIO_META_DNS_CAPTURE": "true",
                        "ISTIO_META_ENABLE_HBONE": "true",
                    },
                },
            },
        },
    ),
}
