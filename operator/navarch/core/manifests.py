"""All objects of a revision and of a mesh, in the waves they are applied in.

Owns the composition of plan/*. Must never decide whether a wave may go yet: that needs to know
what is ready. Invariant: equal inputs give equal waves, object by object and key by key.
"""

from __future__ import annotations

from dataclasses import dataclass

from navarch.api.controlplane import MeshControlPlaneSpec
from navarch.core.actions import Wave
from navarch.core.assets import Assets
from navarch.core.findings import Finding
from navarch.core.labels import Owner
from navarch.core.members import NEVER_MEMBERS
from navarch.core.naming import effective_tag
from navarch.core.observed import Environment
from navarch.core.overlays import OverlayProblem, apply_overlays
from navarch.core.plan import crds, injection, istiod, policies, tags, webhooks
from navarch.core.reasons import Reason
from navarch.core.refs import Manifest
from navarch.core.resolve import build_revision_input, build_revision_manifest, resolve_config
from navarch.core.revisions import RevisionInput

REVISION_WAVES = ("rbac", "bindings", "config", "workload", "webhooks")
MESH_WAVES = ("crds", "revision", "tags", "policies")

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


@dataclass(frozen=True, slots=True)
class Offline:
    """What a MeshControlPlane would become: `objects` in the order of applying, `findings` about the spec."""

    objects: tuple[Manifest, ...]
    findings: tuple[Finding, ...]


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


def build_mesh_waves(
    revision: Manifest, assets: Assets, environment: Environment, *, crd_minor: str | None
) -> tuple[Wave, ...]:
    """crds (of `crd_minor`; none when it is None), revision (the MeshRevision itself), tags, and policies.
    The last two may be applied only once the revision is ready."""
    source = build_revision_input(revision, assets, environment)
    waves = [
        Wave("crds", tuple(crds.build_objects(crd_minor, assets)) if crd_minor else ()),
        Wave("revision", (revision,)),
    ]
    for name, built in _build_mesh_objects(source, assets).items():
        objects, _ = apply_overlays(built, source.config.overlays or ())
        waves.append(Wave(name, objects))
    return tuple(waves)


def find_overlay_problems(revision: RevisionInput, assets: Assets) -> tuple[OverlayProblem, ...]:
    """Overlays that match nothing of all that is rendered for the mesh, or may not be applied."""
    objects = _build_revision_objects(revision, assets)
    for built in _build_mesh_objects(revision, assets).values():
        objects += built
    return apply_overlays(objects, revision.config.overlays or ())[1]


def build_offline(mesh: Manifest, assets: Assets, environment: Environment) -> Offline:
    """Everything that a MeshControlPlane manifest becomes on an empty cluster, without one. Raises pydantic's
    ValidationError for a manifest that the API server would refuse."""
    spec = MeshControlPlaneSpec.model_validate(mesh["spec"])
    namespace, name = mesh["metadata"].get("namespace", "default"), mesh["metadata"]["name"]
    config, findings = resolve_config(spec, profiles=assets.profiles)
    release = assets.catalog.find(spec.version)
    if release is None:
        known = ", ".join(assets.catalog.versions)
        remedy = f"use one of {known}"
        findings.append(Finding(Reason.UNKNOWN_VERSION, "spec.version", spec.version, "is not known", remedy))
    if config is None or release is None:
        return Offline((), tuple(findings))
    owner = Owner(namespace, name, mesh["metadata"].get("uid", ""))
    revision = build_revision_manifest(
        owner,
        tag=effective_tag(namespace, name, wanted=spec.tag),
        release=release,
        config=config,
        default=bool(spec.default_tag),
        excluded=(*NEVER_MEMBERS, environment.operator_namespace),
    )
    source = build_revision_input(revision, assets, environment)
    mesh_waves = build_mesh_waves(revision, assets, environment, crd_minor=release.minor.name)
    waves = (*mesh_waves[:2], *build_revision_waves(source, assets), *mesh_waves[2:])
    return Offline(tuple(manifest for wave in waves for manifest in wave.objects), tuple(findings))
