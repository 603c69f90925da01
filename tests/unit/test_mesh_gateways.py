"""Gateways that a mesh makes, and what it says of all that name it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from navarch.api.controlplane import MOST_GATEWAYS, MeshControlPlaneSpec
from navarch.api.gateway import GatewaySettings, MeshGatewaySpec
from navarch.api.inline import TYPES, Gateways
from navarch.api.meta import API_VERSION
from navarch.core.mesh.checks.inline import check_gateways_have_names_of_their_own
from navarch.core.mesh.gateways import (
    GatewayView,
    build_gateways,
    determine_gateways,
    summarise_gateways,
    view_gateways,
)
from navarch.core.mesh.layering import merge_layers, merge_settings
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.plan import plan_mesh
from navarch.core.mesh.resolve import resolve_config
from navarch.core.mesh.status import AWAITED, summarise_mesh
from navarch.core.model.actions import Outcome
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.hashing import stable_hash
from navarch.core.model.labels import APPLIED
from navarch.core.model.ordering import order_for_removal
from navarch.core.model.ownership import Inventory, Record, claims_parent, is_conceivable, is_proved
from navarch.core.model.parent import GATEWAY, MESH, parent_of
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.model.urgency import is_urgent
from navarch.core.world.cluster import Namespace
from navarch.core.world.proxies import Census, ProxyPod, read_proxy_pod
from navarch.engine.key import Key
from navarch.engine.queue import Queue
from navarch.gather.watches import GATEWAYS
from navarch.triggers.keys import Ask, Dependents
from navarch.triggers.known import Known

from tests.unit.observations import OURS, PARENT, a_spec, an_observed_mesh, only
from tests.unit.observations import ask as in_turn
from tests.unit.test_engine_queue import Clock
from tests.unit.test_status import settled

TAG = "shop-mesh"
FRONT = Namespace("front", {"istio.io/rev": TAG})
MESH_KEY = Key(MESH, "shop", "mesh")


def ask(gateways: dict[str, Any]) -> list[Manifest]:
    """The MeshGateways of a mesh with these gateways."""
    return list(build_gateways(PARENT, Gateways.model_validate(gateways)))


def made(manifest: Manifest, *, ready: str = "True", reason: str = "AsExpected", **status: Any) -> Manifest:
    """A MeshGateway as it stands once it was applied and looked at."""
    metadata = {
        **manifest["metadata"],
        "uid": f"uid-{manifest['metadata']['name']}",
        "generation": 1,
        "managedFields": OURS,
        "annotations": {APPLIED: stable_hash(manifest)},
    }
    condition = {"type": "Ready", "status": ready, "reason": reason, "message": "", "observedGeneration": 1}
    return {**manifest, "metadata": metadata, "status": {"conditions": [condition], **status}}


def theirs(name: str, *, namespace: str = "front", **more: Any) -> Manifest:
    """A MeshGateway that somebody else made for the mesh."""
    manifest = {
        "apiVersion": API_VERSION,
        "kind": GATEWAY,
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"controlPlaneRef": {"name": "mesh", "namespace": "shop"}, "type": "Ingress"},
    }
    there = made(manifest, **more)
    return {**there, "metadata": {**there["metadata"], "managedFields": [], "annotations": {}}}


def asking(gateways: dict[str, Any], **changes: Any) -> ObservedMesh:
    """A settled mesh that asks for gateways; namespace `front` belongs to it."""
    observed = settled()
    spec = a_spec(gateways=gateways)
    there = changes.pop("there", ())
    return replace(
        observed,
        body={**observed.body, "spec": spec},
        spec=MeshControlPlaneSpec.model_validate(spec),
        namespaces={**observed.namespaces, "front": FRONT},
        owned=(*observed.owned, *(g for g in there if parent_of(g) is not None)),
        gateways=tuple(there),
        **changes,
    )


def judge(observed: ObservedMesh) -> tuple[dict[str, Any], dict[str, Any]]:
    """The conditions that a mesh without findings shows, and its status."""
    status = summarise_mesh(observed, (), plan_mesh(observed, ()), Outcome())
    return {c["type"]: c for c in status["conditions"]}, status


# --- layers ------------------------------------------------------------------------------------------------


def test_a_gateway_of_a_mesh_has_the_defaults_below_its_own_settings() -> None:
    defaults = {"replicas": 2, "labels": {"a": "1"}, "service": {"type": "NodePort"}}
    entry = {"name": "web", "labels": {"b": "2"}, "service": {"annotations": {"x": "y"}}}
    (gateway,) = ask({"defaults": defaults, "ingress": [entry]})
    assert ref_of(gateway) == Ref(API_VERSION, GATEWAY, "shop", "web")
    assert gateway["spec"] == {
        "controlPlaneRef": {"name": "mesh", "namespace": "shop"},
        "type": "Ingress",
        "replicas": 2,
        "labels": {"a": "1", "b": "2"},
        "service": {"type": "NodePort", "annotations": {"x": "y"}},
    }
    MeshGatewaySpec.model_validate(gateway["spec"], extra="forbid")


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [
        ({"replicas": 2}, {"autoscaling": {"minReplicas": 1}}, {"autoscaling": {"minReplicas": 1}}),
        ({"replicas": 2}, {"workload": "DaemonSet"}, {"workload": "DaemonSet"}),
        ({"autoscaling": {"minReplicas": 1}}, {"workload": "DaemonSet"}, {"workload": "DaemonSet"}),
        ({"workload": "DaemonSet"}, {"replicas": 2}, {"replicas": 2}),
        ({"replicas": 2}, {"workload": "Deployment"}, {"replicas": 2, "workload": "Deployment"}),
        ({"workload": "DaemonSet"}, {"labels": {"a": "b"}}, {"workload": "DaemonSet", "labels": {"a": "b"}}),
        ({"autoscaling": {"minReplicas": 1}}, {"replicas": 2}, {"replicas": 2}),
        ({"replicas": 2}, {"labels": {"a": "1"}}, {"replicas": 2, "labels": {"a": "1"}}),
        ({"replicas": 2}, {"replicas": None}, {}),
    ],
)
def test_of_settings_that_exclude_each_other_the_upper_ones_count(
    lower: dict[str, Any], upper: dict[str, Any], expected: dict[str, Any]
) -> None:
    before = {**lower}
    assert merge_settings(lower, upper) == expected
    assert lower == before


def test_gateways_of_profiles_and_spec_are_merged_by_name() -> None:
    lower = {
        "gateways": {"defaults": {"replicas": 2}, "ingress": [{"name": "a", "replicas": 3}, {"name": "b"}]}
    }
    upper = {"gateways": {"defaults": {"labels": {"x": "1"}}, "ingress": [{"name": "c"}, {"name": "a"}]}}
    assert merge_layers(lower, upper)["gateways"] == {
        "defaults": {"replicas": 2, "labels": {"x": "1"}},
        "ingress": [{"name": "a", "replicas": 3}, {"name": "b"}, {"name": "c"}],
    }
    assert merge_layers(lower, {"gateways": {"ingress": None}})["gateways"] == {"defaults": {"replicas": 2}}
    assert "gateways" not in merge_layers(lower, {"gateways": None})
    assert merge_layers(lower, {}) == lower


def test_a_profile_can_carry_gateways_and_is_held_against_their_fields() -> None:
    spec = MeshControlPlaneSpec.model_validate({"version": "1.31", "profiles": ["edge"]})
    base = {"default": {}}
    good = {"gateways": {"defaults": {"replicas": 2}, "egress": [{"name": "out"}]}}
    assert resolve_config(spec, profiles={**base, "edge": good})[1] == []
    for bad, word in (
        ({"gateways": {"egres": []}}, "did you mean egress?"),
        ({"gateways": {"egress": [{"name": "out", "replica": 2}]}}, "gateways.egress[0].replica"),
        ({"gateways": {"egress": [{}]}}, "gateways.egress[0].name"),
    ):
        (finding,) = resolve_config(spec, profiles={**base, "edge": bad})[1]
        assert finding.reason is Reason.PROFILE_INVALID
        assert word in finding.message


def test_a_mesh_makes_the_gateways_of_its_profiles_and_keeps_them_out_of_its_revision() -> None:
    profile = {"gateways": {"defaults": {"replicas": 2}, "ingress": [{"name": "web"}]}}
    observed = asking({"ingress": [{"name": "web", "labels": {"a": "1"}}]})
    spec = {**observed.body["spec"], "profiles": ["edge"]}
    observed = replace(observed, spec=MeshControlPlaneSpec.model_validate(spec), profiles={"edge": profile})
    (gateway,) = plan_mesh(observed, ()).gateways
    assert (gateway["spec"]["replicas"], gateway["spec"]["labels"]) == (2, {"a": "1"})
    revision = plan_mesh(observed, ()).revision
    assert revision is not None
    assert "gateways" not in revision["spec"]["config"]


def test_a_name_that_a_profile_gives_to_a_gateway_of_another_type_is_refused() -> None:
    observed = an_observed_mesh(
        spec=a_spec(profiles=["edge"], gateways={"egress": [{"name": "web"}]}),
        profiles={"edge": {"gateways": {"ingress": [{"name": "web"}]}}},
    )
    finding = only(check_gateways_have_names_of_their_own, observed)
    assert (finding.reason, finding.value, finding.severity) == (Reason.INVALID_SPEC, "web", Severity.ERROR)
    same = replace(observed, profiles={"edge": {"gateways": {"egress": [{"name": "web", "replicas": 2}]}}})
    assert list(in_turn(check_gateways_have_names_of_their_own, same)) == []


def test_every_type_of_gateway_that_the_schema_has_can_be_made_inline() -> None:
    fields = {field.alias or name for name, field in Gateways.model_fields.items()}
    assert {*TYPES} | {"defaults"} == fields
    kinds = MeshGatewaySpec.model_json_schema()["properties"]["type"]["enum"]
    assert {*TYPES.values()} == {*kinds}
    assert {*GatewaySettings.model_fields} < {*MeshGatewaySpec.model_fields}


# --- whose they are ----------------------------------------------------------------------------------------


def test_a_gateway_of_a_mesh_is_the_meshs_in_any_namespace_but_not_by_its_labels_alone() -> None:
    (gateway,) = ask({"ingress": [{"name": "web", "namespace": "front"}]})
    assert parent_of(gateway) == PARENT
    assert is_conceivable(gateway)
    forged = {**gateway, "metadata": {**gateway["metadata"], "uid": "x"}}
    assert not claims_parent(forged, PARENT)
    assert not is_proved(forged, PARENT, Inventory())
    record = Record(ref_of(forged), "x", "gateways")
    assert is_proved(forged, PARENT, Inventory(records={record.ref: record}))
    assert is_proved(made(gateway), PARENT, Inventory())
    service = {**gateway, "kind": "Service"}
    assert parent_of(service) is None, "other kinds of a mesh lie beside it"


def test_a_gateway_is_made_only_where_its_namespace_belongs_to_the_mesh() -> None:
    observed = asking(
        {"ingress": [{"name": "a"}, {"name": "b", "namespace": "front"}, {"name": "c", "namespace": "x"}]}
    )
    wave = plan_mesh(observed, ()).plan.waves[-1]
    assert wave.name == "last"
    assert [(o["metadata"]["namespace"], o["metadata"]["name"]) for o in wave.objects] == [
        ("shop", "a"),
        ("front", "b"),
    ]
    conditions, status = judge(observed)
    assert "kubectl label namespace x istio.io/rev=shop-mesh" in conditions["Ready"]["message"]
    assert {each["name"]: each["reason"] for each in status["gateways"]} == {
        "a": "NotInstalled",
        "b": "NotInstalled",
        "c": "NotAMember",
    }


def test_a_gateway_whose_namespace_left_the_mesh_stays_and_is_kept_up() -> None:
    entry = {"name": "web", "namespace": "front"}
    (wanted,) = ask({"ingress": [entry]})
    observed = asking({"ingress": [entry]}, there=(made(wanted, ready="False", reason="NotAMember"),))
    observed = replace(observed, namespaces={**observed.namespaces, "front": Namespace("front", {})})
    plan = plan_mesh(observed, ()).plan
    assert wanted in plan.waves[-1].objects
    assert ref_of(wanted) not in plan.prune


def test_a_gateway_that_is_asked_for_no_more_goes_and_nobody_elses_does() -> None:
    (wanted,) = ask({"ingress": [{"name": "web"}]})
    observed = asking({}, there=(made(wanted), theirs("other")))
    assert plan_mesh(observed, ()).plan.prune == (ref_of(wanted),)


def born(manifest: Manifest, second: int, **status: Any) -> Manifest:
    """A MeshGateway that stands since this second."""
    there = made(manifest, **status)
    return {**there, "metadata": {**there["metadata"], "creationTimestamp": f"2026-10-01T12:00:{second:02}Z"}}


UNREADY = {"ready": "False", "reason": "AddressPending"}


@pytest.mark.parametrize(
    ("kind", "new", "stays"),
    [
        ("ingress", None, True),
        ("ingress", (9, UNREADY), True),
        ("ingress", (9, {}), False),
        ("ingress", (1, UNREADY), False),
        ("egress", (9, UNREADY), False),
    ],
    ids=["not made", "not ready", "ready", "older and broken", "of another type"],
)
def test_a_gateway_without_an_entry_stays_until_a_younger_one_of_its_type_is_ready(
    kind: str, new: tuple[int, dict[str, Any]] | None, stays: bool
) -> None:
    (old,) = ask({"ingress": [{"name": "old"}]})
    entries: dict[str, Any] = {kind: [{"name": "new"}]}
    (wanted,) = ask(entries)
    younger = (born(wanted, new[0], **new[1]),) if new else ()
    observed = asking(entries, there=(born(old, 5), *younger))
    plan = plan_mesh(observed, ()).plan
    assert (ref_of(old) not in plan.prune) is stays
    assert ref_of(old) not in map(ref_of, plan.objects()), "nothing is written to it either"
    message = judge(observed)[0]["GatewaysReady"]["message"]
    assert message.endswith("until they are, what spec.gateways has no more stays: shop/old") is stays


def test_while_a_spec_is_refused_the_gateways_of_the_mesh_stay_as_they_are() -> None:
    (wanted,) = ask({"ingress": [{"name": "web"}]})
    observed = asking({}, there=(made(wanted),))
    refused = (Finding(Reason.FIELD_REFUSED, "spec.values", "x", "is refused", "leave it out"),)
    plan = plan_mesh(observed, refused).plan
    assert ref_of(wanted) not in (*plan.prune, *map(ref_of, plan.objects()))


def test_gateways_are_applied_after_all_else_and_removed_before_istiod() -> None:
    observed = asking({"ingress": [{"name": "web"}]})
    assert [wave.name for wave in plan_mesh(observed, ()).plan.waves][-1] == "last"
    refs = [Ref("v1", kind, "shop", "x") for kind in ("Deployment", "MeshRevision", GATEWAY, "ConfigMap")]
    assert order_for_removal(refs)[0].kind == GATEWAY


# --- what is said ------------------------------------------------------------------------------------------


def test_a_mesh_is_ready_with_its_own_gateways_and_whatever_becomes_of_others() -> None:
    (wanted,) = ask({"ingress": [{"name": "web"}]})
    bad = theirs("bad", ready="False", reason="AddressPending")
    entries = {"ingress": [{"name": "web"}]}
    conditions, status = judge(asking(entries, there=(made(wanted, addresses=["10.0.0.1"]), bad)))
    assert conditions["Ready"]["status"] == "True"
    assert (conditions["GatewaysReady"]["status"], conditions["GatewaysReady"]["reason"]) == (
        "False",
        "GatewaysNotReady",
    )
    assert (
        conditions["GatewaysReady"]["message"]
        == "1 of 2 gateways are not ready: MeshGateway front/bad (AddressPending)"
    )
    assert status["gateways"] == [
        {"namespace": "front", "name": "bad", "ready": False, "reason": "AddressPending"},
        {"namespace": "shop", "name": "web", "ready": True, "reason": "AsExpected", "address": "10.0.0.1"},
    ]
    broken = made(wanted, ready="False", reason="AddressPending")
    conditions, _ = judge(asking(entries, there=(broken,)))
    assert (conditions["Ready"]["status"], conditions["Ready"]["reason"]) == ("False", "GatewaysNotReady")
    assert conditions["Available"]["status"] == "True"


def test_who_names_a_mesh_from_outside_of_it_changes_nothing_that_it_says() -> None:
    outside = theirs("bad", namespace="elsewhere", ready="False", reason="NotAMember")
    conditions, status = judge(asking({}, there=(outside,)))
    assert conditions["GatewaysReady"]["status"] == "True"
    assert "gateways" not in status


def test_a_mesh_without_gateways_says_nothing_of_any() -> None:
    conditions, status = judge(settled())
    assert (conditions["GatewaysReady"]["status"], conditions["GatewaysReady"]["message"]) == ("True", "")
    assert "gateways" not in status


def test_right_after_an_edit_a_gateway_is_not_taken_for_ready() -> None:
    (before,) = ask({"ingress": [{"name": "web"}]})
    edited = asking({"ingress": [{"name": "web", "replicas": 3}]}, there=(made(before),))
    conditions, _ = judge(edited)
    assert (conditions["Ready"]["status"], conditions["Ready"]["reason"]) == ("Unknown", "GatewaysNotReady")
    there = made(before)
    unseen = {**there, "metadata": {**there["metadata"], "generation": 2}}
    conditions, _ = judge(asking({"ingress": [{"name": "web"}]}, there=(unseen,)))
    assert conditions["Ready"]["status"] == "Unknown"


def test_a_gateway_of_others_under_the_wanted_name_is_told_as_theirs() -> None:
    observed = asking({"ingress": [{"name": "web", "namespace": "front"}]}, there=(theirs("web"),))
    (view,) = view_gateways(observed, plan_mesh(observed, ()).gateways)
    assert (view.ready, view.reason, view.inline) == ("False", Reason.FOREIGN_OBJECT, True)
    assert "left untouched" in str(view)


def test_a_gateway_that_is_being_removed_is_not_waited_for() -> None:
    (wanted,) = ask({"ingress": [{"name": "web"}]})
    there = made(wanted, ready="False", reason="Removing")
    going = {**there, "metadata": {**there["metadata"], "deletionTimestamp": "2026-10-01T12:00:00Z"}}
    conditions, status = judge(asking({}, there=(going,)))
    assert conditions["Ready"]["status"] == "True"
    assert "gateways" not in status
    conditions, _ = judge(asking({"ingress": [{"name": "web"}]}, there=(going,)))
    assert conditions["Ready"]["status"] == "False"


def test_status_lists_those_that_are_not_ready_before_others_and_names_a_few_of_many() -> None:
    good = [GatewayView("a", f"g{n:03}", False, "True", Reason.AS_EXPECTED) for n in range(200)]
    bad = [GatewayView("z", f"b{n:03}", False, "False", Reason.ROLLOUT_STUCK) for n in range(10)]
    listed = summarise_gateways([*good, *bad])
    assert len(listed) == MOST_GATEWAYS
    assert sum(not each["ready"] for each in listed) == 10
    assert listed == sorted(listed, key=lambda each: (each["namespace"], each["name"]))
    verdict = determine_gateways([*good, *bad])
    assert verdict.message.startswith("10 of 210 gateways are not ready: MeshGateway z/b000 (RolloutStuck)")
    assert verdict.message.endswith("and 5 more")


# --- its pods ----------------------------------------------------------------------------------------------


def test_pods_of_the_meshs_own_gateways_go_with_it_and_are_counted_apart() -> None:
    (wanted,) = ask({"ingress": [{"name": "web"}]})
    proxies = (
        ProxyPod("shop", "web-1", "shop-mesh-inplace", "s", "web"),
        ProxyPod("front", "other-1", "shop-mesh-inplace", "s", "other"),
        ProxyPod("front", "web-1", "shop-mesh-inplace", "s", "web"),
        ProxyPod("shop", "app-1", "shop-mesh-inplace", "s"),
    )
    there = (made(wanted), theirs("other"))
    observed = asking({"ingress": [{"name": "web"}]}, there=there, census=Census(counted=proxies))
    _, status = judge(observed)
    assert (status["proxies"]["total"], status["proxies"]["gateways"]) == (4, 1)
    metadata = {**observed.body["metadata"], "deletionTimestamp": "2026-10-01T12:00:00Z"}
    conditions, _ = judge(replace(observed, body={**observed.body, "metadata": metadata}))
    message = conditions["Deleting"]["message"]
    assert "front/other-1" in message
    assert "shop/web-1" not in message


def test_that_the_last_pod_but_those_of_gateways_went_is_told_at_once() -> None:
    def told(total: int, gateways: int) -> dict[str, Any]:
        return {"observedGeneration": 1, "proxies": {"total": total, "gateways": gateways}}

    assert is_urgent(AWAITED, told(3, 2), told(2, 2))
    assert not is_urgent(AWAITED, told(4, 2), told(3, 2))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"mesh.navarch.io/mesh-name": "mesh"}, "web"),
        ({}, ""),
        ({"mesh.navarch.io/mesh-name": "mesh", "mesh.navarch.io/gateway-namespace": "elsewhere"}, ""),
    ],
)
def test_a_pod_is_a_gateways_by_labels_that_a_policy_guards(labels: dict[str, str], expected: str) -> None:
    names = {"mesh.navarch.io/gateway-namespace": "shop", "mesh.navarch.io/gateway-name": "web"}
    metadata = {
        "namespace": "shop",
        "name": "web-1",
        "labels": {**names, **labels},
        "annotations": {"istio.io/rev": "shop-mesh-inplace"},
    }
    proxy = read_proxy_pod({"kind": "Pod", "metadata": metadata})
    assert proxy is not None
    assert proxy.gateway == expected


# --- who is asked ------------------------------------------------------------------------------------------

DEPENDENTS = Dependents(Known(), find_namespace=lambda _: None)


def keys_of(old: Manifest | None, new: Manifest | None) -> dict[Key, float]:
    """Keys of a change, with the delay of the earliest."""
    found: dict[Key, float] = {}
    for asked in GATEWAYS.keys(DEPENDENTS, old, new):
        found[asked.key] = min(found.get(asked.key, asked.after), asked.after)
    return found


def test_a_mesh_looks_at_a_gateway_when_it_is_ready_or_no_more_and_not_at_each_word() -> None:
    old = theirs("web")
    said = {**old["status"]["conditions"][0], "message": "1 of 2 pods are updated"}
    word = {**old, "status": {**old["status"], "conditions": [said], "ready": 1}}
    own = Key(GATEWAY, "front", "web")
    assert keys_of(old, word) == {own: 0}
    for changed in (
        theirs("web", ready="False"),
        theirs("web", reason="Other"),
        theirs("web", addresses=["1"]),
    ):
        assert keys_of(old, changed) == {own: 0, MESH_KEY: 1}
    assert keys_of(None, old) == keys_of(old, None) == {own: 0, MESH_KEY: 1}


def test_an_edit_of_a_gateway_that_the_mesh_made_is_looked_at_at_once_also_when_its_labels_go() -> None:
    (wanted,) = ask({"ingress": [{"name": "web", "namespace": "front"}]})
    old = made(wanted)
    edited = {**old, "metadata": {**old["metadata"], "generation": 2}}
    bare = {**old, "metadata": {**old["metadata"], "labels": {}}}
    for new in (edited, bare, None):
        assert keys_of(old, new)[MESH_KEY] == 0


async def test_two_hundred_gateways_that_become_ready_together_are_one_look_of_their_mesh() -> None:
    clock = Clock()
    queue = Queue(clock=clock)
    for n in range(200):
        name = f"g{n}"
        before, after = theirs(name, namespace=name, ready="False"), theirs(name, namespace=name)
        for asked in GATEWAYS.keys(DEPENDENTS, before, after):
            queue.add(asked.key, after=asked.after)
        clock.pass_time(0.004)
    clock.pass_time(1)
    taken = []
    while True:
        try:
            taken.append((await asyncio.wait_for(queue.get(), 0.01)).key)
        except TimeoutError:
            break
    assert taken.count(MESH_KEY) == 1
    assert len(taken) == 201


def test_what_a_mesh_says_of_its_gateways_does_not_lead_back_to_them() -> None:
    gateway = theirs("web")
    dependents = Dependents(Known([gateway]), find_namespace=lambda _: None)
    key = Key(GATEWAY, "front", "web")

    def mesh(injected: str = "True", **status: Any) -> Manifest:
        conditions = [
            {"type": "InjectionReady", "status": injected, "reason": "x"},
            *status.pop("conditions", ()),
        ]
        metadata = {"namespace": "shop", "name": "mesh", "generation": 1}
        return {
            "kind": MESH,
            "metadata": metadata,
            "spec": {},
            "status": {"conditions": conditions, **status},
        }

    not_ready = {"type": "GatewaysReady", "status": "False", "reason": "GatewaysNotReady"}
    for told in (
        mesh(gateways=[{"name": "web"}]),
        mesh(proxies={"total": 9}),
        mesh(conditions=[not_ready]),
    ):
        assert key not in list(dependents.keys_for_mesh(mesh(), told))
    for told in (mesh("False"), mesh(tag="other"), None):
        assert key in list(dependents.keys_for_mesh(mesh(), told))
    paused = {**mesh(), "metadata": {**mesh()["metadata"], "generation": 2}}
    assert key in list(dependents.keys_for_mesh(mesh(), paused))
    assert Ask(key) in list(GATEWAYS.keys(dependents, gateway, gateway))
