"""All objects of a revision and of a mesh, in the waves they are applied in.

Owns the composition of components. Must never decide whether a wave may be applied yet: that needs to know
what is ready. Invariant: equal inputs give equal waves, object by object and key by key.
"""

from __future__ import annotations

from navarch.core.istio.assets import Assets
from navarch.core.model.actions import Wave
from navarch.core.model.refs import Manifest
from navarch.core.render.components import injection, istiod, networkpolicies, policies, tags, webhooks
from navarch.core.render.marks import mark_template
from navarch.core.render.overlays import OverlayProblem, apply_overlays
from navarch.core.render.source import RevisionInput

REVISION_WAVES = ("rbac", "bindings", "config", "workload", "webhooks")

_WAVE_OF_KIND = {
    "ServiceAccount": "rbac",
    "ClusterRole": "rbac",
    "ClusterRoleBinding": "bindings",
    "Role": "rbac",
    "RoleBinding": "bindings",
    "ConfigMap": "config",
    "MutatingWebhookConfiguration": "webhooks",
    "ValidatingWebhookConfiguration": "webhooks",
}


def _build_revision_objects(revision: RevisionInput, assets: Assets) -> list[Manifest]:
    modules = (istiod, networkpolicies, injection, webhooks)
    return [built for module in modules for built in module.build_objects(revision, assets)]


def _build_mesh_objects(revision: RevisionInput, assets: Assets) -> dict[str, list[Manifest]]:
    return {
        "tags": list(tags.build_objects(revision, assets)),
        "policies": list(policies.build_objects(revision, assets)),
    }


def build_revision_waves(revision: RevisionInput, assets: Assets) -> tuple[Wave, ...]:
    """rbac, bindings, config, workload, and webhooks; the last may be applied only while istiod answers."""
    objects, _ = apply_overlays(_build_revision_objects(revision, assets), revision.config.overlays or ())
    by_wave: dict[str, list[Manifest]] = {name: [] for name in REVISION_WAVES}
    for manifest in map(mark_template, objects):
        by_wave[_WAVE_OF_KIND.get(manifest["kind"], "workload")].append(manifest)
    return tuple(Wave(name, tuple(by_wave[name])) for name in REVISION_WAVES)


def find_overlay_problems(revision: RevisionInput, assets: Assets) -> tuple[OverlayProblem, ...]:
    """Overlays that match nothing of all that is rendered for the mesh, or may not be applied."""
    objects = _build_revision_objects(revision, assets)
    for built in _build_mesh_objects(revision, assets).values():
        objects += built
    return apply_overlays(objects, revision.config.overlays or ())[1]
