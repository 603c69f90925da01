"""The client against a real API server: lists, watches, errors, Events."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Ref, ref_of
from navarch.kube.auth import build_connection_info
from navarch.kube.client import Client, WatchEvent
from navarch.kube.credentials import load_credentials
from navarch.kube.errors import Conflict, Denial, Forbidden, Gone, Invalid, NotFound, Unavailable
from navarch.kube.events import Recorder
from navarch.kube.resources import RESOURCES, resource_of

from lab.cluster import Cluster, build_kubeconfig, service_account_kubeconfig
from tests.polling import eventually

CONFIG_MAP = resource_of("v1", "ConfigMap")


def config_map(namespace: str, name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


async def test_a_list_in_chunks_is_complete(client: Client, namespace: str) -> None:
    for number in range(7):
        await client.create(config_map(namespace, f"c-{number}"))
    listing = await client.list(
        CONFIG_MAP, namespace=namespace, field_selector="metadata.name!=kube-root-ca.crt", limit=3
    )
    assert [item["metadata"]["name"] for item in listing.items] == [f"c-{number}" for number in range(7)]
    assert {(item["kind"], item["apiVersion"]) for item in listing.items} == {("ConfigMap", "v1")}
    assert int(listing.resource_version) > 0


async def test_metadata_comes_without_content_and_with_its_kind(client: Client, namespace: str) -> None:
    await client.create(config_map(namespace, "c", secret="x"))
    (listed,) = (
        await client.list(
            CONFIG_MAP, namespace=namespace, field_selector="metadata.name=c", metadata_only=True
        )
    ).items
    got = await client.get(Ref("v1", "ConfigMap", namespace, "c"), metadata_only=True)
    for found in (listed, got):
        assert (found["kind"], found["apiVersion"]) == ("ConfigMap", "v1")
        assert "data" not in found


async def test_a_watch_tells_changes_and_bookmarks_and_ends_by_itself(client: Client, namespace: str) -> None:
    listing = await client.list(CONFIG_MAP, namespace=namespace, field_selector="metadata.name=w")
    events: list[WatchEvent] = []

    async def watch() -> None:
        stream = client.watch(
            CONFIG_MAP,
            namespace=namespace,
            resource_version=listing.resource_version,
            field_selector="metadata.name=w",
            seconds=2,
        )
        async for event in stream:
            events.append(event)

    task = asyncio.create_task(watch())
    big = "x" * 900_000  # longer than any buffer of the transport
    await client.create(config_map(namespace, "w", big=big))
    await client.delete(Ref("v1", "ConfigMap", namespace, "w"))
    await asyncio.wait_for(task, 60)
    changes = [event for event in events if event.type != "BOOKMARK"]
    assert [event.type for event in changes] == ["ADDED", "DELETED"]
    assert changes[0].object["data"]["big"] == big


async def test_a_version_from_long_ago_is_gone(client: Client, crds: object) -> None:
    # The server's memory of a kind begins when its CRD was installed, so the very first version is too old.
    kind = resource_of("security.istio.io/v1", "PeerAuthentication")
    with pytest.raises(Gone):
        await anext(client.watch(kind, resource_version="1", seconds=5))


async def test_preconditions_of_a_deletion_hold(client: Client, namespace: str) -> None:
    created = await client.create(config_map(namespace, "c"))
    ref = ref_of(created)
    with pytest.raises(Conflict):
        await client.delete(ref, uid="99999999-9999-4999-8999-999999999999")
    with pytest.raises(Conflict):
        await client.delete(ref, resource_version="1")
    await client.delete(ref, uid=created["metadata"]["uid"])
    with pytest.raises(NotFound):
        await client.delete(ref)


async def test_a_dry_run_changes_nothing(client: Client, namespace: str) -> None:
    assert (await client.create(config_map(namespace, "c"), dry_run=True))["metadata"]["uid"]
    assert (await client.apply(config_map(namespace, "c"), manager="navarch", dry_run=True))["metadata"][
        "uid"
    ]
    with pytest.raises(NotFound):
        await client.get(Ref("v1", "ConfigMap", namespace, "c"))


async def test_a_field_that_does_not_exist_is_refused(client: Client, namespace: str) -> None:
    with pytest.raises(Invalid, match="bogus"):
        await client.apply({**config_map(namespace, "c"), "bogus": 1}, manager="navarch")
    with pytest.raises(Invalid, match="bogus"):
        await client.create({**config_map(namespace, "c"), "bogus": 1})


async def test_a_conflict_names_the_other_manager_and_the_field(client: Client, namespace: str) -> None:
    await client.apply(config_map(namespace, "c", key="theirs"), manager="argocd")
    with pytest.raises(Conflict) as caught:
        await client.apply(config_map(namespace, "c", key="ours"), manager="navarch")
    (field,) = caught.value.fields
    assert ".data.key" in field
    assert "argocd" in field


async def test_a_test_of_a_patch_that_fails_is_a_conflict(client: Client, namespace: str) -> None:
    ref = ref_of(await client.create(config_map(namespace, "c", key="a")))
    operations = [
        {"op": "test", "path": "/data/key", "value": "b"},
        {"op": "replace", "path": "/data/key", "value": "c"},
    ]
    with pytest.raises(Conflict):
        await client.patch(ref, operations)


async def test_an_invalid_secret_is_refused_without_its_content(client: Client, namespace: str) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": namespace},
        "stringData": {"very/secret-key": "hunter2"},
        "type": "hunter2 is not a type",
    }
    with pytest.raises(Invalid) as caught:
        await client.create(secret)
    assert "hunter2" not in str(caught.value)
    assert "very/secret-key" not in caught.value.message or "data" in caught.value.message


async def test_a_missing_permission_names_verb_and_resource(
    light: Cluster, client: Client, namespace: str
) -> None:
    await eventually(lambda: _has_account(client, namespace))
    weak = await load_credentials(service_account_kubeconfig(light, namespace, "default"))
    async with Client(weak) as nobody:
        with pytest.raises(Forbidden) as caught:
            await nobody.apply(config_map(namespace, "c"), manager="navarch")
        assert (caught.value.denial, caught.value.verb, caught.value.resource) == (
            Denial.PERMISSION,
            "patch",
            "configmaps",
        )
        with pytest.raises(Forbidden) as caught:
            await nobody.list(resource_of("apps/v1", "Deployment"))
        assert (caught.value.verb, caught.value.resource) == ("list", "deployments.apps")
        with pytest.raises(Forbidden) as caught:
            await nobody.fetch("/metrics")
        assert (caught.value.denial, caught.value.verb) == (Denial.PERMISSION, "get")


async def _has_account(client: Client, namespace: str) -> bool:
    accounts = await client.list(resource_of("v1", "ServiceAccount"), namespace=namespace)
    return any(item["metadata"]["name"] == "default" for item in accounts.items)


async def test_granting_more_than_one_has_is_a_missing_permission(
    light: Cluster, client: Client, namespace: str
) -> None:
    await eventually(lambda: _has_account(client, namespace))
    rbac = "rbac.authorization.k8s.io/v1"

    def role(name: str, *rules: dict[str, Any]) -> dict[str, Any]:
        metadata = {"name": name, "namespace": namespace}
        return {"apiVersion": rbac, "kind": "Role", "metadata": metadata, "rules": list(rules)}

    verbs = ["create", "get", "patch"]
    group = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": verbs}
    await client.create(role("may-write-roles", group))
    await client.create(
        {
            "apiVersion": rbac,
            "kind": "RoleBinding",
            "metadata": {"name": "b", "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "may-write-roles"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
        }
    )
    async with Client(
        await load_credentials(service_account_kubeconfig(light, namespace, "default"))
    ) as weak:

        async def may_read() -> bool:
            try:
                await weak.get(Ref(rbac, "Role", namespace, "may-write-roles"))
            except Forbidden:
                return False
            return True

        await eventually(may_read)
        secrets = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
        with pytest.raises(Forbidden) as caught:
            await weak.apply(role("greedy", secrets), manager="navarch")
    assert (caught.value.denial, caught.value.verb) == (Denial.PERMISSION, "escalate")


async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(build_kubeconfig(cluster={"server": "http://127.0.0.1:1"}, token="t"))
    async with Client(await load_credentials(kubeconfig)) as lonely:
        with pytest.raises(Unavailable) as caught:
            await lonely.fetch("/version")
        assert caught.value.status == 0
        with pytest.raises(Unavailable):
            async for _ in lonely.watch(CONFIG_MAP, resource_version="1"):
                pass


ELSEWHERE = ("mesh.navarch.io/", "operators.coreos.com/", "route.openshift.io/", "argoproj.io/")
"""Of these no CRD need be in the cluster."""


async def test_every_resource_of_the_table_is_served_where_it_says(client: Client, crds: object) -> None:
    for group_version in {resource.api_version for resource in RESOURCES}:
        if group_version.startswith(ELSEWHERE):
            continue
        root = f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"
        served = {item["name"]: item for item in (await client.fetch(root))["resources"]}
        for resource in RESOURCES:
            if resource.api_version == group_version:
                found = served[resource.plural]
                assert (found["kind"], found["namespaced"]) == (resource.kind, resource.namespaced)


async def test_kopf_gets_the_same_credentials(light: Cluster) -> None:
    credentials = await load_credentials(light.kubeconfig)
    info = await build_connection_info(credentials, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert info.server == credentials.host
    assert f"{info.scheme} {info.token}" == await credentials.authorization() or info.certificate_path


def test_the_client_builds_no_typed_models() -> None:
    code = (
        "import sys, navarch.kube.client, navarch.kube.credentials\n"
        "print(sum(name.startswith('kubernetes.aio.client.models.') for name in sys.modules))"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == 0


# --- Events


async def events_about(client: Client, namespace: str) -> list[dict[str, Any]]:
    listing = await client.list(resource_of("events.k8s.io/v1", "Event"), namespace=namespace)
    return [event for event in listing.items if event["reportingController"] == "mesh.navarch.io/operator"]


async def test_an_event_is_written_once_per_transition(client: Client, namespace: str) -> None:
    about = await client.create(config_map(namespace, "c"))
    ids, now = iter(range(100)), [0.0]
    recorder = Recorder(
        client,
        instance="navarch-0",
        now=lambda: datetime.now(UTC),
        ids=lambda: f"{next(ids):x}",
        clock=lambda: now[0],
    )
    for _ in range(3):
        await recorder.record(about, reason=Reason.DRIFT_REPAIRED, message="put back", type="Warning")
    await recorder.record(about, reason=Reason.DRIFT_REPAIRED, message="another thing" + "ä" * 2000)
    events = await events_about(client, namespace)
    assert sorted(event["note"][:13] for event in events) == ["another thing", "put back"]
    first = next(event for event in events if event["note"] == "put back")
    assert (first["type"], first["reason"], first["regarding"]["uid"]) == (
        "Warning",
        "DriftRepaired",
        about["metadata"]["uid"],
    )
    now[0] = 3600.0
    await recorder.record(about, reason=Reason.DRIFT_REPAIRED, message="put back", type="Warning")
    assert len(await events_about(client, namespace)) == 3


async def test_an_event_that_cannot_be_written_fails_nothing(client: Client, namespace: str) -> None:
    about = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "there-is-no-such-namespace", "uid": "u"},
    }
    recorder = Recorder(client, instance="navarch-0", now=lambda: datetime.now(UTC), ids=lambda: "1")
    await recorder.record(about, reason=Reason.RECONCILED, message="x")
