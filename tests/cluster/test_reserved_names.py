"""Namespaces named kube-* and openshift-* that ask for a mesh: nothing is injected, and no mesh moves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from lab.cluster import Cluster, KubectlError
from tests.polling import eventually
from tests.support.activity import count_reconciles, wait_for_rest
from tests.support.api import Api, Object, Refused
from tests.support.audit import Audit
from tests.support.meshes import build_mesh, list_owned, read_condition, read_versions, wait_for
from tests.support.operator import Operator

ROUNDS = 6
CROWD = 30
INJECTED = "sidecar.istio.io/status"


@asynccontextmanager
async def removed_afterwards(api: Api) -> AsyncIterator[list[str]]:
    """A list of namespaces, which are gone at the end."""
    names: list[str] = []
    try:
        yield names
    finally:
        for name in names:
            api.delete("namespace", "", name)
    there = {*names}
    await eventually(
        lambda: not there & {n["metadata"]["name"] for n in api.list("namespace")},
        seconds=120,
        what="the namespaces are gone",
    )


def build_namespace(name: str, **labels: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def build_pod(namespace: str, **labels: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "first", "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    }


async def apply_together(cluster: Cluster, api: Api, namespace: Object, pod: Object) -> bool:
    """Apply a namespace and its first pod at once; whether the pod was injected. A first pod can be refused
    for want of the account that Kubernetes makes for each namespace: then the same is applied again."""
    where = namespace["metadata"]["name"]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [namespace, pod]})

    def apply() -> Object | None:
        with suppress(KubectlError):
            cluster.run("apply", "-f", "-", stdin=text)
        return api.get("pod", where, "first")

    made = await eventually(apply, every=0.02, what=f"the first pod of {where}")
    assert isinstance(made, dict)
    return INJECTED in (made["metadata"].get("annotations") or {})


async def test_no_pod_of_a_reserved_namespace_is_injected_not_even_the_first_one(
    api: Api, installed: Cluster, settled: str
) -> None:
    api.create(build_mesh(settled, defaultTag=True))
    await wait_for(api, settled)
    tag = f"{settled}-demo"
    asking = ({"istio.io/rev": tag}, {"istio.io/rev": f"{tag}-inplace"}, {"istio-injection": "enabled"})
    injected: dict[str, int] = {"kube-": 0, "openshift-": 0, "": 0}
    async with removed_afterwards(api) as names:
        for number in range(ROUNDS):
            labels = asking[number % len(asking)]
            for prefix in injected:
                name = f"{prefix}{settled}-{number}"
                names.append(name)
                namespace = build_namespace(name, **labels)
                injected[prefix] += await apply_together(installed, api, namespace, build_pod(name))
    assert injected == {"kube-": 0, "openshift-": 0, "": ROUNDS}


async def test_a_condition_on_the_name_means_to_the_api_server_what_the_rule_says(
    api: Api, lent: str
) -> None:
    labels = {"istio.io/rev": f"{lent}-demo"}
    names = {f"kubernetes-{lent}": True, f"x-kube-{lent}": True, f"openshifts-{lent}": True}
    names |= {f"kube-{lent}": False, f"openshift-{lent}": False}
    async with removed_afterwards(api) as made:
        for name in names:
            made.append(name)
            api.create(build_namespace(name, **labels))

        async def is_injected(name: str) -> bool:
            pod = build_pod(name)
            found = await eventually(lambda: try_create(api, pod), what=f"a pod of {name} is admitted")
            assert isinstance(found, dict)
            return INJECTED in (found["metadata"].get("annotations") or {})

        assert {name: await is_injected(name) for name in names} == names


def try_create(api: Api, pod: Object) -> Object | None:
    """A dry run of a pod; None while its namespace has no account yet."""
    try:
        return api.create(pod, dry_run=True)
    except Refused as refused:
        if "serviceaccount" in str(refused):
            return None
        raise


async def test_a_crowd_of_reserved_namespaces_neither_moves_nor_stops_a_mesh(
    api: Api, audit: Audit, operator: Operator, settled: str
) -> None:
    """None stands in any list, so that no number of them fills one: of 1,100 tests/unit/test_planner.py."""
    api.create(build_mesh(settled))
    await wait_for(api, settled)
    await wait_for_rest(operator)
    before, mark = read_versions(list_owned(api, settled)), audit.mark()
    reconciles, crowd = count_reconciles(operator), [f"kube-{settled}-x{n}" for n in range(CROWD)]
    async with removed_afterwards(api) as names:
        for name in crowd:
            names.append(name)
            api.create(build_namespace(name, **{"istio.io/rev": f"{settled}-demo"}))
        await eventually(lambda: count_reconciles(operator) > reconciles, what="the mesh is looked at")
        await eventually(  # words alone are held back where status was written a moment ago
            lambda: (
                f"{crowd[0]} (it is the platform's"
                in read_condition(api.get("mesh", settled, "demo"), "SpecAccepted")["message"]
            ),
            seconds=60,
            what="that their label has no effect is told",
        )
        await wait_for_rest(operator)
        written = [str(r) for r in audit.writes(mark) if r.namespace == settled or settled in r.name]
        # That their label has no effect is told, once in a look; beside that nothing is written.
        assert set(written) <= {f"patch meshcontrolplanes/status {settled}/demo -> 200"}
        assert len(written) <= count_reconciles(operator) - reconciles
        assert read_versions(list_owned(api, settled)) == before
        api.patch("mesh", settled, "demo", {"spec": {"proxy": {"logLevel": "debug"}}})
        await wait_for(api, settled)
        revision = api.get("revision", settled, f"{settled}-demo-inplace")
        assert revision is not None
        assert not {*crowd} & {*revision["spec"]["members"]["excluded"]}
