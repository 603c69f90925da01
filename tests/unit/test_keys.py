"""A change of anything that is read of an object leads to the right keys."""

from __future__ import annotations

from typing import Any

import pytest
from navarch.core.model.labels import FINALIZER
from navarch.core.model.parent import MEMBER, MESH, Parent
from navarch.core.world.proxies import ProxyPod
from navarch.engine.key import Key
from navarch.gather.watches import WATCHES, Role, Watch
from navarch.triggers.keys import Dependents, Mapper, but_itself, keys_for_owned
from navarch.triggers.known import REVISION, Known, key_of

PARENT = Parent(MESH, "shop", "mesh", "u")
OURS = Key(MESH, "shop", "mesh")
OTHER = Key(MESH, "ops", "other")
OWN = [watch for watch in WATCHES if watch.role is Role.OWN]


def an_object(kind: str, namespace: str, name: str, **more: Any) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name, **more.pop("metadata", {})}
    return {"kind": kind, "metadata": metadata, **more}


MESHES = [an_object(MESH, "shop", "mesh"), an_object(MESH, "ops", "other", status={"tag": "ops-tag"})]
REVISIONS = [
    an_object(REVISION, "shop", "r", metadata={"labels": PARENT.labels(component="revision", revision="r")})
]
NAMESPACES = {"apps": an_object("Namespace", "", "apps", metadata={"labels": {"istio.io/rev": "ops-tag"}})}
DEPENDENTS = Dependents(Known([*MESHES, *REVISIONS]), find_namespace=NAMESPACES.get)


def owned(component: str, revision: str = "") -> dict[str, Any]:
    return an_object(
        "Service", "shop", "s", metadata={"labels": PARENT.labels(component=component, revision=revision)}
    )


def test_an_object_of_a_revision_wakes_the_revision_and_one_of_the_mesh_wakes_the_mesh() -> None:
    assert list(keys_for_owned(owned("istiod", "r"))) == [Key(REVISION, "shop", "r")]
    assert list(keys_for_owned(owned("tags"))) == [OURS]
    assert list(keys_for_owned(owned("tags", "r"))) == [OURS]
    assert list(keys_for_owned(an_object("Service", "shop", "s"))) == []


def test_a_revision_wakes_itself_and_its_mesh() -> None:
    changed = {**REVISIONS[0], "status": {"ready": True}}
    found = set(DEPENDENTS.keys_for_revision(REVISIONS[0], changed))
    assert found == {Key(REVISION, "shop", "r"), OURS}


def test_a_mesh_wakes_its_revision_and_no_neighbour_when_they_see_no_difference() -> None:
    old = an_object(MESH, "shop", "mesh", metadata={"generation": 1}, spec={"version": "1.30", "mtls": {}})
    mode = {"version": "1.31", "mtls": {"mode": "Strict"}}
    same = an_object(MESH, "shop", "mesh", metadata={"generation": 2}, spec=mode)
    assert set(DEPENDENTS.keys_for_mesh(old, same)) == {OURS, Key(REVISION, "shop", "r")}
    assert OTHER not in set(DEPENDENTS.keys_for_mesh(None, same))
    tagged = an_object(MESH, "shop", "mesh", metadata={"generation": 2}, spec={**mode, "tag": "ops-tag"})
    assert OTHER in set(DEPENDENTS.keys_for_mesh(old, tagged))
    assert OTHER in set(DEPENDENTS.keys_for_mesh(tagged, None))


def test_the_status_of_a_mesh_wakes_the_mesh_and_no_revision_of_it() -> None:
    old = an_object(MESH, "shop", "mesh", metadata={"generation": 1}, status={"observedGeneration": 1})
    new = an_object(MESH, "shop", "mesh", metadata={"generation": 1}, status={"observedGeneration": 2})
    assert list(DEPENDENTS.keys_for_mesh(old, new)) == [OURS]


@pytest.mark.parametrize("watch", OWN, ids=lambda watch: watch.name)
def test_a_status_that_a_look_has_written_asks_for_no_other_look_of_the_same_key(watch: Watch) -> None:
    labels = PARENT.labels(component="revision", revision="r")

    def build(generation: int, status: int) -> dict[str, Any]:
        metadata = {"generation": generation, "labels": labels}
        return an_object(watch.kind, "shop", "r", metadata=metadata, status={"observedGeneration": status})

    itself, old = key_of(build(1, 1)), build(1, 1)

    def list_keys(mapper: Mapper, old: dict[str, Any] | None, new: dict[str, Any] | None) -> list[Key]:
        return [ask.key for ask in mapper(DEPENDENTS, old, new)]

    told = list_keys(watch.keys, old, build(1, 2))
    assert itself in told, "another client may have written it"
    assert list_keys(but_itself(watch.keys), old, build(1, 2)) == [key for key in told if key != itself]
    for before, after in ((old, build(2, 2)), (None, old), (old, None)):
        assert list_keys(but_itself(watch.keys), before, after) == list_keys(watch.keys, before, after)


def test_a_mesh_of_which_only_the_object_is_left_wakes_its_members() -> None:
    ref = {"controlPlaneRef": {"namespace": "shop", "name": "mesh"}}
    member = an_object(MEMBER, "front", "default", spec=ref)
    dependents = Dependents(Known([*MESHES, member]), find_namespace=NAMESPACES.get)
    going = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    held = an_object(MESH, "shop", "mesh", metadata={**going, "finalizers": [FINALIZER, "example.com/hold"]})
    left = an_object(MESH, "shop", "mesh", metadata={**going, "finalizers": ["example.com/hold"]})
    assert Key(MEMBER, "front", "default") not in set(dependents.keys_for_mesh(MESHES[0], held))
    assert Key(MEMBER, "front", "default") in set(dependents.keys_for_mesh(held, left))


def test_windows_of_restarts_wake_who_tells_of_them_or_restarts_by_them() -> None:
    member = an_object(
        MEMBER, "apps", "default", spec={"controlPlaneRef": {"namespace": "shop", "name": "mesh"}}
    )
    managed = {"upgrade": {"dataPlane": {"mode": "Managed"}}}
    window = [{"start": "22:00", "durationMinutes": 60, "timeZone": "UTC"}]
    narrower = {"upgrade": {"dataPlane": {"mode": "Managed", "windows": window}}}
    old, new = (an_object(MESH, "shop", "mesh", spec=spec) for spec in (managed, narrower))
    dependents = Dependents(Known([old, member]), find_namespace=NAMESPACES.get)
    of_member = Key(MEMBER, "apps", "default")
    assert of_member in set(dependents.keys_for_mesh(old, new))
    assert of_member not in set(dependents.keys_for_mesh(new, new))
    before, after = (an_object("Namespace", "", "shop", windows=text) for text in ("", "[]"))
    assert OURS in {ask.key for ask in dependents.asks_for_namespace(before, after)}


def test_a_webhook_of_a_foreign_istio_wakes_every_mesh() -> None:
    foreign = an_object("MutatingWebhookConfiguration", "", "w", metadata={"labels": {"istio.io/rev": "x"}})
    assert list(DEPENDENTS.keys_for_webhook(foreign)) == [OURS, OTHER]
    stranger = an_object("MutatingWebhookConfiguration", "", "w")
    assert list(DEPENDENTS.keys_for_webhook(stranger)) == []
    labels = PARENT.labels(component="injection", revision="r")
    ours = an_object("MutatingWebhookConfiguration", "", "w", metadata={"labels": labels})
    assert list(DEPENDENTS.keys_for_webhook(ours)) == [Key(REVISION, "shop", "r"), OURS]


def test_a_namespace_wakes_the_mesh_inside_and_the_one_of_which_it_must_stay_outside() -> None:
    plain = an_object("Namespace", "", "shop", metadata={"labels": {}})
    labelled = an_object("Namespace", "", "shop", metadata={"labels": {"istio.io/rev": "x"}})
    named = an_object("Namespace", "", "shop", metadata={"labels": {"istio.io/rev": "ops-tag"}})
    assert list(DEPENDENTS.keys_for_namespace(plain, plain)) == [OURS]
    assert list(DEPENDENTS.keys_for_namespace(plain, labelled)) == [OURS]
    assert list(DEPENDENTS.keys_for_namespace(plain, named)) == [OURS, OTHER]
    reserved = an_object("Namespace", "", "kube-tools", metadata={"labels": {"istio.io/rev": "x"}})
    assert list(DEPENDENTS.keys_for_namespace(None, reserved)) == []
    assert list(DEPENDENTS.keys_for_namespace(None, an_object("Namespace", "", "app"))) == []


def test_only_istios_crds_and_the_own_root_wake_a_mesh() -> None:
    crd = an_object("CustomResourceDefinition", "", "gateways.networking.istio.io")
    assert list(DEPENDENTS.keys_for_crd(crd)) == [OURS, OTHER]


def test_a_change_of_the_catalog_leads_to_every_mesh_and_every_revision() -> None:
    found = list(DEPENDENTS.keys_for_catalog({}))
    assert found[:2] == [OURS, OTHER]
    assert {key.kind for key in found[2:]} == {"MeshRevision"}
    assert list(DEPENDENTS.keys_for_crd(an_object("CustomResourceDefinition", "", "x.example.com"))) == []
    assert list(DEPENDENTS.keys_for_namespaced(an_object("ConfigMap", "shop", "istio-ca-root-cert"))) == [
        OURS
    ]
    assert list(DEPENDENTS.keys_for_namespaced(an_object("ConfigMap", "app", "istio-ca-root-cert"))) == []


def test_a_pod_wakes_the_mesh_of_its_proxy_a_little_later() -> None:
    (ask,) = DEPENDENTS.asks_for_proxy(an_object("Pod", "app", "p", proxy=ProxyPod("app", "p", "r", "")))
    assert ask.key == OURS
    assert ask.after > 0
    assert list(DEPENDENTS.asks_for_proxy(an_object("Pod", "app", "p", proxy=None))) == []


def test_a_namespace_that_moves_wakes_the_meshes_that_its_labels_named_and_name() -> None:
    def app(**labels: str) -> dict[str, Any]:
        return an_object("Namespace", "", "app", metadata={"labels": labels})

    moved = {"istio.io/rev": "ops-tag"}
    assert list(DEPENDENTS.keys_for_namespace(app(), app(**moved))) == [OTHER]
    assert list(DEPENDENTS.keys_for_namespace(app(**moved), app())) == [OTHER]
    assert list(DEPENDENTS.keys_for_namespace(app(**moved), app(**moved, team="x"))) == []
    assert list(DEPENDENTS.keys_for_namespace(app(), app(**{"istio-injection": "enabled"}))) == []


def test_a_pod_wakes_the_mesh_that_its_namespace_names_whichever_injected_it() -> None:
    asks = DEPENDENTS.asks_for_proxy(an_object("Pod", "apps", "p", proxy=ProxyPod("apps", "p", "r", "")))
    assert {ask.key for ask in asks} == {OURS, OTHER}
