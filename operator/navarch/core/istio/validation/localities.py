"""Localities of load balancing, as MeshConfig gives them for the whole mesh.

Owns the rules of localityLbSetting and zoneAwareLbSetting. Reads the normal form of reading.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from navarch.core.istio.validation.reading import Tree, Violation, build_violation

_TOPOLOGY: Final = (
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.istio.io/subzone",
)


def find_in_locality_setting(setting: Tree, path: str) -> Iterator[Violation]:
    """Everything in a LocalityLoadBalancerSetting that istiod refuses."""
    distribute, failover = setting.get("distribute", []), setting.get("failover", [])
    if distribute and failover:
        yield build_violation(f"{path}.failover", failover, "stands beside distribute", "keep one of the two")
        return
    if failover:
        for index, label in enumerate(setting.get("failoverPriority", [])):
            if label in _TOPOLOGY:
                yield build_violation(
                    f"{path}.failoverPriority[{index}]",
                    label,
                    "stands beside failover",
                    "keep one of the two",
                )
    for index, rule in enumerate(distribute):
        yield from _find_in_weights(rule.get("to", {}), f"{path}.distribute[{index}].to")
    yield from _find_overlapping([rule.get("from", "") for rule in distribute], f"{path}.distribute", ".from")
    yield from _find_in_failover(failover, path)


def find_in_zone_setting(setting: Tree, path: str) -> Iterator[Violation]:
    """Everything in a ZoneAwareLoadBalancerSetting that istiod refuses."""
    for index, label in enumerate(setting.get("failoverPriority", [])):
        if label in _TOPOLOGY:
            said = "is decided by zone-aware load balancing itself"
            yield build_violation(f"{path}.failoverPriority[{index}]", label, said, "remove it")
    yield from _find_in_failover(setting.get("failover", []), path)


def _find_in_weights(weights: Tree, path: str) -> Iterator[Violation]:
    for locality, weight in weights.items():
        if not isinstance(weight, int) or not 1 <= weight <= 100:
            yield build_violation(f"{path}[{locality}]", weight, "is not a weight from 1 to 100")
            return
    if sum(weights.values()) != 100:
        yield build_violation(
            path, dict(weights), f"has weights that add up to {sum(weights.values())}", "make it 100"
        )
        return
    yield from _find_overlapping(list(weights), path, "")


def _find_overlapping(localities: Sequence[str], path: str, below: str) -> Iterator[Violation]:
    """`region/zone/subzone` or a beginning of it, of which none may contain another; the first that istiod
    trips over depends on its order, so each is compared with all."""
    for index, locality in enumerate(localities):
        where = f"{path}[{index}]{below}" if below else f"{path}[{locality}]"
        if not all(locality.split("/", 2)):
            yield build_violation(where, locality, "has an empty region, zone or subzone")
        elif locality.count("*") > 1 or ("*" in locality and not locality.endswith("*")):
            yield build_violation(where, locality, "has a * that is not its only one and its end")
        elif other := next((one for one in localities[:index] if _may_meet(one, locality)), ""):
            yield build_violation(where, locality, f"contains, or is contained in, {other}")


def _may_meet(one: str, other: str) -> bool:
    """Whether istiod would call two localities overlapping in either order: a part that is absent, or *,
    stands for all."""
    pairs = zip(one.split("/", 2), other.split("/", 2), strict=False)
    return all(left == right or "*" in (left, right) for left, right in pairs)


def _find_in_failover(rules: Sequence[Any], path: str) -> Iterator[Violation]:
    for index, rule in enumerate(rules):
        where = f"{path}.failover[{index}]"
        source, target = rule.get("from", ""), rule.get("to", "")
        if source == target:
            yield build_violation(f"{where}.to", target, "is the region that it should be a replacement for")
        for name, region in (("from", source), ("to", target)):
            if "/" in region or "*" in region:
                yield build_violation(f"{where}.{name}", region, "is not a region alone, without / and *")
