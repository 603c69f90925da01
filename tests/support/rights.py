"""Rights in tests: those that older releases made for each mesh, and what an account may do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from navarch.core.istio.roles import Rule

from tests.support.api import Api, Object

GROUP = "rbac.authorization.k8s.io"


def name_account(namespace: str, name: str = "demo") -> str:
    """The user name of a mesh's istiod."""
    return f"system:serviceaccount:{namespace}:istiod-{namespace}-{name}-inplace"


def build_older_rights(namespace: str, name: str = "demo", *, uid: str = "") -> Iterator[Object]:
    """A mesh's own roles and their bindings, named and labelled as by a release before the roles came with
    the installation. Their rules are shortened to reading Secrets."""
    revision = f"{namespace}-{name}-inplace"
    labels = {
        "app.kubernetes.io/managed-by": "navarch",
        "mesh.navarch.io/mesh-namespace": namespace,
        "mesh.navarch.io/mesh-name": name,
        "mesh.navarch.io/mesh-uid": uid or "00000000-0000-4000-8000-000000000000",
        "mesh.navarch.io/component": "istiod",
        "mesh.navarch.io/revision": revision,
    }
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    account = {"kind": "ServiceAccount", "name": f"istiod-{revision}", "namespace": namespace}

    def build(kind: str, name: str, where: str) -> Iterator[Object]:
        place: dict[str, Any] = {"namespace": where} if where else {}
        metadata = {"name": name, **place, "labels": labels}
        api = {"apiVersion": f"{GROUP}/v1", "metadata": metadata}
        ref = {"apiGroup": GROUP, "kind": kind, "name": name}
        yield {**api, "kind": kind, "rules": rules}
        yield {**api, "kind": f"{kind}Binding", "roleRef": ref, "subjects": [account]}

    yield from build("ClusterRole", f"istiod-clusterrole-{revision}-{namespace}", "")
    yield from build("ClusterRole", f"istiod-gateway-controller-{revision}-{namespace}", "")
    yield from build("Role", f"istiod-{revision}", namespace)


def list_rights(api: Api, user: str, namespace: str) -> set[tuple[str, str, str, str]]:
    """What an account is granted in a namespace (empty: in the whole cluster, by bindings of that reach
    alone), one permission at a time, from the bindings and roles of the cluster: API group, resource, name of
    the object (empty for all) and verb."""
    _, _, place, name = user.split(":")
    subject = {"kind": "ServiceAccount", "name": name, "namespace": place}
    kind = "rolebinding" if namespace else "clusterrolebinding"
    rights: set[tuple[str, str, str, str]] = set()
    for binding in api.list(kind, namespace):
        if any({**s, **subject} == s for s in binding.get("subjects") or ()):
            role = api.get(
                binding["roleRef"]["kind"].lower(),
                namespace if binding["roleRef"]["kind"] == "Role" else "",
                binding["roleRef"]["name"],
            )
            rights |= spell((role or {}).get("rules") or ())
    return rights


def spell(rules: list[Rule] | tuple[Rule, ...]) -> set[tuple[str, str, str, str]]:
    """Rules, one permission at a time; a URL that is no resource stands in a resource's place."""
    return {
        (group, resource, name, verb)
        for rule in rules
        for group in rule.get("apiGroups") or ("",)
        for resource in (*(rule.get("resources") or ()), *(rule.get("nonResourceURLs") or ()))
        for name in rule.get("resourceNames") or ("",)
        for verb in rule["verbs"]
    }
