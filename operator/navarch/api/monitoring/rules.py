"""Alerts as a file of rules and as objects of the Prometheus Operator, and where to scrape.

Owns their form. Must never hold an expression. Invariant: the objects fit the Service and the port of the
installation.
"""

from __future__ import annotations

from navarch.api.install import METRICS_PATH, METRICS_PORT_NAME, METRICS_SERVICE, NAME, NAMESPACE, SELECTOR
from navarch.api.meta import JSONObject
from navarch.api.monitoring.alerts import ALERTS

_API = "monitoring.coreos.com/v1"
_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"


def build_rules() -> JSONObject:
    """A file of rules, for any Prometheus."""
    rules = [
        {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.lasts,
            "labels": {"severity": alert.severity.value},
            "annotations": {
                "summary": alert.summary,
                "description": alert.description,
                "runbook_url": alert.runbook,
            },
        }
        for alert in ALERTS
    ]
    return {"groups": [{"name": NAME, "rules": rules}]}


def build_monitoring(namespace: str = NAMESPACE) -> list[JSONObject]:
    """ServiceMonitor and PrometheusRule."""
    metadata = {"name": NAME, "namespace": namespace, "labels": dict(SELECTOR)}
    endpoint = {
        "port": METRICS_PORT_NAME,
        "path": METRICS_PATH,
        "scheme": "https",
        "bearerTokenFile": _TOKEN,
        # `namespace` is that of a mesh, and not of the pod that tells of it.
        "honorLabels": True,
        "tlsConfig": {"serverName": f"{METRICS_SERVICE}.{namespace}.svc", "insecureSkipVerify": True},
    }
    monitor = {"selector": {"matchLabels": dict(SELECTOR)}, "endpoints": [endpoint]}
    return [
        {"apiVersion": _API, "kind": "ServiceMonitor", "metadata": metadata, "spec": monitor},
        {"apiVersion": _API, "kind": "PrometheusRule", "metadata": metadata, "spec": build_rules()},
    ]
