"""Asking an API server whether it would admit a write, and what its users are told.

Must never decide what should be admitted. Requests are dry runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from lab.cluster import Cluster, KubectlError
from tests.support.api import Api, Object, Refused

TENANT = "tenant"


def refusal(api: Api, manifest: Object) -> str:
    """What the API server says to creating an object as cluster administrator; empty when it would."""
    try:
        api.create(manifest, dry_run=True)
    except Refused as refused:
        return str(refused)
    return ""


def change(api: Api, namespace: str, patch: Object, *, name: str = "demo") -> str:
    """What the API server says to a merge patch of a mesh; empty when it would take it."""
    try:
        path = api.path("mesh", namespace, name)
        api.request("PATCH", f"{path}?dryRun=All", patch, media="application/merge-patch+json")
    except Refused as refused:
        return str(refused)
    return ""


def say(cluster: Cluster, *arguments: str, stdin: str | None = None, user: str = TENANT) -> str:
    """What a user is told when a command is refused; empty when it is carried out."""
    try:
        cluster.run(*arguments, f"--as={user}", stdin=stdin)
    except KubectlError as error:
        return str(error)
    return ""


def submit(cluster: Cluster, manifest: Object, *, user: str = TENANT) -> str:
    """What a user is told who would create an object; empty when it would be created."""
    return refusal(_as(cluster.kubeconfig, user), manifest)


def may(cluster: Cluster, verb: str, resource: str, namespace: str, *, user: str = TENANT) -> bool:
    """Whether RBAC lets a user do something with our kinds in a namespace."""
    attributes = {"verb": verb, "group": "mesh.navarch.io", "resource": resource, "namespace": namespace}
    kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    review = {**kind, "spec": {"resourceAttributes": attributes}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = _as(cluster.kubeconfig, user).request("POST", path, review)
    return bool(answer["status"]["allowed"])


def _as(kubeconfig: Path, user: str) -> Api:
    """Requests in the name of a user, without kubectl: that computes longer than what it asks for takes."""
    return _connect(kubeconfig).impersonating(user)


@cache
def _connect(kubeconfig: Path) -> Api:
    return Api(kubeconfig)


def nest(path: Sequence[str], value: Any) -> Object:
    """{a: {b: value}} of the path (a, b)."""
    for step in reversed(path):
        value = {step: value}
    return dict(value)


def bind(namespace: str, role: str, *, user: str = TENANT) -> Object:
    """A RoleBinding that gives a user one of the roles for people."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{user}-{role}", "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }


def build_revision(namespace: str) -> Object:
    """A MeshRevision as the operator would make it."""
    return {
        "apiVersion": "mesh.navarch.io/v1beta1",
        "kind": "MeshRevision",
        "metadata": {"name": f"{namespace}-demo-inplace", "namespace": namespace},
        "spec": {
            "mesh": "demo",
            "tag": f"{namespace}-demo",
            "version": "1.31.1",
            "strategy": "InPlace",
            "members": {"default": False, "excluded": []},
            "config": {},
        },
    }
