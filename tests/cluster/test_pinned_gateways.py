"""Gateways with a version of their own on a real API server: what their pods run, and who counts them."""

from __future__ import annotations

from tests.cluster.conftest import assert_quiet
from tests.polling import eventually
from tests.support.activity import wait_for_rest
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.gateways import build_gateway, count_proxies, wait_for_gateway
from tests.support.meshes import build_mesh, edit, read_condition, wait_for
from tests.support.operator import Operator


def list_images(api: Api, namespace: str, gateway: str) -> set[str]:
    """The images of a gateway's pods, without registry."""
    pods = api.list("pod", namespace, labels=f"mesh.navarch.io/gateway-name={gateway}")
    return {
        c["image"].rpartition("/")[2]
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        for c in pod["spec"]["containers"]
    }


def summarise(api: Api, namespace: str) -> str:
    """The mesh's proxies that are current, and all."""
    return str((api.get("mesh", namespace, "demo") or {})["status"]["proxies"]["summary"])


async def test_an_upgrade_of_the_mesh_rolls_the_gateways_that_follow_it_and_no_pinned_one(
    api: Api, audit: Audit, operator: Operator, fresh: str
) -> None:
    api.create(build_mesh(fresh, version="1.30.8"))
    await wait_for(api, fresh)
    api.create(build_gateway(fresh, fresh, "pinned", version="1.30.8"))
    api.create(build_gateway(fresh, fresh, "follows"))
    for name in ("pinned", "follows"):
        assert (await wait_for_gateway(api, fresh, name))["status"]["version"] == "1.30.8"
        assert list_images(api, fresh, name) == {"proxyv2:1.30.8"}
    await wait_for_rest(operator)
    mark = audit.mark()
    edit(api, fresh, version="1.31.4")
    await eventually(
        lambda: list_images(api, fresh, "follows") == {"proxyv2:1.31.4"}, seconds=90, what="it follows"
    )
    await eventually(lambda: summarise(api, fresh) == "2/2", seconds=60, what="all proxies are current")
    await wait_for(api, fresh)
    pinned = await wait_for_gateway(api, fresh, "pinned")
    assert (pinned["status"]["version"], pinned["status"]["outdated"]) == ("1.30.8", 0)
    assert list_images(api, fresh, "pinned") == {"proxyv2:1.30.8"}
    rolled = {w.name for w in audit.writes(mark) if w.resource == "deployments" and w.namespace == fresh}
    assert "follows" in rolled
    assert "pinned" not in rolled
    assert read_condition(pinned, "SpecAccepted")["reason"] == "VersionLeavesSkew"

    # A pod that is made after the upgrade, by the newer injector, is of the pinned version and current, too.
    api.patch("gateway", fresh, "pinned", {"spec": {"replicas": 2}})
    await eventually(lambda: count_proxies(api, fresh) == 3, seconds=60, what="another pod of it")
    await wait_for(api, fresh)
    assert (await wait_for_gateway(api, fresh, "pinned"))["status"]["outdated"] == 0
    assert list_images(api, fresh, "pinned") == {"proxyv2:1.30.8"}
    assert summarise(api, fresh) == "3/3"

    # Without the pin it follows.
    api.patch("gateway", fresh, "pinned", {"spec": {"version": None, "replicas": 1}})
    await eventually(
        lambda: list_images(api, fresh, "pinned") == {"proxyv2:1.31.4"}, seconds=90, what="it follows again"
    )
    gateway = await wait_for_gateway(api, fresh, "pinned")
    assert gateway["status"]["version"] == "1.31.4"
    assert "proxy" not in gateway["status"]
    await wait_for(api, fresh)
    await assert_quiet(api, audit, operator, fresh, "demo")


def own_of(version: str) -> Object:
    """spec.gateways of a mesh with one gateway of this version."""
    return {"ingress": [{"name": "own", "version": version, "service": {"type": "NodePort"}}]}


async def test_a_pin_outside_the_skew_is_told_with_a_remedy_and_what_runs_stays(
    api: Api, operator: Operator, fresh: str
) -> None:
    api.create(build_mesh(fresh, version="1.31.4", gateways=own_of("1.30")))
    api.create(build_gateway(fresh, fresh))
    await wait_for_gateway(api, fresh)
    own = await wait_for_gateway(api, fresh, "own")
    assert (own["spec"]["version"], own["status"]["version"]) == ("1.30", "1.30.8")
    for version, reason in (("1.29", "VersionOutsideSkew"), ("1.99", "UnknownVersion")):
        api.patch("gateway", fresh, "ingress", {"spec": {"version": version}})
        refused = await wait_for_gateway(api, fresh, status="False", reason=reason)
        message = read_condition(refused, "Ready")["message"]
        assert f"spec.version: '{version}'" in message
        assert "1.30 to 1.31.4" in message
        assert list_images(api, fresh, "ingress") == {"proxyv2:1.31.4"}
    api.patch("gateway", fresh, "ingress", {"spec": {"version": "1.30"}})
    edit(api, fresh, images={"tag": "1.31.4"})
    refused = await wait_for_gateway(api, fresh, status="False", reason="VersionWithoutImage")
    assert "spec.images.tag" in read_condition(refused, "Ready")["message"]
    edit(api, fresh, images=None)
    edit(api, fresh, gateways=own_of("1.29"))
    mesh = await wait_for(api, fresh, status="False", reason="VersionOutsideSkew")
    assert "spec.gateways.ingress[own].version" in read_condition(mesh, "SpecAccepted")["message"]
    assert list_images(api, fresh, "own") == {"proxyv2:1.30.8"}
