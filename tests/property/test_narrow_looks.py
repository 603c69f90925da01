"""A look that searches by index sees what one over everything saw.

Invariants: an index finds what a walk over the store finds, after any sequence of writes, removals, new
listings and evictions; checks, exclusions, census and plans of a mesh follow from the whole cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any, cast

from hypothesis import example, given, settings
from hypothesis import strategies as st
from navarch.api.controlplane import MeshControlPlaneSpec
from navarch.core.istio.catalog import ordinal_of
from navarch.core.membership.rule import take_census
from navarch.core.mesh.checks import run_checks
from navarch.core.mesh.injection import determine_trust
from navarch.core.mesh.membership import find_effective_membership
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.plan import plan_mesh
from navarch.core.mesh.resolve import resolve_mesh
from navarch.core.model.conditions import find_condition
from navarch.core.model.labels import ISTIO_TAG
from navarch.core.model.naming import DEFAULT_TAG, effective_tag, revision_name
from navarch.core.model.parent import parent_of
from navarch.core.model.refs import Manifest, ref_of
from navarch.core.world.neighbours import MeshSummary
from navarch.core.world.proxies import Census
from navarch.gather.mesh import observe_mesh
from navarch.kube.resources import resource_of
from navarch.kube.shelf import Bound
from navarch.kube.store import Object, Store

from tests.support.memory import Memory, build_namespace
from tests.unit.observations import PARENT, assets

NAMESPACES = ("a", "a-b", "b", "kube-x")
NAMES = ("demo", "b-demo")
TAGS = ("a-demo", "a-demo-inplace", "a-b-demo", "shared", "default")
CONFIG_MAP = resource_of("v1", "ConfigMap")


# --- the index


def by_color(obj: Object) -> Iterator[str]:
    yield from (obj["metadata"].get("labels") or {}).values()


def build(name: str, version: int, colors: tuple[str, ...], weight: int) -> Object:
    metadata = {
        "name": name,
        "namespace": f"n{name[0]}" if name[0] != "c" else "",
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "labels": {f"k{index}": color for index, color in enumerate(colors)},
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"x": "y" * weight}}


OBJECTS = st.tuples(
    st.sampled_from(("a1", "a2", "b1", "b2", "c1")),
    st.lists(st.sampled_from(("red", "blue", "green")), max_size=2).map(tuple),
    st.sampled_from((0, 900, 5000)),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), OBJECTS),
        st.tuples(st.just("observe"), OBJECTS),
        st.tuples(st.just("remove"), OBJECTS),
        st.tuples(st.just("discard"), OBJECTS),
        st.tuples(st.just("list"), st.lists(OBJECTS, max_size=4, unique_by=lambda item: item[0])),
    ),
    max_size=25,
)


@given(steps=STEPS, late=st.booleans())
@settings(max_examples=200)
def test_an_index_finds_what_a_walk_finds(steps: list[tuple[str, Any]], late: bool) -> None:
    store = Store(CONFIG_MAP, bound=Bound(object=4000, watch=7000))
    if not late:
        store.find(by_color)
    for version, (verb, about) in enumerate(steps, start=1):
        if verb == "list":
            store.begin()
            store.replace([build(item[0], version, *item[1:]) for item in about], str(version))
            continue
        obj = build(about[0], version, *about[1:])
        if verb == "discard":
            there = next((o for o in store.list() if o["metadata"]["name"] == about[0]), None)
            if there is not None:
                store.discard(ref_of(there), there["metadata"]["uid"])
        else:
            getattr(store, verb)(obj)
    for wanted in (("red",), ("blue", "green"), ("red", "blue", "green"), ("none",)):
        walked = {id(o) for o in store.list() if set(wanted) & set(by_color(o))}
        found = [id(o) for o in store.find(by_color, *wanted)]
        assert len(found) == len(set(found))
        assert set(found) == walked
    assert set(store.values(by_color)) == {color for o in store.list() for color in by_color(o)}


def test_an_object_that_cannot_be_indexed_is_kept_and_harms_no_other() -> None:
    def read(obj: Object) -> Iterator[str]:
        yield obj["data"]["color"]

    store = Store(CONFIG_MAP)
    store.change(build("a1", 1, (), 0))
    assert store.find(read, "red") == ()
    store.change({**build("b1", 2, (), 0), "data": {"color": "red"}})
    assert [o["metadata"]["name"] for o in store.find(read, "red")] == ["b1"]
    store.change(build("b1", 3, (), 0))
    assert store.find(read, "red") == ()
    assert len(store) == 2


# --- the look


def summarise(memory: Memory, body: Manifest) -> Iterator[MeshSummary]:
    """All meshes as `body` sees them, by a walk over everything."""
    bodies = {m["metadata"]["uid"]: m for m in memory.stores["meshes"].list()}
    bodies[body["metadata"]["uid"]] = cast(Object, body)
    revisions, injectors = (
        memory.stores["revisions"].list(),
        memory.stores["MutatingWebhookConfiguration"].list(),
    )

    def is_of(obj: Manifest, mesh: Manifest) -> bool:
        parent, metadata = parent_of(obj), mesh["metadata"]
        return parent is not None and (parent.namespace, parent.name) == (
            metadata["namespace"],
            metadata["name"],
        )

    def was_refused(mesh: Manifest) -> bool:
        said = find_condition(mesh, "SpecAccepted")
        generation = mesh["metadata"].get("generation", 0)
        return said is not None and said["status"] == "False" and said["observedGeneration"] == generation

    held = {uid: next((r for r in revisions if is_of(r, m)), None) for uid, m in bodies.items()}
    fixed = {}
    for uid, mesh in bodies.items():
        said = mesh["spec"].get("tag") or (mesh.get("status") or {}).get("tag")
        revision = held[uid]
        if not said and revision is not None:
            said = revision["spec"]["tag"]
        tags = [w["metadata"]["labels"].get(ISTIO_TAG, "") for w in injectors if is_of(w, mesh)]
        fixed[uid] = said or next((t for t in tags if t not in ("", DEFAULT_TAG)), "")
    refused = {uid for uid, mesh in bodies.items() if was_refused(mesh) and held[uid] is None}
    taken = {tag for uid, tag in fixed.items() if tag and uid not in refused}
    for uid, mesh in bodies.items():
        metadata, revision = mesh["metadata"], held[uid]
        own = uid == body["metadata"]["uid"]
        asks = mesh["spec"].get("defaultTag") is True
        own_revisions = [r for r in revisions if is_of(r, mesh)]
        holds = any(r["spec"]["members"]["default"] for r in own_revisions)
        members = revision["spec"]["members"] if revision is not None else {}
        wants = mesh["spec"].get("scope", "")
        label = f"{metadata['namespace']}.{metadata['name']}" if wants else ""
        has = any(r["spec"]["members"].get("cluster") and r.get("status") for r in own_revisions)
        yield MeshSummary(
            waiting=revision is None,
            created=metadata["creationTimestamp"],
            uid=uid,
            namespace=metadata["namespace"],
            name=metadata["name"],
            tag=fixed[uid] or effective_tag(metadata["namespace"], metadata["name"], taken=taken),
            default_tag=asks if own else holds or (asks and not was_refused(mesh)),
            refused=uid in refused and not own,
            member_of=label if own or revision is None else members.get("memberOf", ""),
            cluster=wants == "Cluster" if own else has or (wants == "Cluster" and not was_refused(mesh)),
            holds_cluster=has,
            holds_any=any(r.get("status") for r in own_revisions),
            asks_default=asks,
            revisions=tuple(sorted(r["metadata"]["name"] for r in own_revisions)),
        )


def widen(memory: Memory, observed: ObservedMesh) -> ObservedMesh:
    """The observation over everything that there is."""
    cluster = memory.world.cluster
    whole = replace(
        observed,
        meshes=tuple(sorted(summarise(memory, observed.body))),
        namespaces={ns.name: ns for ns in cluster.namespaces()},
        webhooks=tuple(cluster.webhooks()),
        census=Census(),
    )
    names = {r["metadata"]["name"] for r in observed.revisions}
    census = take_census(
        find_effective_membership(whole), whole.namespaces, cluster.proxies(), revisions=names
    )
    return replace(whole, census=census)


PLACES = st.sampled_from(NAMESPACES)
MESHES = st.builds(
    lambda place, name, tag, default, *rest: ("mesh", place, name, tag, default, *rest),
    PLACES,
    st.sampled_from(NAMES),
    st.sampled_from(("", *TAGS)),
    st.booleans(),
    st.sampled_from(("", "", "a-demo", "shared")),
    st.booleans(),
    st.sampled_from(("", "", "Members", "Cluster")),
)
HELD = "every namespace"
"""Of a revision: it is to have them, and was let pass."""
REVISIONS = st.tuples(
    st.just("revision"),
    PLACES,
    st.sampled_from(NAMES),
    st.sampled_from(TAGS),
    st.booleans(),
    st.sampled_from(("", "Passed", "Cluster", HELD)),
)
WEBHOOKS = st.tuples(
    st.just("webhook"),
    st.sampled_from(("", *NAMESPACES)),
    st.sampled_from(NAMES),
    st.sampled_from(("", *TAGS)),
    st.sampled_from(("x", "istiod-default-validator", "istio-revision-tag-shared")),
    st.sampled_from(("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")),
)
LABELLED = st.tuples(
    st.just("namespace"),
    st.sampled_from((*NAMESPACES, "app", "web")),
    st.sampled_from(("", *TAGS)),
    st.sampled_from(("", "enabled", "disabled")),
)
PODS = st.tuples(
    st.just("pod"), st.sampled_from((*NAMESPACES, "app", "web")), st.sampled_from(TAGS), st.booleans()
)
CHANGES = st.lists(st.one_of(MESHES, REVISIONS, WEBHOOKS, LABELLED, PODS), min_size=3, max_size=24)


def labels_of(place: str, name: str, component: str) -> dict[str, str]:
    prefix = "mesh.navarch.io/"
    return {f"{prefix}mesh-namespace": place, f"{prefix}mesh-name": name, f"{prefix}component": component}


@cache
def config() -> dict[str, Any]:
    """What a MeshRevision is resolved to, of a mesh that asks for nothing."""
    spec = MeshControlPlaneSpec.model_validate({"version": "1.31"})
    resolved = resolve_mesh(PARENT, spec, assets(), profiles={})
    assert resolved is not None
    return resolved.to_json()


def build_change(change: tuple[Any, ...]) -> Manifest:
    match change:
        case ("mesh", place, name, tag, default, told, refused, scope):
            verdict = {
                "type": "SpecAccepted",
                "status": "False" if refused else "True",
                "reason": "TagConflict",
            }
            status = {"conditions": [{**verdict, "message": "", "observedGeneration": 1}]}
            spec = (
                {"version": "1.31"}
                | ({"tag": tag} if tag else {})
                | ({"defaultTag": True} if default else {})
                | ({"scope": scope} if scope else {})
            )
            return {
                "apiVersion": "mesh.navarch.io/v1beta1",
                "kind": "MeshControlPlane",
                "metadata": {"name": name, "namespace": place},
                "spec": spec,
                "status": status | ({"tag": told} if told else {}),
            }
        case ("revision", place, name, tag, default, scope):
            spec = {"mesh": name, "tag": tag, "version": "1.31.1", "strategy": "InPlace", "config": config()}
            labels = labels_of(place, name, "revision")
            members: dict[str, Any] = {"default": default, "excluded": []}
            every = scope in ("Cluster", HELD)
            members |= {"memberOf": f"{place}.{name}", "cluster": True} if every else {}
            passed = {"type": "Progressing", "status": "False", "reason": "Settled", "message": ""}
            status = (
                {"conditions": [{**passed, "observedGeneration": 1}]} if scope in ("Passed", HELD) else {}
            )
            return {
                "apiVersion": "mesh.navarch.io/v1beta1",
                "kind": "MeshRevision",
                "metadata": {
                    "name": revision_name(tag),
                    "namespace": place,
                    "labels": labels | ({"mesh.navarch.io/scope": "Cluster"} if every else {}),
                },
                "spec": {**spec, "members": members},
                **({"status": status} if status else {}),
            }
        case ("webhook", place, name, tag, called, kind):
            labels = labels_of(place, name, "tags") if place else {}
            labels |= {ISTIO_TAG: tag, "istio.io/rev": revision_name(tag)} if tag else {}
            entry = {"name": "rev.istio.io", "clientConfig": {}}
            entry |= {"namespaceSelector": {"matchLabels": {"istio-injection": "enabled"}}}
            return {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": kind,
                "metadata": {"name": called, "labels": labels},
                "webhooks": [entry],
            }
        case ("namespace", place, tag, injection):
            given = ({"rev": tag} if tag else {}) | ({"injection": injection} if injection else {})
            return build_namespace(place, **given)
        case ("pod", place, tag, stamped):
            annotations = {"istio.io/rev": revision_name(tag)} | (
                {"mesh.navarch.io/proxy": "x"} if stamped else {}
            )
            labels = {"service.istio.io/canonical-name": "web"}
            metadata = {"name": f"p-{tag}", "namespace": place, "labels": labels, "annotations": annotations}
            return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
    raise AssertionError(change)


def sort_census(census: Census) -> list[list[Any]]:
    return [sorted(map(repr, part)) for part in (census.counted, census.outside, census.of_others)]


def a_mesh(
    place: str, name: str = "demo", tag: str = "", *, default: bool = False, scope: str = ""
) -> tuple[Any, ...]:
    return ("mesh", place, name, tag, default, "", False, scope)


def a_revision(
    place: str, tag: str, *, name: str = "demo", default: bool = False, scope: str = ""
) -> tuple[Any, ...]:
    return ("revision", place, name, tag, default, scope)


HASHED = effective_tag("a-b", "demo", taken={"a-b-demo"})
MUTATING = "MutatingWebhookConfiguration"
OLDER = (
    # Of each way to a tag one: a revision of that name, what only a revision or a webhook says, what is
    # computed of a name that is taken.
    [a_mesh("b", tag="a-demo"), a_mesh("a", tag="a-demo-inplace")],
    [a_mesh("b", tag="a-demo-inplace"), a_mesh("a", tag="a-demo")],
    [a_mesh("b"), a_revision("b", "shared"), a_mesh("a", tag="shared")],
    [a_mesh("b"), ("webhook", "b", "demo", "shared", "x", MUTATING), a_mesh("a", tag="shared")],
    [a_mesh("b", tag="a-b-demo"), a_mesh("a-b"), a_mesh("a", tag=HASHED)],
    [a_mesh("a", "b-demo"), a_mesh("a-b")],
    # The tag `default`: who has it, and which namespaces ask for it.
    [
        a_mesh("b", default=True),
        a_mesh("a", default=True),
        ("webhook", "a", "demo", "default", "x", MUTATING),
    ],
    [a_mesh("b"), a_mesh("a", default=True), ("namespace", "b", "", "enabled")],
    [a_mesh("b"), a_revision("b", "b-demo", default=True), a_mesh("a", default=True)],
    [
        a_mesh("a", "b-demo", default=True),
        a_revision("a", "a-demo-inplace"),
        a_revision("a", "a-demo", default=True),
        a_mesh("a"),
    ],
    # Others' control planes and Istios.
    [a_mesh("b"), a_mesh("a"), ("namespace", "b", "a-demo", "")],
    [a_mesh("a"), ("webhook", "", "demo", "a-demo", "x", MUTATING)],
    # Every namespace: who asks for them, who has them, and who has anything.
    [a_mesh("a"), a_mesh("b", scope="Cluster"), a_mesh("kube-x", scope="Cluster")],
    [a_mesh("a"), a_mesh("b", scope="Cluster"), a_revision("b", "b-demo", scope=HELD)],
    [a_mesh("a"), a_revision("a", "a-demo", scope="Passed"), a_mesh("b", scope="Cluster")],
    [a_mesh("a"), a_revision("a", "a-demo"), a_mesh("b", scope="Cluster"), ("pod", "app", "b-demo", True)],
    [a_mesh("a"), ("namespace", "app", "a-demo", ""), ("pod", "app", "shared", True)],
    [a_mesh("a"), a_revision("a", "a-demo"), ("pod", "web", "a-demo", True)],
)


def with_examples(test: Any) -> Any:
    for changes in OLDER:
        test = example(changes=changes, gone=[])(test)
    return test


@with_examples
@given(changes=CHANGES, gone=st.lists(st.integers(0, 30), max_size=6))
@settings(max_examples=40)
def test_what_is_decided_of_a_mesh_follows_from_the_whole_cluster(
    changes: list[tuple[Any, ...]], gone: list[int]
) -> None:
    memory = Memory()
    for place in NAMESPACES:
        memory.put(build_namespace(place))
    for change in changes:
        memory.put(build_change(change))
    removable = [ref_of(o) for o in memory.objects.values()][8:]
    for index in sorted({index for index in gone if index < len(removable)}):
        memory.remove(removable[index])
    for body in memory.stores["meshes"].list():
        observed = asyncio.run(observe_mesh(memory.world, body))
        whole = widen(memory, observed)
        assert observed.tag == whole.tag
        findings = run_checks(observed)
        assert findings == run_checks(whole)
        assert find_effective_membership(observed) == find_effective_membership(whole)
        assert sort_census(observed.census) == sort_census(whole.census)
        assert determine_trust(observed) == determine_trust(whole)
        assert plan_mesh(observed, findings) == plan_mesh(whole, findings)
        assert set(observed.meshes) <= set(whole.meshes)
        versions = {r["spec"]["version"] for r in memory.stores["revisions"].list()}
        assert observed.crd_minors == tuple(sorted({"{}.{}".format(*ordinal_of(v)) for v in versions}))
