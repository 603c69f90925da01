"""Checks: one rule, one named generator of findings.

Owns the list of rules and their order, which decides the reason that a refused mesh shows. Must never decide
what comes of a finding. Invariant: equal observations give equal findings in equal order; without a readable
spec, only rules that need none are asked; what rules of content say is remembered by the hash of all that
they may read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias, cast, get_type_hints

from navarch.api.controlplane import MeshControlPlaneSpec
from navarch.core.istio.assets import Assets
from navarch.core.mesh.checks import (
    accepted,
    authority,
    capacity,
    contests,
    dataplane,
    foreign,
    gateways,
    images,
    inline,
    labelled,
    layers,
    meshconfig,
    names,
    neighbours,
    overlays,
    pins,
    power,
    reach,
    rights,
    schema,
    scope,
    shapes,
    strategy,
    tags,
    texts,
    values,
    version,
)
from navarch.core.mesh.checks.neighbours import summary_of
from navarch.core.mesh.checks.version import find_release
from navarch.core.mesh.choice import choose_name
from navarch.core.mesh.content import MeshContent
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.findings import Finding
from navarch.core.model.memo import Hashed, Latest
from navarch.core.model.reasons import Reason

Check: TypeAlias = Callable[[ObservedMesh], Iterator[Finding]]
ContentCheck: TypeAlias = Callable[[MeshContent], Iterator[Finding]]

CHECKS_OF_PLACE: tuple[Check, ...] = (
    neighbours.check_namespace_may_hold_a_mesh,
    neighbours.check_oldest_in_namespace,
    schema.check_spec_parses,
    schema.check_nesting,
    schema.check_size,
)
"""Rules that need no parsed spec; only when it can be read are the others asked."""

UNREADABLE = frozenset({Reason.INVALID_SPEC, Reason.TOO_LARGE})
"""Reasons after which no other rule looks into the spec."""

CHECKS_OF_SPEC: tuple[Check | ContentCheck, ...] = (
    version.check_version_is_known,
    version.check_kubernetes_is_new_enough,
    version.check_version_does_not_go_back,
    version.check_minors_are_not_skipped,
    strategy.check_no_namespace_names_the_revision,
    strategy.check_the_one_in_place_is_free,
    strategy.check_canaries_are_revisions,
    strategy.check_revisions_are_few,
    dataplane.check_time_zones_are_known,
    scope.check_cluster_is_its_own,
    authority.check_authority_stays,
    authority.check_root_is_named,
    authority.check_cacerts_are_free,
    tags.check_tag_is_no_revision,
    tags.check_tag_is_free,
    tags.check_default_tag_has_one_owner,
    tags.check_names_fit,
    foreign.check_foreign_istio,
    foreign.check_foreign_default,
    scope.check_cluster_has_no_other_istio,
    layers.check_profiles,
    inline.check_gateways_have_names_of_their_own,
    pins.check_pinned_gateways,
    inline.check_overlays_of_gateways,
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
    accepted.check_envoy_accepts,
    accepted.check_networks_are_accepted,
    accepted.check_environment_values,
    images.check_images_are_references,
    images.check_images_are_at_hand,
    gateways.check_gateway_classes_shapes,
    shapes.check_shapes,
    overlays.check_overlay_kinds,
    overlays.check_overlay_patches,
    overlays.check_overlays_apply,
    capacity.check_replicas_count,
    capacity.check_autoscaling_bounds,
    capacity.check_disruption_budget,
    capacity.check_resources,
    capacity.check_amounts_in_values,
    accepted.check_mesh_config_warnings,
    meshconfig.check_mesh_config_is_known,
    values.check_values_are_known,
    values.check_values_are_read,
    values.check_gateway_classes_are_read,
    contests.check_no_field_is_switched_off,
    strategy.check_rollback_leads_somewhere,
    strategy.check_strategy_made_what_serves,
    dataplane.check_canaries_are_members,
    version.check_catalog_extensions,
    version.check_support,
    version.check_proxies_can_follow,
    pins.check_gateways_can_follow,
    names.check_gateway_names,
    version.check_gateway_api_is_read,
    version.check_gateway_api_is_served,
    foreign.check_gateway_defaults,
    foreign.check_policy_is_in_force,
    neighbours.check_namespaces_are_its_own,
    scope.check_isolation_closes_something,
    labelled.check_labels_agree,
    labelled.check_labels_count,
    reach.check_no_other_istio_is_beside,
    reach.check_no_other_istio_injects,
    reach.check_no_other_istio_looks,
    tags.check_nothing_of_it_is_asked_for,
)
"""Rules about what the spec asks for; warnings come last, and of those what concerns the user's own words
first."""


def takes_content(check: Check | ContentCheck) -> bool:
    """Whether a rule asks, by its signature, for nothing but the content."""
    return MeshContent in get_type_hints(check).values()


_OF_CONTENT = tuple(cast(ContentCheck, check) for check in CHECKS_OF_SPEC if takes_content(check))


def run_checks(observed: ObservedMesh) -> tuple[Finding, ...]:
    """Everything that is wrong with the mesh, or worth a warning, in a stable order."""
    found = [finding for check in CHECKS_OF_PLACE for finding in check(observed)]
    if observed.spec is None or any(finding.reason in UNREADABLE for finding in found):
        return tuple(found)
    of_content = _check_content(_hash(build_content(observed, observed.spec)), observed.assets)
    for check in CHECKS_OF_SPEC:
        found += of_content[check] if check in of_content else cast(Check, check)(observed)
    return tuple(found)


def build_content(observed: ObservedMesh, spec: MeshControlPlaneSpec) -> MeshContent:
    """What the mesh asks for with this specification, which is its own."""
    own, release = summary_of(observed), find_release(observed)
    return MeshContent(
        environment=observed.environment,
        assets=observed.assets,
        parent=observed.parent,
        tag=own.tag,
        revision=choose_name(observed, release.version) if release is not None else "",
        default_tag=own.default_tag,
        spec=spec,
        release=release,
        profiles=observed.profiles,
        profile_errors=observed.profile_errors,
    )


def _hash(content: MeshContent) -> Hashed:
    return Hashed(content.hash(), content, f"{content.parent.namespace}/{content.parent.name}")


@Latest
def _check_content(content: Hashed, assets: Assets) -> Mapping[Check | ContentCheck, tuple[Finding, ...]]:
    """What the rules of content say; `assets` are the content's own, which its hash does not cover."""
    return {check: tuple(check(content.data)) for check in _OF_CONTENT}
