"""The account with which OLM v1 (a ClusterExtension) installs the bundle, and exactly the rights for that.

Owns which right follows from which object of a bundle. Must never hold `escalate`: what the bundle's roles
grant, the installer holds itself. Invariant: every kind and every rule of the bundle is covered and nothing
else is, but that roles and bindings which OLM names by a hash cannot be told from others of their kind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from navarch.api.install import NAME
from navarch.api.meta import JSONObject
from navarch.api.rbac import build_bind_rule, merge_rules

INSTALLER = f"{NAME}-installer"
READ_NAMESPACES: JSONObject = {
    "apiGroups": [""],
    "resources": ["namespaces"],
    "verbs": ["get", "list", "watch"],
}
"""What OLM adds to the rights of an operator that works in all namespaces."""

_RBAC = "rbac.authorization.k8s.io"
_ALL = ("create", "list", "watch")
_NAMED = ("get", "update", "patch", "delete")
_PLURALS: Mapping[str, tuple[str, str, bool]] = {
    "ClusterRole": (_RBAC, "clusterroles", False),
    "CustomResourceDefinition": ("apiextensions.k8s.io", "customresourcedefinitions", False),
    "Deployment": ("apps", "deployments", True),
    "PodDisruptionBudget": ("policy", "poddisruptionbudgets", True),
    "Service": ("", "services", True),
    "ServiceAccount": ("", "serviceaccounts", True),
}
"""Kinds of a bundle's objects: API group, resource, and whether it lies in a namespace."""


def build_installer(bundle: Iterable[Mapping[str, Any]], *, namespace: str) -> list[JSONObject]:
    """Namespace, account, roles and bindings for the objects of a bundle (build_manifests)."""
    objects = list(bundle)
    names = _collect_names(objects)
    account = {"kind": "ServiceAccount", "name": INSTALLER, "namespace": namespace}
    wide = [
        *_build_rules(names, namespaced=False),
        _build_rule("olm.operatorframework.io", "clusterextensions/finalizers", ["update"], [NAME]),
        _build_rule(_RBAC, "clusterrolebindings", [*_ALL, *_NAMED]),
        _build_rule(_RBAC, "clusterroles", [*_ALL, *_NAMED]),
    ]
    granted = [rule for each in objects for rule in _list_granted(each)]
    bound = {name for rule in granted if "bind" in rule["verbs"] for name in rule["resourceNames"]}
    others = (rule for rule in granted if "bind" not in rule["verbs"])
    everywhere = [*merge_rules([*wide, *others, READ_NAMESPACES]), build_bind_rule(bound)]
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    return [
        {**_build("v1", "Namespace", namespace), "metadata": {"name": namespace, "labels": enforce}},
        _build("v1", "ServiceAccount", INSTALLER, namespace=namespace),
        {**_build(f"{_RBAC}/v1", "ClusterRole", INSTALLER), "rules": everywhere},
        _bind("ClusterRole", account),
        {
            **_build(f"{_RBAC}/v1", "Role", INSTALLER, namespace=namespace),
            "rules": merge_rules(_build_rules(names, namespaced=True)),
        },
        _bind("Role", account, namespace=namespace),
    ]


def _build(api_version: str, kind: str, name: str, *, namespace: str = "") -> JSONObject:
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **place}}


def _bind(kind: str, account: JSONObject, *, namespace: str = "") -> JSONObject:
    return {
        **_build(f"{_RBAC}/v1", f"{kind}Binding", INSTALLER, namespace=namespace),
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": INSTALLER},
        "subjects": [account],
    }


def _build_rule(group: str, resource: str, verbs: Iterable[str], names: Iterable[str] = ()) -> JSONObject:
    named = {"resourceNames": sorted(names)} if names else {}
    return {"apiGroups": [group], "resources": [resource], **named, "verbs": [*verbs]}


def _collect_names(objects: Iterable[Mapping[str, Any]]) -> Mapping[str, set[str]]:
    """Names of the objects that are made of a bundle, by kind. Raises ValueError for a kind that is not known
    here."""
    names: dict[str, set[str]] = defaultdict(set)
    for each in objects:
        if each["kind"] == "ClusterServiceVersion":
            strategy = each["spec"]["install"]["spec"]
            names["Deployment"] |= {deployment["name"] for deployment in strategy["deployments"]}
            grants = (*strategy["clusterPermissions"], *strategy["permissions"])
            names["ServiceAccount"] |= {grant["serviceAccountName"] for grant in grants}
        else:
            names[each["kind"]].add(each["metadata"]["name"])
    if unknown := names.keys() - _PLURALS.keys():
        raise ValueError(f"{sorted(unknown)}: say with which rights OLM v1 makes them")
    return names


def _build_rules(names: Mapping[str, set[str]], *, namespaced: bool) -> Iterator[JSONObject]:
    """What it takes to make these objects, to watch them, and to replace and remove them by name."""
    for kind, named in names.items():
        group, resource, is_namespaced = _PLURALS[kind]
        if is_namespaced is namespaced:
            yield _build_rule(group, resource, _ALL)
            yield _build_rule(group, resource, _NAMED, named)


def _list_granted(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rules of a role, or of all that a ClusterServiceVersion asks for its operator."""
    if manifest["kind"] == "ClusterServiceVersion":
        strategy = manifest["spec"]["install"]["spec"]
        grants = (*strategy["clusterPermissions"], *strategy["permissions"])
        return [rule for grant in grants for rule in grant["rules"]]
    return list(manifest["rules"]) if manifest["kind"] == "ClusterRole" else []
