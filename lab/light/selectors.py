"""Label selectors of Kubernetes, evaluated on plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def is_selected(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector (matchLabels, matchExpressions) matches; an empty one matches everything."""
    wanted = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or ()
    return has_all(wanted, labels) and all(_holds(expression, labels) for expression in expressions)


def is_selected_by_any(selectors: Iterable[Mapping[str, Any]], labels: Mapping[str, str]) -> bool:
    """As Istio reads discoverySelectors: one match is enough, and no selector at all selects everything."""
    listed = list(selectors)
    return not listed or any(is_selected(selector, labels) for selector in listed)


def has_all(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether every wanted label is there with its value."""
    return all(labels.get(key) == value for key, value in wanted.items())


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return key not in labels or labels[key] not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case unknown:
            raise ValueError(f"unknown operator {unknown!r} in a label selector")
