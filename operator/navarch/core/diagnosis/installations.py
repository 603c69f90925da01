"""Istios that are not Navarch's: who installed each of them, and what it has in common with our meshes.

Owns the reading of the marks that Helm, istioctl, Sail and Maistra leave on a control plane. Must never read
the content of a Secret: a Helm release is told by its name and labels. Invariant: a control plane that
carries a mesh's labels is none of these.

The marks: annotation meta.helm.sh/release-name is Helm's own; Sail's objects have an IstioRevision as owner
or say `sail-operator` in app.kubernetes.io/managed-by; Maistra's carry the label maistra-version; istioctl
adds operator.istio.io/managed and applies as `istio-operator`. Istio's charts write `Helm` into
app.kubernetes.io/managed-by with any tool that renders them, so that label alone proves no release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from navarch.core.model.labels import ISTIO_REV, MANAGED_BY
from navarch.core.model.parent import parent_of
from navarch.core.model.refs import Manifest

HELM_RELEASE = "meta.helm.sh/release-name"
HELM_NAMESPACE = "meta.helm.sh/release-namespace"
ISTIOD = "app=istiod"
"""Selector of istiod's Deployments, of any installer."""


class Installer(StrEnum):
    """Who made an Istio."""

    HELM = "Helm"
    ISTIOCTL = "istioctl"
    SAIL = "Sail"
    MAISTRA = "Maistra"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Installation:
    """An Istio that is not ours. `revision` is empty for the unnamed one; `evidence` says by what the
    installer was told, `shares` what it has in common with meshes of Navarch."""

    installer: Installer
    namespace: str
    name: str
    revision: str
    version: str
    evidence: str
    shares: tuple[str, ...] = ()

    def __str__(self) -> str:
        revision = f"revision {self.revision}" if self.revision else "without a revision"
        version = f"Istio {self.version}, " if self.version else ""
        where = f"in namespace {self.namespace or '?'}"
        return f"{version}{revision}, {where}, by {self.installer} ({self.evidence})"

    def to_json(self) -> dict[str, Any]:
        """As a part of the report."""
        return {
            "installer": self.installer.value,
            "namespace": self.namespace,
            "name": self.name,
            "revision": self.revision,
            "version": self.version,
            "evidence": self.evidence,
            "shares": list(self.shares),
        }


def read_revision(manifest: Manifest) -> str:
    """The revision of an istiod or of a webhook; Istio writes `default` where it has no name."""
    revision = str((manifest["metadata"].get("labels") or {}).get(ISTIO_REV, ""))
    return "" if revision == "default" else revision


def find_deployments(
    deployments: Iterable[Manifest], releases: Mapping[tuple[str, str], str]
) -> Iterator[Installation]:
    """The control planes among istiod's Deployments; `releases` are Helm's own records by namespace and name,
    with their status."""
    for deployment in deployments:
        if parent_of(deployment) is not None:
            continue
        installer, evidence = tell_installer(deployment, releases)
        metadata = deployment["metadata"]
        yield Installation(
            installer,
            metadata["namespace"],
            f"Deployment {metadata['name']}",
            read_revision(deployment),
            read_version(deployment),
            evidence,
        )


def tell_installer(manifest: Manifest, releases: Mapping[tuple[str, str], str]) -> tuple[Installer, str]:
    """Who made an object of Istio's, and the mark that says so."""
    found = _read_operator(manifest) or _read_helm(manifest, releases) or _read_istioctl(manifest)
    return found or (Installer.UNKNOWN, "no mark of a known installer")


def _read_operator(manifest: Manifest) -> tuple[Installer, str] | None:
    metadata = manifest["metadata"]
    labels = metadata.get("labels") or {}
    owners = {owner["kind"]: owner["name"] for owner in metadata.get("ownerReferences") or ()}
    if "IstioRevision" in owners:
        return Installer.SAIL, f"owned by IstioRevision {owners['IstioRevision']}"
    if labels.get(MANAGED_BY) == "sail-operator":
        return Installer.SAIL, f"label {MANAGED_BY}=sail-operator"
    if "ServiceMeshControlPlane" in owners:
        return Installer.MAISTRA, f"owned by ServiceMeshControlPlane {owners['ServiceMeshControlPlane']}"
    return (Installer.MAISTRA, "label maistra-version") if "maistra-version" in labels else None


def _read_helm(manifest: Manifest, releases: Mapping[tuple[str, str], str]) -> tuple[Installer, str] | None:
    annotations = manifest["metadata"].get("annotations") or {}
    if not (release := annotations.get(HELM_RELEASE)):
        return None
    status = releases.get((annotations.get(HELM_NAMESPACE, ""), release))
    return Installer.HELM, f"release {release}, {status or 'whose record was not seen'}"


def _read_istioctl(manifest: Manifest) -> tuple[Installer, str] | None:
    metadata = manifest["metadata"]
    labels = metadata.get("labels") or {}
    managers = {entry.get("manager") for entry in metadata.get("managedFields") or ()}
    if "operator.istio.io/managed" in labels or "istio-operator" in managers:
        return Installer.ISTIOCTL, "installed by istioctl itself"
    if "install.operator.istio.io/owning-resource" in labels:
        return Installer.ISTIOCTL, "manifests of Istio's charts without a Helm release"
    return None


def read_version(deployment: Manifest) -> str:
    """The version of an istiod: its image's tag, else its label."""
    containers = ((deployment.get("spec") or {}).get("template") or {}).get("spec", {}).get(
        "containers"
    ) or ()
    for container in containers:
        if container["name"] == "discovery":
            last = str(container.get("image", "")).partition("@")[0].rpartition("/")[2]
            if tag := last.partition(":")[2]:
                return tag
    return str((deployment["metadata"].get("labels") or {}).get("app.kubernetes.io/version", ""))


def find_resources(objects: Iterable[Manifest]) -> Iterator[Installation]:
    """The control planes that resources of other installers ask for, whether or not they run."""
    manifests = list(objects)
    revised = {
        owner["name"]
        for m in manifests
        if m["kind"] == "IstioRevision"
        for owner in m["metadata"].get("ownerReferences") or ()
    }
    for manifest in manifests:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if kind in _READERS and not (kind == "Istio" and name in revised):
            installer, namespace, revision, version = _READERS[kind](manifest)
            evidence = f"{kind} {name}"
            yield Installation(installer, namespace, evidence, revision, version, f"{evidence} exists")


def _read_sail(manifest: Manifest) -> tuple[Installer, str, str, str]:
    spec, name = manifest.get("spec") or {}, manifest["metadata"]["name"]
    revision = name if manifest["kind"] == "IstioRevision" and name != "default" else ""
    return Installer.SAIL, str(spec.get("namespace", "")), revision, str(spec.get("version", ""))


def _read_maistra(manifest: Manifest) -> tuple[Installer, str, str, str]:
    metadata, spec = manifest["metadata"], manifest.get("spec") or {}
    return Installer.MAISTRA, metadata["namespace"], metadata["name"], str(spec.get("version", ""))


def _read_istio_operator(manifest: Manifest) -> tuple[Installer, str, str, str]:
    metadata, spec = manifest["metadata"], manifest.get("spec") or {}
    namespace = str(spec.get("namespace") or metadata["namespace"])
    return Installer.ISTIOCTL, namespace, str(spec.get("revision", "")), str(spec.get("tag", ""))


_READERS: Mapping[str, Callable[[Manifest], tuple[Installer, str, str, str]]] = {
    "Istio": _read_sail,
    "IstioRevision": _read_sail,
    "ServiceMeshControlPlane": _read_maistra,
    "IstioOperator": _read_istio_operator,
}


def merge_installations(found: Iterable[Installation]) -> list[Installation]:
    """One for each control plane: a resource of Sail's or Maistra's and the Deployment that came of it are
    the same."""
    merged: dict[tuple[Installer, str, str], Installation] = {}
    for installation in found:
        key = (installation.installer, installation.namespace, installation.revision)
        before = merged.setdefault(key, installation)
        if not before.version:
            merged[key] = replace(before, version=installation.version)
    return sorted(merged.values(), key=lambda i: (i.namespace, i.revision, i.installer))
