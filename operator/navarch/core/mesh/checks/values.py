"""Whether istiod can read values, knows their names, and has a use for them.

Owns the comparison with Istio's definition of values and with the defaults that this release renders. Must
never refuse a key merely because it is unknown: a user's own template may read it. Invariant: values that
pass are read by istiod whole, and never take a map or a switch away that an injection template looks into;
either would fail every injection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from navarch.api.controlplane import HOSTED
from navarch.api.spec import RevisionConfig
from navarch.core.istio.assets import BASE_PROFILE
from navarch.core.istio.definitions import VALUES, Kind, Problem, find_problems
from navarch.core.mesh.checks.layers import build_input, resolved_config
from navarch.core.mesh.checks.power import check_values_keys
from navarch.core.mesh.content import MeshContent
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.messages import shorten
from navarch.core.model.reasons import Reason
from navarch.core.render.values import GATEWAY_CLASSES, build_values

Tree: TypeAlias = Mapping[str, Any]

_KINDS: tuple[tuple[type, str], ...] = (
    (Mapping, "a map"),
    (list, "a list"),
    (bool, "true or false"),
    (str, "a text (in quotes)"),
    (int, "a whole number"),
)


def kind_of(value: Any) -> str:
    """The kind of a JSON value in words; empty for null and fractions, which no value is by default."""
    return next((words for kind, words in _KINDS if isinstance(value, kind)), "")


def build_default_values(content: MeshContent) -> Tree:
    """The values of a mesh that sets none; empty where its version is unknown. A container's resources are
    free-form."""
    base = RevisionConfig.model_validate(content.assets.profiles[BASE_PROFILE])
    source = build_input(content, base)
    if source is None:
        return {}
    free: Tree = {"resources": {}}
    defaults = build_values(source, content.assets)
    shared = defaults["global"]
    parts = {part: {**shared[part], **free} for part in ("proxy", "waypoint")}
    return {**defaults, "global": {**shared, **parts}}


def _walk(user: Tree, default: Tree, path: str = "") -> Iterator[tuple[str, Any, Tree, str]]:
    """Every key that is comparable, as (path, value, defaults around it, key); maps that are empty by default
    are free-form and not entered."""
    for key, value in user.items():
        where = f"{path}.{key}" if path else key
        yield where, value, default, key
        below = default.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping) and below:
            yield from _walk(value, below, where)


def _is_within(path: str, others: set[str]) -> bool:
    """Whether a path is one of the others or below one of them."""
    return any(path == other or path.startswith((f"{other}.", f"{other}[")) for other in others)


def _find_misshapen(user: Tree, defaults: Tree, descriptors: bytes) -> Iterator[Problem]:
    """What has another kind than its default, and what else istiod's own reader would not take."""
    told: set[str] = set()
    for path, value, around, key in _walk(user, defaults):
        wanted = kind_of(around.get(key))
        if key in around and kind_of(value) != wanted:
            told.add(path)
            yield Problem(Kind.WRONG_TYPE, path, shorten(value), f"is not {wanted}")
    for problem in find_problems(user, descriptors, VALUES):
        if problem.kind is Kind.WRONG_TYPE and not _is_within(problem.path, told):
            yield problem


def _find_unknown(user: Tree, defaults: Tree, descriptors: bytes) -> Iterator[Problem]:
    """What neither Istio's definition nor the defaults have: templates read names that the former lacks."""
    read = {path for path, _, around, key in _walk(user, defaults) if key in around}
    for problem in find_problems(user, descriptors, VALUES):
        if problem.kind is Kind.UNKNOWN and problem.path not in read:
            yield problem


def _find_unread(user: Tree, defaults: Tree, descriptors: bytes) -> Iterator[Problem]:
    """What Istio knows, and nothing that Navarch renders reads."""
    unknown = {problem.path for problem in _find_unknown(user, defaults, descriptors)}
    for path, value, around, key in _walk(user, defaults):
        if key not in around and path not in unknown:
            yield Problem(Kind.UNKNOWN, path, shorten(value), "")


def _find(
    content: MeshContent, finder: Callable[[Tree, Tree, bytes], Iterator[Problem]]
) -> Iterator[tuple[str, str, Problem]]:
    """Problems in the sum of profiles and spec: (field, subject of the sentence, problem)."""
    config, release = resolved_config(content), content.release
    if config is None or release is None or not config.values:
        return
    if not (defaults := build_default_values(content)):
        return
    descriptors = content.assets.values_descriptors[release.minor.name]
    own = {problem.path for problem in finder(content.spec.values or {}, defaults, descriptors)}
    for problem in finder(config.values, defaults, descriptors):
        if problem.path in own:
            yield f"spec.values.{problem.path}", "", problem
        else:
            yield "spec.profiles", f"values.{problem.path} of a profile ", problem


def are_values_readable(content: MeshContent) -> bool:
    """Whether the values have the shapes that everything reads them by."""
    return not any(_find(content, _find_misshapen))


def check_values_shapes(content: MeshContent) -> Iterator[Finding]:
    """Every value has the type that Istio and its injection templates read; istiod refuses the whole of them
    for one that has not."""
    for field, subject, problem in _find(content, _find_misshapen):
        message = f"{subject}{problem.message}, and istiod could not read the values"
        remedy = f"make it {problem.message.removeprefix('is not ')}, or leave it out"
        yield Finding(Reason.VALUES_INVALID, field, problem.value, message, remedy)


def check_values_are_known(content: MeshContent) -> Iterator[Finding]:
    """Istio knows every name; one that it does not is a warning, with the nearest that it does."""
    refused = {finding.field for finding in check_values_keys(content)}
    for field, subject, problem in _find(content, _find_unknown):
        if not _is_within(field, refused):
            remedy = (
                f"did you mean {problem.nearest}?"
                if problem.nearest
                else "remove it, unless a template of yours reads it"
            )
            message = f"{subject}is no value of Istio's, and is ignored"
            yield Finding(Reason.UNKNOWN_FIELD, field, problem.value, message, remedy, Severity.WARNING)


def check_values_are_read(content: MeshContent) -> Iterator[Finding]:
    """Something reads every value: those that shape istiod itself are fields of the spec, which a warning
    says."""
    refused = {finding.field for finding in check_values_keys(content)}
    for field, subject, problem in _find(content, _find_unread):
        if not _is_within(field, refused):
            message = f"{subject}is Istio's, but not read by injection, and has no effect here"
            remedy = "look for a field of the spec instead, or remove it, unless a template of yours reads it"
            yield Finding(Reason.VALUE_UNREAD, field, problem.value, message, remedy, Severity.WARNING)


def check_gateway_classes_are_read(content: MeshContent) -> Iterator[Finding]:
    """A hosted mesh changes no defaults of a Gateway class: istiod looks for them in its own namespace, which
    is none of those that it watches. Seen with istiod 1.30 and 1.31."""
    config = resolved_config(content) if content.spec.hosting == HOSTED else None
    classes = (config.values or {}).get(GATEWAY_CLASSES) if config is not None else None
    if classes:
        own = GATEWAY_CLASSES in (content.spec.values or {})
        field = f"spec.values.{GATEWAY_CLASSES}" if own else "spec.profiles"
        subject = "" if own else f"values.{GATEWAY_CLASSES} of a profile "
        value = shorten(classes)
        message = f"{subject}is not read by the istiod of a hosted mesh, and has no effect here"
        remedy = "name a ConfigMap in spec.infrastructure.parametersRef of each Gateway instead"
        yield Finding(Reason.VALUE_UNREAD, field, value, message, remedy, Severity.WARNING)
