"""What a MeshControlPlane becomes, without a cluster.

Owns the reading of files. Must never render by itself: core/offline.py takes the operator's own path.
Invariant: the same input prints the same bytes everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from navarch.api.controlplane import KIND, MeshControlPlaneSpec
from navarch.api.meta import API_VERSION
from navarch.assets import load_assets
from navarch.core.findings import Severity
from navarch.core.observed import Environment
from navarch.core.offline import build_offline
from navarch.core.refs import Manifest
from navarch.settings import Settings


class InputError(ValueError):
    """The manifest, or what it asks for, is wrong; the message says what and how to mend it."""


def render_mesh(
    text: str, *, kubernetes_version: str = "", profiles: Sequence[str] = (), with_crds: bool = True
) -> list[Manifest]:
    """All objects of the one MeshControlPlane in `text` (YAML), in the order they would be applied.

    `kubernetes_version` is `major.minor`; `profiles` are ConfigMaps as YAML. Raises InputError.
    """
    mesh, assets = _parse_mesh(text), load_assets()
    release = assets.catalog.find(mesh["spec"]["version"])
    newest = release.minor.kubernetes_newest if release else (1, 0)
    kubernetes = _parse_kubernetes(kubernetes_version) if kubernetes_version else (newest[0], newest[1])
    settings = Settings()
    environment = Environment(kubernetes, settings.namespace, settings.probe_namespace)
    offline = build_offline(
        mesh, assets, environment, profiles=_parse_profiles(profiles), with_crds=with_crds
    )
    errors = [str(f) for f in offline.findings if f.severity is Severity.ERROR]
    if errors:
        raise InputError("; ".join(errors))
    return list(offline.objects)


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


def _parse_kubernetes(text: str) -> tuple[int, int]:
    major, _, rest = text.lstrip("v").partition(".")
    try:
        return int(major), int(rest.partition(".")[0])
    except ValueError as error:
        raise InputError(f"--kubernetes-version: {text!r}: write major.minor, like 1.34") from error
