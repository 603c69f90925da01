"""Rules about configuration that the version of an upgrade reads otherwise: the mesh's own, and Istio's
objects in its namespaces.

Owns one named generator for each rule. Must never look anything up. Invariant: an object is told once by each
rule, with all its fields.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.core.diagnosis.observed import diagnose
from navarch.core.diagnosis.report import Diagnosis, Subject
from navarch.core.diagnosis.signs import Sign
from navarch.core.diagnosis.upgrade.observed import ObservedUpgrade, StoredCRD
from navarch.core.istio.catalog import ordinal_of, read_bundle
from navarch.core.istio.deprecations import find_deprecated, find_deprecated_of, find_removed
from navarch.core.istio.gatewayapi import is_of_gateway_api
from navarch.core.mesh.resolve import resolve_mesh
from navarch.core.model.messages import join
from navarch.core.render.values import environment_of


def check_nothing_is_deprecated(upgrade: ObservedUpgrade) -> Iterator[Diagnosis]:
    """Neither the mesh's meshConfig nor an object of Istio's in its namespaces uses a deprecated field."""
    version, minor = upgrade.release.version, upgrade.release.minor.name
    descriptors = upgrade.mesh.assets.mesh_descriptors[minor]
    mesh = upgrade.mesh
    config = resolve_mesh(mesh.parent, mesh.spec, mesh.assets, profiles=mesh.profiles) if mesh.spec else None
    own = [*find_deprecated((config and config.mesh_config) or {}, descriptors)]
    if own:
        message = f"meshConfig uses what Istio {version} deprecates: {join(own)}"
        yield diagnose(Sign.CONFIGURATION_DEPRECATED, upgrade.subject, message)
    for each in upgrade.around.configuration:
        if each.subject.namespace not in upgrade.inside:
            continue
        if found := [*find_deprecated_of(each.subject.kind, each.spec, descriptors)]:
            message = f"uses what Istio {version} deprecates: {join(found)}"
            yield diagnose(Sign.CONFIGURATION_DEPRECATED, each.subject, message)


def check_nothing_is_removed(upgrade: ObservedUpgrade) -> Iterator[Diagnosis]:
    """The version has every variable of istiod that the mesh sets, and every field of the objects in its
    namespaces. Of its meshConfig and values the mesh's own checks tell."""
    yield from _find_removed_variables(upgrade)
    crds = {c["metadata"]["name"]: c for c in upgrade.mesh.assets.crds[upgrade.release.minor.name]}
    schemas = {
        (name, version["name"]): version["schema"]["openAPIV3Schema"]["properties"].get("spec") or {}
        for name, crd in crds.items()
        for version in crd["spec"]["versions"]
    }
    for each in upgrade.around.configuration:
        schema = schemas.get((each.crd, each.version))
        if schema is None or each.subject.namespace not in upgrade.inside:
            continue
        if found := [*find_removed(each.spec, schema)]:
            message = f"Istio {upgrade.release.version} has no such field, and ignores it: {join(found)}"
            yield diagnose(Sign.CONFIGURATION_REMOVED, each.subject, message)


def _find_removed_variables(upgrade: ObservedUpgrade) -> Iterator[Diagnosis]:
    mesh = upgrade.mesh
    config = resolve_mesh(mesh.parent, mesh.spec, mesh.assets, profiles=mesh.profiles) if mesh.spec else None
    minor = ordinal_of(upgrade.release.minor.name)
    gone = {name for name, since in mesh.assets.catalog.removed_variables.items() if since <= minor}
    if found := sorted(gone & {*(environment_of(config) if config else ())}):
        message = f"istiod of {upgrade.release.version} does not read {join(found)} any more"
        yield diagnose(Sign.CONFIGURATION_REMOVED, upgrade.subject, message)


def check_stored_versions_stay(upgrade: ObservedUpgrade) -> Iterator[Diagnosis]:
    """The CRDs of the version have each version in which objects may be stored: the API server refuses a CRD
    that has not."""
    minor = upgrade.release.minor.name
    wanted = {
        crd["metadata"]["name"]: {version["name"] for version in crd["spec"]["versions"]}
        for crd in upgrade.mesh.assets.crds[minor]
    }
    for crd in upgrade.around.crds:
        lost = {*crd.stored} - wanted.get(crd.name, {*crd.stored})
        if lost:
            message = f"{_tell_stored(crd, lost)}, which the CRD of Istio {minor} does not have"
            yield diagnose(Sign.STORED_VERSION_DROPPED, _subject(crd), message)


def check_stored_versions_of_gateway_api_stay(upgrade: ObservedUpgrade) -> Iterator[Diagnosis]:
    """The same of Gateway API's CRDs, for who installs the newest bundle that is known here."""
    around = upgrade.around
    newest = read_bundle(around.bundle)
    for crd in around.crds:
        own = read_bundle(crd.bundle)
        if not is_of_gateway_api(crd.name) or newest is None or (own is not None and own >= newest):
            continue
        if lost := {*crd.stored} - around.bundles.get(crd.name, frozenset(crd.stored)):
            message = f"{_tell_stored(crd, lost)}, which Gateway API {around.bundle} does not have"
            yield diagnose(Sign.STORED_VERSION_OF_GATEWAY_API_DROPPED, _subject(crd), message)


def _tell_stored(crd: StoredCRD, lost: set[str]) -> str:
    return f"objects may be stored in version {join(sorted(lost))} of {crd.name}"


def _subject(crd: StoredCRD) -> Subject:
    return Subject("CustomResourceDefinition", "", crd.name)
