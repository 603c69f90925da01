"""What people give OLM beside a plain Subscription: settings, mirrors, the wrong group, kinds of another
release."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from navarch.api.export import RESOURCES, build_crd
from navarch.api.related import name_variable
from navarch.assets import load_catalog

from tests.olm.conftest import RELEASE
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.command import navarch
from tests.support.hub import Hub
from tests.support.meshes import build_mesh, get_istiod, list_owned, read_condition, wait_for
from tests.support.navarch_by_olm import a_replica, build_replica, make_mesh
from tests.support.operator import SYSTEM
from tests.support.workloads import create_namespace

POLICY = "kinds.mesh.navarch.io"


async def test_an_installation_for_one_namespace_is_refused_in_the_csv(clean: Hub) -> None:
    clean.publish(RELEASE)
    clean.subscribe(group={"targetNamespaces": [SYSTEM]})
    status = await clean.see(RELEASE, "Failed", reason="UnsupportedOperatorGroup")
    assert "OwnNamespace" in status["message"]
    assert clean.api.get("deployment", SYSTEM, "navarch") is None


@pytest.mark.long
@pytest.mark.usefixtures("in_full")
async def test_env_and_resources_of_the_subscription_reach_the_operator(clean: Hub) -> None:
    resources = {"requests": {"cpu": "70m", "memory": "200Mi"}, "limits": {"memory": "1Gi"}}
    env = [{"name": "NAVARCH_LOG_LEVEL", "value": "debug"}, {"name": "ODD", "value": "a=b $(C) \u00e4"}]
    await clean.install(RELEASE, config={"env": env, "resources": resources})
    container = clean.read_container()
    assert container["resources"] == resources
    assert [each for each in container["env"] if each in env] == env
    assert {"name": "NAVARCH_PROBE_NAMESPACE", "value": "navarch-probe"} in container["env"]
    async with a_replica(clean) as operator:
        assert '"level": "debug"' in operator.log.read_text()


@pytest.mark.long
@pytest.mark.usefixtures("in_full")
async def test_a_setting_of_the_subscription_that_is_wrong_is_named_by_the_operator(clean: Hub) -> None:
    env = [{"name": "NAVARCH_WORKERS", "value": "many"}]
    await clean.install(RELEASE, config={"env": env})
    operator = build_replica(clean)
    operator.start()
    await eventually(lambda: not operator.is_running(), what="the operator gives up")
    assert operator.stop() != 0
    assert "NAVARCH_WORKERS" in operator.log.read_text()


OTHER = "other-system"


@pytest.fixture
def without_copies(clean: Hub) -> Iterator[None]:
    """OLM copies no ClusterServiceVersion into other namespaces. Where it does, the copy of the first Navarch
    may be there before the second is asked for, or after: what OLM says then depends on that."""
    features = {"features": {"disableCopiedCSVs": True}}
    config = {"apiVersion": "operators.coreos.com/v1", "kind": "OLMConfig", "metadata": {"name": "cluster"}}
    clean.cluster.run("apply", "-f", "-", stdin=json.dumps({**config, "spec": features}))
    yield
    for kind in ("subscription", "installplan", "clusterserviceversion", "operatorgroup"):
        clean.cluster.run("delete", f"{kind}.operators.coreos.com", "-n", OTHER, "--all")
    clean.api.delete("namespace", "", OTHER)
    clean.cluster.run("delete", "olmconfigs.operators.coreos.com", "cluster")


async def test_a_second_navarch_is_refused_in_its_csv_and_the_first_goes_on(
    clean: Hub, without_copies: None
) -> None:
    await clean.install(RELEASE)
    clean.subscribe(OTHER)
    status = await clean.see(RELEASE, "Failed", reason="InterOperatorGroupOwnerConflict", namespace=OTHER)
    assert "provide" in status["message"]
    assert clean.api.get("deployment", OTHER, "navarch") is None
    assert clean.read_status(RELEASE)["phase"] == "Succeeded"
    binding = clean.api.list("clusterrolebinding")
    accounts = {s["namespace"] for b in binding for s in b.get("subjects") or () if s["name"] == "navarch"}
    assert accounts == {SYSTEM}
    async with a_replica(clean) as operator:
        await make_mesh(clean.api, operator)


async def test_a_subscription_that_cannot_be_met_says_why_and_is_met_once_it_is_put_right(clean: Hub) -> None:
    clean.publish(RELEASE)
    clean.subscribe(channel="candidate")

    def read_failure() -> str:
        conditions = (clean.read("subscription", "navarch").get("status") or {}).get("conditions", ())
        failed = [c for c in conditions if c["type"] == "ResolutionFailed" and c["status"] == "True"]
        return str(failed[0]["message"]) if failed else ""

    said = await eventually(read_failure, seconds=120, every=0.2, what="OLM says why it does nothing")
    assert "candidate" in said
    assert clean.list_objects("installplan") == []
    change = json.dumps({"spec": {"channel": "stable"}})
    clean.cluster.run(
        *("patch", "subscription.operators.coreos.com", "navarch", "-n", SYSTEM),
        *("--type=merge", "-p", change),
    )
    await clean.see(RELEASE)


def add_field(crd: Object) -> None:
    """A newer release's kind: with its name, and with a field that this one does not know."""
    crd["metadata"]["annotations"]["mesh.navarch.io/release"] = "0.2.0"
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    schema["newer"] = {"type": "string", "description": "What only a newer release knows."}


@pytest.mark.long
@pytest.mark.usefixtures("in_full")
async def test_kinds_of_a_newer_navarch_are_never_replaced_by_those_of_an_older_bundle(clean: Hub) -> None:
    name = "meshcontrolplanes.mesh.navarch.io"
    await clean.install(RELEASE)
    async with a_replica(clean) as operator:
        await eventually(
            lambda: (
                "navarch_installation_missing_objects 0.0" in operator.fetch("/metrics")[1]
                and has_policy(clean.api, POLICY)
            ),
            every=0.2,
            what="the policy on kinds is there",
        )
    await clean.uninstall()
    newer = build_crd(RESOURCES[0])
    assert newer["metadata"]["name"] == name
    add_field(newer)
    clean.api.apply(newer, manager="newer")
    await eventually(lambda: knows_field(clean.api, name), what="the newer kind is served")
    mesh = build_mesh("default", newer="kept", paused=True)
    clean.api.create(mesh)
    clean.subscribe()
    refused = await eventually(
        lambda: find_refusal(clean), seconds=120, every=0.2, what="the InstallPlan is refused"
    )
    assert "0.1.0 (0.2.0 is there)" in refused
    assert "install that release or a newer one" in refused
    assert (clean.api.get("mesh", "default", "demo") or {})["spec"]["newer"] == "kept"
    clean.cluster.run("annotate", "crd", name, "mesh.navarch.io/release-")
    await clean.uninstall()
    clean.subscribe()
    await clean.see(RELEASE)
    assert not knows_field(clean.api, name)


def has_policy(api: Api, name: str) -> bool:
    found = api.request("GET", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies")["items"]
    return name in {each["metadata"]["name"] for each in found}


def knows_field(api: Api, name: str) -> bool:
    crd = api.get("crd", "", name) or {}
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return "newer" in schema["properties"]


def find_refusal(hub: Hub) -> str:
    """What the InstallPlan of Navarch says of why it failed."""
    said = json.dumps([plan.get("status") for plan in hub.list_objects("installplan")])
    return said if "denied request" in said else ""


async def test_meshes_run_the_images_of_the_mirror_that_the_subscription_names_and_no_other(
    clean: Hub,
) -> None:
    newest = load_catalog().find("1.31")
    assert newest is not None
    mirror = {name: f"mirror.example.com/istio/{name}@sha256:{'1' * 64}" for name in ("pilot", "proxyv2")}
    env = [
        {"name": name_variable(f"{name}-{newest.version}"), "value": image} for name, image in mirror.items()
    ]
    only = {"name": "NAVARCH_ONLY_RELATED_IMAGES", "value": "true"}
    await clean.install(RELEASE, config={"env": [*env, only]})
    async with a_replica(clean) as operator:
        mesh = await make_mesh(clean.api, operator)
        (istiod,) = get_istiod(clean.api, mesh.namespace)["spec"]["template"]["spec"]["containers"]
        assert istiod["image"] == mirror["pilot"]
        pod = clean.api.get("pod", mesh.apps, "app") or {}
        containers = [*pod["spec"]["containers"], *pod["spec"].get("initContainers", ())]
        assert {c["image"] for c in containers if c["name"].startswith("istio-")} == {mirror["proxyv2"]}
        other = f"{mesh.namespace}-other"
        await create_namespace(clean.api, other)
        clean.api.create(build_mesh(other, images={"hub": "registry.example.com/other"}))
        found = await wait_for(
            clean.api, other, condition="SpecAccepted", status="False", reason="ImageNotAtHand"
        )
        assert "spec.images.hub" in read_condition(found, "SpecAccepted")["message"]
        assert list_owned(clean.api, other) == []
        report = navarch("check", "-o", "json", kubeconfig=clean.cluster.kubeconfig)
        (refused,) = report.find("ImageNotAtHand")
        assert other in str(refused)
