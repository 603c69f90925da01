"""Keys of labels and annotations that a gateway hands on to its objects."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navarch.core.gateway.checks import run_checks
from navarch.core.gateway.keys import is_key
from navarch.core.model.reasons import Reason

from tests.unit.gateways import a_gateway


@pytest.mark.parametrize(
    "key", ["a", "A-b_c.d", "example.com/a", "a.b-c/D", "1", "x" * 63, f"{'a' * 253}/x"], ids=lambda k: k[:20]
)
def test_what_kubernetes_takes_is_a_key(key: str) -> None:
    assert is_key(key)


@pytest.mark.parametrize(
    "key",
    ["", "a b", "-a", "a-", "ü", "x" * 64, "/a", "a/", "a//b", "A.b/c", "a..b/c", f"{'a' * 254}/x", "a\n"],
    ids=repr,
)
def test_what_kubernetes_refuses_is_no_key(key: str) -> None:
    assert not is_key(key)


@given(st.text())
def test_a_key_has_nothing_but_what_its_form_allows(text: str) -> None:
    assert not is_key(text) or all(c.isascii() and (c.isalnum() or c in "-_./") for c in text)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"labels": {"a b": "x"}}, "spec.labels[a b]"),
        ({"annotations": {"ü": "x"}}, "spec.annotations[ü]"),
        ({"service": {"labels": {"-a": "x"}}}, "spec.service.labels[-a]"),
        ({"service": {"annotations": {"a/": "x"}}}, "spec.service.annotations[a/]"),
        ({"placement": {"nodeSelector": {"a b": "x"}}}, "spec.placement.nodeSelector[a b]"),
    ],
    ids=str,
)
def test_a_bad_key_is_told_by_its_field_with_its_value_and_what_helps(
    spec: dict[str, Any], field: str
) -> None:
    (finding,) = [f for f in run_checks(a_gateway(spec)) if f.reason is Reason.INVALID_SPEC]
    assert (finding.field, finding.value) == (field, "x")
    assert "63 letters" in finding.remedy


def test_annotations_may_have_a_domain_in_capitals_as_kubernetes_lets_them() -> None:
    spec = {"service": {"annotations": {"Example.com/a": "x"}}}
    assert run_checks(a_gateway(spec)) == ()
    labelled = run_checks(a_gateway({"service": {"labels": {"Example.com/a": "x"}}}))
    assert [f.field for f in labelled] == ["spec.service.labels[Example.com/a]"]
