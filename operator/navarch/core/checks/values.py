"""Whether injection values have the shape that injection templates count on.

Owns the comparison with Istio's defaults as this release renders them. Must never refuse a key merely because
it is unknown: a user's own template may read it. Invariant: values that pass never take a map or a switch
away that an injection template looks into, which would fail every injection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from navarch.api.spec import RevisionConfig
from navarch.core.checks.layers import build_input, resolved_config
from navarch.core.checks.power import shorten
from navarch.core.findings import Finding, Severity
from navarch.core.observed import ObservedMesh
from navarch.core.reasons import Reason
from navarch.core.resolve import BASE_PROFILE
from navarch.core.values import build_values

_KINDS: tuple[tuple[type, str], ...] = (
    (Mapping, "a map"),
    (list, "a list"),
    (bool, "true or false"),
    (str, "a text (in quotes)"),
    (int, "a whole number"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """A key of the user's: `path` from the root, with a leading dot, and the map of defaults `around` it."""

    path: str
    key: str
    value: Any
    around: Mapping[str, Any]


def kind_of(value: Any) -> str:
    """The kind of a JSON value in words; empty for null and fractions, which no value is by default."""
    return next((words for kind, words in _KINDS if isinstance(value, kind)), "")


def build_default_values(observed: ObservedMesh) -> Mapping[str, Any]:
    """The values of a mesh that sets none; empty where its version is unknown. A container's resources are
    free-form."""
    base = RevisionConfig.model_validate(observed.assets.profiles[BASE_PROFILE])
    source = build_input(observed, base)
    if source is None:
        return {}
    defaults = build_values(source, observed.assets)
    defaults["global"]["proxy"]["resources"] = {}
    return defaults


def _walk(user: Mapping[str, Any], default: Mapping[str, Any], path: str = "") -> Iterator[Found]:
    """Every key that is comparable; maps that are empty by default are free-form and not entered."""
    for key, value in user.items():
        where = f"{path}.{key}"
        yield Found(where, key, value, default)
        below = default.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping) and below:
            yield from _walk(value, below, where)


def _find(observed: ObservedMesh) -> Iterator[tuple[str, str, Found]]:
    """Every key in the sum of profiles and spec: (field, subject of the sentence, what is there)."""
    config, defaults = resolved_config(observed), build_default_values(observed)
    if observed.spec is None or config is None or not defaults:
        return
    own = {found.path for found in _walk(observed.spec.values or {}, defaults)}
    for found in _walk(config.values or {}, defaults):
        if found.path in own:
            yield f"spec.values{found.path}", "", found
        else:
            yield "spec.profiles", f"values{found.path} of a profile ", found


def check_values_shapes(observed: ObservedMesh) -> Iterator[Finding]:
    """Every value that injection reads is of its default's kind; istiod refuses the whole of them for one
    that is not."""
    for field, subject, found in _find(observed):
        wanted = kind_of(found.around.get(found.key))
        if found.key in found.around and kind_of(found.value) != wanted:
            message = f"{subject}is not {wanted}, and istiod could not read the values"
            remedy = f"make it {wanted}, or leave it out"
            yield Finding(Reason.VALUES_INVALID, field, shorten(found.value), message, remedy)


def check_values_are_known(observed: ObservedMesh) -> Iterator[Finding]:
    """Injection reads every key; one that it does not is a warning, with the nearest that it does."""
    for field, subject, found in _find(observed):
        if found.key not in found.around:
            nearest = get_close_matches(found.key, found.around, n=1)
            remedy = (
                f"did you mean {nearest[0]}?" if nearest else "remove it, unless a template of yours reads it"
            )
            message = f"{subject}is not read by Istio's injection"
            yield Finding(
                Reason.UNKNOWN_FIELD, field, shorten(found.value), message, remedy, Severity.WARNING
            )
