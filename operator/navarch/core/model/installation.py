"""Where Navarch is installed: the namespaces to which its ClusterRoleBinding gives its rights.

Owns the reading of that binding, and what is said of an installation that has lost its rights to another.
Must never look anything up. Invariant: a binding that names no ServiceAccount says nothing.
"""

from __future__ import annotations

from navarch.core.model.refs import Manifest

BINDING = "navarch"
"""Name of the ClusterRoleBinding of an installation; another installation's manifests replace it."""


def find_homes(binding: Manifest | None) -> frozenset[str]:
    """The namespaces of the accounts that a ClusterRoleBinding names."""
    subjects = (binding or {}).get("subjects") or ()
    return frozenset(s.get("namespace", "") for s in subjects if s.get("kind") == "ServiceAccount")


def tell_displaced(homes: frozenset[str], namespace: str) -> str:
    """That the rights of the installation in `namespace` went to others; empty where they did not."""
    if not homes or namespace in homes:
        return ""
    return (
        f"ClusterRoleBinding {BINDING} gives Navarch's rights to namespace {', '.join(sorted(homes))}, and "
        f"none to {namespace}: one installation serves a cluster. Apply the manifests of this one again, or "
        f"end it: kubectl -n {namespace} scale deployment {BINDING} --replicas=0"
    )


def tell_rival(holder: str, other: str, namespace: str) -> str:
    """That an operator of another namespace leads."""
    return (
        f"an operator in namespace {other} leads ({holder} holds Lease {other}/{BINDING}): one installation "
        f"serves a cluster, and this one, in {namespace}, does nothing while the other works. Remove this "
        f"one, or end the other: kubectl -n {other} scale deployment {BINDING} --replicas=0"
    )
