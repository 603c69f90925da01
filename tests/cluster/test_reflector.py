"""Reflectors against a real API server: complete, current, without ghosts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from navarch.core.model.refs import Ref, ref_of
from navarch.kube.client import Client
from navarch.kube.credentials import load_credentials
from navarch.kube.reflector import RELIST_SECONDS, Reflector
from navarch.kube.resources import Resource, resource_of
from navarch.kube.store import Object

from lab.cluster import Cluster
from tests.cluster.conftest import Requests
from tests.polling import eventually

CONFIG_MAP = resource_of("v1", "ConfigMap")


def config_map(namespace: str, name: str, **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": "v"}}


def ref(namespace: str, name: str) -> Ref:
    return Ref("v1", "ConfigMap", namespace, name)


@asynccontextmanager
async def running(reflector: Reflector) -> AsyncIterator[Reflector]:
    task = asyncio.create_task(reflector.run())
    try:
        await asyncio.wait_for(reflector.synced.wait(), 10)
        yield reflector
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def names(reflector: Reflector, namespace: str) -> set[str]:
    return {obj["metadata"]["name"] for obj in reflector.store.list(namespace)}


def is_held(reflector: Reflector, wanted: Ref) -> bool:
    return reflector.store.get(wanted) is not None


class Changes:
    """What `on_change` was told, as (old name, new name)."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, str | None]] = []

    def __call__(self, old: Object | None, new: Object | None) -> None:
        self.seen.append((old and old["metadata"]["name"], new and new["metadata"]["name"]))


async def test_what_exists_and_what_comes_changes_and_goes_is_followed(
    client: Client, namespace: str
) -> None:
    await client.create(config_map(namespace, "before", mine="x"))
    changes = Changes()
    reflector = Reflector(client, CONFIG_MAP, namespace=namespace, label_selector="mine", on_change=changes)
    async with running(reflector):
        assert names(reflector, namespace) == {"before"}
        await client.create(config_map(namespace, "after", mine="x"))
        await client.create(config_map(namespace, "unlabelled"))
        await eventually(lambda: "after" in names(reflector, namespace))
        held = reflector.store.get(ref(namespace, "after"))
        assert held is not None
        assert (held["kind"], held["apiVersion"], held["data"]) == ("ConfigMap", "v1", {"k": "v"})
        # Losing the label is leaving.
        await client.patch(ref(namespace, "after"), [{"op": "remove", "path": "/metadata/labels/mine"}])
        await eventually(lambda: names(reflector, namespace) == {"before"})
        await client.delete(ref(namespace, "before"))
        await eventually(lambda: not reflector.store.list())
    assert changes.seen == [(None, "before"), (None, "after"), ("after", None), ("before", None)]


async def test_what_vanished_during_a_disconnected_watch_leaves_no_ghost(
    light: Cluster, client: Client, namespace: str, crds: object
) -> None:
    kind = resource_of("security.istio.io/v1", "PeerAuthentication")

    def build(name: str) -> dict[str, Any]:
        metadata = {"name": name, "namespace": namespace}
        return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": {}}

    for number in range(20):
        await client.create(build(f"c-{number}"))
    changes, requests = Changes(), Requests()
    async with Client(await load_credentials(light.kubeconfig), observe=requests) as counted:
        reflector = Reflector(counted, kind, namespace=namespace, on_change=changes, jitter=lambda: 0.0)
        async with running(reflector):
            assert len(reflector.store.list(namespace)) == 20
        for number in range(8):
            await client.delete(ref_of(build(f"c-{number}")))
        await client.create(build("new"))
        changes.seen.clear()
        requests.sent.clear()
        # A version that the server has forgotten: the watch ends with 410, and the reflector lists again.
        reflector.version = "1"
        expected = {f"c-{number}" for number in range(8, 20)} | {"new"}
        async with running(reflector):
            await eventually(lambda: names(reflector, namespace) == expected)
    assert requests.sent == [("GET", "peerauthentications", 200)]
    vanished = {(f"c-{number}", None) for number in range(8)}
    assert set(changes.seen) == vanished | {(None, "new")}
    assert len(changes.seen) == 9


async def test_what_happened_while_a_connection_was_broken_is_caught_up_without_a_listing(
    light: Cluster, client: Client, namespace: str
) -> None:
    requests = Requests()
    await client.create(config_map(namespace, "goes", mine="x"))
    async with Client(await load_credentials(light.kubeconfig), observe=requests) as counted:
        reflector = Reflector(counted, CONFIG_MAP, namespace=namespace, label_selector="mine")
        async with running(reflector):
            await eventually(lambda: names(reflector, namespace) == {"goes"})
        await client.delete(ref(namespace, "goes"))
        await client.create(config_map(namespace, "comes", mine="x"))
        requests.sent.clear()
        async with running(reflector):
            await eventually(lambda: names(reflector, namespace) == {"comes"})
    assert requests.sent == []


async def test_a_bug_in_a_callback_does_not_end_the_reflector(client: Client, namespace: str) -> None:
    failures = iter([True])

    def fails_once(old: Object | None, new: Object | None) -> None:
        if new is not None and new["metadata"]["name"] == "poison" and next(failures, False):
            raise RuntimeError("a bug")

    reflector = Reflector(client, CONFIG_MAP, namespace=namespace, on_change=fails_once, jitter=lambda: 0.0)
    async with running(reflector):
        await client.create(config_map(namespace, "poison"))
        await client.create(config_map(namespace, "next"))
        await eventually(lambda: {"poison", "next"} <= names(reflector, namespace))


async def test_an_object_that_a_transform_cannot_cope_with_stops_neither_listing_nor_watch(
    light: Cluster, client: Client, namespace: str
) -> None:
    def transform(obj: Object) -> Object:
        if obj["metadata"]["name"].startswith("poison"):
            raise RecursionError("too deep")
        return obj

    await client.create(config_map(namespace, "poison-listed", mine="x"))
    await client.create(config_map(namespace, "listed", mine="x"))
    requests = Requests()
    async with Client(await load_credentials(light.kubeconfig), observe=requests) as counted:
        reflector = Reflector(
            counted, CONFIG_MAP, namespace=namespace, label_selector="mine", transform=transform
        )
        async with running(reflector):
            await client.create(config_map(namespace, "poison-watched", mine="x"))
            await client.create(config_map(namespace, "watched", mine="x"))
            await eventually(lambda: names(reflector, namespace) == {"listed", "watched"})
    assert requests.sent == [("GET", "configmaps", 200)], "one listing, and a watch that went on"


async def test_an_object_nested_deeper_than_python_reads_stops_neither_listing_nor_watch(
    light: Cluster, client: Client, namespace: str, tmp_path: Path
) -> None:
    kind = Resource("deep.example/v1", "Deep", "deeps")
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "deeps.deep.example"},
        "spec": {
            "group": "deep.example",
            "names": {"kind": kind.kind, "plural": kind.plural},
            "scope": "Namespaced",
            "versions": [version],
        },
    }

    def create(name: str, levels: int) -> None:
        # Written by hand: Python cannot write such JSON either.
        template = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {"name": name},
            "spec": "?",
        }
        text = json.dumps(template).replace('"?"', '{"a":' * levels + "1" + "}" * levels)
        file = tmp_path / f"{name}.json"
        file.write_text(text)
        light.run("create", "--raw", kind.path(namespace=namespace), "-f", str(file))

    await client.create(crd)
    try:
        reflector = Reflector(client, kind, namespace=namespace)
        task = asyncio.create_task(reflector.run())
        await eventually(lambda: reflector.nudge() or reflector.served, seconds=20, every=0.1)
        create("watched", 2000)
        create("next", 1)
        await eventually(lambda: names(reflector, namespace) == {"watched", "next"})
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with running(Reflector(client, kind, namespace=namespace)) as anew:
            assert names(anew, namespace) == {"watched", "next"}
    finally:
        await client.delete(Ref(crd["apiVersion"], crd["kind"], "", crd["metadata"]["name"]))


async def test_about_each_hour_a_watch_starts_over_with_a_listing(
    light: Cluster, client: Client, namespace: str
) -> None:
    now = [100.0]
    requests = Requests()
    async with Client(await load_credentials(light.kubeconfig), observe=requests) as counted:
        reflector = Reflector(
            counted, CONFIG_MAP, namespace=namespace, clock=lambda: now[0], jitter=lambda: 0.5
        )
        async with running(reflector):
            ghost = {"name": "ghost", "namespace": namespace, "uid": "u", "resourceVersion": "1"}
            reflector.store.change({"apiVersion": "v1", "kind": "ConfigMap", "metadata": ghost})
        for passed, listings in ((RELIST_SECONDS - 1, 1), (RELIST_SECONDS, 2)):
            now[0] = 100.0 + passed
            name = f"c-{passed:.0f}"
            async with running(reflector):
                await client.create(config_map(namespace, name))
                await eventually(partial(is_held, reflector, ref(namespace, name)))
            assert len(requests.sent) == listings
            assert is_held(reflector, ref(namespace, "ghost")) == (listings == 1)


async def test_metadata_only_keeps_no_content(client: Client, namespace: str) -> None:
    await client.create(config_map(namespace, "listed", mine="x"))
    reflector = Reflector(client, CONFIG_MAP, namespace=namespace, label_selector="mine", metadata_only=True)
    async with running(reflector):
        reflector.store.observe(await client.create(config_map(namespace, "written", mine="x")))
        await client.create(config_map(namespace, "watched", mine="x"))
        await eventually(lambda: len(reflector.store.list(namespace)) == 3)
        for held in reflector.store.list(namespace):
            assert set(held) == {"apiVersion", "kind", "metadata"}
            assert held["kind"] == "ConfigMap"


async def test_managed_fields_of_others_are_not_kept(client: Client, namespace: str) -> None:
    await client.create(config_map(namespace, "theirs", mine="x"))
    await client.apply(config_map(namespace, "ours", mine="x"), manager="navarch")
    reflector = Reflector(client, CONFIG_MAP, namespace=namespace, label_selector="mine")
    async with running(reflector):
        managers = {
            held["metadata"]["name"]: [
                entry["manager"] for entry in held["metadata"].get("managedFields", [])
            ]
            for held in reflector.store.list(namespace)
        }
    assert managers == {"theirs": [], "ours": ["navarch"]}


async def test_a_transform_shrinks_what_is_kept(client: Client, namespace: str) -> None:
    await client.create(config_map(namespace, "c", mine="x"))

    def without_data(obj: Object) -> Object:
        return {key: value for key, value in obj.items() if key != "data"}

    reflector = Reflector(
        client, CONFIG_MAP, namespace=namespace, label_selector="mine", transform=without_data
    )
    async with running(reflector):
        (held,) = reflector.store.list()
        assert "data" not in held


async def test_a_kind_that_is_not_served_counts_as_synced_and_empty_and_is_picked_up_when_it_is(
    client: Client, namespace: str
) -> None:
    things = Resource("reflector.example/v1", "Thing", "things")
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.reflector.example"},
        "spec": {
            "group": "reflector.example",
            "names": {"kind": "Thing", "plural": "things"},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                    },
                }
            ],
        },
    }
    reflector = Reflector(client, things)
    async with running(reflector):
        assert not reflector.served
        assert reflector.store.list() == ()
        await client.create(crd)
        try:

            def is_served() -> bool:
                reflector.nudge()
                return reflector.served

            await eventually(is_served, seconds=20, every=0.1)
        finally:
            await client.delete(
                Ref("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", crd["metadata"]["name"])
            )
        await eventually(lambda: not reflector.served, seconds=20)


async def test_an_unreachable_server_is_waited_for_without_end(client: Client, namespace: str) -> None:
    reflector = Reflector(
        client, Resource("v1", "ConfigMap", "configmaps"), label_selector="=not a selector="
    )
    task = asyncio.create_task(reflector.run())
    await eventually(lambda: reflector._failures > 0)
    assert not task.done()
    assert not reflector.synced.is_set()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_age_is_the_time_since_the_server_was_heard_of(client: Client, namespace: str) -> None:
    now = [100.0]
    reflector = Reflector(client, CONFIG_MAP, namespace=namespace, clock=lambda: now[0])
    async with running(reflector):
        now[0] = 130.0
        assert reflector.age == 30.0
        await client.create(config_map(namespace, "c"))
        await eventually(lambda: reflector.age == 0.0)


async def test_a_watch_of_a_kind_without_changes_counts_as_heard(light: Cluster) -> None:
    """Kubernetes 1.32 sends no bookmark for such a kind: what is heard is that the watch ends."""
    budgets, requests, idle = resource_of("policy/v1", "PodDisruptionBudget"), Requests(), 4.0
    async with Client(await load_credentials(light.kubeconfig), observe=requests) as client:
        reflector = Reflector(client, budgets, namespace="kube-node-lease", idle=idle)
        async with running(reflector):
            await eventually(lambda: reflector.steady >= 4 * idle, seconds=60, every=0.1, what="no silence")
