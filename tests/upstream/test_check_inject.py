"""Which webhook takes a pod, by our reading and by Istio's own `check-inject`, over labels of namespaces and
pods: for webhooks that Istio's installer renders, tags included, and for those of a mesh of ours."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from navarch.core.membership.injection import PodShape, determine_injection
from navarch.core.model.labels import MEMBER_OF
from navarch.core.world.cluster import Namespace
from navarch.gather.cluster import read_webhook

from lab.builds import ISTIO_LINES, NEWEST_ISTIO, IstioLine
from tests.support.injection import (
    INJECT,
    INJECTION,
    NAMESPACES,
    PODS,
    REV,
    build_chart_webhook,
    read_table,
)
from tests.upstream.check_inject import ALWAYS, run_check_inject
from tests.upstream.installations import LOADER, NAMESPACE, REVISION, TAG, Setting, render_ours
from tests.upstream.istioctl import generate

Object = dict[str, Any]
LINES = [pytest.param(line, id=line.minor) for line in ISTIO_LINES]


def render_webhooks(line: IstioLine, *, revision: str, tags: tuple[str, ...] = ()) -> list[Object]:
    """The injectors of an installation by Istio's own installer."""
    values = {"revision": revision, "revisionTags": [*tags], "global": {"istioNamespace": "istio-system"}}
    spec = {"profile": "minimal", "tag": line.versions[-1], "revision": revision, "values": values}
    wish = {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "spec": spec}
    objects = yaml.load_all(generate(line, wish), LOADER)
    return [o for o in objects if o and o["kind"] == "MutatingWebhookConfiguration"]


@cache
def render_theirs(line: IstioLine) -> tuple[Object, ...]:
    """The revision without a name, which is the default one, beside `canary` with the tag `prod`."""
    return (*render_webhooks(line, revision=""), *render_webhooks(line, revision="canary", tags=("prod",)))


def choose(webhook: Object) -> tuple[str, str]:
    """Revision and tag of an injector."""
    labels = webhook["metadata"]["labels"]
    return labels[REV], labels.get("istio.io/tag", "")


def select(webhook: Object) -> dict[str, Object]:
    """The selectors of a webhook's entries, by their names, with rules in one order."""
    return {
        entry["name"]: {
            key: sorted(entry[key]["matchExpressions"], key=lambda rule: str(sorted(rule.items())))
            for key in ("namespaceSelector", "objectSelector")
        }
        for entry in webhook["webhooks"]
    }


@pytest.mark.parametrize("line", LINES)
def test_the_injectors_on_which_the_table_is_tried_are_those_of_istios_installer(line: IstioLine) -> None:
    written = (
        build_chart_webhook("default", default=True),
        build_chart_webhook("canary"),
        build_chart_webhook("canary", tag="prod"),
    )
    assert {choose(w): select(w) for w in render_theirs(line)} == {choose(w): select(w) for w in written}


def ask_both(
    line: IstioLine,
    webhooks: list[Object],
    namespaces: Mapping[str, Mapping[str, str]],
    pods: Mapping[str, Mapping[str, str]],
    folder: Path,
) -> dict[tuple[str, str], tuple[frozenset[str], frozenset[str]]]:
    """The webhooks that take each pod in each namespace: by Istio's command, and by our reading."""
    ours = [read_webhook(webhook) for webhook in webhooks]
    cases = [*product(namespaces, pods)]
    with (
        run_check_inject(line, namespaces=namespaces, webhooks=webhooks, folder=folder) as command,
        ThreadPoolExecutor(2) as side,
    ):
        said = [*side.map(lambda case: command.ask(case[0], pods[case[1]]), cases)]
    found = {}
    for (namespace, pod), theirs in zip(cases, said, strict=True):
        place, shape = Namespace(namespace, namespaces[namespace]), PodShape({**ALWAYS, **pods[pod]})
        injection = determine_injection(place, shape, ours)
        found[namespace, pod] = (theirs, frozenset(i.webhook for i in injection.injectors))
    return found


@pytest.mark.parametrize("line", LINES)
def test_istios_command_and_our_reading_agree_on_the_whole_table_tags_included(
    line: IstioLine, tmp_path: Path
) -> None:
    webhooks = [*render_theirs(line)]
    names = {value: "-".join(value.split()) for value in NAMESPACES}
    places = {names[value]: labels for value, labels in NAMESPACES.items()}
    values = {w["metadata"]["name"]: choose(w)[1] or choose(w)[0] for w in webhooks}
    found = ask_both(line, webhooks, places, PODS, tmp_path)
    table = {(names[namespace], pod): value for (namespace, pod), value in read_table().items()}
    assert [case for case, (theirs, ours) in found.items() if theirs != ours] == []
    told = {case: ",".join(sorted(values[name] for name in theirs)) for case, (theirs, _) in found.items()}
    assert told == table, "Istio's documentation says the same"


OF_OURS: Mapping[str, Mapping[str, str]] = {
    NAMESPACE: {},
    "silent": {},
    "enabled": {INJECTION: "enabled"},
    "disabled-and-tag": {INJECTION: "disabled", REV: TAG},
    "enabled-and-tag": {INJECTION: "enabled", REV: TAG},
    "tag": {REV: TAG},
    "revision": {REV: REVISION},
    "another": {REV: "another"},
    "of-another-mesh": {REV: TAG, MEMBER_OF: "mesh-b.basic"},
    "member": {REV: TAG, MEMBER_OF: f"{NAMESPACE}.basic"},
    "kube-tools": {REV: TAG},
    "put-out": {REV: TAG},
}
PODS_OF_OURS: Mapping[str, Mapping[str, str]] = {
    "none": {},
    "true": {INJECT: "true"},
    "false": {INJECT: "false"},
    "tag": {REV: TAG},
}


@dataclass(frozen=True, slots=True)
class Row:
    """Namespaces in which Istio's command says more of our webhooks than the API server does."""

    namespace: str
    reason: str


ROWS = (
    Row(
        "kube-tools",
        "the command reads no matchConditions, by which our webhooks leave reserved names alone "
        "(tests/cluster/test_reserved_names.py shows what the API server makes of them)",
    ),
)


@pytest.mark.parametrize("scope", [None, "Members", "Cluster"])
def test_istios_command_and_our_reading_agree_on_our_own_webhooks_but_for_rows(
    scope: str | None, tmp_path: Path
) -> None:
    spec = {"defaultTag": True, "excludedNamespaces": ["put-out"], **({"scope": scope} if scope else {})}
    objects = render_ours(Setting(spec=spec))
    webhooks = [o for o in objects if o["kind"] == "MutatingWebhookConfiguration"]
    found = ask_both(NEWEST_ISTIO, webhooks, OF_OURS, PODS_OF_OURS, tmp_path)
    differing = {namespace for (namespace, _), (theirs, ours) in found.items() if theirs != ours}
    assert differing <= {row.namespace for row in ROWS}
    assert all(theirs >= ours for theirs, ours in found.values())
    assert any(ours for _, ours in found.values())
    if scope != "Members":  # there it is no member, for the command as well
        assert differing == {row.namespace for row in ROWS}, "no row is left over"
    for pod in PODS_OF_OURS:
        assert found["put-out", pod] == (frozenset(), frozenset())
    assert max(len(theirs) for theirs, _ in found.values()) == 1, "no pod is taken by two"
