"""Istio's truth table of injection, and the webhooks of its chart that it is about.

Owns both as they are documented. Must never ask our code: it is held against them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REV, INJECTION, INJECT = "istio.io/rev", "istio-injection", "sidecar.istio.io/inject"


def _rule(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator} | ({"values": [*values]} if values else {})


def build_chart_webhook(revision: str, *, tag: str = "", default: bool = False) -> dict[str, Any]:
    """The injectors of a revision, or of a tag for it, as Istio's chart has them."""
    value, none = tag or revision, [_rule(REV, "DoesNotExist"), _rule(INJECTION, "DoesNotExist")]
    entries = {
        "rev.namespace.": (
            [_rule(REV, "In", value), _rule(INJECTION, "DoesNotExist")],
            [_rule(INJECT, "NotIn", "false")],
        ),
        "rev.object.": (none, [_rule(INJECT, "NotIn", "false"), _rule(REV, "In", value)]),
    }
    if default:
        entries |= {
            "namespace.": ([_rule(INJECTION, "In", "enabled")], [_rule(INJECT, "NotIn", "false")]),
            "object.": (none, [_rule(INJECT, "In", "true"), _rule(REV, "DoesNotExist")]),
        }
    name = f"istio-revision-tag-{tag}" if tag else f"istio-sidecar-injector-{revision}"
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name, "labels": {REV: revision} | ({"istio.io/tag": tag} if tag else {})},
        "webhooks": [
            {
                "name": f"{prefix}sidecar-injector.istio.io",
                "clientConfig": {"service": {"name": "istiod", "namespace": "istio-system"}},
                "namespaceSelector": {"matchExpressions": namespace},
                "objectSelector": {"matchExpressions": pod},
            }
            for prefix, (namespace, pod) in entries.items()
        ],
    }


NAMESPACES: Mapping[str, Mapping[str, str]] = {
    "none": {},
    "enabled": {INJECTION: "enabled"},
    "disabled": {INJECTION: "disabled"},
    "canary": {REV: "canary"},
    "prod": {REV: "prod"},
    "unknown": {REV: "prd"},
    "enabled and canary": {INJECTION: "enabled", REV: "canary"},
    "disabled and canary": {INJECTION: "disabled", REV: "canary"},
}
PODS: Mapping[str, Mapping[str, str]] = {
    "none": {},
    "true": {INJECT: "true"},
    "false": {INJECT: "false"},
    "canary": {REV: "canary"},
    "prod": {REV: "prod"},
}
TABLE = """
                     none     true     false  canary   prod
none                 -        default  -      canary   prod
enabled              default  default  -      default  default
disabled             -        -        -      -        -
canary               canary   canary   -      canary   canary
prod                 prod     prod     -      prod     prod
unknown              -        -        -      -        -
enabled and canary   default  default  -      default  default
disabled and canary  -        -        -      -        -
"""
"""By namespace and pod, whose injector gives the sidecar (Istio's documentation, "Controlling the injection
policy" and "Safely upgrade the Istio control plane with revisions")."""


def read_table() -> dict[tuple[str, str], str]:
    """TABLE by its rows and columns."""
    header, *rows = TABLE.strip("\n").splitlines()
    width = len("disabled and canary") + 2
    return {
        (row[:width].strip(), pod): "" if value == "-" else value
        for row in rows
        for pod, value in zip(header.split(), row[width:].split(), strict=True)
    }
