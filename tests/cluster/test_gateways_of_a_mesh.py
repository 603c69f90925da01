"""What a mesh's gateways have in common, on an API server: names that clash, turns, and null in amounts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from lab.cluster import Cluster
from tests.cluster.conftest import a_mesh_namespace, assert_quiet
from tests.polling import eventually
from tests.support.activity import wait_for_rest
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.gateways import build_gateway, count_proxies, wait_for_gateway
from tests.support.meshes import build_mesh, edit, read_condition, wait_for
from tests.support.operator import Operator

LIMITS = {"limits": {"memory": "1Gi"}, "requests": {"memory": "128Mi"}}


@pytest.fixture
async def member(api: Api, operator: Operator, fresh: str) -> AsyncIterator[str]:
    """A namespace of the mesh `demo` in `fresh`, which is Ready."""
    api.create(build_mesh(fresh))
    await wait_for(api, fresh)
    name = f"{fresh}-front"
    labels = {"istio.io/rev": f"{fresh}-demo"}
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    yield name
    edit(api, fresh, gateways=None)
    for namespace in (name, fresh):
        for gateway in api.list("gateway", namespace):
            api.delete("gateway", namespace, gateway["metadata"]["name"])
        await eventually(
            lambda namespace=namespace: api.list("gateway", namespace) == [],
            seconds=60,
            what="gateways are gone",
        )
    await eventually(lambda: count_proxies(api, fresh) == 0, seconds=60, what="no proxies are counted")
    api.delete("namespace", "", name)


async def test_two_gateways_of_one_name_are_both_made_and_their_mesh_warns_until_one_is_gone(
    api: Api, fresh: str, member: str
) -> None:
    for namespace in (fresh, member):
        api.create(build_gateway(namespace, fresh))
        await wait_for_gateway(api, namespace)
    mesh = await wait_for(api, fresh, condition="SpecAccepted", reason="GatewayNamesClash")
    said = read_condition(mesh, "SpecAccepted")
    assert said["status"] == "True"
    assert f"ingress in {fresh}, {member}" in said["message"]
    api.delete("gateway", member, "ingress")

    def is_content() -> bool:
        mesh = api.get("mesh", fresh, "demo")
        return read_condition(mesh, "SpecAccepted")["reason"] != "GatewayNamesClash"

    await eventually(is_content, seconds=30, what="the warning is gone")


def find_turn(api: Api, namespace: str, name: str) -> Object | None:
    """status.turn of a gateway: when its pods get the mesh's new proxies."""
    status = (api.get("gateway", namespace, name) or {}).get("status") or {}
    return status.get("turn")


def read_proxies(api: Api, namespace: str, name: str) -> str:
    """The stamp of the proxies for which a gateway's Deployment was rolled."""
    template = (api.get("deployment", namespace, name) or {})["spec"]["template"]["metadata"]
    return str(template["annotations"]["mesh.navarch.io/restart"])


async def test_gateways_of_a_mesh_roll_one_after_another_and_an_edit_waits_for_no_turn(
    api: Api, audit: Audit, operator: Operator, fresh: str, member: str
) -> None:
    names = ("first", "second", "third")
    for name in names:
        api.create(build_gateway(fresh, fresh, name))
    for name in names:
        await wait_for_gateway(api, fresh, name)

    def are_listed() -> bool:
        status = (api.get("mesh", fresh, "demo") or {})["status"]
        return len(status.get("gateways", ())) == status["proxies"]["total"] == len(names)

    await eventually(are_listed, seconds=60, what="the mesh lists all three")
    await wait_for_rest(operator)
    before = {name: read_proxies(api, fresh, name) for name in names}
    mark = audit.mark()
    edit(api, fresh, proxy={"logLevel": "debug"})
    turns = [
        await eventually(
            lambda name=name: find_turn(api, fresh, name), seconds=90, every=0.1, what=f"{name} has a turn"
        )
        for name in ("third", "second")
    ]
    third, second = (datetime.fromisoformat(turn["at"]) for turn in turns)
    assert third - second > timedelta(seconds=10)
    assert {turn["proxy"] for turn in turns}.isdisjoint(before.values())

    # Whoever edits a gateway wants it now, with the proxies that are the mesh's now.
    api.patch("gateway", fresh, "third", {"spec": {"service": {"annotations": {"edited": "now"}}}})
    for name in names:
        await eventually(
            lambda name=name: read_proxies(api, fresh, name) == turns[0]["proxy"], seconds=90, what=name
        )
    await wait_for(api, fresh)
    rolled = [w for w in audit.writes(mark) if w.resource == "deployments" and w.name in names]
    assert sorted(w.name for w in rolled) == sorted(names), "each once"
    assert [w.name for w in rolled if w.name != "third"] == ["first", "second"]
    received = {w.name: w.received for w in rolled}
    assert received["second"] >= second, "not before its turn"
    assert received["third"] < third, "its turn would have come later"
    for name in names:
        await wait_for_gateway(api, fresh, name)
        assert find_turn(api, fresh, name) is None
    await assert_quiet(api, audit, operator, fresh, "demo")


def read_resources(api: Api, namespace: str, name: str) -> Object:
    deployment = api.get("deployment", namespace, name) or {}
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(container.get("resources") or {})


async def test_limits_of_defaults_go_by_empty_ones_and_null_is_never_written(
    api: Api, fresh: str, member: str
) -> None:
    """What the API server makes of null: it is refused, or is as if nothing was said."""
    service = {"type": "ClusterIP"}
    entries = [
        {"name": "kept", "service": service},
        {"name": "empty", "service": service, "resources": {"limits": {}}},
        {"name": "said", "service": service, "resources": {"limits": None}},
    ]
    edit(api, fresh, gateways={"defaults": {"resources": LIMITS}, "ingress": entries})
    await wait_for(api, fresh)
    assert read_resources(api, fresh, "kept") == LIMITS
    assert read_resources(api, fresh, "empty") == {"requests": LIMITS["requests"]}
    assert read_resources(api, fresh, "said") == LIMITS, "null says nothing"
    written = [o["spec"] for kind in ("mesh", "gateway", "deployment") for o in api.list(kind, fresh)]
    assert "null" not in json.dumps(written)
    # What is emptied while it runs: by itself, server-side apply makes null of it.
    entries[2] = {"name": "said", "service": service, "resources": {"limits": {}, "requests": {}}}
    policy = {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}
    edit(api, fresh, gateways={"defaults": {"resources": LIMITS}, "ingress": entries}, meshConfig=policy)
    await wait_for(api, fresh)
    edit(api, fresh, meshConfig={"outboundTrafficPolicy": None})
    mesh = await wait_for(api, fresh)
    assert mesh["spec"]["meshConfig"] == {}
    assert read_resources(api, fresh, "said") == {}
    revision = api.get("revision", fresh, mesh["status"]["activeRevision"])
    assert "outboundTrafficPolicy" not in (revision or {})["spec"]["config"]["meshConfig"]


def test_null_for_an_amount_leaves_an_empty_map(api: Api, guarded: Cluster) -> None:
    amount = {"resources": {"limits": {"memory": None}}}
    empty = {"limits": {}}
    with a_mesh_namespace(api, "null-amounts") as place:
        gateway = api.create(build_gateway(place, place, **amount), dry_run=True)
        gateways = {"defaults": amount, "ingress": [{"name": "trial", **amount}]}
        mesh = api.create(build_mesh(place, gateways=gateways), dry_run=True)
    assert gateway["spec"]["resources"] == empty
    assert mesh["spec"]["gateways"]["defaults"]["resources"] == empty
    assert mesh["spec"]["gateways"]["ingress"][0]["resources"] == empty
