"""What a MeshControlPlane becomes, without a cluster.

Owns the making of an observation of an empty cluster. Must never render by another path than the operator's:
checks and plan are the same. Invariant: the same input prints the same bytes everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from navarch.api.controlplane import KIND, MeshControlPlaneSpec
from navarch.api.meta import API_VERSION
from navarch.assets import load_assets
from navarch.core.assets import Assets
from navarch.core.checks import run_checks
from navarch.core.findings import Severity
from navarch.core.labels import NAMESPACE_NAME, Owner
from navarch.core.manifests import build_mesh_waves, build_revision_waves
from navarch.core.naming import effective_tag
from navarch.core.observed import Environment, MeshSummary, Namespace, ObservedMesh
from navarch.core.planner import build_wanted_revision, find_crd_minor
from navarch.core.refs import Manifest
from navarch.core.resolve import build_revision_input
from navarch.settings import Settings


class InputError(ValueError):
    """The manifest, or what it asks for, is wrong; the message says what and how to mend it."""


def render_mesh(
    text: str, *, kubernetes_version: str = "", profiles: Sequence[str] = (), with_crds: bool = True
) -> list[Manifest]:
    """All objects of the one MeshControlPlane in `text` (YAML), in the order they would be applied.

    `kubernetes_version` is `major.minor`; `profiles` are ConfigMaps as YAML. Raises InputError.
    """
    assets = load_assets()
    observed = _observe_offline(_parse_mesh(text), _parse_profiles(profiles), assets, kubernetes_version)
    errors = [f for f in run_checks(observed) if f.severity is Severity.ERROR]
    revision = build_wanted_revision(observed)
    if errors or revision is None:
        raise InputError("; ".join(str(f) for f in errors))
    source = build_revision_input(revision, assets, observed.environment)
    crd_minor = find_crd_minor(observed) if with_crds else None
    crds, record, *last = build_mesh_waves(revision, assets, observed.environment, crd_minor=crd_minor)
    waves = [crds, record, *build_revision_waves(source, assets), *last]
    return [manifest for wave in waves for manifest in wave.objects]


def _parse_mesh(text: str) -> Mapping[str, Any]:
    try:
        documents = [d for d in yaml.safe_load_all(text) if d]
    except yaml.YAMLError as error:
        raise InputError(f"not YAML: {error}") from error
    meshes = [d for d in documents if isinstance(d, dict) and d.get("kind") == KIND]
    if len(meshes) != 1:
        raise InputError(f"expected one {KIND}, found {len(meshes)}")
    mesh: Mapping[str, Any] = meshes[0]
    if mesh.get("apiVersion") != API_VERSION:
        raise InputError(f"apiVersion: {mesh.get('apiVersion')!r}: write {API_VERSION}")
    if not (mesh.get("metadata") or {}).get("name"):
        raise InputError("metadata.name: is missing")
    try:
        MeshControlPlaneSpec.model_validate(mesh.get("spec") or {}, extra="forbid")
    except ValidationError as error:
        lines = (f"spec.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InputError("; ".join(lines)) from error
    return mesh


def _parse_profiles(texts: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    profiles = {}
    for text in texts:
        manifest = yaml.safe_load(text)
        try:
            profiles[manifest["metadata"]["name"]] = yaml.safe_load(manifest["data"]["profile.yaml"])
        except (KeyError, TypeError) as error:
            raise InputError(f"a profile is a ConfigMap with key profile.yaml: {error} is missing") from error
    return profiles


def _observe_offline(
    mesh: Mapping[str, Any],
    profiles: Mapping[str, Mapping[str, Any]],
    assets: Assets,
    kubernetes_version: str,
) -> ObservedMesh:
    metadata = mesh["metadata"]
    namespace, name = metadata.get("namespace", "default"), metadata["name"]
    spec = MeshControlPlaneSpec.model_validate(mesh["spec"])
    settings = Settings()
    tag = effective_tag(namespace, name, wanted=spec.tag)
    release = assets.catalog.find(spec.version)
    minors = (release.minor.name,) if release else ()
    kubernetes = release.minor.kubernetes_newest[:2] if release else (1, 32)
    if kubernetes_version:
        kubernetes = _parse_kubernetes(kubernetes_version)
    return ObservedMesh(
        environment=Environment((kubernetes[0], kubernetes[1]), settings.namespace, settings.probe_namespace),
        assets=assets,
        owner=Owner(namespace, name, metadata.get("uid", "")),
        body={**mesh, "metadata": {"generation": 1, "namespace": namespace, **metadata}},
        spec=spec,
        spec_error="",
        meshes=(MeshSummary("", metadata.get("uid", ""), namespace, name, tag, bool(spec.default_tag)),),
        namespaces={namespace: Namespace(namespace, {NAMESPACE_NAME: namespace})},
        profiles=profiles,
        profile_errors={},
        owned=(),
        revisions=(),
        webhooks=(),
        crds=(),
        crd_minors=minors,
        proxies=(),
        root="",
        probe=None,
        now="",
    )


def _parse_kubernetes(text: str) -> tuple[int, int]:
    major, _, rest = text.lstrip("v").partition(".")
    try:
        return int(major), int(rest.partition(".")[0])
    except ValueError as error:
        raise InputError(f"--kubernetes-version: {text!r}: write major.minor, like 1.34") from error
