"""What is known of our own objects answers as a look at all of them would, and costs no such look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from navarch.core.model.labels import MESH_NAME, MESH_NAMESPACE
from navarch.core.model.naming import effective_tag
from navarch.core.model.parent import MESH, Parent
from navarch.core.world.proxies import ProxyPod
from navarch.engine.key import Key
from navarch.gather.watches import OF_A_MESH, WATCHES, Role, stores_of_owned
from navarch.kube.resources import resource_of
from navarch.kube.store import Store
from navarch.triggers.keys import Ask, Dependents, keys_for_owned
from navarch.triggers.known import REVISION, By, Known, find_lane, key_of

NAMES = st.sampled_from(("a", "b", "c"))
VALUES = {
    By.KIND: (MESH, REVISION),
    By.LABEL: ("a", "a-inplace", "b", "b-inplace", "a-b", "a-b-inplace", "enabled", "default", ""),
    By.TAG: ("a", "b", "a-b", "d"),
    By.DEFAULT: ("", "a"),
}


@st.composite
def meshes(draw: st.DrawFn) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    if tag := draw(st.none() | NAMES):
        spec["tag"] = tag
    spec["defaultTag"] = draw(st.booleans())
    status = {"tag": tag} if (tag := draw(st.none() | NAMES)) else {}
    metadata = {"namespace": draw(NAMES), "name": draw(NAMES)}
    return {"kind": MESH, "metadata": metadata, "spec": spec, "status": status}


@st.composite
def revisions(draw: st.DrawFn) -> dict[str, Any]:
    namespace = draw(NAMES)
    parent = draw(st.none() | NAMES)
    labels = {MESH_NAMESPACE: namespace, MESH_NAME: parent} if parent else {}
    metadata = {"namespace": namespace, "name": draw(NAMES), "labels": labels}
    return {"kind": REVISION, "metadata": metadata, "spec": {"tag": draw(NAMES), "version": draw(NAMES)}}


CHANGES = st.lists(st.tuples(meshes() | revisions(), st.booleans()), max_size=25)


def name_tags(key: Key) -> set[str]:
    """The tags of which a mesh gets one where it says none."""
    first = effective_tag(key.namespace, key.name)
    return {first, effective_tag(key.namespace, key.name, taken={first})}


def find_by_looking(objects: list[dict[str, Any]], by: By, value: str) -> set[Key]:
    """The answer of a look at each object."""

    def answer(manifest: dict[str, Any]) -> Iterator[Key]:
        key, labels = key_of(manifest), manifest["metadata"].get("labels") or {}
        spec = manifest.get("spec") or {}
        said = {spec.get("tag"), (manifest.get("status") or {}).get("tag")} - {None}
        tags = said | (set() if said else name_tags(key))
        means = {value for tag in tags for value in (tag, f"{tag}-inplace")}
        means |= {"enabled", "default"} if spec.get("defaultTag") else set()
        mesh = key.kind == MESH
        if (
            (by is By.KIND and key.kind == value)
            or (by is By.MESH_IN and mesh and key.namespace == value)
            or (by is By.REVISION_IN and not mesh and key.namespace == value)
            or (by is By.LABEL and mesh and value in means)
            or (by is By.TAG and mesh and value in tags)
            or (by is By.DEFAULT and mesh and spec.get("defaultTag") and not value)
            or (by is By.VERSION and not mesh and spec["version"] == value)
        ):
            yield key
        if by is By.TAG and not mesh and spec["tag"] == value and labels:
            yield Key(MESH, labels[MESH_NAMESPACE], labels[MESH_NAME])
        if by is By.INJECTOR and not mesh and key.name == value and labels:
            yield Key(MESH, labels[MESH_NAMESPACE], labels[MESH_NAME])

    return {key for manifest in objects for key in answer(manifest)}


@given(CHANGES)
def test_what_is_known_is_what_a_look_at_all_objects_finds(
    changes: list[tuple[dict[str, Any], bool]],
) -> None:
    known, there = Known(), dict[Key, dict[str, Any]]()
    for manifest, stays in changes:
        key = key_of(manifest)
        old = there.pop(key, None)
        if stays:
            there[key] = manifest
            known.change(old, manifest)
        else:
            # A removal may tell a state that was never told before: an object that gave way to others.
            known.change(manifest, None)
    objects = [*there.values()]
    for by in By:
        values = VALUES.get(by, ("a", "b", "c", "d"))
        for value in values:
            found = [*known.find(by, value)]
            assert len(found) == len(set(found))
            assert set(found) == find_by_looking(objects, by, value), (by, value)


def test_all_that_is_done_for_a_mesh_is_in_one_lane() -> None:
    parent = Parent(MESH, "shop", "mesh", "u")
    of_revision, of_mesh = parent.labels(component="istiod", revision="r"), parent.labels(component="tags")
    service = {"kind": "Service", "metadata": {"namespace": "shop", "name": "s", "labels": of_revision}}
    webhook = {"kind": "MutatingWebhookConfiguration", "metadata": {"name": "w", "labels": of_mesh}}
    revision = {"kind": REVISION, "metadata": {"namespace": "shop", "name": "r", "labels": of_revision}}
    mesh = {"kind": MESH, "metadata": {"namespace": "shop", "name": "mesh"}}
    dependents = Dependents(Known([mesh, revision]), find_namespace=lambda _: None)
    found = {
        *keys_for_owned(service),
        *keys_for_owned(webhook),
        *dependents.keys_for_revision(None, revision),
        *dependents.keys_for_mesh(mesh, mesh),
        *dependents.keys_for_webhook(webhook),
        *dependents.keys_for_catalog({}),
    }
    assert {key.kind for key in found} == {MESH, REVISION}
    assert {key.lane for key in found} == {find_lane(parent)}


def test_meshes_of_one_namespace_are_in_one_lane_and_those_of_others_are_not() -> None:
    """Which of them is installed is decided when they are looked at: never two at the same time."""
    first, second, elsewhere = (
        key_of({"kind": MESH, "metadata": {"namespace": namespace, "name": name}})
        for namespace, name in (("shop", "a"), ("shop", "b"), ("bank", "a"))
    )
    assert first.lane == second.lane != elsewhere.lane


class Watched(dict[str, Any]):
    """A mesh that counts how often it is looked at."""

    looks = 0

    def __getitem__(self, key: str) -> Any:
        Watched.looks += 1
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        Watched.looks += 1
        return super().get(key, default)


def test_an_event_looks_at_no_mesh_however_many_there_are() -> None:
    known = Known(
        Watched(kind=MESH, metadata={"namespace": f"n{n}", "name": "m"}, spec={"tag": f"t{n}"})
        for n in range(100)
    )
    namespace = {"metadata": {"name": "app", "labels": {"istio.io/rev": "t7"}}}
    dependents = Dependents(known, find_namespace=lambda _: namespace)
    assert Watched.looks > 100, "they were looked at when they came"
    Watched.looks = 0
    pod = {"metadata": {"namespace": "app", "name": "p"}, "proxy": ProxyPod("app", "p", "t8-inplace", "")}
    assert [ask.key for ask in dependents.asks_for_proxy(pod)] == [Key(MESH, "n7", "m")]
    moved = {"metadata": {"name": "app", "labels": {"istio.io/rev": "t8"}}}
    found = [*dependents.keys_for_namespace(namespace, moved)]
    assert found == [Key(MESH, "n7", "m"), Key(MESH, "n8", "m")]
    assert Watched.looks == 0


def test_a_label_that_was_taken_off_leads_to_its_mesh_by_the_old_state() -> None:
    labels = {MESH_NAMESPACE: "shop", MESH_NAME: "mesh"}
    ours = {"kind": "Service", "metadata": {"namespace": "shop", "name": "s", "labels": labels}}
    bare = {"kind": "Service", "metadata": {"namespace": "shop", "name": "s"}}
    dependents = Dependents(Known(), find_namespace=lambda _: None)
    (services,) = (watch for watch in WATCHES if watch.kind == "Service")
    assert [*services.keys(dependents, ours, bare)] == [Ask(Key(MESH, "shop", "mesh"))]
    assert [*services.keys(dependents, None, bare)] == []


def test_every_kind_of_which_meshes_have_objects_has_exactly_one_whole_store() -> None:
    stores = {watch.name: Store(resource_of(watch.api_version, watch.kind)) for watch in WATCHES}
    assert len(stores) == len(WATCHES), "a watch has a name of its own"
    whole = stores_of_owned(stores)
    assert len(whole) == sum(watch.role is not Role.LOOKED_AT for watch in WATCHES)
    for watch in OF_A_MESH:
        assert whole[watch.api_version.rpartition("/")[0], watch.kind] is stores[watch.name]
