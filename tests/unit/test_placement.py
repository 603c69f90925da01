"""The trees of a namespace and of a pod: what runs, what would run, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from navarch.core.diagnosis.node import Node
from navarch.core.diagnosis.placement import ObservedPlace, PodView, build_place, build_pod
from navarch.core.diagnosis.workloads import Workload
from navarch.core.membership.injection import PodShape, Policy
from navarch.core.model.parent import MESH, Parent
from navarch.core.world.cluster import Namespace, Webhook
from navarch.core.world.proxies import ProxyPod
from navarch.gather.cluster import read_webhook
from navarch.survey.placement import read_pod, read_policy

from tests.support.injection import build_chart_webhook

WEB = Workload("apps", "Deployment", "web")
SELECTOR = {"matchLabels": {"a": "b"}}
IN_PROD = Namespace("apps", {"istio.io/rev": "prod"})


def webhooks(*, ours: bool = True) -> tuple[Webhook, ...]:
    """Revision canary with the tag prod, and the unnamed one of others, which is the default."""
    parent = Parent(MESH, "shop", "mesh") if ours else None
    canary = (
        read_webhook(build_chart_webhook("canary")),
        read_webhook(build_chart_webhook("canary", tag="prod")),
    )
    default = read_webhook(build_chart_webhook("default", default=True))
    return *(replace(webhook, parent=parent) for webhook in canary), default


def a_pod(name: str, revision: str = "", **labels: str) -> PodView:
    proxy = ProxyPod("apps", name, revision, "1.31.1-abc") if revision else None
    shape = PodShape({key.replace("_", "/"): value for key, value in labels.items()})
    return PodView(name, shape, WEB, proxy)


def a_place(*pods: PodView, **changes: Any) -> ObservedPlace:
    return replace(ObservedPlace(IN_PROD, ("shop/mesh",), webhooks(), pods=pods), **changes)


def find(tree: Node, kind: str) -> list[Node]:
    below = [found for child in tree.children for found in find(child, kind)]
    return [tree, *below] if tree.kind == kind else below


def test_a_tag_is_resolved_and_the_label_is_named_that_asks_for_it() -> None:
    (injection,) = find(build_place(a_place()), "Injection")
    assert injection.name == "of a pod without labels"
    assert injection.facts | {"revision": "canary", "tag": "prod", "mesh": "shop/mesh"} == injection.facts
    assert injection.facts["webhook"] == "istio-revision-tag-prod"
    assert injection.summary == (
        "a sidecar of revision canary of mesh shop/mesh, which tag prod stands for: label istio.io/rev=prod "
        "of the namespace"
    )


def test_what_a_pod_may_ask_for_by_itself_is_told_where_it_gets_something_else() -> None:
    plain, asking = find(build_place(a_place(namespace=Namespace("apps", {}))), "Injection")
    assert plain.summary == "no sidecar: no label of the namespace or of the pod asks for a sidecar"
    assert asking.name == "of a pod with sidecar.istio.io/inject=true"
    assert asking.summary.startswith("a sidecar of revision default of an Istio that is not Navarch's: label")


def test_istio_injection_comes_before_istio_io_rev_and_the_tree_says_so() -> None:
    both = Namespace("apps", {"istio.io/rev": "prod", "istio-injection": "enabled"})
    (injection,) = find(build_place(a_place(namespace=both)), "Injection")
    assert injection.facts | {"revision": "default", "mesh": "", "asks": "default"} == injection.facts
    assert injection.facts["by"] == "label istio-injection=enabled of the namespace"


def test_a_label_that_no_webhook_stands_for_gives_no_sidecar() -> None:
    (injection,) = find(
        build_place(a_place(namespace=Namespace("apps", {"istio.io/rev": "prd"}))), "Injection"
    )
    assert injection.facts | {"revision": "", "asks": "prd"} == injection.facts
    assert "no injection webhook takes such pods" in injection.summary


def test_pods_are_counted_by_what_they_run_and_what_they_would_get() -> None:
    pods = (a_pod("a", "canary"), a_pod("b", "old"), a_pod("c", "old"), a_pod("d"))
    refusing = replace(a_pod("e", sidecar_istio_io="x"), shape=PodShape({"sidecar.istio.io/inject": "false"}))
    tree = build_place(a_place(*pods, refusing))
    (web,) = find(tree, "Deployment")
    assert web.facts == {"pods": 5, "revisions": {"": 2, "canary": 1, "old": 2}, "restart": 3}
    assert web.summary.split("; ") == [
        "1 pod runs revision canary",
        "2 pods run revision old, and would get revision canary",
        "1 pod runs no sidecar, and would get revision canary",
        "1 pod runs no sidecar",
    ]


def test_a_pods_own_tree_says_what_it_runs_and_what_a_restart_changes() -> None:
    old = replace(a_pod("b", "old"), native=True)
    tree = build_pod(a_place(), old)
    now, anew = tree.children
    assert (tree.name, tree.facts) == ("apps/b", {"restart": True})
    assert now.summary == "runs revision old as a native sidecar"
    assert anew.facts["revision"] == "canary"
    assert build_pod(a_place(), a_pod("a", "canary")).facts == {"restart": False}


def test_a_gateways_pod_is_its_gateways_to_judge() -> None:
    gateway = replace(a_pod("g", "canary"), proxy=ProxyPod("apps", "g", "old", "x", gateway="ingress"))
    assert build_pod(a_place(), gateway).facts == {"restart": False}


def test_what_may_not_be_listed_is_not_claimed() -> None:
    tree = build_place(a_place(a_pod("a", "old"), webhooks=None))
    assert not find(tree, "Injection")
    (web,) = find(tree, "Deployment")
    assert web.facts["restart"] == 0
    assert not find(build_place(a_place(pods=None)), "Pods")


@pytest.mark.parametrize(
    ("config", "policy"),
    [
        ({}, Policy()),
        ({"policy": "enabled"}, Policy()),
        (
            {"policy": "disabled", "alwaysInjectSelector": [{"matchLabels": {"a": "b"}}, "odd"]},
            Policy(enabled=False, always=({"matchLabels": {"a": "b"}},)),
        ),
        (
            {"neverInjectSelector": [{"matchLabels": {"a": "b"}}]},
            Policy(never=({"matchLabels": {"a": "b"}},)),
        ),
    ],
)
def test_an_injectors_configuration_is_read(config: dict[str, Any], policy: Policy) -> None:
    assert read_policy(config) == policy


def test_a_pod_is_read_with_what_decides_about_it() -> None:
    manifest = {
        "metadata": {
            "name": "web-1",
            "namespace": "apps",
            "labels": {"app": "web"},
            "annotations": {"istio.io/rev": "canary"},
        },
        "spec": {"hostNetwork": True, "initContainers": [{"name": "istio-proxy"}]},
    }
    view = read_pod(manifest)
    assert view.shape == PodShape({"app": "web"}, {"istio.io/rev": "canary"}, host_network=True)
    assert (view.native, view.proxy and view.proxy.revision) == (True, "canary")
