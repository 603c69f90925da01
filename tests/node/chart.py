"""A gateway as Istio's public chart `gateway` makes it with its default values, but for the type of its
Service, its requests and the pull policy: the control of our own gateways."""

from __future__ import annotations

from collections.abc import Mapping

from tests.support.api import Object

NAME = "chart"


def build_chart_gateway(namespace: str, tag: str, *, labels: Mapping[str, str]) -> list[Object]:
    """Account, role, Deployment and Service. `labels` are more labels of the pods."""
    metadata = {"name": NAME, "namespace": namespace}
    selector = {"app": NAME, "istio": NAME}
    rbac = "rbac.authorization.k8s.io"
    role = {"apiGroup": rbac, "kind": "Role", "name": NAME}
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "watch", "list"]}
    subject = {"kind": "ServiceAccount", "name": NAME}
    ports = [{"name": "https", "port": 443, "targetPort": 443}]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": role,
            "subjects": [subject],
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": selector, "ports": ports},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": selector},
                "template": _build_template(tag, {**labels, **selector}),
            },
        },
    ]


def _build_template(tag: str, labels: Mapping[str, str]) -> Object:
    container = {
        "name": "istio-proxy",
        "image": "auto",
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "http-envoy-prom", "containerPort": 15090}],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        },
    }
    injected = {"sidecar.istio.io/inject": "true", "istio.io/rev": tag, "istio.io/dataplane-mode": "none"}
    return {
        "metadata": {
            "labels": {**labels, **injected},
            "annotations": {"inject.istio.io/templates": "gateway", "sidecar.istio.io/inject": "true"},
        },
        "spec": {
            "serviceAccountName": NAME,
            "securityContext": {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]},
            "terminationGracePeriodSeconds": 30,
            "containers": [container],
        },
    }
