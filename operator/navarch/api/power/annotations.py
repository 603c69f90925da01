"""Decisions about annotations of a gateway's pods.

Owns which keys are free; all others are refused. A key without a domain is its author's own: Kubernetes
reserves those for users, and asks of every component to put its domain before its keys
(kubernetes.io/docs/concepts/overview/working-with-objects/annotations).
"""

from __future__ import annotations

FREE_DOMAINS = (
    "prometheus.io",
    "ad.datadoghq.com",
    "co.elastic.logs",
    "fluentbit.io",
    "fluentd.org",
    "karpenter.sh",
)
"""Domains of annotations that say how logs and metrics are collected, or when a node may go: they decide
nothing of what a pod runs, mounts or reaches."""
FREE_KEYS = ("cluster-autoscaler.kubernetes.io/safe-to-evict",)


def is_free_annotation(key: str) -> bool:
    """Whether whoever may write a gateway may set this annotation of its pods."""
    domain, slash, _ = key.rpartition("/")
    return not slash or domain in FREE_DOMAINS or key in FREE_KEYS
