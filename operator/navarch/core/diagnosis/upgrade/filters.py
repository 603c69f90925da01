"""Rules about EnvoyFilters, which write into a configuration that each version of Istio makes otherwise.

Owns one named generator for each rule. Must never run an expression of a tenant's that could take long.
Invariant: an EnvoyFilter is told once by each rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from navarch.core.diagnosis.observed import diagnose
from navarch.core.diagnosis.report import Diagnosis, Subject
from navarch.core.diagnosis.signs import Sign
from navarch.core.diagnosis.upgrade.observed import ObservedUpgrade
from navarch.core.model.messages import join, shorten

ENVOY_FILTERS = "envoyfilters.networking.istio.io"
RELATIVE = frozenset({"INSERT_BEFORE", "INSERT_AFTER", "MERGE", "REMOVE", "REPLACE"})
"""Operations that do nothing where what they name is not there."""
EVERYWHERE = frozenset(
    {
        "envoy.filters.http.router",
        "envoy.filters.network.http_connection_manager",
        "envoy.filters.network.tcp_proxy",
    }
)
"""Filters that end a chain, by the names that every version of Istio gives them
(pkg/wellknown of go-control-plane)."""
LONGEST, REPEATS = 200, 6
"""Characters and repetitions of an expression that is still judged. A version has few characters, so that an
expression within these bounds takes no time."""
_REPEAT = re.compile(r"[*+?{]")
_COUNT = re.compile(r"\{[0-9]*,?[0-9]{2,}|\{[0-9]{2,}")
_FOREIGN = re.compile(r"\(\?(?!:|P<|[imsU-]+[:)])|\\[1-9]")
"""What Python's expressions have and RE2's, which istiod reads, have not."""


@dataclass(frozen=True, slots=True)
class Patch:
    """One patch of an EnvoyFilter: `place` is what it applies to and in which direction, `pin` the expression
    for versions of proxies, `anchor` the filter beside which, or on which, it works."""

    place: tuple[str, str]
    pin: str
    operation: str
    anchor: str


def read_patches(spec: Mapping[str, Any]) -> Iterator[Patch]:
    """The patches of an EnvoyFilter."""
    for each in spec.get("configPatches") or ():
        match, patch = _get(each, "match"), _get(each, "patch")
        yield Patch(
            (str(each.get("applyTo", "")), str(match.get("context", "ANY"))),
            str(_get(match, "proxy").get("proxyVersion") or ""),
            str(patch.get("operation", "")),
            _read_anchor(match),
        )


def _get(data: Any, key: str) -> Mapping[str, Any]:
    found = data.get(key) if isinstance(data, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _read_anchor(match: Mapping[str, Any]) -> str:
    """The most inner filter that a match names."""
    listener = _get(match, "listener")
    outer = _get(_get(listener, "filterChain"), "filter")
    inner = _get(outer, "subFilter")
    return str(inner.get("name") or outer.get("name") or listener.get("listenerFilter") or "")


def takes(pin: str, version: str) -> bool | None:
    """Whether an expression takes proxies of a version, as istiod has it (pilot/pkg/model/envoyfilter.go);
    None where that is not found out."""
    if (
        len(pin) > LONGEST
        or len(_REPEAT.findall(pin)) > REPEATS
        or _COUNT.search(pin)
        or _FOREIGN.search(pin)
    ):
        return None
    try:
        return re.search(pin, version) is not None
    except (re.error, OverflowError, RecursionError):
        return None


def _list_filters(upgrade: ObservedUpgrade) -> Iterator[tuple[Subject, list[Patch]]]:
    for each in upgrade.around.configuration:
        if each.crd == ENVOY_FILTERS and each.subject.namespace in upgrade.inside:
            yield each.subject, [*read_patches(each.spec)]


def check_filters_take_the_version(upgrade: ObservedUpgrade) -> Iterator[Diagnosis]:
    """No EnvoyFilter takes proxies of the running version only. One that has a counterpart for the new one,
    in its namespace and for the same place, is as Istio recommends it."""
    old, new = upgrade.running, upgrade.release.version
    filters = [*_list_filters(upgrade)]
    ready = {
        (subject.namespace, patch.place)
        for subject, patches in filters
        for patch in patches
        if patch.pin and takes(patch.pin, new)
    }
    for subject, patches in filters:
        lost, unclear = set(), set()
        for patch in patches:
            if not patch.pin or (subject.namespace, patch.place) in ready:
                continue
            verdicts = takes(patch.pin, old), takes(patch.pin, new)
            if verdicts == (True, False):
                lost.add(shorten(patch.pin, LONGEST))
            elif None in verdicts:
                unclear.add(shorten(patch.pin, LONGEST))
        if lost:
            message = f"takes proxies of {old} and not of {new}, by proxyVersion {join(sorted(lost))}"
            yield diagnose(Sign.ENVOY_FILTER_PINNED, subject, message)
        elif unclear:
            message = (
                f"whether it takes proxies of {new} was not found out: proxyVersion {join(sorted(unclear))}"
            )
            yield diagnose(Sign.ENVOY_FILTER_PINNED, subject, message)


def check_filters_stand_alone(upgrade: ObservedUpgrade) -> Iterator[Diagnosis]:
    """No EnvoyFilter works relative to a filter that another version may name otherwise, or not have."""
    for subject, patches in _list_filters(upgrade):
        relative = {
            f"{patch.operation} {patch.anchor}"
            for patch in patches
            if patch.operation in RELATIVE and patch.anchor and patch.anchor not in EVERYWHERE
        }
        if relative:
            message = (
                f"works relative to a filter, and does nothing where {upgrade.release.version} has none of "
                f"that name: {join(sorted(relative))}"
            )
            yield diagnose(Sign.ENVOY_FILTER_RELATIVE, subject, message)
