"""Server-side apply against a real API server: what is seen, what is written, what is left alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest
from navarch.core.model.actions import Action, Plan, Wave
from navarch.core.model.labels import APPLIED, MANAGED_BY, MESH_NAME, MESH_NAMESPACE
from navarch.core.model.ownership import MANAGER
from navarch.core.model.parent import MESH, Parent
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.gather.excerpts import shrink_owned
from navarch.kube.apply import Applier
from navarch.kube.client import Client, Object
from navarch.kube.contest import Contests
from navarch.kube.coverage import find_uncovered
from navarch.kube.errors import Invalid, KubeError, NotFound
from navarch.kube.fate import REFUSED_RETRY
from navarch.kube.handover import REPLICAS_MANAGER
from navarch.kube.reflector import Reflector
from navarch.kube.store import Store, version_of, without_foreign_fields
from navarch.kube.values import DIGESTS

from tests.cluster.conftest import Counted, Edge, a_namespace
from tests.cluster.samples import SAMPLES, build_sample
from tests.polling import eventually

KINDS = sorted(SAMPLES)
MOVING = {
    *("status", "managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"),
    *("clusterIP", "clusterIPs", "deployment.kubernetes.io/revision"),
}
OFTEN_EDITED = {"Deployment": 60, "Service": 25, "MutatingWebhookConfiguration": 20}
"""How many edits must at least have got through per kind, so that refused ones cannot hollow the test out."""


@asynccontextmanager
async def applied(
    edge: Edge, client: Client, parent: Parent, *objects: Manifest
) -> AsyncIterator[list[Object]]:
    """Objects that were just created through the applier; the cluster-scoped ones are removed afterwards."""
    try:
        outcome = await edge.apply(parent, *objects)
        assert {result.action for result in outcome.results} == {Action.CREATED}, outcome.results
        yield [await client.get(ref_of(manifest)) for manifest in objects]
    finally:
        for manifest in objects:
            if "namespace" not in manifest["metadata"]:
                with suppress(NotFound):
                    await client.delete(ref_of(manifest))


def normalised(value: Any) -> Any:
    """Content without what moves by itself: order of keyed lists, versions, status."""
    if isinstance(value, Mapping):
        return {key: normalised(item) for key, item in value.items() if key not in MOVING}
    if isinstance(value, list):
        items = [normalised(item) for item in value]
        return sorted(items, key=json.dumps) if items and isinstance(items[0], dict) else items
    return value


def pointers(desired: Any, live: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """JSON pointers into `live` of everything that `desired` names, with the desired value."""
    items: Iterator[tuple[Any, Any]]
    if isinstance(desired, Mapping):
        items = iter(desired.items())
    elif isinstance(desired, list):
        items = iter((_index_of(item, live), item) for item in desired)
    else:
        return
    for name, item in items:
        below = f"{path}/{str(name).replace('~', '~0').replace('/', '~1')}"
        yield below, item
        yield from pointers(item, live[name], below)


def _index_of(item: Any, live: list[Any]) -> int:
    def alike(candidate: Any) -> bool:
        if not isinstance(item, Mapping):
            return bool(candidate == item)
        plain = {k: v for k, v in item.items() if not isinstance(v, (dict, list))}
        return all(candidate.get(k) == v for k, v in (plain or item).items())

    return next(index for index, candidate in enumerate(live) if alike(candidate))


def edits_of(path: str, value: Any) -> Iterator[dict[str, Any]]:
    """What another client could do to a field: remove it, or give it another value."""
    yield {"op": "remove", "path": path}
    others: list[Any] = []
    if isinstance(value, bool):
        others = [not value]
    elif isinstance(value, int):
        others = [value + 1]
    elif isinstance(value, str):
        others = [f"{value}x", "7", "Ignore", "UDP", "PERMISSIVE"]
    for other in others:
        yield {"op": "replace", "path": path, "value": other}


def editable(manifest: Manifest) -> dict[str, Any]:
    """The part of a manifest whose every field is ours to keep: without identity."""
    content = {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind", "metadata")}
    return {**content, "metadata": {"labels": manifest["metadata"]["labels"]}}


async def try_edit(stranger: Client, ref: Ref, edit: dict[str, Any], before: Object) -> Object | None:
    """The object after another client's edit; None where the API server refuses it, or nothing came of it."""
    try:
        after = await stranger.patch(ref, [edit])
    except Invalid:
        return None
    # A removed field may be defaulted to what it was; the version alone also moves by a controller's status.
    return None if normalised(after) == normalised(before) else after


@pytest.mark.parametrize("kind", KINDS)
async def test_every_edit_and_removal_of_a_field_we_own_is_repaired_by_exactly_one_write(
    kind: str, edge: Edge, client: Client, stranger: Client, parent: Parent
) -> None:
    manifest = build_sample(kind, parent)
    ref = ref_of(manifest)
    done = 0
    async with applied(edge, client, parent, manifest) as (first,):
        for path, value in list(pointers(editable(manifest), first)):
            for edit in edits_of(path, value):
                before = await client.get(ref)
                here = dict(pointers_by_shape(editable(manifest), first, before))[path]
                edited = await try_edit(stranger, ref, edit | {"path": here}, before)
                if edited is None:
                    continue
                await see(edge, edited)
                outcome = await edge.apply(parent, manifest)
                (result,) = outcome.results
                assert (result.action, result.drift) == (Action.CONFIGURED, True), (edit, result)
                written = [request for request in edge.requests.writes if request[2] < 400]
                # What has another key is taken out first: server-side apply cannot replace a list's key.
                other_key = is_port_number(kind, path, edit) or is_intruder(path, edit)
                wanted = {1, 2} if is_emptied(path) else {2 if other_key else 1}
                assert len(written) in wanted, (edit, edge.requests.sent)
                repaired = await client.get(ref)
                stays = is_renamed(path, edit) and not is_intruder(path, edit)
                if not stays:
                    assert normalised(repaired) == normalised(first), edit
                await edge.catch_up(repaired)
                await edge.apply(parent, manifest)
                assert edge.requests.sent == [], (edit, "not settled afterwards")
                if stays:
                    # The old item is back; the renamed one stays as another client's addition: start anew.
                    await stranger.delete(ref)
                    await edge.see_gone(ref)
                    await edge.apply(parent, manifest)
                done += 1
                if edit["op"] == "replace":
                    break
    assert done >= OFTEN_EDITED.get(kind, 5), f"only {done} edits got through"


async def see(edge: Edge, edited: Object) -> None:
    """Waits until the operator sees an edit, also one that puts the object out of its sight."""
    if is_hidden(edited):
        metadata = edited["metadata"]
        ref = Ref(edited["apiVersion"], edited["kind"], metadata.get("namespace", ""), metadata["name"])
        await edge.see_gone(ref)
    else:
        await edge.catch_up(edited)


def is_port_number(kind: str, path: str, edit: dict[str, Any]) -> bool:
    """Whether an edit gave a port of a list of ours another number or protocol."""
    head, _, field = path.rpartition("/")
    renumbered = (
        edit["op"] == "replace" and field in ("port", "containerPort", "protocol") and "/ports/" in head
    )
    return renumbered and kind in ("Deployment", "Service")  # elsewhere the list is atomic


def is_intruder(path: str, edit: dict[str, Any]) -> bool:
    """Whether an edit made an item of a list that is wholly ours another one."""
    steps = path.split("/")
    lists = {"containers", "env", "volumes", "volumeMounts", "webhooks"}
    return is_renamed(path, edit) and len(steps) > 3 and steps[-3] in lists


def is_emptied(path: str) -> bool:
    """Whether the other client keeps an empty entry for a map, which a second write takes from it."""
    return "/portLevelMtls/" in path


def is_renamed(path: str, edit: dict[str, Any]) -> bool:
    """Whether an edit changed the key of a list's item."""
    item, _, field = path.rpartition("/")
    in_list = item.rpartition("/")[2].isdigit()
    return edit["op"] == "replace" and in_list and field in ("name", "mountPath", "key")


def is_hidden(obj: Object) -> bool:
    """Whether an object fell out of what the operator watches."""
    return (obj["metadata"].get("labels") or {}).get(MANAGED_BY) != "navarch"


def pointers_by_shape(desired: Any, first: Object, now: Object) -> Iterator[tuple[str, str]]:
    """Pointers into `first`, each with that to the same thing in `now`, whose lists may be reordered."""
    old, new = pointers(desired, first), pointers(desired, now)
    yield from ((path, other) for (path, _), (other, _) in zip(old, new, strict=True))


@pytest.mark.parametrize("kind", KINDS)
async def test_an_apply_that_changes_nothing_sends_nothing_and_a_forced_one_keeps_the_version(
    kind: str, edge: Edge, client: Client, parent: Parent
) -> None:
    manifest = build_sample(kind, parent)
    async with applied(edge, client, parent, manifest) as (obj,):
        outcome = await edge.apply(parent, manifest)
        assert [result.action for result in outcome.results] == [Action.UNCHANGED]
        assert edge.requests.sent == []
        annotations = {APPLIED: obj["metadata"]["annotations"][APPLIED]}
        again = {**manifest, "metadata": {**manifest["metadata"], "annotations": annotations}}
        forced = await client.apply(again, manager=MANAGER, force=True)
        if kind not in (
            "Deployment",
            "HorizontalPodAutoscaler",
            "PodDisruptionBudget",
        ):  # controllers write these
            assert forced["metadata"]["resourceVersion"] == obj["metadata"]["resourceVersion"]


@pytest.mark.parametrize("kind", KINDS)
async def test_right_after_an_apply_our_entry_covers_every_leaf(
    kind: str, edge: Edge, client: Client, parent: Parent
) -> None:
    manifest = build_sample(kind, parent)
    async with applied(edge, client, parent, manifest) as (obj,):
        assert list(find_uncovered(manifest, obj, MANAGER)) == []


ADDITIONS: dict[str, list[dict[str, Any]]] = {
    "ConfigMap": [{"op": "add", "path": "/data/theirs", "value": "x"}],
    "Service": [
        {"op": "add", "path": "/spec/ports/-", "value": {"name": "theirs", "port": 9999}},
        {"op": "add", "path": "/spec/sessionAffinity", "value": "ClientIP"},
    ],
    "Deployment": [
        {
            "op": "add",
            "path": "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt",
            "value": "now",
        },
        {"op": "add", "path": "/spec/template/spec/nodeSelector", "value": {"a": "b"}},
    ],
    "MutatingWebhookConfiguration": [
        {"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "Cg=="},
        {"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"},
    ],
    "ValidatingWebhookConfiguration": [
        {"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "Cg=="},
        {"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"},
    ],
}


@pytest.mark.parametrize("kind", KINDS)
async def test_what_another_client_adds_is_left_alone(
    kind: str, edge: Edge, client: Client, stranger: Client, parent: Parent
) -> None:
    manifest = build_sample(kind, parent)
    ref = ref_of(manifest)
    async with applied(edge, client, parent, manifest):
        edits = [
            {"op": "add", "path": "/metadata/labels/theirs", "value": "x"},
            {"op": "add", "path": "/metadata/annotations/theirs", "value": "x"},
            {"op": "add", "path": "/metadata/finalizers", "value": ["theirs.example/hold"]},
            *ADDITIONS.get(kind, []),
        ]
        try:
            edited = await stranger.patch(ref, edits)
            await edge.catch_up(edited)
            outcome = await edge.apply(parent, manifest)
            assert [result.action for result in outcome.results] == [Action.UNCHANGED]
            assert edge.requests.sent == []
            # And a real change of ours still leaves them alone.
            labels = manifest["metadata"]["labels"] | {"ours": "new"}
            changed = {**manifest, "metadata": {**manifest["metadata"], "labels": labels}}
            outcome = await edge.apply(parent, changed)
            assert [(r.action, r.drift) for r in outcome.results] == [(Action.CONFIGURED, False)]
            after = normalised(await client.get(ref))
            after["metadata"]["labels"].pop("ours")
            expected = normalised(edited)
            expected["metadata"]["annotations"][APPLIED] = after["metadata"]["annotations"][APPLIED]
            assert after == expected
        finally:
            await stranger.patch(ref, [{"op": "remove", "path": "/metadata/finalizers"}])


async def test_replicas_that_an_autoscaler_set_are_left_alone_when_we_do_not_send_them(
    edge: Edge, client: Client, stranger: Client, parent: Parent
) -> None:
    manifest = dict(build_sample("Deployment", parent))
    manifest["spec"] = {key: value for key, value in manifest["spec"].items() if key != "replicas"}
    async with applied(edge, client, parent, manifest):
        edited = await stranger.patch(
            ref_of(manifest), [{"op": "replace", "path": "/spec/replicas", "value": 3}]
        )
        await edge.catch_up(edited)
        await edge.apply(parent, manifest)
        assert edge.requests.sent == []
        assert (await client.get(ref_of(manifest)))["spec"]["replicas"] == 3


def managers_of_replicas(obj: Object) -> set[str]:
    entries = obj["metadata"]["managedFields"]
    return {e["manager"] for e in entries if "f:replicas" in e["fieldsV1"].get("f:spec", {})}


async def test_replicas_stay_when_an_autoscaler_takes_them_over_and_come_back_to_us_when_it_goes(
    edge: Edge, client: Client, parent: Parent
) -> None:
    plain = build_sample("Deployment", parent)
    fixed = {**plain, "spec": {**plain["spec"], "replicas": 3}}
    ref = ref_of(fixed)
    scaled = {**plain, "spec": {key: value for key, value in plain["spec"].items() if key != "replicas"}}
    metadata = {**build_sample("HorizontalPodAutoscaler", parent)["metadata"], "name": "scaler"}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": ref.name}
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata,
        "spec": {"minReplicas": 2, "maxReplicas": 9, "scaleTargetRef": target},
    }
    async with applied(edge, client, parent, fixed) as (before,):
        await edge.catch_up(before)
        outcome = await edge.apply(parent, scaled, autoscaler)
        assert [(r.action, r.drift) for r in outcome.results] == [
            (Action.CONFIGURED, False),
            (Action.CREATED, False),
        ]
        after = await client.get(ref)
        assert after["spec"]["replicas"] == 3
        assert managers_of_replicas(after) == {REPLICAS_MANAGER}
        await edge.apply(parent, scaled, autoscaler)
        assert edge.requests.sent == []

        # The autoscaler of the cluster writes by itself: it keeps to its bounds also without metrics.
        wider = {**autoscaler, "spec": {**autoscaler["spec"], "minReplicas": 5}}
        await edge.apply(parent, scaled, wider)

        async def scaled_up() -> Object | None:
            found = await client.get(ref)
            return found if found["spec"]["replicas"] == 5 else None

        seen = await eventually(scaled_up, seconds=60, every=0.2, what="the autoscaler has scaled up")
        assert seen is not None
        assert REPLICAS_MANAGER not in managers_of_replicas(seen)
        await edge.catch_up(seen)
        await edge.apply(parent, scaled, wider)
        assert edge.requests.sent == []
        assert (await client.get(ref))["spec"]["replicas"] == 5

        await edge.apply(parent, fixed, prune=(ref_of(wider),))
        back = await client.get(ref)
        assert (back["spec"]["replicas"], managers_of_replicas(back)) == (3, {MANAGER})


async def test_replicas_that_changed_unseen_are_not_handed_over_at_their_old_number(
    edge: Edge, client: Client, stranger: Client, parent: Parent
) -> None:
    plain = build_sample("Deployment", parent)
    ref = ref_of(plain)
    scaled = {**plain, "spec": {key: value for key, value in plain["spec"].items() if key != "replicas"}}
    async with applied(edge, client, parent, plain) as (before,):
        await stranger.patch(ref, [{"op": "replace", "path": "/spec/replicas", "value": 4}])
        blind = Applier(client, {(ref.group, ref.kind): Store(edge.store(ref).resource)})
        blind._stores[ref.group, ref.kind].change(without_foreign_fields(before))
        outcome = await blind.apply(Plan(parent, waves=(Wave("test", (scaled,)),)))
        assert [(r.action, outcome.retry_after) for r in outcome.results] == [(Action.FAILED, 1.0)]
        assert (await client.get(ref))["spec"]["replicas"] == 4


async def test_drift_shows_and_is_repaired_where_only_digests_of_the_data_are_kept(
    edge: Edge, client: Client, counted: Counted, stranger: Client, parent: Parent
) -> None:
    manifest = build_sample("ConfigMap", parent)
    ref = ref_of(manifest)
    selector = f"{MESH_NAMESPACE}={parent.namespace}"
    reflector = Reflector(client, edge.store(ref).resource, label_selector=selector, transform=shrink_owned)
    applier = Applier(counted.client, {(ref.group, ref.kind): reflector.store})

    async def apply() -> list[tuple[Action, bool]]:
        counted.requests.sent.clear()
        outcome = await applier.apply(Plan(parent, waves=(Wave("test", (manifest,)),)))
        held = reflector.store.get(ref)
        assert held is not None
        assert set(held) == {"apiVersion", "kind", "metadata", DIGESTS}
        return [(result.action, result.drift) for result in outcome.results]

    task = asyncio.create_task(reflector.run())
    try:
        await asyncio.wait_for(reflector.synced.wait(), 10)
        assert await apply() == [(Action.CREATED, False)]
        assert await apply() == [(Action.UNCHANGED, False)]
        assert counted.requests.sent == []
        key = next(iter(manifest["data"]))
        for edit in (
            {"op": "replace", "path": f"/data/{key}", "value": "x"},
            {"op": "remove", "path": "/data"},
        ):
            edited = await stranger.patch(ref, [edit])
            await eventually(partial(has_seen, reflector.store, edited), what="the edit is seen")
            assert await apply() == [(Action.CONFIGURED, True)]
            assert len(counted.requests.sent) == 1
            assert (await client.get(ref))["data"] == manifest["data"]
        # Seen anew, as after a restart: the digests tell that all is well.
        applier = Applier(counted.client, {(ref.group, ref.kind): reflector.store})
        assert await apply() == [(Action.UNCHANGED, False)]
        assert counted.requests.sent == []
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def has_seen(store: Store, obj: Object) -> bool:
    held = store.get(ref_of(obj))
    return held is not None and version_of(held) >= version_of(obj)


async def test_a_field_that_we_stop_sending_is_taken_out(edge: Edge, client: Client, parent: Parent) -> None:
    manifest = build_sample("ConfigMap", parent)
    async with applied(edge, client, parent, manifest):
        outcome = await edge.apply(parent, {**manifest, "data": {"mesh": "b: 2\n"}})
        assert [(r.action, r.drift) for r in outcome.results] == [(Action.CONFIGURED, False)]
        assert (await client.get(ref_of(manifest)))["data"] == {"mesh": "b: 2\n"}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_deleted_object_comes_back_with_exactly_one_write(
    kind: str, edge: Edge, client: Client, stranger: Client, parent: Parent
) -> None:
    manifest = build_sample(kind, parent)
    async with applied(edge, client, parent, manifest) as (first,):
        await stranger.delete(ref_of(manifest))
        await edge.see_gone(ref_of(manifest))
        outcome = await edge.apply(parent, manifest)
        assert [result.action for result in outcome.results] == [Action.CREATED]
        assert len(edge.requests.writes) == 1
        again = await client.get(ref_of(manifest))
        assert again["metadata"]["uid"] != first["metadata"]["uid"]


async def test_a_foreign_object_is_named_and_left_untouched(
    edge: Edge, client: Client, parent: Parent
) -> None:
    theirs = await client.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "taken", "namespace": parent.namespace, "labels": {MANAGED_BY: "Helm"}},
            "data": {"mesh": "theirs"},
        }
    )
    free = build_sample("ConfigMap", parent, name="free")
    taken = build_sample("ConfigMap", parent, name="taken")
    outcome = await edge.apply(parent, taken, free)
    bad, good = outcome.results
    assert (bad.action, bad.reason) == (Action.FOREIGN, Reason.FOREIGN_OBJECT)
    assert "ConfigMap" in bad.message
    assert "taken" in bad.message
    assert "Helm" in bad.message
    assert good.action is Action.CREATED, "the others of the wave go on"
    assert sorted(code for *_, code in edge.requests.writes) == [201, 409]
    assert await client.get(ref_of(taken)) == theirs
    assert outcome.failures == (bad,)
    assert (await edge.apply(parent, taken)).failures == (bad,)
    assert edge.requests.sent == [("GET", "configmaps", 200)], "what is known to be foreign is only read"
    await client.delete(ref_of(taken))
    assert [r.action for r in (await edge.apply(parent, taken)).results] == [Action.CREATED]


@pytest.mark.parametrize("kind", ["ConfigMap", "PeerAuthentication", "Deployment"])
async def test_what_stands_unseen_under_a_name_is_not_changed_though_no_field_conflicts(
    edge: Edge, client: Client, stranger: Client, parent: Parent, kind: str
) -> None:
    """A server-side apply without a resourceVersion would add its fields to such an object."""
    manifest = build_sample(kind, parent)
    body = {key: value for key, value in manifest.items() if key != "metadata"}
    metadata = {"name": manifest["metadata"]["name"], "namespace": parent.namespace}
    await stranger.create({**body, "metadata": metadata})
    outcome = await edge.apply(parent, manifest)
    assert [r.action for r in outcome.results] == [Action.FOREIGN]
    found = await client.get(ref_of(manifest))
    assert MANAGER not in {entry["manager"] for entry in found["metadata"]["managedFields"]}
    assert "labels" not in found["metadata"]
    await stranger.delete(ref_of(manifest))


async def test_an_object_is_created_by_one_request_and_no_field_of_it_names_a_version(
    edge: Edge, client: Client, parent: Parent
) -> None:
    manifest = build_sample("ConfigMap", parent)
    outcome = await edge.apply(parent, manifest)
    assert [r.action for r in outcome.results] == [Action.CREATED]
    assert edge.requests.sent == [("PATCH", "configmaps", 201)]
    (entry,) = (await client.get(ref_of(manifest)))["metadata"]["managedFields"]
    assert entry["operation"] == "Apply"
    assert "f:resourceVersion" not in entry["fieldsV1"]["f:metadata"]
    await client.delete(ref_of(manifest))


async def test_an_object_of_another_mesh_is_foreign(edge: Edge, client: Client, parent: Parent) -> None:
    other = Parent(MESH, parent.namespace, "other", "u")
    manifest = build_sample("ConfigMap", parent)
    theirs = {**manifest, "metadata": {**manifest["metadata"], "labels": other.labels(component="istiod")}}
    async with applied(edge, client, other, theirs) as (obj,):
        outcome = await edge.apply(parent, manifest)
        (result,) = outcome.results
        assert result.action is Action.FOREIGN
        assert f"{parent.namespace}/other" in result.message
        assert edge.requests.writes == []
        assert await client.get(ref_of(manifest)) == obj


async def test_an_object_of_a_dead_mesh_of_our_name_is_adopted(
    edge: Edge, client: Client, parent: Parent
) -> None:
    dead = Parent(MESH, parent.namespace, parent.name, "22222222-2222-4222-8222-222222222222")
    manifest = build_sample("ConfigMap", parent)
    async with applied(edge, client, dead, build_sample("ConfigMap", dead)):
        outcome = await edge.apply(parent, manifest)
        assert [(r.action, r.drift) for r in outcome.results] == [(Action.CONFIGURED, False)]
        labels = (await client.get(ref_of(manifest)))["metadata"]["labels"]
        assert labels == manifest["metadata"]["labels"]


async def test_an_object_whose_labels_were_taken_off_is_still_ours(
    edge: Edge, client: Client, stranger: Client, parent: Parent
) -> None:
    manifest = build_sample("ConfigMap", parent)
    async with applied(edge, client, parent, manifest):
        await stranger.patch(ref_of(manifest), [{"op": "remove", "path": "/metadata/labels"}])
        await edge.see_gone(ref_of(manifest))
        outcome = await edge.apply(parent, manifest)
        assert [(r.action, r.drift) for r in outcome.results] == [(Action.CONFIGURED, True)]
        assert (await client.get(ref_of(manifest)))["metadata"]["labels"] == manifest["metadata"]["labels"]


async def test_a_foreign_object_that_took_ours_place_unseen_is_not_overwritten(
    edge: Edge, client: Client, stranger: Client, parent: Parent
) -> None:
    manifest = build_sample("ConfigMap", parent)
    ref = ref_of(manifest)
    async with applied(edge, client, parent, manifest):
        stale = edge.store(ref).get(ref)
        assert stale is not None
        await stranger.delete(ref)
        theirs = await stranger.create(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"namespace": ref.namespace, "name": ref.name},
            }
        )
        await edge.see_gone(ref)
        edge.store(ref).change(stale)  # as if the watch were late
        outcome = await edge.apply(parent, {**manifest, "data": {"mesh": "changed"}})
        (result,) = outcome.results
        assert (result.action, result.reason) == (Action.FAILED, Reason.APPLY_FAILED)
        assert outcome.retry_after == 1.0
        assert await client.get(ref) == theirs
        edge.store(ref).remove(stale)


async def test_crds_are_shared_between_meshes(edge: Edge, client: Client, parent: Parent) -> None:
    def crd(mesh: Parent, description: str) -> Manifest:
        schema = {"type": "object", "description": description, "x-kubernetes-preserve-unknown-fields": True}
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "things.shared.example", "labels": mesh.labels(component="crds")},
            "spec": {
                "group": "shared.example",
                "names": {"kind": "Thing", "plural": "things"},
                "scope": "Namespaced",
                "versions": [
                    {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}},
                ],
            },
        }

    other = Parent(MESH, "elsewhere", "other", "u")
    async with applied(edge, client, other, crd(other, "old")):
        outcome = await edge.apply(parent, crd(parent, "new"))
        assert [result.action for result in outcome.results] == [Action.CONFIGURED]


async def test_crds_as_large_as_istios_are_covered_and_settle_without_a_request(
    edge: Edge, client: Client, parent: Parent, crds: tuple[Manifest, ...]
) -> None:
    copies = [as_copy(crd, parent) for crd in crds]
    assert max(len(json.dumps(crd)) for crd in copies) > 100_000
    async with applied(edge, client, parent, *copies) as live:
        for copy, seen in zip(copies, live, strict=True):
            assert list(find_uncovered(copy, seen, MANAGER)) == [], copy["metadata"]["name"]
            await edge.catch_up(seen)
        fresh = Applier(client, edge.stores)  # as after a restart: it remembers nothing
        outcome = await fresh.apply(Plan(parent, waves=(Wave("crds", tuple(copies)),)))
        assert {result.action for result in outcome.results} == {Action.UNCHANGED}
        await edge.apply(parent, *copies)
        assert edge.requests.sent == []


async def test_an_edit_deep_inside_a_crd_is_repaired(
    edge: Edge, client: Client, stranger: Client, parent: Parent, crds: tuple[Manifest, ...]
) -> None:
    crd = as_copy(next(crd for crd in crds if crd["spec"]["names"]["kind"] == "DestinationRule"), parent)
    schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties"
    async with applied(edge, client, parent, crd) as (first,):
        for edit in (
            {"op": "replace", "path": f"{schema}/host/description", "value": "theirs"},
            {"op": "replace", "path": f"{schema}/host/type", "value": "integer"},
            {"op": "remove", "path": f"{schema}/trafficPolicy/properties/loadBalancer"},
        ):
            await edge.catch_up(await stranger.patch(ref_of(crd), [edit]))
            outcome = await edge.apply(parent, crd)
            assert [(r.action, r.drift) for r in outcome.results] == [(Action.CONFIGURED, True)]
            assert len(edge.requests.writes) == 1
            assert normalised(await client.get(ref_of(crd))) == normalised(first)


def as_copy(crd: Manifest, parent: Parent) -> Manifest:
    """The same CRD in a group of its own, so that no mesh of this cluster minds."""
    names, group = crd["spec"]["names"], f"{crd['spec']['group']}.{parent.namespace}.example"
    metadata = {"name": f"{names['plural']}.{group}", "labels": parent.labels(component="crds")}
    return {**crd, "metadata": metadata, "spec": {**crd["spec"], "group": group}}


# --- failures


async def test_a_failed_wave_stops_later_waves_and_the_prune(
    edge: Edge, client: Client, parent: Parent
) -> None:
    keep = build_sample("ConfigMap", parent, name="to-prune")
    async with applied(edge, client, parent, keep):
        bad = {**build_sample("ConfigMap", parent, name="bad"), "data": {"mesh": {"not": "a string"}}}
        good, later = (build_sample("ConfigMap", parent, name=name) for name in ("good", "later"))
        waves = (Wave("one", (bad, good)), Wave("two", (later,)))
        outcome = await edge.applier.apply(Plan(parent, waves=waves, prune=(ref_of(keep),)))
        assert [result.action for result in outcome.results] == [Action.FAILED, Action.CREATED]
        assert outcome.results[0].reason is Reason.APPLY_FAILED
        assert outcome.retry_after == REFUSED_RETRY
        assert await client.get(ref_of(keep))
        with pytest.raises(NotFound):
            await client.get(ref_of(later))


async def test_an_immutable_field_has_a_reason_of_its_own(edge: Edge, client: Client, parent: Parent) -> None:
    manifest = build_sample("Deployment", parent)
    async with applied(edge, client, parent, manifest):
        changed = json.loads(json.dumps(manifest))
        changed["spec"]["selector"]["matchLabels"]["more"] = "x"
        changed["spec"]["template"]["metadata"]["labels"]["more"] = "x"
        outcome = await edge.apply(parent, changed)
        assert [result.reason for result in outcome.results] == [Reason.IMMUTABLE_FIELD]
    binding = build_sample("RoleBinding", parent)
    async with applied(edge, client, parent, binding):
        outcome = await edge.apply(parent, {**binding, "roleRef": {**binding["roleRef"], "name": "other"}})
        assert [result.reason for result in outcome.results] == [Reason.IMMUTABLE_FIELD]


async def test_a_pod_security_denial_is_an_admission_denial(edge: Edge, client: Client) -> None:
    async with a_namespace(client, {"pod-security.kubernetes.io/enforce": "restricted"}) as name:
        parent = Parent(MESH, name, "mesh", "u")
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", "namespace": name, "labels": parent.labels(component="istiod")},
            "spec": {"containers": [{"name": "c", "image": "example.invalid/x"}]},
        }
        # The namespace's own service account comes a moment after the namespace.
        await eventually(lambda: _exists(client, Ref("v1", "ServiceAccount", name, "default")))
        outcome = await edge.apply(parent, pod)
        (result,) = outcome.results
        assert result.reason is Reason.ADMISSION_DENIED
        assert "restricted" in result.message
        assert outcome.retry_after is not None


async def _exists(client: Client, ref: Ref) -> bool:
    try:
        await client.get(ref)
    except NotFound:
        return False
    return True


async def test_a_policy_denial_is_an_admission_denial(
    edge: Edge, client: Client, parent: Parent, unique: Callable[[str], str]
) -> None:
    name = unique("deny")
    group = "admissionregistration.k8s.io/v1"
    rules = [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    ]
    policy = {
        "apiVersion": group,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": rules},
            "validations": [{"expression": "false", "message": "no config maps here"}],
        },
    }
    selector = {"matchLabels": {"kubernetes.io/metadata.name": parent.namespace}}
    binding = {
        "apiVersion": group,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": selector},
        },
    }
    async with removed_afterwards(client, policy, binding):
        outcome = await eventually(lambda: _denied(edge, parent), seconds=20)
        (result,) = outcome.results
        assert result.reason is Reason.ADMISSION_DENIED
        assert "no config maps here" in result.message


async def test_a_webhook_that_cannot_be_reached_is_an_admission_denial(
    edge: Edge, client: Client, parent: Parent, unique: Callable[[str], str]
) -> None:
    webhook = {
        "name": "dead.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "timeoutSeconds": 1,
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": parent.namespace}},
        "rules": [
            {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
        ],
    }
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": unique("dead")},
        "webhooks": [webhook],
    }
    async with removed_afterwards(client, configuration):
        outcome = await eventually(lambda: _denied(edge, parent), seconds=20)
        (result,) = outcome.results
        assert result.reason is Reason.ADMISSION_DENIED
        assert "dead.example.com" in result.message


async def _denied(edge: Edge, parent: Parent) -> Any:
    outcome = await edge.apply(parent, build_sample("ConfigMap", parent))
    if outcome.failures:
        return outcome
    await edge.applier.apply(Plan(parent, prune=(ref_of(build_sample("ConfigMap", parent)),)))
    return None


@asynccontextmanager
async def removed_afterwards(client: Client, *manifests: Manifest) -> AsyncIterator[None]:
    for manifest in manifests:
        await client.create(manifest)
    try:
        yield
    finally:
        for manifest in manifests:
            await client.delete(ref_of(manifest))


async def test_a_namespace_that_is_not_there_has_a_reason_of_its_own(edge: Edge) -> None:
    parent = Parent(MESH, "vanished", "mesh", "u")
    outcome = await edge.apply(parent, build_sample("ConfigMap", parent))
    assert [result.reason for result in outcome.results] == [Reason.NAMESPACE_NOT_FOUND]


async def test_a_terminating_namespace_has_a_reason_of_its_own(
    edge: Edge, client: Client, stranger: Client
) -> None:
    async with a_namespace(client) as name:
        held = Ref("v1", "ConfigMap", name, "held")
        metadata = {"name": "held", "namespace": name, "finalizers": ["test.example/hold"]}
        await stranger.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
        await stranger.delete(Ref("v1", "Namespace", "", name))
        try:
            parent = Parent(MESH, name, "mesh", "u")
            outcome = await edge.apply(parent, build_sample("ConfigMap", parent))
            assert [result.reason for result in outcome.results] == [Reason.NAMESPACE_TERMINATING]
        finally:
            await stranger.patch(held, [{"op": "remove", "path": "/metadata/finalizers"}])


async def test_a_missing_namespace_is_a_failure_that_may_pass(edge: Edge) -> None:
    parent = Parent(MESH, "there-is-no-such-namespace", "mesh", "u")
    outcome = await edge.apply(parent, build_sample("ConfigMap", parent))
    assert [result.reason for result in outcome.results] == [Reason.NAMESPACE_NOT_FOUND]
    assert "there-is-no-such-namespace" in outcome.results[0].message
    assert outcome.retry_after == 1.0


async def test_an_object_that_is_being_deleted_is_not_written(
    edge: Edge, client: Client, stranger: Client, parent: Parent
) -> None:
    manifest = build_sample("ConfigMap", parent)
    ref = ref_of(manifest)
    async with applied(edge, client, parent, manifest):
        await stranger.patch(
            ref, [{"op": "add", "path": "/metadata/finalizers", "value": ["test.example/hold"]}]
        )
        try:
            dying = await stranger.delete(ref)
            await edge.catch_up(dying)
            outcome = await edge.apply(parent, manifest)
            assert [result.action for result in outcome.results] == [Action.FAILED]
            assert "being deleted" in outcome.results[0].message
            assert "held by test.example/hold" in outcome.results[0].message
            assert edge.requests.sent == []
        finally:
            await stranger.patch(ref, [{"op": "remove", "path": "/metadata/finalizers"}])
        await edge.see_gone(ref)
        outcome = await edge.apply(parent, manifest)
        assert [result.action for result in outcome.results] == [Action.CREATED]


# --- prune


async def test_prune_removes_ours_and_is_idempotent(edge: Edge, client: Client, parent: Parent) -> None:
    objects = [
        build_sample(kind, parent) for kind in ("ConfigMap", "Service", "MutatingWebhookConfiguration")
    ]
    refs = tuple(ref_of(manifest) for manifest in objects)
    async with applied(edge, client, parent, *objects):
        outcome = await edge.apply(parent, prune=refs)
        assert [(r.ref, r.action) for r in outcome.results] == [(ref, Action.PRUNED) for ref in refs]
        assert [method for method, *_ in edge.requests.sent] == ["DELETE"] * 3
        for ref in refs:
            assert not await _exists(client, ref)
            assert edge.store(ref).get(ref) is None, "seen at once, before the watch"
        outcome = await edge.apply(parent, prune=refs)
        assert outcome.results == ()
        assert edge.requests.writes == []


async def test_prune_leaves_foreign_objects_alone_and_stops_there(
    edge: Edge, client: Client, parent: Parent
) -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "x", "namespace": parent.namespace},
    }
    created = await client.create(theirs)
    ours = build_sample("Service", parent)
    async with applied(edge, client, parent, ours):
        outcome = await edge.apply(parent, prune=(ref_of(theirs), ref_of(ours)))
        assert [result.action for result in outcome.results] == [Action.FOREIGN]
        assert edge.requests.writes == []
        assert await client.get(ref_of(theirs)) == created


async def test_prune_does_not_repeat_a_deletion_that_a_finalizer_holds_up(
    edge: Edge, client: Client, stranger: Client, parent: Parent
) -> None:
    manifest = build_sample("ConfigMap", parent)
    ref = ref_of(manifest)
    async with applied(edge, client, parent, manifest):
        held = [{"op": "add", "path": "/metadata/finalizers", "value": ["test.example/hold"]}]
        await edge.catch_up(await stranger.patch(ref, held))
        try:
            outcome = await edge.apply(parent, prune=(ref,))
            assert [result.action for result in outcome.results] == [Action.PRUNED]
            outcome = await edge.apply(parent, prune=(ref,))
            assert outcome.results == ()
            assert edge.requests.sent == []
        finally:
            await stranger.patch(ref, [{"op": "remove", "path": "/metadata/finalizers"}])


# --- status and finalizers


async def test_status_and_finalizer_are_written_beside_the_users_fields(
    client: Client, stranger: Client, parent: Parent, edge: Edge
) -> None:
    from navarch.kube.parents import add_finalizer, apply_status, has_finalizer, remove_finalizer

    manifest = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "users", "namespace": parent.namespace},
        "spec": {"mtls": {"mode": "STRICT"}},
    }
    parent = await stranger.create(manifest)
    parent = await add_finalizer(client, parent)
    assert has_finalizer(parent)
    assert parent["spec"] == manifest["spec"]
    parent = await apply_status(client, parent, {"validationMessages": [{"documentationUrl": "x"}]})
    assert parent["status"]["validationMessages"] == [{"documentationUrl": "x"}]
    assert has_finalizer(parent), "each purpose has a manager of its own"
    again = await apply_status(client, parent, {"validationMessages": [{"documentationUrl": "x"}]})
    assert again["metadata"]["resourceVersion"] == parent["metadata"]["resourceVersion"]
    await client.delete(ref_of(parent))
    dying = await client.get(ref_of(parent))
    assert dying["metadata"]["deletionTimestamp"]
    assert await add_finalizer(client, dying) == dying
    await remove_finalizer(client, dying)
    assert not await _exists(client, ref_of(parent))
    await remove_finalizer(client, dying)  # twice is once


async def test_a_finalizer_with_another_owner_too_is_removed_all_the_same(
    client: Client, stranger: Client, parent: Parent, edge: Edge
) -> None:
    from navarch.core.model.labels import FINALIZER
    from navarch.kube.parents import add_finalizer, has_finalizer, remove_finalizer

    manifest = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {
            "name": "restored",
            "namespace": parent.namespace,
            "finalizers": [FINALIZER, "theirs.example/x"],
        },
        "spec": {},
    }
    parent = await stranger.create(manifest)
    assert has_finalizer(await add_finalizer(client, parent))
    await remove_finalizer(client, parent)
    left = await client.get(ref_of(parent))
    assert left["metadata"]["finalizers"] == ["theirs.example/x"]
    await stranger.patch(ref_of(parent), [{"op": "remove", "path": "/metadata/finalizers"}])


async def test_an_object_that_is_gone_is_not_brought_back_by_its_finalizer_or_status(
    client: Client, stranger: Client, parent: Parent, edge: Edge
) -> None:
    from navarch.kube.parents import add_finalizer, apply_status

    manifest = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "gone", "namespace": parent.namespace},
        "spec": {},
    }
    parent = await stranger.create(manifest)
    await stranger.delete(ref_of(parent))
    for write in (add_finalizer(client, parent), apply_status(client, parent, {"conditions": []})):
        with pytest.raises(KubeError):
            await write
    assert not await _exists(client, ref_of(parent))


async def test_labels_find_everything_of_a_mesh(edge: Edge, client: Client, parent: Parent) -> None:
    manifest = build_sample("ConfigMap", parent)
    selector = f"{MESH_NAMESPACE}={parent.namespace},{MESH_NAME}={parent.name}"
    async with applied(edge, client, parent, manifest):
        listing = await client.list(edge.store(ref_of(manifest)).resource, label_selector=selector)
        assert [ref_of(item) for item in listing.items] == [ref_of(manifest)]


async def test_an_object_that_is_removed_again_and_again_is_made_anew_at_growing_intervals(
    edge: Edge, client: Client, parent: Parent
) -> None:
    manifest, now = build_sample("ConfigMap", parent), 0.0
    ref = ref_of(manifest)
    applier = Applier(client, edge.stores, contests=Contests(at_once=3, clock=lambda: now))
    plan = Plan(parent, waves=(Wave("first", (manifest,)), Wave("second", ())))
    made, waits = 0, []
    for _ in range(12):
        outcome = await applier.apply(plan)
        (result,) = outcome.results
        if result.action is Action.FAILED:
            assert result.reason is Reason.OBJECT_CONTESTED
            assert f"{ref} is removed again and again" in result.message
            assert outcome.retry_after is not None
            waits.append(outcome.retry_after)
            now += outcome.retry_after
            (result,) = (await applier.apply(plan)).results
        assert result.action is Action.CREATED, result
        made += 1
        await edge.catch_up(await client.get(ref))
        await client.delete(ref)
        await edge.see_gone(ref)
    assert made == 12
    assert waits == sorted(waits)
    assert waits[0] >= 1
    assert waits[-1] > 30
    now += 3600
    (result,) = (await applier.apply(plan)).results
    assert result.action is Action.CREATED, "who has stopped is forgotten"
