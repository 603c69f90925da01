"""All objects of a revision and of a mesh, in the waves they are applied in.

Owns the composition of plan/*. Must never decide whether a wave may go yet: that needs to know
what is ready. Invariant: equal inputs give equal waves, object by object and key by key; what was rendered
once is handed out again, so nobody may change it.
"""

from __future__ import annotations

from dataclasses import dataclass

from navarch.core.actions import Wave
from navarch.core.assets import Assets
from navarch.core.memo import Hashed, Latest, build_hashed
from navarch.core.observed import Environment
from navarch.core.overlays import OverlayProblem, apply_overlays
from navarch.core.plan import crds, injection, istiod, policies, tags, webhooks
from navarch.core.refs import Manifest
from navarch.core.resolve import build_revision_input
from navarch.core.revisions import RevisionInput
from navarch.core.values import proxy_stamp

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
    modules = (istiod, injection, webhooks)
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
    for manifest in objects:
        by_wave[_WAVE_OF_KIND.get(manifest["kind"], "workload")].append(manifest)
    return tuple(Wave(name, tuple(by_wave[name])) for name in REVISION_WAVES)


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a MeshRevision becomes: its own `waves`, those of its mesh (`tags`, then policies), and what its
    injector stamps on pods (`proxy`)."""

    waves: tuple[Wave, ...]
    mesh_waves: tuple[Wave, ...]
    proxy: str


def render(revision: Manifest, assets: Assets, environment: Environment) -> Rendered:
    """What a MeshRevision becomes, remembered by the hash of all that it is rendered from. Raises like
    build_revision_input."""
    metadata = {key: revision["metadata"].get(key) for key in ("name", "namespace", "labels")}
    place = f"{metadata['namespace']}/{metadata['name']}"
    source = build_hashed({"metadata": metadata, "spec": revision["spec"]}, place=place)
    return _render(source, assets, environment)


@Latest
def _render(revision: Hashed, assets: Assets, environment: Environment) -> Rendered:
    source = build_revision_input(revision.data, assets, environment)
    mesh_waves = tuple(
        Wave(name, apply_overlays(built, source.config.overlays or ())[0])
        for name, built in _build_mesh_objects(source, assets).items()
    )
    return Rendered(build_revision_waves(source, assets), mesh_waves, proxy_stamp(source, assets))


def count_renderings() -> dict[str, int]:
    """How many renderings were remembered, and how many had to be made."""
    return {"remembered": _render.hits, "made": _render.misses}


def build_mesh_waves(
    revision: Manifest, assets: Assets, environment: Environment, *, crd_minor: str | None
) -> tuple[Wave, ...]:
    """crds (of `crd_minor`; none when it is None), revision (the MeshRevision itself), tags, and policies.
    The last two may be applied only once the revision is ready."""
    return (
        Wave("crds", crds.build_objects(crd_minor, assets) if crd_minor else ()),
        Wave("revision", (revision,)),
        *render(revision, assets, environment).mesh_waves,
    )


def find_overlay_problems(revision: RevisionInput, assets: Assets) -> tuple[OverlayProblem, ...]:
    """Overlays that match nothing of all that is rendered for the mesh, or may not be applied."""
    objects = _build_revision_objects(revision, assets)
    for built in _build_mesh_objects(revision, assets).values():
        objects += built
    return apply_overlays(objects, revision.config.overlays or ())[1]
