"""Who is injected: every combination of a namespace's and a pod's labels, with real istiod and kubelet.

The table is written by hand from what Istio's webhooks of a tag promise, with one difference that is ours:
outside of the mesh's namespaces nothing is injected. core/membership must agree, since istiod's view follows
from it: a pod that is injected where istiod does not look never starts.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from navarch.core.membership.rule import Membership, is_member

from tests.node.conftest import Mesh
from tests.polling import eventually
from tests.support.api import Api, Object, Refused
from tests.support.workloads import build_pod, create_namespace, is_injected, is_ready

REV, INJECTION, INJECT = "istio.io/rev", "istio-injection", "sidecar.istio.io/inject"

NAMESPACES: Mapping[str, Mapping[str, str]] = {
    "none": {},
    "tag": {REV: "TAG"},
    "revision": {REV: "REVISION"},
    "other": {REV: "somebody-elses"},
    "enabled": {INJECTION: "enabled"},
    "disabled": {INJECTION: "disabled"},
    "enabled-tag": {INJECTION: "enabled", REV: "TAG"},
    "disabled-tag": {INJECTION: "disabled", REV: "TAG"},
}
OWN = "own"
PODS: Mapping[str, Mapping[str, str]] = {
    "none": {},
    "true": {INJECT: "true"},
    "false": {INJECT: "false"},
    "tag": {REV: "TAG"},
    "revision": {REV: "REVISION"},
    "other": {REV: "somebody-elses"},
}
ALL_BUT_FALSE = {"none", "true", "tag", "revision", "other"}
ALWAYS: Mapping[str, set[str]] = {
    "tag": ALL_BUT_FALSE,
    "revision": ALL_BUT_FALSE,
    OWN: {"tag", "revision"},
}
"""Pods that are injected, by their namespace; none in the namespaces that are not named."""
WITH_DEFAULT_TAG: Mapping[str, set[str]] = {
    **ALWAYS,
    "enabled": ALL_BUT_FALSE,
    "enabled-tag": ALL_BUT_FALSE,
    OWN: {"tag", "revision", "true"},
}
INVALID = {"hosts": ["shop"], "http": [{"route": [{"destination": {"host": ""}}]}]}


def fill_in(labels: Mapping[str, str], mesh: Mesh) -> dict[str, str]:
    values = {"TAG": mesh.tag, "REVISION": mesh.revision}
    return {key: values.get(value, value) for key, value in labels.items()}


async def see_who_is_injected(
    api: Api, mesh: Mesh, names: Mapping[str, str], *, run: str
) -> dict[str, set[str]]:
    """Makes a pod of each kind in each namespace, sees them all ready, and says which have a proxy."""
    label = {"run": run}
    for namespace in names.values():
        for kind, labels in PODS.items():
            api.create(build_pod(namespace, f"{run}-{kind}", labels={**fill_in(labels, mesh), **label}))
    wanted = len(names) * len(PODS)
    pods: list[Object] = []

    def are_ready() -> bool:
        pods[:] = api.list("pod", labels=f"run={run}")
        return sum(map(is_ready, pods)) == wanted

    try:
        await eventually(are_ready, seconds=150, every=1)
    except AssertionError:
        hanging = [f"{p['metadata']['namespace']}/{p['metadata']['name']}" for p in pods if not is_ready(p)]
        raise AssertionError(f"not ready: {', '.join(hanging)}") from None
    kinds = {namespace: kind for kind, namespace in names.items()}
    found: dict[str, set[str]] = {}
    for pod in filter(is_injected, pods):
        kind = kinds[pod["metadata"]["namespace"]]
        found.setdefault(kind, set()).add(pod["metadata"]["name"].removeprefix(f"{run}-"))
        assert pod["metadata"]["annotations"][REV] == mesh.revision
    for pod in pods:
        api.delete("pod", pod["metadata"]["namespace"], pod["metadata"]["name"])
    return found


@pytest.fixture(scope="module")
async def names(api: Api, mesh: Mesh) -> dict[str, str]:
    """A namespace of each kind, by kind."""
    found = {kind: f"inject-{kind}" for kind in NAMESPACES}
    for kind, labels in NAMESPACES.items():
        await create_namespace(api, found[kind], fill_in(labels, mesh))
    return {**found, OWN: mesh.namespace}


def check_members(mesh: Mesh, injected: Mapping[str, set[str]], *, default: bool) -> None:
    """core/membership calls exactly those namespaces members in which something was injected."""
    membership = Membership(mesh.namespace, (mesh.tag, mesh.revision), default=default)
    for kind, labels in NAMESPACES.items():
        assert is_member(membership, f"inject-{kind}", fill_in(labels, mesh)) is (kind in injected), kind


async def test_without_the_default_tag(mesh: Mesh, api: Api, names: dict[str, str]) -> None:
    injected = await see_who_is_injected(api, mesh, names, run="plain")
    assert injected == ALWAYS
    check_members(mesh, injected, default=False)


def test_an_invalid_virtual_service_is_refused_in_the_meshs_namespaces_only(
    mesh: Mesh, api: Api, names: dict[str, str]
) -> None:
    for kind, namespace in names.items():
        manifest: Object = {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": "invalid", "namespace": namespace},
            "spec": INVALID,
        }
        if kind in ALWAYS:
            with pytest.raises(Refused, match=r"validation\.istio\.io.*denied the request"):
                api.create(manifest, dry_run=True)
        else:
            api.create(manifest, dry_run=True)


async def test_with_the_default_tag(mesh: Mesh, api: Api, names: dict[str, str]) -> None:
    mesh.edit(defaultTag=True)
    try:
        await mesh.wait_for()
        injected = await see_who_is_injected(api, mesh, names, run="default")
        assert injected == WITH_DEFAULT_TAG
        check_members(mesh, injected, default=True)
    finally:
        mesh.edit(defaultTag=None)
    await mesh.wait_for()
    assert [w["metadata"]["name"] for w in api.list("mwc", labels="istio.io/tag=default")] == []
