"""What a MeshControlPlane becomes, without a cluster.

Owns what is asked of it. Must never render by itself: core/offline.py takes the operator's own path.
Invariant: the same input prints the same bytes everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from navarch.api.controlplane import KIND, MeshControlPlaneSpec
from navarch.api.problems import list_problems
from navarch.assets import load_assets
from navarch.cli.inputs import InputError, load_settings, parse_documents, parse_meshes
from navarch.core.istio.assets import relate_assets
from navarch.core.mesh.profiles import read_profile
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest
from navarch.core.offline import build_offline
from navarch.core.world.cluster import Environment


def render_mesh(
    text: str, *, kubernetes_version: str = "", profiles: Sequence[str] = (), with_crds: bool = True
) -> tuple[list[Manifest], list[Finding]]:
    """All objects of the one MeshControlPlane in `text` (YAML), in the order they would be applied; before
    them the roles that its istiod is bound to, which are there already where Navarch is installed; and what
    is to be said of it, none of it an error.

    `kubernetes_version` is `major.minor`; `profiles` are ConfigMaps as YAML. Raises InputError.
    """
    mesh, settings = _parse_mesh(text), load_settings()
    assets = relate_assets(load_assets(), os.environ, only=settings.only_related_images)
    release = assets.catalog.find(mesh["spec"]["version"])
    newest = release.minor.kubernetes_newest if release else (1, 0)
    kubernetes = _parse_kubernetes(kubernetes_version) if kubernetes_version else (newest[0], newest[1])
    environment = Environment(kubernetes, settings.namespace, settings.probe_namespace)
    offline = build_offline(
        mesh, assets, environment, profiles=_parse_profiles(profiles), with_crds=with_crds
    )
    refused = [f for f in offline.findings if f.severity is Severity.ERROR]
    if refused:
        raise InputError("; ".join([*map(str, refused), *_tell_profiles(refused, settings.namespace)]))
    return [*offline.roles, *offline.objects], list(offline.findings)


def _tell_profiles(refused: Sequence[Finding], namespace: str) -> list[str]:
    """How to hand over a profile of a cluster, where one was not found."""
    if not any(finding.reason is Reason.PROFILE_NOT_FOUND for finding in refused):
        return []
    command = f"kubectl get configmap NAME -n {namespace} -o yaml > FILE"
    return [f"render asks no cluster: hand a cluster's profile over with --profile FILE ({command})"]


def _parse_mesh(text: str) -> Mapping[str, Any]:
    meshes = parse_meshes(text)
    if len(meshes) != 1:
        raise InputError(f"expected one {KIND}, found {len(meshes)}")
    mesh: Mapping[str, Any] = meshes[0]
    try:
        MeshControlPlaneSpec.model_validate(mesh.get("spec") or {}, extra="forbid", strict=True)
    except ValidationError as error:
        problems = list_problems(MeshControlPlaneSpec, error)
        raise InputError("; ".join(problem.tell() for problem in problems)) from error
    return mesh


def _parse_profiles(texts: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    profiles = {}
    for text in texts:
        documents = parse_documents(text)
        if len(documents) != 1:
            raise InputError(f"a file with a profile holds one ConfigMap, not {len(documents)} documents")
        try:
            name = documents[0]["metadata"]["name"]
            data = {str(key): str(value) for key, value in (documents[0].get("data") or {}).items()}
        except (AttributeError, KeyError, TypeError) as error:
            raise InputError(f"a profile is a ConfigMap with name and data: {error}") from error
        content, problem = read_profile(data, name)
        if problem:
            raise InputError(problem)
        profiles[name] = content
    return profiles


def _parse_kubernetes(text: str) -> tuple[int, int]:
    major, _, rest = text.lstrip("v").partition(".")
    try:
        return int(major), int(rest.partition(".")[0])
    except ValueError as error:
        raise InputError(f"--kubernetes-version: {text!r}: write major.minor, like 1.34") from error
