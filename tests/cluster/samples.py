"""One object of each kind that the operator owns, with every shape of field that managedFields knows."""

from __future__ import annotations

from typing import Any

from navarch.core.model.parent import Parent
from navarch.core.model.refs import Manifest


def build_sample(kind: str, parent: Parent, *, name: str = "") -> Manifest:
    """A valid object of `kind` that belongs to `parent`."""
    api_version, namespaced, body = SAMPLES[kind]
    metadata: dict[str, Any] = {
        "name": name or f"sample-{parent.namespace}",
        "labels": parent.labels(component="istiod"),
    }
    if namespaced:
        metadata["namespace"] = parent.namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}


RBAC = "rbac.authorization.k8s.io/v1"
ADMISSION = "admissionregistration.k8s.io/v1"

RULES = [
    {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get", "list"]},
    {
        "apiGroups": ["networking.istio.io"],
        "resources": ["gateways"],
        "verbs": ["get"],
        "resourceNames": ["x"],
    },
]
SUBJECTS = [{"kind": "ServiceAccount", "name": "istiod", "namespace": "default"}]
WEBHOOK: dict[str, Any] = {
    "name": "rev.namespace.sidecar-injector.istio.io",
    "admissionReviewVersions": ["v1"],
    "sideEffects": "None",
    "clientConfig": {"service": {"name": "istiod", "namespace": "default", "path": "/inject", "port": 443}},
    "namespaceSelector": {
        "matchExpressions": [{"key": "istio.io/rev", "operator": "In", "values": ["no-such-revision"]}],
    },
    "objectSelector": {"matchLabels": {"never": "matched"}},
    "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
}
CONTAINER: dict[str, Any] = {
    "name": "discovery",
    "image": "example.invalid/pilot:1.31.1",
    "args": ["discovery", "--log_output_level=default:info"],
    "env": [
        {"name": "REVISION", "value": "x"},
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
        {"name": "GOMAXPROCS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1"}}},
    ],
    "ports": [
        {"containerPort": 15010, "name": "grpc"},
        {"containerPort": 15017, "name": "https", "protocol": "TCP"},
    ],
    "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 3},
    "resources": {"requests": {"cpu": "1000m", "memory": "2048Mi"}, "limits": {"cpu": "2"}},
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
}
DEPLOYMENT = {
    "replicas": 1,
    "selector": {"matchLabels": {"app": "istiod"}},
    "strategy": {"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": "25%"}},
    "template": {
        "metadata": {
            "labels": {"app": "istiod", "istio.io/rev": "x"},
            "annotations": {"prometheus.io/port": "15014"},
        },
        "spec": {
            "serviceAccountName": "istiod",
            "containers": [CONTAINER],
            "tolerations": [{"key": "cni.istio.io/not-ready", "operator": "Exists"}],
            "volumes": [{"name": "scratch", "emptyDir": {"medium": "Memory"}}],
        },
    },
}
HPA = {
    "minReplicas": 1,
    "maxReplicas": 5,
    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "istiod"},
    "metrics": [
        {
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
        }
    ],
}
SERVICE = {
    "selector": {"app": "istiod"},
    "ports": [
        {"name": "grpc-xds", "port": 15010, "protocol": "TCP"},
        {"name": "https-webhook", "port": 443, "targetPort": 15017},
        {"name": "dns", "port": 53, "protocol": "TCP"},
        {"name": "dns-udp", "port": 53, "protocol": "UDP"},
    ],
}
POLICY = {
    "podSelector": {"matchLabels": {"app": "istiod"}},
    "policyTypes": ["Ingress"],
    "ingress": [{"ports": [{"port": 15017, "protocol": "TCP"}]}],
}

SAMPLES: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "ConfigMap": ("v1", True, {"data": {"mesh": "a: 1\n", "meshNetworks": "networks: {}"}}),
    "ServiceAccount": ("v1", True, {"imagePullSecrets": [{"name": "pull"}]}),
    "Service": ("v1", True, {"spec": SERVICE}),
    "Deployment": ("apps/v1", True, {"spec": DEPLOYMENT}),
    "HorizontalPodAutoscaler": ("autoscaling/v2", True, {"spec": HPA}),
    "PodDisruptionBudget": (
        "policy/v1",
        True,
        {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "istiod"}}}},
    ),
    "NetworkPolicy": ("networking.k8s.io/v1", True, {"spec": POLICY}),
    "Role": (RBAC, True, {"rules": RULES}),
    "RoleBinding": (
        RBAC,
        True,
        {
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
            "subjects": SUBJECTS,
        },
    ),
    "ClusterRole": (RBAC, False, {"rules": RULES}),
    "ClusterRoleBinding": (
        RBAC,
        False,
        {
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"},
            "subjects": SUBJECTS,
        },
    ),
    "MutatingWebhookConfiguration": (
        ADMISSION,
        False,
        {"webhooks": [WEBHOOK, WEBHOOK | {"name": "b.istio.io"}]},
    ),
    "ValidatingWebhookConfiguration": (ADMISSION, False, {"webhooks": [WEBHOOK]}),
    "PeerAuthentication": (
        "security.istio.io/v1",
        True,
        {
            "spec": {
                "selector": {"matchLabels": {"app": "x"}},
                "mtls": {"mode": "STRICT"},
                "portLevelMtls": {"8080": {"mode": "DISABLE"}},
            }
        },
    ),
}
