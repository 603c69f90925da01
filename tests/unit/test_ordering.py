"""The order in which kinds come and go."""

from __future__ import annotations

import random

from navarch.core.model.ordering import APPLY_ORDER, BINDING_KINDS, WEBHOOK_KINDS, order_for_removal
from navarch.core.model.refs import Ref


def ref(kind: str, name: str = "x") -> Ref:
    return Ref("v1", kind, "ns", name)


def test_what_others_need_comes_first() -> None:
    kinds = list(APPLY_ORDER)
    chain = ["CustomResourceDefinition", "Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding"]
    chain += ["Secret", "ConfigMap", "Service", "Deployment", "MutatingWebhookConfiguration"]
    assert [kinds.index(kind) for kind in chain] == sorted(kinds.index(kind) for kind in chain)


def test_webhooks_go_before_everything_then_the_power_to_write_and_the_rest_in_reverse() -> None:
    removed = [r.kind for r in order_for_removal(ref(kind) for kind in APPLY_ORDER)]
    assert set(removed[:2]) == set(WEBHOOK_KINDS)
    assert set(removed[2:4]) == set(BINDING_KINDS)
    first = (*WEBHOOK_KINDS, *BINDING_KINDS)
    assert removed[4:] == [kind for kind in reversed(APPLY_ORDER) if kind not in first]


def test_the_order_does_not_depend_on_the_input() -> None:
    refs = [ref(kind, name) for kind in (*APPLY_ORDER, "Unknown") for name in ("b", "a")]
    expected = order_for_removal(refs)
    shuffled = random.Random(1)
    for _ in range(5):
        shuffled.shuffle(refs)
        assert order_for_removal(refs) == expected


def test_an_unknown_kind_goes_after_the_webhooks_and_before_the_workloads() -> None:
    kinds = ("Deployment", "Unknown", "MutatingWebhookConfiguration")
    removed = [r.kind for r in order_for_removal(ref(kind) for kind in kinds)]
    assert removed == ["MutatingWebhookConfiguration", "Unknown", "Deployment"]
