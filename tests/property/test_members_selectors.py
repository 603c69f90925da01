"""Membership, discoverySelectors, and the selectors of every webhook, held against each other.

Over random names and labels: a pod that is injected where istiod does not look hangs for want of its root
ConfigMap, and a mesh that injects outside its namespaces takes other people's pods.

A webhook's condition on the namespace's name is evaluated here by the value that it is built from; that the
API server reads the expression alike is shown against a real one (tests/cluster/test_reserved_names.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import example, given
from hypothesis import strategies as st
from navarch.core.membership.rule import (
    NEVER_MEMBERS,
    Membership,
    is_injected,
    is_injected_on_demand,
    is_member,
    is_reserved,
)
from navarch.core.membership.selectors import (
    NameCondition,
    build_discovery_selectors,
    build_injection_selectors,
    matches,
)
from navarch.core.model.naming import name_members
from navarch.core.render.components.webhooks import build_validation_selectors
from navarch.core.revision.source import build_revision_input

from tests.golden.rendering import ASSETS, ENVIRONMENT, find_one, render_mesh

OWN, TAG, REVISION, PROBE = "mesh-a", "mesh-a-basic", "mesh-a-basic-inplace", ENVIRONMENT.probe_namespace
MEMBER_OF = name_members(OWN, "basic")
VALUES = (TAG, REVISION, "default", "another", "")
EXCLUDED = (*NEVER_MEMBERS, "another-control-plane", ENVIRONMENT.operator_namespace)

RESERVED = ("kube-tools", "kube-", "openshift-monitoring")
NEARLY_RESERVED = ("kube", "kubetools", "my-kube-tools", "openshift", "openshifts-apps")
names = st.sampled_from((OWN, "apps", PROBE, *EXCLUDED, *RESERVED, *NEARLY_RESERVED)) | st.builds(
    str.__add__, st.sampled_from(("kube-", "openshift-", "")), st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
)
own_names = st.sampled_from((OWN, "kube-mesh", "openshift-mesh"))
optional_rev = st.none() | st.sampled_from(VALUES)
namespace_labels = st.fixed_dictionaries(
    {},
    optional={
        "istio.io/rev": st.sampled_from(VALUES),
        "istio-injection": st.sampled_from(("enabled", "disabled", "yes")),
        "mesh.navarch.io/member-of": st.sampled_from((MEMBER_OF, "mesh-b.basic", "")),
        "team": st.just("x"),
    },
)
pod_labels = st.fixed_dictionaries(
    {},
    optional={
        "istio.io/rev": st.sampled_from(VALUES),
        "sidecar.istio.io/inject": st.sampled_from(("true", "false", "maybe")),
    },
)


@dataclass(frozen=True)
class Place:
    """A namespace with its labels, the API server's own included."""

    name: str
    own: Mapping[str, str]

    @property
    def labels(self) -> dict[str, str]:
        """What selectors see."""
        return {**self.own, "kubernetes.io/metadata.name": self.name}


places = st.builds(Place, names, namespace_labels)


def membership_of(*, default: bool, own: str = OWN, probe: str = PROBE, member_of: str = "") -> Membership:
    """A mesh's membership."""
    values, cluster = (TAG, REVISION, *(["default"] if default else [])), member_of == CLUSTER
    return Membership(own, values, default, EXCLUDED, probe, MEMBER_OF if cluster else member_of, cluster)


CLUSTER = "every namespace"
scopes = st.sampled_from(("", MEMBER_OF, CLUSTER))
RENDERED = {
    (default, scope): render_mesh({"defaultTag": default} | ({"scope": scope} if scope else {}))
    for default in (False, True)
    for scope in ("", "Members", "Cluster")
}
rendered_scopes = st.sampled_from(("", "Members", "Cluster"))


def find_injectors(mesh: Membership, place: Place, pod: Mapping[str, str]) -> list[str]:
    """Every webhook entry of the mesh that takes the pod."""
    values = {TAG: False, REVISION: False} | ({"default": True} if mesh.default else {})
    return [
        f"{value}/{entry.prefix}"
        for value, default in values.items()
        for entry in build_injection_selectors(mesh, value, default=default)
        if entry.takes(place.name, place.own, pod)
    ]


@given(places, st.booleans(), scopes)
def test_istiod_looks_exactly_at_the_members(place: Place, default: bool, member_of: str) -> None:
    mesh = membership_of(default=default, member_of=member_of)
    seen = any(matches(selector, place.labels) for selector in build_discovery_selectors(mesh))
    assert seen == is_member(mesh, place.name, place.own)


@given(places, pod_labels, st.booleans(), scopes)
@example(Place("apps", {}), {"istio.io/rev": TAG}, True, "")
@example(Place("apps", {"istio.io/rev": TAG}), {}, True, MEMBER_OF)
@example(Place("apps", {}), {"sidecar.istio.io/inject": "true"}, True, "")
@example(Place("kube-system", {"istio.io/rev": TAG}), {}, False, "")
@example(Place("kube-tools", {"istio.io/rev": TAG}), {}, False, "")
@example(Place("openshift-x", {"istio-injection": "enabled"}), {}, True, "")
def test_a_pod_is_injected_in_the_meshs_namespaces_and_the_probes_only(
    place: Place, pod: Mapping[str, str], default: bool, member_of: str
) -> None:
    mesh = membership_of(default=default, member_of=member_of)
    taken = is_injected(mesh, place.name, place.own) or is_injected_on_demand(mesh, place.name, place.own)
    if find_injectors(mesh, place, pod):
        assert taken or place.name == PROBE
        assert is_member(mesh, place.name, place.own) or place.name == PROBE


@given(places, st.booleans(), scopes)
@example(Place("apps", {}), True, CLUSTER)
@example(Place("apps", {"mesh.navarch.io/member-of": MEMBER_OF}), True, CLUSTER)
@example(Place("kube-tools", {}), True, CLUSTER)
def test_a_pod_that_asks_by_itself_is_heard_exactly_where_the_rule_says_so(
    place: Place, default: bool, member_of: str
) -> None:
    mesh = membership_of(default=default, member_of=member_of)
    if not {"istio.io/rev", "istio-injection"} & {*place.own} and place.name != PROBE:
        expected = is_injected_on_demand(mesh, place.name, place.own)
        assert bool(find_injectors(mesh, place, {"istio.io/rev": TAG})) == expected
        asking = find_injectors(mesh, place, {"sidecar.istio.io/inject": "true"})
        assert bool(asking) == (expected and default)
        assert not find_injectors(mesh, place, {})


@given(places, st.booleans())
def test_every_namespace_belongs_to_a_mesh_of_the_cluster_but_those_of_others_and_the_excluded(
    place: Place, default: bool
) -> None:
    mesh = membership_of(default=default, member_of=CLUSTER)
    of_another = place.own.get("mesh.navarch.io/member-of", MEMBER_OF) != MEMBER_OF
    outside = of_another or place.name in (*EXCLUDED, PROBE)
    assert is_member(mesh, place.name, place.own) == (place.name == OWN or not outside)


@given(places, own_names, st.booleans(), scopes)
def test_nothing_is_injected_in_a_reserved_namespace_but_the_meshs_own(
    place: Place, own: str, default: bool, member_of: str
) -> None:
    mesh = membership_of(default=default, own=own, member_of=member_of)
    for labels in ({"istio.io/rev": TAG}, {"istio-injection": "enabled"}, place.own):
        for pod in ({}, {"istio.io/rev": TAG}, {"sidecar.istio.io/inject": "true"}):
            if is_reserved(place.name) and place.name != own:
                assert not find_injectors(mesh, Place(place.name, labels), pod)


@given(places, own_names, st.booleans(), scopes)
def test_a_members_pod_that_says_nothing_is_injected_exactly_where_the_rule_says_so(
    place: Place, own: str, default: bool, member_of: str
) -> None:
    mesh = membership_of(default=default, own=own, member_of=member_of)
    labelled = bool({"istio.io/rev", "istio-injection"} & {*place.own})
    if labelled and is_member(mesh, place.name, place.own) and place.name != own:
        expected = is_injected(mesh, place.name, place.own)
        assert bool(find_injectors(mesh, place, {})) == expected


@given(own_names, st.sampled_from(("navarch-probe", "kube-probe", "openshift-probe")), st.booleans())
def test_the_own_namespace_and_the_probes_are_injected_with_any_names(
    own: str, probe: str, default: bool
) -> None:
    mesh = membership_of(default=default, own=own, probe=probe)
    assert find_injectors(mesh, Place(own, {"istio.io/rev": TAG}), {}) == [f"{TAG}/rev.namespace."]
    for name in (own, probe):
        assert find_injectors(mesh, Place(name, {}), {"istio.io/rev": TAG}) == [f"{TAG}/rev.object."]


@given(names, st.lists(names, max_size=3), own_names)
def test_an_expression_names_each_prefix_and_the_own_namespace(
    name: str, prefixes: list[str], own: str
) -> None:
    condition = NameCondition(own, ("kube-", *prefixes))
    text = condition.build()["expression"]
    assert text.startswith(f"request.namespace == '{own}' || !(")
    for prefix in condition.prefixes:
        assert f"request.namespace.startsWith('{prefix}')" in text
    assert condition.allows(name) == (name == own or not any(name.startswith(p) for p in condition.prefixes))


@given(places, pod_labels, st.booleans(), scopes)
def test_no_pod_is_taken_by_two_webhooks(
    place: Place, pod: Mapping[str, str], default: bool, member_of: str
) -> None:
    assert len(find_injectors(membership_of(default=default, member_of=member_of), place, pod)) <= 1


@given(places, pod_labels, st.booleans(), scopes)
def test_a_pod_that_refuses_is_left_alone(
    place: Place, pod: Mapping[str, str], default: bool, member_of: str
) -> None:
    refusing = {**pod, "sidecar.istio.io/inject": "false"}
    assert not find_injectors(membership_of(default=default, member_of=member_of), place, refusing)


@given(st.sampled_from((TAG, REVISION)), pod_labels, st.booleans())
def test_a_member_by_label_has_every_pod_injected_that_does_not_refuse(
    value: str, pod: Mapping[str, str], default: bool
) -> None:
    injectors = find_injectors(membership_of(default=default), Place("apps", {"istio.io/rev": value}), pod)
    assert bool(injectors) == (pod.get("sidecar.istio.io/inject") != "false")


@given(pod_labels)
def test_istio_injection_joins_the_default_mesh_and_no_other(pod: Mapping[str, str]) -> None:
    place = Place("apps", {"istio-injection": "enabled"})
    assert not find_injectors(membership_of(default=False), place, pod)
    taken = find_injectors(membership_of(default=True), place, pod)
    assert bool(taken) == (pod.get("sidecar.istio.io/inject") != "false")


def test_the_probe_pod_is_injected_by_the_tag() -> None:
    mesh = membership_of(default=False)
    assert find_injectors(mesh, Place(PROBE, {}), {"istio.io/rev": TAG}) == [f"{TAG}/rev.object."]


@given(places, optional_rev, st.booleans(), rendered_scopes)
def test_configuration_is_validated_where_it_is_read(
    place: Place, rev: str | None, default: bool, scope: str
) -> None:
    manifest = find_one(RENDERED[default, scope], "MeshRevision")
    source = build_revision_input(manifest, ASSETS, ENVIRONMENT)
    mesh = source.membership
    labels = {} if rev is None else {"istio.io/rev": rev}
    entries = build_validation_selectors(source)
    validated = any(
        matches(e.namespace_selector, place.labels) and matches(e.object_selector, labels) for e in entries
    )
    assert validated == (rev == REVISION or (rev is None and is_member(mesh, place.name, place.own)))


@given(places, pod_labels, st.booleans(), rendered_scopes)
def test_the_rendered_webhooks_have_the_selectors_that_were_decided(
    place: Place, pod: Mapping[str, str], default: bool, scope: str
) -> None:
    manifest = find_one(RENDERED[default, scope], "MeshRevision")
    mesh = build_revision_input(manifest, ASSETS, ENVIRONMENT).membership
    condition = NameCondition(mesh.namespace)
    webhooks = [
        entry
        for o in RENDERED[default, scope]
        if o["kind"] == "MutatingWebhookConfiguration"
        for entry in o["webhooks"]
        if matches(entry["namespaceSelector"], place.labels)
        and matches(entry["objectSelector"], pod)
        and (entry.get("matchConditions", []) != [condition.build()] or condition.allows(place.name))
    ]
    assert len(webhooks) == len(find_injectors(mesh, place, pod))


selectors = st.fixed_dictionaries(
    {},
    optional={
        "matchLabels": st.dictionaries(st.sampled_from("ab"), st.sampled_from("12"), max_size=2),
        "matchExpressions": st.lists(
            st.one_of(
                st.builds(
                    lambda k, o, v: {"key": k, "operator": o, "values": v},
                    st.sampled_from("ab"),
                    st.sampled_from(("In", "NotIn")),
                    st.lists(st.sampled_from("12"), min_size=1, max_size=2),
                ),
                st.builds(
                    lambda k, o: {"key": k, "operator": o},
                    st.sampled_from("ab"),
                    st.sampled_from(("Exists", "DoesNotExist")),
                ),
            ),
            max_size=3,
        ),
    },
)


@given(selectors, st.dictionaries(st.sampled_from("ab"), st.sampled_from("12")))
def test_a_selector_is_the_conjunction_of_its_parts(
    selector: Mapping[str, object], labels: Mapping[str, str]
) -> None:
    parts: list[Mapping[str, object]] = []
    label_map, expressions = selector.get("matchLabels") or {}, selector.get("matchExpressions") or []
    assert isinstance(label_map, Mapping)
    assert isinstance(expressions, list)
    parts += [{"matchLabels": {key: value}} for key, value in label_map.items()]
    parts += [{"matchExpressions": [expression]} for expression in expressions]
    assert matches(selector, labels) == all(matches(part, labels) for part in parts)


@given(
    st.sampled_from("ab"),
    st.lists(st.sampled_from("12"), min_size=1),
    st.dictionaries(st.just("a"), st.sampled_from("123")),
)
def test_not_in_is_the_opposite_of_in(key: str, values: list[str], labels: Mapping[str, str]) -> None:
    one, other = (
        matches({"matchExpressions": [{"key": key, "operator": operator, "values": values}]}, labels)
        for operator in ("In", "NotIn")
    )
    assert one != other
