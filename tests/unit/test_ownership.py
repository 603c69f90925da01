"""What is compared, what is taken out, whose fields are whose, and how often an object is put back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from navarch.core.model.ownership import (
    Inventory,
    Record,
    inventory_name,
    is_conceivable,
    parent_of_inventory,
    restate,
)
from navarch.core.model.parent import Parent
from navarch.core.model.refs import Ref
from navarch.core.offline import build_offline
from navarch.core.world.cluster import Environment
from navarch.kube.contest import CALM, LONGEST, Contests
from navarch.kube.evidence import Evidence
from navarch.kube.handover import build_floor, find_floors
from navarch.kube.intruders import find_intruders
from navarch.kube.inventory import read_inventory, render_inventory
from navarch.kube.shared_fields import build_release, find_shared
from navarch.kube.values import DIGESTS, digest_data, find_differences
from navarch.kube.witness import find_writers, tell_contest

from tests.unit.observations import PARENT, assets

ENVIRONMENT = Environment((1, 35), "navarch-system", "navarch-probe")
MESH = {
    "apiVersion": "mesh.navarch.io/v1beta1",
    "kind": "MeshControlPlane",
    "metadata": {"name": "mesh", "namespace": "shop", "uid": "u"},
    "spec": {
        "version": "1.31",
        "defaultTag": True,
        "mtls": {"mode": "Strict"},
        "controlPlane": {"networkPolicy": True, "autoscaling": {"minReplicas": 2, "maxReplicas": 3}},
        "values": {"gatewayClasses": {"istio": {"deployment": {"spec": {"replicas": 2}}}}},
    },
}


def rendered() -> list[dict[str, Any]]:
    """Every object of a mesh that has everything."""
    objects = build_offline(MESH, assets(), ENVIRONMENT).objects
    return [copy.deepcopy(dict(o)) for o in objects if o["kind"] not in ("CustomResourceDefinition",)]


def test_everything_that_is_rendered_is_in_the_closed_world() -> None:
    ours = [o for o in rendered() if "mesh.navarch.io/mesh-name" in o["metadata"].get("labels", {})]
    assert {o["kind"] for o in ours} >= {"Deployment", "ConfigMap", "Service", "MutatingWebhookConfiguration"}
    assert [f"{o['kind']} {o['metadata']['name']}" for o in ours if not is_conceivable(o)] == []


def test_what_is_applied_neither_differs_from_itself_nor_has_intruders() -> None:
    for manifest in rendered():
        assert list(find_differences(manifest, manifest)) == []
        assert list(find_intruders(manifest, manifest)) == []


def test_a_condition_that_others_add_to_a_webhook_is_an_intruder() -> None:
    found = []
    for manifest in rendered():
        for index, webhook in enumerate(manifest.get("webhooks", ())):
            live = copy.deepcopy(manifest)
            ours = webhook.get("matchConditions", [])
            theirs = {"name": "never", "expression": "false"}
            live["webhooks"][index]["matchConditions"] = [theirs, *ours]
            (intruder,) = find_intruders(manifest, live)
            assert (intruder.pointer, intruder.live) == (f"/webhooks/{index}/matchConditions/0", theirs)
            found.append(bool(ours))
    assert set(found) == {True, False}, "webhooks with conditions of ours, and without"


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict) and value:
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    if isinstance(value, list) and value:
        return [leaf for index, item in enumerate(value) for leaf in leaves(item, (*path, index))]
    return [path]


def change(manifest: dict[str, Any], path: tuple[Any, ...], *, remove: bool) -> dict[str, Any]:
    changed = copy.deepcopy(manifest)
    at = changed
    for step in path[:-1]:
        at = at[step]
    if remove:
        del at[path[-1]]
    else:
        old = at[path[-1]]
        at[path[-1]] = not old if isinstance(old, bool) else old + 1 if isinstance(old, int) else f"{old}x"
    return changed


@pytest.mark.parametrize("remove", [False, True], ids=["changed", "removed"])
def test_every_changed_and_every_removed_leaf_is_found(remove: bool) -> None:
    missed = []
    for manifest in rendered():
        content = {k: v for k, v in manifest.items() if k not in ("apiVersion", "kind", "metadata")}
        for path in leaves(content):
            value: Any = content
            for step in path:
                value = value[step]
            if value in ({}, [], "", None) or not path:
                continue
            live = change(manifest, path, remove=remove)
            if not [*find_differences(manifest, live), *find_intruders(manifest, live)]:
                missed.append((manifest["kind"], manifest["metadata"]["name"], path))
    assert missed == []


def test_spellings_of_the_api_server_are_no_differences() -> None:
    manifest = {
        "kind": "Deployment",
        "metadata": {"name": "x"},
        "spec": {
            "template": {
                "spec": {
                    "containers": [
                        {
                            "name": "c",
                            "resources": {"requests": {"cpu": "1000m", "memory": "2048Mi"}, "limits": {}},
                            "env": [{"name": "EMPTY", "value": ""}],
                        }
                    ]
                }
            }
        },
    }
    live = copy.deepcopy(manifest)
    container = live["spec"]["template"]["spec"]["containers"][0]  # type: ignore[index]
    container["resources"] = {"requests": {"cpu": "1", "memory": "2Gi"}}
    container["env"] = [{"name": "EMPTY"}]
    assert list(find_differences(manifest, live)) == []


def test_a_quantity_is_a_number_only_where_quantities_stand() -> None:
    manifest = {"kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"replicas": "1000m"}}
    assert list(find_differences(manifest, {**manifest, "data": {"replicas": "1"}}))


def test_a_config_map_is_compared_by_the_digests_of_its_data() -> None:
    manifest = {"kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "1", "b": "2"}}
    kept = {"metadata": {"name": "x"}, DIGESTS: digest_data({"a": "1", "b": "2", "theirs": "3"})}
    assert list(find_differences(manifest, kept)) == []
    changed = {"metadata": {"name": "x"}, DIGESTS: digest_data({"a": "1", "b": "3"})}
    assert [d.path for d in find_differences(manifest, changed)] == ["data.b"]


def test_further_keys_hide_no_change_of_a_config_map() -> None:
    """What is tolerated once is tolerated only as long as nothing at all in the data changes."""
    manifest = {"kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"z": "1"}}
    others = {f"a{number}": "" for number in range(100)}
    found = []
    for value in ("1", "2"):
        kept = {"metadata": {"name": "x"}, DIGESTS: digest_data({**others, "z": value})}
        assert len(kept[DIGESTS]) == 1
        found.append([(d.path, d.live) for d in find_differences(manifest, kept)])
    assert all(found)
    assert found[0] != found[1]


def find(kind: str, part: str = "") -> dict[str, Any]:
    return next(o for o in rendered() if o["kind"] == kind and part in o["metadata"]["name"])


def test_intruders_are_named_by_pointers_that_can_be_removed_one_after_the_other() -> None:
    deployment = find("Deployment")
    live = copy.deepcopy(deployment)
    pod = live["spec"]["template"]["spec"]
    pod["containers"].insert(0, {"name": "evil", "image": "x"})
    pod["containers"][1]["env"] += [
        {"name": "XDS_AUTH", "value": "false"},
        {"name": "REVISION", "value": "x"},
    ]
    pod["volumes"].append({"name": "evil", "hostPath": {"path": "/"}})
    pod["hostNetwork"] = True
    pod["nodeSelector"] = {"theirs": "stays"}
    pod["containers"][1]["securityContext"]["privileged"] = True
    pod["containers"][1]["securityContext"]["capabilities"]["add"] = ["ALL"]
    for intruder in list(find_intruders(deployment, live)):
        *steps, last = intruder.pointer.split("/")[1:]
        at: Any = live
        for step in steps:
            at = at[int(step)] if isinstance(at, list) else at[step]
        del at[int(last) if isinstance(at, list) else last]
    assert list(find_intruders(deployment, live)) == []
    assert list(find_differences(deployment, live)) == []
    assert pod.pop("nodeSelector") == {"theirs": "stays"}
    assert live == deployment


def test_what_istiod_and_the_api_server_write_into_webhooks_is_no_intruder() -> None:
    webhook = find("MutatingWebhookConfiguration")
    live = copy.deepcopy(webhook)
    for entry in live["webhooks"]:
        entry["clientConfig"]["caBundle"] = "Cg=="
        entry["matchPolicy"], entry["timeoutSeconds"] = "Equivalent", 10
        entry["rules"][0]["scope"] = "*"
    live["metadata"]["annotations"] = {"admissions.enforcer/disabled": "true"}
    assert [*find_intruders(webhook, live), *find_differences(webhook, live)] == []


# --- evidence


def a_live(manifest: dict[str, Any], *, version: str) -> dict[str, Any]:
    fields = {"f:metadata": {"f:labels": {}}, "f:data": {"f:a": {}}}
    metadata = {
        **manifest["metadata"],
        "uid": "u",
        "resourceVersion": version,
        "annotations": {"mesh.navarch.io/applied": "h"},
        "managedFields": [{"manager": "navarch", "operation": "Apply", "fieldsV1": fields}],
    }
    return {**manifest, "metadata": metadata}


def test_a_value_that_stays_as_the_api_server_spells_it_is_tolerated_and_any_other_is_not() -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "1"}}
    evidence = Evidence()
    spelled = a_live({**manifest, "data": {"a": "one"}}, version="1")
    assert not evidence.is_settled(spelled, manifest, "h")
    evidence.tolerate(spelled, manifest, "h")
    assert evidence.is_settled(a_live({**manifest, "data": {"a": "one"}}, version="2"), manifest, "h")
    assert not evidence.is_settled(a_live({**manifest, "data": {"a": "two"}}, version="3"), manifest, "h")


# --- fields of several managers


def an_entry(manager: str, fields: dict[str, Any], operation: str = "Update", **more: str) -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "fieldsV1": fields, **more}


def test_our_fields_become_ours_alone_and_the_others_keep_theirs() -> None:
    ours = an_entry("navarch", {"f:data": {"f:a": {}}, "f:l": {'k:{"n":1}': {".": {}, "f:n": {}}}}, "Apply")
    create = {
        "f:data": {".": {}, "f:a": {}, "f:b": {}},
        "f:l": {'k:{"n":1}': {".": {}, "f:n": {}, "f:x": {}}},
    }
    status = an_entry("controller", {"f:data": {"f:a": {}}}, subresource="status")
    replicas = an_entry("navarch-replicas", {"f:data": {"f:a": {}}}, "Apply")
    live = {
        "metadata": {
            "uid": "u",
            "resourceVersion": "1",
            "managedFields": [ours, an_entry("kubectl-create", create), status, replicas],
        }
    }
    (shared,) = find_shared(live)
    assert shared["fieldsV1"] == {"f:data": {"f:a": {}}, "f:l": {'k:{"n":1}': {"f:n": {}}}}
    entries = build_release(live)[-1]["value"]
    rest = {"f:data": {".": {}, "f:b": {}}, "f:l": {'k:{"n":1}': {"f:x": {}}}}
    assert entries == [ours, an_entry("kubectl-create", rest), status, replicas]
    live["metadata"]["managedFields"] = entries
    assert list(find_shared(live)) == []


def test_the_writer_of_a_contested_field_is_named() -> None:
    fields = {"f:webhooks": {'k:{"name":"a"}': {"f:namespaceSelector": {}}}}
    live = {"metadata": {"managedFields": [an_entry("enforcer", fields), an_entry("other", {"f:data": {}})]}}
    manifest = find("MutatingWebhookConfiguration")
    changed = copy.deepcopy(manifest)
    changed["webhooks"][0]["namespaceSelector"] = {"matchLabels": {"a": "b"}}
    deviations = [*find_intruders(manifest, changed), *find_differences(manifest, changed)]
    assert find_writers(live, deviations) == ("enforcer",)
    text = tell_contest(Ref("v1", "ConfigMap", "m", "x"), deviations, ("enforcer",))
    assert "webhooks[0].namespaceSelector" in text
    assert "field manager enforcer" in text


# --- contests


def test_repairs_follow_at_once_then_at_growing_intervals_and_at_once_again_after_a_calm() -> None:
    now = 0.0
    contests = Contests(at_once=3, clock=lambda: now)
    ref = Ref("v1", "ConfigMap", "m", "x")
    waits = []
    for _ in range(12):
        wait = contests.find_wait(ref)
        waits.append(wait)
        now += wait
        contests.note(ref)
    assert waits[:4] == [0, 0, 0, 0]
    assert waits[4:] == sorted(waits[4:])
    assert 0 < waits[4] < waits[-1] <= LONGEST
    assert contests.find_rest(ref) > 0
    assert contests.find_wait(Ref("v1", "ConfigMap", "m", "other")) == 0
    now += 20 * CALM
    assert (contests.find_rest(ref), contests.find_wait(ref)) == (0, 0)


# --- replicas, inventories


def test_zero_replicas_under_an_autoscaler_with_a_minimum_are_put_back_and_no_other_number() -> None:
    deployment, scaler = find("Deployment"), find("HorizontalPodAutoscaler")
    floors = find_floors([scaler])

    def live(replicas: int) -> dict[str, Any]:
        metadata = {**deployment["metadata"], "uid": "u"}
        return {**deployment, "metadata": metadata, "spec": {**deployment["spec"], "replicas": replicas}}

    floor = build_floor(deployment, live(0), floors)
    assert floor is not None
    assert floor["spec"] == {"replicas": 2}
    assert build_floor(deployment, live(1), floors) is None
    assert build_floor(deployment, live(0), {}) is None
    assert build_floor({**deployment, "spec": {**deployment["spec"], "replicas": 1}}, live(0), floors) is None


def test_an_inventory_is_read_as_it_was_written() -> None:
    ref = Ref("apps/v1", "Deployment", "shop", "istiod-x")
    inventory = Inventory("u", "k", {ref: Record(ref, "1", "istiod", "x")})
    assert read_inventory(render_inventory(PARENT, inventory)) == (
        Parent("MeshControlPlane", "shop", "mesh", "u"),
        inventory,
    )
    with pytest.raises(ValueError, match="no inventory"):
        read_inventory('{"mesh": 1}')
    mesh = Parent("MeshControlPlane", "shop", "a.b")
    assert parent_of_inventory(inventory_name(mesh)) == mesh
    assert parent_of_inventory("profile.shop.a") is None


def test_a_recorded_object_counts_by_what_it_was_given() -> None:
    ref = Ref("apps/v1", "Deployment", "shop", "istiod-x")
    record = Record(ref, "1", "istiod", "x")
    metadata = {"name": ref.name, "namespace": "shop", "labels": {"mesh.navarch.io/component": "tags"}}
    there = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}
    labels = restate(there, PARENT, record)["metadata"]["labels"]
    assert labels["mesh.navarch.io/component"] == "istiod"
    assert labels["mesh.navarch.io/revision"] == "x"
    assert PARENT.owns(restate(there, PARENT, record))
