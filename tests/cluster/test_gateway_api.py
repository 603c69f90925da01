"""Gateway API's CRDs, installed by an operator that was told to: into clusters without any, with older, newer
and foreign ones, and where others forbid it. A lab of the module's own.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from navarch.assets import load_gateway_api
from navarch.core.istio.gatewayapi import CHANNEL, OWN, VERSION, Bundle, is_of_gateway_api
from navarch.core.model.reasons import Reason

from lab.cluster import Cluster
from tests.cluster.conftest import a_lab, build_operator, install, remove_namespace
from tests.polling import eventually
from tests.support.activity import bring_up, read_metric
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.faults import Proxy
from tests.support.meshes import build_mesh, edit, read_condition, wait_for
from tests.support.operator import SYSTEM, USER, Operator

BUNDLE, EXPERIMENTAL = load_gateway_api("standard"), load_gateway_api("experimental")
ROUTES = "httproutes.gateway.networking.k8s.io"
TLS = "tlsroutes.gateway.networking.k8s.io"
UDP = "udproutes.gateway.networking.k8s.io"
PATIENCE = 180
"""Seconds after which something hangs: an API server compiles every rule of a CRD before it takes it."""
LEASE = {"lease_seconds": "4", "lease_renew_seconds": "3", "lease_retry_seconds": "0.3", "identity": "one"}
pytestmark = pytest.mark.chain


@dataclass
class Place:
    """A cluster with Navarch installed and no CRD of Gateway API, and one operator at a time."""

    cluster: Cluster
    api: Api
    audit: Audit
    mark: int = 0
    running: list[Operator] = field(default_factory=list)

    def build(self, install: str, channel: str = "standard") -> Operator:
        """One that is not started yet."""
        return build_operator(self.cluster, gateway_api_install=install, gateway_api_channel=channel, **LEASE)

    async def start(self, install: str, channel: str = "standard") -> Operator:
        """In place of the one that runs."""
        self.stop()
        self.mark = self.audit.mark()
        operator = self.build(install, channel)
        self.running.append(operator)
        await bring_up(operator)
        return operator

    def stop(self) -> None:
        while self.running:
            self.running.pop().stop()

    def find(self) -> dict[str, Object]:
        found = {crd["metadata"]["name"]: crd for crd in self.api.list("crd")}
        return {name: crd for name, crd in found.items() if is_of_gateway_api(name)}

    def has(self, bundle: Bundle) -> bool:
        """Whether all of a bundle is there as Navarch writes it, and served."""
        found = self.find()
        return bundle.crds.keys() <= found.keys() and all(
            is_as_written(found[name], bundle) for name in bundle.crds
        )

    async def see_looked(self, bundle: Bundle = BUNDLE) -> None:
        """Waits until the operator has read each CRD that it would write."""

        def has_read() -> bool:
            read = {r.name for r in self.audit.since(self.mark) if r.resource.startswith("custom")}
            return read >= bundle.crds.keys()

        await eventually(has_read, seconds=PATIENCE, what="it has looked at all of them")

    def list_writes(self, mark: int | None = None) -> list[str]:
        since = self.audit.since(self.mark if mark is None else mark)
        return [str(r) for r in since if r.is_write and is_of_gateway_api(r.name)]

    def list_told(self) -> list[str]:
        events = self.api.list("event", SYSTEM)
        return [e["note"] for e in events if e["reason"] == Reason.GATEWAY_API_NOT_INSTALLED]

    async def see_told(self, operator: Operator, *words: str) -> None:
        """Waits until an Event and the metric say so."""
        await eventually(
            lambda: any(all(word in note for word in words) for note in self.list_told()),
            seconds=PATIENCE,
            what=f"an Event with {words}, of {self.list_told()}",
        )
        assert read_metric(operator, "gateway_api_not_installed") == 1


def is_as_written(live: Object, bundle: Bundle) -> bool:
    wanted = bundle.crds[live["metadata"]["name"]]
    conditions = (live.get("status") or {}).get("conditions") or ()
    return (
        live["spec"]["versions"] == wanted["spec"]["versions"]
        and live["metadata"]["annotations"].items() >= wanted["metadata"]["annotations"].items()
        and live["metadata"]["labels"].items() >= OWN.items()
        and any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
    )


def build_crd(name: str, *, version: str = "", bundle: Bundle = BUNDLE, **annotations: str) -> dict[str, Any]:
    """One as another tool installs it: of a version, and with a field less than Navarch's."""
    crd: dict[str, Any] = copy.deepcopy(dict(bundle.crds[name]))
    crd["metadata"]["labels"] = {"of": "others"}
    said = {**crd["metadata"]["annotations"], VERSION: version, **annotations}
    crd["metadata"]["annotations"] = {key: value for key, value in said.items() if value}
    for each in crd["spec"]["versions"]:
        each["schema"]["openAPIV3Schema"]["properties"].pop("status", None)
    return crd


async def remove_mesh(place: Place, namespace: str) -> None:
    """While an operator runs, which has to release it."""
    remove_namespace(place.api, namespace)
    await eventually(lambda: place.api.get("namespace", "", namespace) is None, seconds=PATIENCE)


def read_states(place: Place) -> dict[str, str]:
    """Of each CRD its content's generation and its labels: what a write would change."""
    return {
        name: f"{crd['metadata']['generation']} {crd['metadata']['labels']} {crd['metadata']['annotations']}"
        for name, crd in place.find().items()
    }


@pytest.fixture(scope="module")
async def bare() -> AsyncIterator[Place]:
    with a_lab("gateway-api") as cluster:
        api = Api(cluster.kubeconfig)
        await install(api)
        assert cluster.audit_log is not None
        yield Place(cluster, api, Audit(cluster.audit_log, USER))


@pytest.fixture
async def place(bare: Place) -> AsyncIterator[Place]:
    """The lab without an operator, and afterwards again without any of these CRDs."""
    for event in bare.api.list("event", SYSTEM):
        bare.api.request("DELETE", bare.api.path("event", SYSTEM, event["metadata"]["name"]), {})
    yield bare
    bare.stop()
    for name in bare.find():
        bare.api.delete("crd", "", name)
    await eventually(lambda: not bare.find(), seconds=PATIENCE, what="none is left")


@pytest.mark.parametrize("install", ["IfAbsent", "Managed"])
async def test_a_cluster_without_any_gets_all_and_the_next_start_writes_none_but_what_was_deleted(
    place: Place, install: str
) -> None:
    operator = await place.start(install)
    await eventually(lambda: place.has(BUNDLE), seconds=PATIENCE, what=f"all are served, see {operator.log}")
    assert place.find().keys() == BUNDLE.crds.keys()
    assert len(place.list_writes()) == len(BUNDLE.crds)
    before = read_states(place)
    operator = await place.start(install)
    await place.see_looked()
    assert read_metric(operator, "gateway_api_not_installed") == 0
    assert place.list_writes() == []
    assert read_states(place) == before
    uid = place.find()[TLS]["metadata"]["uid"]
    place.api.delete("crd", "", TLS)
    await eventually(lambda: place.find().get(TLS, {"metadata": {"uid": ""}})["metadata"]["uid"] != uid)
    await eventually(lambda: place.has(BUNDLE), seconds=PATIENCE, what="it is back")
    assert len(place.list_writes()) == 1


@pytest.mark.parametrize("name", [ROUTES, "udproutes.gateway.networking.k8s.io"])
async def test_a_single_one_of_others_keeps_all_from_a_cluster_that_is_not_managed(
    place: Place, name: str
) -> None:
    place.api.create(build_crd(name, version="v1.0.0", bundle=EXPERIMENTAL))
    before = read_states(place)
    operator = await place.start("IfAbsent")
    await place.see_looked()
    assert read_metric(operator, "gateway_api_not_installed") == 0, "nothing is missing that was asked for"
    assert place.list_writes() == []
    assert read_states(place) == before


async def test_older_ones_of_others_are_brought_up_to_date_and_a_change_is_put_back(place: Place) -> None:
    for name in (ROUTES, TLS):
        place.api.create(build_crd(name, version="v1.4.1"))
    uids = {name: crd["metadata"]["uid"] for name, crd in place.find().items()}
    await place.start("Managed")
    await eventually(lambda: place.has(BUNDLE), seconds=PATIENCE)
    assert {name: place.find()[name]["metadata"]["uid"] for name in uids} == uids, "objects of them are kept"
    assert place.find()[ROUTES]["metadata"]["labels"]["of"] == "others"
    mark = place.audit.mark()
    place.api.apply(build_crd(ROUTES, version="v1.4.1"))
    assert not place.has(BUNDLE)
    await eventually(lambda: place.has(BUNDLE), seconds=PATIENCE, what="the change was put back")
    assert len(place.list_writes(mark)) == 1


async def test_one_that_another_client_makes_newer_while_the_operator_runs_is_left_alone(
    place: Place,
) -> None:
    operator = await place.start("Managed")
    await eventually(lambda: place.has(BUNDLE), seconds=PATIENCE)
    await place.see_looked()
    mark = place.audit.mark()
    place.api.apply(build_crd(ROUTES, version="v1.99.0"))
    await place.see_told(operator, f"{ROUTES} is of v1.99.0, which is newer than {BUNDLE.version}")
    place.api.delete("crd", "", TLS)
    await eventually(lambda: TLS not in place.find(), seconds=PATIENCE)
    place.api.delete("crd", "", ROUTES)  # and now nothing newer is there
    await eventually(lambda: place.has(BUNDLE), seconds=PATIENCE, what="both are back")
    assert len(place.list_writes(mark)) == 2
    assert read_metric(operator, "gateway_api_not_installed") == 0


OBSTACLES = {
    "newer": (build_crd(ROUTES, version="v1.99.0"), "newer"),
    "newer, and of another channel alone": (
        build_crd("tcproutes.gateway.networking.k8s.io", version="v1.99.0", bundle=EXPERIMENTAL),
        "newer",
    ),
    "without a version": (build_crd(ROUTES), "does not say"),
    "experimental": (build_crd(ROUTES, version="v1.4.1", **{CHANNEL: "experimental"}), "channel"),
}


@pytest.mark.parametrize("what", OBSTACLES)
async def test_what_must_not_be_written_over_keeps_all_from_being_written(place: Place, what: str) -> None:
    crd, word = OBSTACLES[what]
    place.api.create(crd)
    before = read_states(place)
    operator = await place.start("Managed")
    await place.see_told(operator, crd["metadata"]["name"], word)
    assert place.list_writes() == []
    assert read_states(place) == before


@pytest.mark.long
async def test_the_experimental_channel_comes_over_the_standard_one_and_not_the_other_way(
    place: Place, full: bool
) -> None:
    if not full:
        pytest.skip("an API server compiles three sets of CRDs for it: `make soak` runs it")
    await place.start("Managed")
    await eventually(lambda: place.has(BUNDLE), seconds=PATIENCE)
    await place.start("Managed", "experimental")
    await eventually(lambda: place.has(EXPERIMENTAL), seconds=PATIENCE)
    operator = await place.start("Managed")
    await place.see_told(operator, "channel experimental")
    assert place.list_writes() == []
    assert place.has(EXPERIMENTAL)


async def test_a_version_with_stored_objects_is_kept_until_it_is_taken_out_of_the_stored_ones(
    place: Place,
) -> None:
    old = build_crd(TLS, version="v1.4.1")
    (newest, *_) = old["spec"]["versions"]
    before = copy.deepcopy(newest) | {"name": "v1alpha1", "storage": True}
    old["spec"]["versions"] = [before]
    place.api.create(old)
    await eventually(
        lambda: place.find()[TLS]["status"].get("storedVersions") == ["v1alpha1"], seconds=PATIENCE
    )
    old["spec"]["versions"] = [before | {"storage": False}, newest]
    place.api.apply(old)
    await eventually(
        lambda: place.find()[TLS]["status"]["storedVersions"] == ["v1alpha1", "v1"], seconds=PATIENCE
    )
    operator = await place.start("Managed")
    await place.see_told(operator, TLS, "stored in version v1alpha1", "status.storedVersions")
    assert place.list_writes() == []
    place.api.patch("crd", "", TLS, {"status": {"storedVersions": ["v1"]}}, sub="status")
    await eventually(lambda: place.has(BUNDLE), seconds=PATIENCE, what="the rest follows by itself")
    await eventually(lambda: read_metric(operator, "gateway_api_not_installed") == 0)


@pytest.mark.parametrize(("install", "writes"), [("IfAbsent", 1), ("Managed", len(BUNDLE.crds) - 1)])
@pytest.mark.long
async def test_an_operator_that_was_killed_in_the_middle_is_followed_by_one_that_completes_the_set(
    place: Place, install: str, writes: int, full: bool
) -> None:
    if install == "Managed" and not full:
        pytest.skip("the other way of installing is killed here: `make soak` runs both")
    killed = place.build(install)
    with Proxy(place.cluster, killed.kubeconfig, name="halfway") as proxy:
        killed.kubeconfig = proxy.kubeconfig
        proxy.allow(writes)
        killed.start()
        await eventually(proxy.frozen.is_set, seconds=PATIENCE, what=f"{writes} writes, see {killed.log}")
        killed.kill()
    assert len(place.find()) == writes
    await place.start(install)
    await eventually(lambda: place.has(BUNDLE), seconds=PATIENCE, what="the set is complete")
    assert len(place.list_writes()) == len(BUNDLE.crds) - writes


FORBIDDEN = "CRDs of Gateway API are the platform's"


@contextmanager
def a_platform(place: Place) -> Iterator[None]:
    """A policy as a platform has it that keeps these CRDs for itself."""
    name = "platform-owns-gateway-api"
    rule = {"apiGroups": ["apiextensions.k8s.io"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"]}
    kind = "ValidatingAdmissionPolicy"
    policy = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [{**rule, "resources": ["customresourcedefinitions"]}]},
        "validations": [
            {
                "expression": "object.spec.group != 'gateway.networking.k8s.io' || "
                f"request.userInfo.username != '{USER}'",
                "message": FORBIDDEN,
            }
        ],
    }
    bound = {"policyName": name, "validationActions": ["Deny"]}
    path = "/apis/admissionregistration.k8s.io/v1/"
    made = []
    for each, spec in ((kind, policy), (f"{kind}Binding", bound)):
        body = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": each,
            "metadata": {"name": name},
            "spec": spec,
        }
        plural = "validatingadmissionpolicies" if each == kind else "validatingadmissionpolicybindings"
        place.api.request("POST", path + plural, body)
        made.append(f"{path}{plural}/{name}")
    yield
    for each in reversed(made):
        place.api.request("DELETE", each)


async def test_a_platform_that_forbids_it_is_told_once_and_holds_no_mesh_up(place: Place) -> None:
    as_operator = place.api.impersonating(USER)
    with a_platform(place):

        def is_in_force() -> bool:
            try:
                as_operator.create(build_crd(ROUTES, version="v1.4.1"), dry_run=True)
            except Exception as error:
                return FORBIDDEN in str(error)
            return False

        await eventually(is_in_force, seconds=PATIENCE, what="the policy is in force")
        operator = await place.start("Managed")
        await place.see_told(operator, FORBIDDEN)
        place.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mesh"}})
        place.api.create(build_mesh("mesh"))
        await wait_for(place.api, "mesh")
        assert len(place.list_writes()) == 1, "the others are not tried, and it is not tried again and again"
        assert place.find() == {}
        await remove_mesh(place, "mesh")


async def test_a_mesh_says_which_crds_its_istiod_ignores_until_they_are_brought_up_to_date(
    place: Place,
) -> None:
    place.api.create(build_crd(TLS, version="v1.4.1"))
    await place.start("Never")
    place.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "unread"}})
    place.api.create(build_mesh("unread"))
    mesh = await wait_for(place.api, "unread", condition="SpecAccepted", reason="GatewayAPIUnread")
    said = read_condition(mesh, "SpecAccepted")
    assert said["status"] == "True"
    assert f"ignores {TLS} of v1.4.1 since it reads v1.5.0 and newer" in said["message"]
    assert place.list_writes() == [], "nothing is installed where nobody asked for it"
    place.api.apply(build_crd(TLS, version=BUNDLE.version))

    def is_content() -> bool:
        mesh = place.api.get("mesh", "unread", "demo") or {}
        return not read_condition(mesh, "SpecAccepted")["reason"].startswith("GatewayAPI")

    await eventually(is_content, seconds=PATIENCE, what="the warning is gone")

    udp = build_crd(UDP, version="v1.6.0", bundle=EXPERIMENTAL, **{CHANNEL: "standard"})
    place.api.create(udp)
    switch = {"name": "PILOT_ENABLE_ALPHA_GATEWAY_API", "value": "true"}
    edit(place.api, "unread", controlPlane={"environment": [switch]})
    mesh = await wait_for(place.api, "unread", condition="SpecAccepted", reason="GatewayAPIAwaited")
    assert f"waits for v1alpha2 of {UDP}" in read_condition(mesh, "SpecAccepted")["message"]
    udp["metadata"]["annotations"][CHANNEL] = "experimental"
    place.api.apply(udp)
    await eventually(is_content, seconds=PATIENCE, what="it is not known of the other channel")
    await remove_mesh(place, "unread")
