"""Checks: one rule, one named generator of findings.

Owns the list of rules and their order, which decides the reason that a refused mesh shows. Must never decide
what comes of a finding. Invariant: equal observations give equal findings in equal order; without a readable
spec, only rules that need none are asked; what rules of content say is remembered by the hash of all that
they may read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

from navarch.core.istio.assets import Assets
from navarch.core.mesh.checks import (
    accepted,
    capacity,
    foreign,
    gateways,
    layers,
    meshconfig,
    neighbours,
    overlays,
    power,
    rights,
    schema,
    shapes,
    tags,
    texts,
    values,
    version,
)
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.findings import Finding
from navarch.core.model.hashing import stable_hash
from navarch.core.model.memo import Hashed, Latest
from navarch.core.model.ownership import NOTHING
from navarch.core.model.reasons import Reason
from navarch.core.world.proxies import Census

Check: TypeAlias = Callable[[ObservedMesh], Iterator[Finding]]

CHECKS_OF_PLACE: tuple[Check, ...] = (
    neighbours.check_namespace_may_hold_a_mesh,
    neighbours.check_oldest_in_namespace,
    schema.check_spec_parses,
    schema.check_nesting,
    schema.check_size,
)
"""Rules that need no parsed spec; only when it can be read are the others asked."""

UNREADABLE = frozenset({Reason.INVALID_SPEC, Reason.TOO_LARGE})
"""Reasons after which nobody looks into the spec any further."""

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
    rights.check_gateway_controller_is_said_once,
    gateways.check_gateway_classes_reach,
    texts.check_texts_are_printable,
    meshconfig.check_mesh_config_types,
    values.check_values_shapes,
    texts.check_texts_have_their_grammar,
    accepted.check_mesh_config_is_accepted,
    accepted.check_networks_are_accepted,
    accepted.check_environment_values,
    gateways.check_gateway_classes_shapes,
    shapes.check_open_values_shapes,
    overlays.check_overlay_kinds,
    overlays.check_overlay_patches,
    overlays.check_overlays_apply,
    capacity.check_replicas_count,
    capacity.check_autoscaling_bounds,
    capacity.check_disruption_budget,
    capacity.check_resources,
    accepted.check_mesh_config_warnings,
    meshconfig.check_mesh_config_is_known,
    values.check_values_are_known,
    values.check_values_are_read,
    version.check_catalog_extensions,
    version.check_support,
    foreign.check_gateway_defaults,
)
"""Rules about what the spec asks for; warnings come last, and of those what concerns the user's own words
first."""


_OF_CONTENT = frozenset(
    module.__name__
    for module in (
        *(accepted, capacity, gateways, layers, meshconfig, overlays, power),
        *(rights, shapes, texts, values),
    )
)
"""Modules whose rules are about what a mesh asks for, whatever is around it: they are handed nothing else."""


def run_checks(observed: ObservedMesh) -> tuple[Finding, ...]:
    """Everything that is wrong with the mesh, or worth a warning, in a stable order."""
    found = [finding for check in CHECKS_OF_PLACE for finding in check(observed)]
    if not any(finding.reason in UNREADABLE for finding in found):
        content = _check_content(_without_surroundings(observed), observed.assets)
        for check in CHECKS_OF_SPEC:
            found += content[check] if check in content else check(observed)
    return tuple(found)


def _without_surroundings(observed: ObservedMesh) -> Hashed:
    """Of an observation the mesh's own name, its spec, and the profiles."""
    own = tuple(mesh for mesh in observed.meshes if mesh.uid == observed.owner.uid)
    body = {"spec": observed.body.get("spec")}
    spec = observed.spec.to_json() if observed.spec else None
    profiles = [observed.profiles, observed.profile_errors]
    digest = stable_hash([observed.environment, observed.owner, own, body, spec, profiles], length=64)
    bare = replace(
        observed,
        body=body,
        spec_error="",
        meshes=own,
        namespaces={},
        owned=(),
        revisions=(),
        webhooks=(),
        crds=(),
        crd_minors=(),
        census=Census(),
        root="",
        probe=None,
        now="",
        kind_deleted="",
        roles={},
        inventory=NOTHING,
        gateway_defaults={},
    )
    return Hashed(digest, bare, f"{observed.owner.namespace}/{observed.owner.name}")


@Latest
def _check_content(observed: Hashed, assets: Assets) -> Mapping[Check, tuple[Finding, ...]]:
    """What the rules of content say; `assets` are the observation's own, which its hash does not cover."""
    return {check: tuple(check(observed.data)) for check in CHECKS_OF_SPEC if check.__module__ in _OF_CONTENT}
