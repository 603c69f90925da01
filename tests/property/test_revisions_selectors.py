"""A mesh with two revisions at a time: over random namespaces and pods no two of its webhooks take the same
pod, no two validate the same configuration, and both istiods look at the same namespaces."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st
from navarch.core.membership.rule import is_injected, is_member
from navarch.core.membership.selectors import (
    build_discovery_selectors,
    build_injection_selectors,
    matches,
)
from navarch.core.membership.validation import build_unnamed_selectors
from navarch.core.model.refs import Manifest
from navarch.core.render.components.webhooks import build_validation_selectors
from navarch.core.render.source import RevisionInput
from navarch.core.revision.source import build_revision_input

from tests.golden.rendering import ASSETS, ENVIRONMENT, find_one, mesh_config_of, render_mesh

TAG, OWN = "mesh-a-basic", "mesh-a"
UPGRADE = {"upgrade": {"strategy": "RevisionBased"}}
RENDERED: dict[tuple[str, bool], list[Manifest]] = {
    (version, default): render_mesh({**UPGRADE, "version": version, "defaultTag": default})
    for version in ("1.30", "1.31")
    for default in (False, True)
}
NAMES = {find_one(objects, "MeshRevision")["metadata"]["name"] for objects in RENDERED.values()}
VALUES = (TAG, *sorted(NAMES), f"{TAG}-inplace", "default", "another")

namespaces = st.sampled_from((OWN, "apps", ENVIRONMENT.probe_namespace, "kube-system", "kube-tools"))
labels = st.fixed_dictionaries(
    {},
    optional={
        "istio.io/rev": st.sampled_from(VALUES),
        "istio-injection": st.sampled_from(("enabled", "disabled")),
    },
)
pods = st.fixed_dictionaries(
    {},
    optional={
        "istio.io/rev": st.sampled_from(VALUES),
        "sidecar.istio.io/inject": st.sampled_from(("true", "false")),
    },
)


def read(version: str, *, default: bool) -> RevisionInput:
    revision = find_one(RENDERED[version, default], "MeshRevision")
    return build_revision_input(revision, ASSETS, ENVIRONMENT)


def find_takers(name: str, own: Mapping[str, str], pod: Mapping[str, str], *, default: bool) -> list[str]:
    """The webhooks that take a pod: the tags', and each revision's own."""
    both = [read(version, default=default) for version in ("1.30", "1.31")]
    values = {TAG: False, **({"default": True} if default else {}), **{r.name: False for r in both}}
    return [
        value
        for value, asks in values.items()
        for entry in build_injection_selectors(both[0].membership, value, default=asks)
        if entry.takes(name, own, pod)
    ]


@given(namespaces, labels, pods, st.booleans())
def test_no_pod_is_taken_by_two_webhooks_of_a_mesh_with_two_revisions(
    name: str, own: Mapping[str, str], pod: Mapping[str, str], default: bool
) -> None:
    takers = find_takers(name, own, pod, default=default)
    mesh = read("1.31", default=default).membership
    assert len(takers) <= 1
    if takers:
        assert is_injected(mesh, name, own) or name == ENVIRONMENT.probe_namespace


@given(labels, pods, st.booleans())
def test_a_namespace_of_others_is_taken_by_the_tags_alone(
    own: Mapping[str, str], pod: Mapping[str, str], default: bool
) -> None:
    takers = find_takers("apps", own, pod, default=default)
    assert not {*takers} & NAMES
    refuses = pod.get("sidecar.istio.io/inject") == "false"
    member = is_member(read("1.31", default=default).membership, "apps", own)
    assert bool(takers) == (member and not refuses)


@given(namespaces, labels, st.none() | st.sampled_from(VALUES), st.booleans())
def test_configuration_that_names_no_revision_is_validated_once_and_where_it_is_read(
    name: str, own: Mapping[str, str], rev: str | None, default: bool
) -> None:
    both = [read(version, default=default) for version in ("1.30", "1.31")]
    place = {**own, "kubernetes.io/metadata.name": name}
    configuration = {} if rev is None else {"istio.io/rev": rev}

    def validates(entries: list[object]) -> bool:
        return any(
            matches(e.namespace_selector, place) and matches(e.object_selector, configuration)  # type: ignore[attr-defined]
            for e in entries
        )

    by_tag = validates([*build_unnamed_selectors(both[0].membership)])
    by_revision = [r.name for r in both if validates([*build_validation_selectors(r)])]
    assert by_tag == (rev is None and is_member(both[0].membership, name, own))
    assert by_revision == ([rev] if rev in NAMES else [])


@given(st.booleans())
def test_all_istiods_of_a_mesh_look_at_the_same_namespaces(default: bool) -> None:
    older, newer = (mesh_config_of(RENDERED[version, default]) for version in ("1.30", "1.31"))
    assert older["discoverySelectors"] == newer["discoverySelectors"]
    mesh = read("1.31", default=default).membership
    assert newer["discoverySelectors"] == build_discovery_selectors(mesh)
