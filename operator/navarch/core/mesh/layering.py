"""How one layer of a mesh's configuration is laid over another, and a gateway over the mesh's defaults.

Owns what is merged by another rule than RFC 7386: environments and gateways by name, overlays in sum, and
settings of a gateway of which one excludes the other. Must never change a layer. Invariant: what a later
layer sets is what counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from navarch.api.inline import TYPES
from navarch.core.model.merging import merge

DEFAULTS = "defaults"
_ALTERNATIVES = (("replicas", "autoscaling"),)
"""Settings of a gateway of which it has one at the most."""
_OF_DEPLOYMENTS = frozenset({"replicas", "autoscaling"})
"""Settings that a gateway has not whose workload is a DaemonSet."""
DAEMON_SET = "DaemonSet"
_AMOUNTS = ("requests", "limits")


def merge_layers(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """One layer of configuration over another: like merge, but environment and gateways are merged by name
    and overlays add up."""
    merged: dict[str, Any] = merge(lower, upper)
    environments = [(layer.get("controlPlane") or {}).get("environment") or () for layer in (lower, upper)]
    if any(environments):
        control_plane = merged.get("controlPlane") or {}  # a layer may have taken the whole of it away
        merged["controlPlane"] = {**control_plane, "environment": _merge_environment(*environments)}
    if overlays := [overlay for layer in (lower, upper) for overlay in layer.get("overlays") or ()]:
        merged["overlays"] = overlays
    if merged.get("gateways") and lower.get("gateways") and upper.get("gateways"):
        merged["gateways"] = _merge_gateways(lower["gateways"], upper["gateways"])
    return merged


def _merge_environment(lower: Sequence[Any], upper: Sequence[Any]) -> list[Any]:
    by_name = {variable["name"]: variable for variable in (*lower, *upper)}
    return list(by_name.values())


def _merge_gateways(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Gateways of two layers; null for a list, or for the defaults, takes those of the lower layer away."""
    merged: dict[str, Any] = {}
    for key in (DEFAULTS, *TYPES):
        below, above = lower.get(key), upper.get(key)
        if key in upper and above is None:
            continue
        if key == DEFAULTS:
            merged[key] = merge_settings(below or {}, above or {})
        else:
            merged[key] = _merge_by_name(below or (), above or ())
    return {key: value for key, value in merged.items() if value}


def _merge_by_name(
    lower: Sequence[Mapping[str, Any]], upper: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    merged = {entry["name"]: entry for entry in lower}
    for entry in upper:
        merged[entry["name"]] = merge_settings(merged.get(entry["name"], {}), entry)
    return list(merged.values())


def merge_settings(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a gateway over others: like merge, but of two that exclude each other the upper one's
    counts, empty requests or limits take the lower one's away, and overlays add up."""
    lost = {a for pair in _ALTERNATIVES for a, b in (pair, pair[::-1]) if upper.get(b) is not None}
    if upper.get("workload") == DAEMON_SET:
        lost |= _OF_DEPLOYMENTS
    elif lower.get("workload") == DAEMON_SET and any(upper.get(key) is not None for key in _OF_DEPLOYMENTS):
        lost |= {"workload"}
    merged: dict[str, Any] = merge({key: value for key, value in lower.items() if key not in lost}, upper)
    amounts = upper.get("resources") or {}
    if emptied := [key for key in _AMOUNTS if amounts.get(key) == {}]:
        merged["resources"] = {**merged["resources"], **{key: {} for key in emptied}}
    if overlays := [overlay for layer in (lower, upper) for overlay in layer.get("overlays") or ()]:
        merged["overlays"] = overlays
    return merged
