"""Checks: one rule, one named generator of findings.

Owns the list of rules and their order, which decides the reason that a refused mesh shows. Must never decide
what comes of a finding. Invariant: equal observations give equal findings in equal order; without a readable
spec, only rules that need none are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from navarch.core.checks import (
    capacity,
    foreign,
    layers,
    meshconfig,
    neighbours,
    overlays,
    power,
    schema,
    tags,
    values,
    version,
)
from navarch.core.findings import Finding
from navarch.core.observed import ObservedMesh
from navarch.core.reasons import Reason

Check: TypeAlias = Callable[[ObservedMesh], Iterator[Finding]]

CHECKS_OF_PLACE: tuple[Check, ...] = (
    neighbours.check_namespace_may_hold_a_mesh,
    neighbours.check_oldest_in_namespace,
    schema.check_spec_parses,
    schema.check_nesting,
)
"""Rules that need no parsed spec; only when it can be read are the others asked."""

CHECKS_OF_SPEC: tuple[Check, ...] = (
    version.check_version_is_known,
    version.check_kubernetes_is_new_enough,
    version.check_version_does_not_go_back,
    version.check_one_minor_at_a_time,
    tags.check_tag_is_no_revision,
    tags.check_tag_is_free,
    tags.check_default_tag_has_one_owner,
    tags.check_names_fit,
    foreign.check_foreign_istio,
    foreign.check_foreign_default,
    layers.check_profiles,
    power.check_mesh_config_keys,
    power.check_values_keys,
    power.check_environment_names,
    meshconfig.check_mesh_config_types,
    values.check_values_shapes,
    overlays.check_overlay_kinds,
    overlays.check_overlay_patches,
    overlays.check_overlays_apply,
    capacity.check_replicas_count,
    capacity.check_autoscaling_bounds,
    capacity.check_disruption_budget,
    capacity.check_resources,
    meshconfig.check_mesh_config_is_known,
    values.check_values_are_known,
    values.check_values_are_read,
    version.check_support,
)
"""Rules about what the spec asks for; warnings come last, and of those what concerns the user's own words
first."""


def run_checks(observed: ObservedMesh) -> tuple[Finding, ...]:
    """Everything that is wrong with the mesh, or worth a warning, in a stable order."""
    found = [finding for check in CHECKS_OF_PLACE for finding in check(observed)]
    if not any(finding.reason is Reason.INVALID_SPEC for finding in found):
        found += [finding for check in CHECKS_OF_SPEC for finding in check(observed)]
    return tuple(found)
