"""What a pod would get, held against Istio's truth table and against the webhooks that are rendered.

The table is Istio's documentation; the webhooks of Istio's chart are written down here as the chart
writes them (tests/upstream compares them with what Istio's own installer renders), ours are rendered.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from navarch.core.membership.injection import (
    SYSTEM,
    Injection,
    PodShape,
    Policy,
    determine_injection,
    read_wish,
)
from navarch.core.membership.rule import is_injected
from navarch.core.membership.selectors import NameCondition
from navarch.core.revision.source import build_revision_input
from navarch.core.world.cluster import Namespace, Webhook
from navarch.gather.cluster import read_webhook

from tests.golden.rendering import ASSETS, ENVIRONMENT, find_one, render_mesh
from tests.support.injection import INJECT, INJECTION, NAMESPACES, PODS, REV, build_chart_webhook, read_table

CHART = [
    read_webhook(manifest)
    for manifest in (
        build_chart_webhook("default", default=True),
        build_chart_webhook("canary"),
        build_chart_webhook("canary", tag="prod"),
    )
]
"""The unnamed revision, which is the default one, beside a second one with a tag."""


def ask(namespace: Mapping[str, str], pod: PodShape, **more: Any) -> Injection:
    return determine_injection(Namespace("apps", namespace), pod, CHART, **more)


@pytest.mark.parametrize(("namespace", "pod"), [*product(NAMESPACES, PODS)])
def test_a_pod_gets_what_istios_table_says(namespace: str, pod: str) -> None:
    expected = read_table()[namespace, pod]
    injection = ask(NAMESPACES[namespace], PodShape(PODS[pod]))
    assert (injection.injector.value if injection.injector else "") == expected
    assert injection.revision == {"prod": "canary"}.get(expected, expected)
    assert bool(injection.refusal) != bool(expected)
    assert len(injection.injectors) == bool(expected)


@pytest.mark.parametrize(
    ("pod", "policy", "told"),
    [
        (PodShape(host_network=True), Policy(), "hostNetwork"),
        (PodShape(annotations={INJECT: "false"}), Policy(), "annotation sidecar.istio.io/inject=false"),
        (PodShape({INJECT: "true"}, {INJECT: "false"}), Policy(), ""),
        (PodShape({INJECT: "maybe"}, {INJECT: "false"}), Policy(), ""),
        (PodShape(), Policy(enabled=False), "policy disabled"),
        (PodShape({INJECT: "true"}), Policy(enabled=False), ""),
        (PodShape(annotations={INJECT: "true"}), Policy(enabled=False), ""),
        (PodShape({"app": "db"}), Policy(never=({"matchLabels": {"app": "db"}},)), "neverInjectSelector"),
        (PodShape({"app": "db", INJECT: "true"}), Policy(never=({"matchLabels": {"app": "db"}},)), ""),
        (PodShape({"app": "db"}), Policy(enabled=False, always=({"matchLabels": {"app": "db"}},)), ""),
        (PodShape({"app": "db"}), Policy(never=({},)), ""),
    ],
)
def test_an_injector_leaves_alone_what_istios_leaves_alone(pod: PodShape, policy: Policy, told: str) -> None:
    injection = ask({INJECTION: "enabled"}, pod, policies={"default": policy})
    assert (told in injection.refusal) if told else not injection.refusal
    assert bool(injection.revision) == (not told)


@pytest.mark.parametrize("name", SYSTEM)
def test_no_injector_touches_the_systems_namespaces(name: str) -> None:
    injection = determine_injection(Namespace(name, {INJECTION: "enabled"}), PodShape(), CHART)
    assert injection.injectors
    assert name in injection.refusal


def test_of_two_injectors_the_first_by_name_injects_and_both_are_told() -> None:
    webhooks = [read_webhook(build_chart_webhook(r, default=True)) for r in ("b", "a")]
    injection = determine_injection(Namespace("apps", {INJECTION: "enabled"}), PodShape(), webhooks)
    assert [injector.revision for injector in injection.injectors] == ["a", "b"]
    assert injection.revision == "a"


# --- ours ---------------------------------------------------------------------------------------------------

RENDERED = {default: render_mesh({"defaultTag": default}) for default in (False, True)}
OURS: dict[bool, list[Webhook]] = {
    default: [read_webhook(o) for o in objects if o["kind"] == "MutatingWebhookConfiguration"]
    for default, objects in RENDERED.items()
}
TAG, REVISION = "mesh-a-basic", "mesh-a-basic-inplace"
VALUES = (TAG, REVISION, "default", "another", "")
names = st.sampled_from(("mesh-a", "apps", "kube-tools", "openshift-x", "kube-system", "navarch-probe"))
places = st.builds(
    Namespace,
    names,
    st.fixed_dictionaries(
        {}, optional={REV: st.sampled_from(VALUES), INJECTION: st.sampled_from(("enabled", "disabled", "x"))}
    ),
)
pods = st.fixed_dictionaries(
    {}, optional={REV: st.sampled_from(VALUES), INJECT: st.sampled_from(("true", "false", "maybe"))}
)


@given(places, pods, st.booleans())
@example(Namespace("kube-tools", {REV: TAG}), {}, True)
@example(Namespace("mesh-a", {}), {INJECT: "true"}, True)
def test_of_ours_too_whoever_takes_a_pod_stands_for_what_its_labels_ask_for(
    place: Namespace, pod: Mapping[str, str], default: bool
) -> None:
    mesh = build_revision_input(find_one(RENDERED[default], "MeshRevision"), ASSETS, ENVIRONMENT).membership
    injection = determine_injection(place, PodShape(pod), OURS[default])
    wish = read_wish(place.labels, pod)
    assert len(injection.injectors) <= 1
    for injector in injection.injectors:
        assert injector.value == wish.value
        assert injector.revision == REVISION
        assert not injector.unread, "every condition of ours can be read here"
        assert is_injected(mesh, place.name, place.labels) or place.name == mesh.probe
    if is_injected(mesh, place.name, place.labels) and wish.value in mesh.values:
        assert injection.injectors


@given(places, pods)
def test_beside_another_istio_no_pod_is_taken_by_both(place: Namespace, pod: Mapping[str, str]) -> None:
    injection = determine_injection(place, PodShape(pod), [*OURS[False], *CHART])
    assert len(injection.injectors) <= 1


@given(
    st.sampled_from(("mesh-a", "kube-mesh")), st.lists(st.sampled_from(("kube-", "x-")), max_size=2), names
)
def test_a_condition_is_read_back_as_it_was_written(own: str, prefixes: list[str], name: str) -> None:
    condition = NameCondition(own, ("openshift-", *prefixes))
    assert NameCondition.read(condition.build()["expression"]) == condition
    for other in ("", f"{condition.build()['expression']} || true", "request.namespace != 'a'", name):
        assert NameCondition.read(other) is None


def test_a_condition_that_only_the_api_server_can_evaluate_is_told() -> None:
    manifest = build_chart_webhook("default", default=True)
    expression = "object.metadata.name != 'x'"
    for entry in manifest["webhooks"]:
        entry["matchConditions"] = [{"name": "mine", "expression": expression}]
    injection = determine_injection(
        Namespace("apps", {INJECTION: "enabled"}), PodShape(), [read_webhook(manifest)]
    )
    assert injection.injectors[0].unread == (expression,)
