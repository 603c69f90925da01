"""Which versions a mesh may ask for: known ones, on a new enough cluster, one minor on at a time.

Owns the rules about spec.version. Must never ask a clock whether a version is old: the catalog says so.
Invariant: asking for exactly what runs is never an error because of what runs.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from navarch.api.upgrade import REVISION_BASED
from navarch.core.istio.catalog import Catalog, Minor, Release, dotted, ordinal_of
from navarch.core.istio.gatewayapi import find_awaited, find_ignored
from navarch.core.mesh.choice import choose_name
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.resolve import resolve_mesh
from navarch.core.mesh.rollback import find_earlier
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.messages import count, join
from navarch.core.model.naming import revision_name
from navarch.core.model.reasons import Reason
from navarch.core.render.values import TRUE, environment_of
from navarch.core.world.proxies import ProxyPod, read_pins

FIELD = "spec.version"
ALPHA = "PILOT_ENABLE_ALPHA_GATEWAY_API"
"""The variable by which istiod reads alpha versions of Gateway API (pilot/pkg/features)."""
_MINOR = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})\.")
"""How a proxy's stamp begins (core/render/values.py, proxy_stamp)."""


def find_release(observed: ObservedMesh) -> Release | None:
    """The release that spec.version names; None where there is no such thing or no readable spec. A minor
    never means an older patch than the one of it that runs: a catalog that knows fewer patches than it did
    (an older Navarch, an extension that was taken back) moves nothing."""
    catalog = observed.assets.catalog
    release = catalog.find(observed.spec.version) if observed.spec else None
    running = running_version(observed)
    if observed.spec is None or release is None or running is None:
        return release
    if observed.spec.version == release.minor.name and release.minor.is_after_newest(running):
        return catalog.find(running)
    return release


def find_asked_name(observed: ObservedMesh) -> str:
    """The name of the revision that the spec asks for; empty where its version is unknown."""
    if observed.in_place:
        return revision_name(observed.tag)
    release = find_release(observed)
    name = choose_name(observed, release.version) if release is not None else ""
    earlier = find_earlier(observed, name)
    return str(earlier["metadata"]["name"]) if earlier is not None else name


def running_version(observed: ObservedMesh) -> str | None:
    """The exact version that serves; None until one did, so that a first attempt can be corrected freely. Of
    a mesh with several revisions it is the version of the one to which the tag points."""
    revisions = observed.revisions
    if not observed.in_place:
        revisions = tuple(filter(None, (observed.find_revision(observed.active),)))
    versions = [(revision.get("status") or {}).get("version") for revision in revisions]
    return max((version for version in versions if version), key=ordinal_of, default=None)


def _nearest(version: str, catalog: Catalog) -> str:
    """The known version of the same form that is fewest minors, then patches, away and no preview; the newest
    for a major yet to come."""
    wanted = ordinal_of(version)
    minors = [minor for minor in catalog.minors if not minor.preview]
    known = [name for m in minors for name in (m.patches if len(wanted) > 2 else (m.name,))]
    if wanted[0] > ordinal_of(known[-1])[0]:
        return known[-1]
    return min(known, key=lambda name: [abs(a - b) for a, b in zip(wanted, ordinal_of(name), strict=True)])


def check_version_is_known(observed: ObservedMesh) -> Iterator[Finding]:
    """The version is in this release's catalog."""
    if observed.spec is None or find_release(observed):
        return
    catalog, version = observed.assets.catalog, observed.spec.version
    minors = "; ".join(f"{minor.name} ({_list_patches(minor)})" for minor in catalog.minors)
    message = f"this release of Navarch does not know that version of Istio; it knows {minors}"
    remedy = f"choose one of these; the nearest is {_nearest(version, catalog)}"
    yield Finding(Reason.UNKNOWN_VERSION, FIELD, version, message, remedy)


def _list_patches(minor: Minor) -> str:
    """The patches of a minor, from first to newest."""
    first, newest = minor.patches[0], minor.patches[-1]
    return f"{first} to {newest}" if first != newest else first


def check_kubernetes_is_new_enough(observed: ObservedMesh) -> Iterator[Finding]:
    """The cluster is not older than the minor's hard minimum."""
    release, cluster = find_release(observed), observed.environment.kubernetes
    if observed.spec is None or release is None or cluster >= release.minor.kubernetes_minimum:
        return
    older = [m.name for m in observed.assets.catalog.minors if m.kubernetes_minimum <= cluster]
    needed = dotted(release.minor.kubernetes_minimum)
    yield Finding(
        Reason.KUBERNETES_TOO_OLD,
        FIELD,
        observed.spec.version,
        f"Istio {release.minor.name} needs Kubernetes {needed} or newer; the cluster is {dotted(cluster)}",
        f"upgrade the cluster, or choose Istio {' or '.join(older)}" if older else "upgrade the cluster",
    )


def check_support(observed: ObservedMesh) -> Iterator[Finding]:
    """The minor is still supported (else a warning), and was tested on a Kubernetes as new as the cluster
    (else an information: a mesh may well be there before the tests are)."""
    release, cluster = find_release(observed), observed.environment.kubernetes
    if observed.spec is None or release is None:
        return
    minor, version = release.minor, observed.spec.version
    if minor.preview:
        message = f"Istio {minor.name} is a preview: {minor.preview}"
        remedy = "use it where it may fail, and the newest minor before it for all else"
        yield Finding(Reason.VERSION_PREVIEW, FIELD, version, message, remedy, Severity.WARNING)
    if not release.is_known:
        means = "" if release.version == version else f"means {release.version}, which runs and "
        message = f"{means}is newer than {minor.patches[-1]}, the newest patch of {minor.name} known here"
        remedy = "it is installed with what is known of the minor; watch it, and upgrade Navarch when you can"
        yield Finding(Reason.PATCH_UNTESTED, FIELD, version, message, remedy, Severity.WARNING)
    if minor.end_of_life:
        message, remedy = f"Istio {minor.name} is past its end of life", "plan the upgrade to a newer minor"
        yield Finding(Reason.VERSION_NOTICE, FIELD, version, message, remedy, Severity.WARNING)
    if cluster > minor.kubernetes_newest:
        tested = f"Istio {minor.name} was tested on Kubernetes up to {dotted(minor.kubernetes_newest)}"
        message = f"{tested}, and the cluster is {dotted(cluster)}"
        minors = observed.assets.catalog.minors
        newer = next((m.name for m in minors if not m.preview and m.kubernetes_newest >= cluster), "")
        remedy = "watch the mesh closely" + (f", or choose Istio {newer}" if newer else "")
        yield Finding(Reason.UNTESTED_KUBERNETES, FIELD, version, message, remedy, Severity.INFO)


def check_catalog_extensions(observed: ObservedMesh) -> Iterator[Finding]:
    """Everything that the cluster adds to the catalog could be taken."""
    for problem in observed.assets.catalog.problems:
        remedy = "correct it; until then it is ignored"
        yield Finding(Reason.CATALOG_INVALID, "", "", problem, remedy, Severity.WARNING)


def check_version_does_not_go_back(observed: ObservedMesh) -> Iterator[Finding]:
    """The version is not of an older minor than the running one. An exact older patch is a way back from a
    bad one, and a warning; a minor that now means an older patch, since this release knows no newer, is
    none."""
    release, running = find_release(observed), running_version(observed)
    if observed.spec is None or release is None or running is None:
        return
    asked = observed.spec.version
    if ordinal_of(release.version) >= ordinal_of(running):
        return
    there = observed.find_revision(find_asked_name(observed))
    if not observed.in_place and there is not None and there["spec"]["version"] == release.version:
        return  # the way back, to an istiod that is still there
    same_minor = ordinal_of(release.version)[:2] == ordinal_of(running)[:2]
    if same_minor and release.version == asked:
        message, remedy = f"is an older patch than {running}, which runs", "take a newer patch when you can"
        yield Finding(Reason.PATCH_REVERTED, FIELD, asked, message, remedy, Severity.WARNING)
        return
    means = "" if release.version == asked else f"means {release.version}, which "
    yield Finding(
        Reason.DOWNGRADE,
        FIELD,
        asked,
        f"{means}is lower than {running}, which runs; a control plane does not go back",
        f"set it to {running} or higher",
    )


def count_minors_at_once(observed: ObservedMesh) -> int:
    """How many minors an upgrade of the mesh may go up."""
    return 2 if observed.strategy == REVISION_BASED else 1


def check_minors_are_not_skipped(observed: ObservedMesh) -> Iterator[Finding]:
    """In place, a control plane does not skip a minor: its proxies may be one minor behind it and no more.
    From revision to revision Istio supports two minors, since proxies stay with the older one."""
    release, running = find_release(observed), running_version(observed)
    if observed.spec is None or release is None or running is None:
        return
    major, minor = ordinal_of(running)[:2]
    following = (major, minor + count_minors_at_once(observed))
    if ordinal_of(release.minor.name) > following:
        told = (
            f"is more than one minor above {running}, which runs; in place it goes one at a time"
            if observed.strategy != REVISION_BASED
            else f"is more than two minors above {running}, which serves"
        )
        yield Finding(
            Reason.SKIPPED_MINOR,
            FIELD,
            observed.spec.version,
            told,
            f"set it to {dotted(following)} first, and restart the proxies before going on",
        )


def check_proxies_can_follow(observed: ObservedMesh) -> Iterator[Finding]:
    """No proxy is more than one minor older than its control plane: Istio supports no more. One of another
    revision keeps the istiod that it has. It is a warning, since the annotation that tells a proxy's version
    is its pod's owner's to write, and a pod must not hold a mesh back."""
    release = find_release(observed)
    if observed.spec is None or release is None:
        return
    major, minor = ordinal_of(release.minor.name)[:2]
    old: defaultdict[str, list[ProxyPod]] = defaultdict(list)
    pins, asked = read_pins(observed.gateways), find_asked_name(observed)
    for proxy in observed.census.counted:
        if (proxy.namespace, proxy.gateway) in pins:
            continue  # pins.py tells of those
        if not observed.in_place and proxy.revision != asked:
            continue
        found = _MINOR.match(proxy.proxy)
        if found and (int(found[1]), int(found[2])) < (major, minor - 1):
            old[f"{int(found[1])}.{int(found[2])}"].append(proxy)
    if old:
        run = count(sum(map(len, old.values())), "pod runs a proxy that is", "pods run proxies that are")
        told = join(f"{of} ({join(sorted({p.namespace for p in pods}))})" for of, pods in sorted(old.items()))
        yield Finding(
            Reason.PROXIES_TOO_OLD,
            FIELD,
            observed.spec.version,
            f"{run} more than one minor older: {told}",
            "restart their workloads first; Istio supports proxies one minor older than istiod, and no older",
            Severity.WARNING,
        )


def check_gateway_api_is_read(observed: ObservedMesh) -> Iterator[Finding]:
    """The minor's istiod reads Gateway API's CRDs in the versions that the cluster has."""
    release = find_release(observed)
    if observed.spec is None or release is None:
        return
    for crd in find_ignored(release.minor.gateway_api, observed.gateway_api):
        has = f"{crd.name} of {crd.version}" if crd.version else f"{crd.name}, which says no version,"
        yield Finding(
            Reason.GATEWAY_API_UNREAD,
            FIELD,
            observed.spec.version,
            f"its istiod ignores {has} since it reads {crd.reads}",
            "install such a version of Gateway API with what installed the CRDs, or choose a minor of Istio "
            "that reads the cluster's",
            Severity.WARNING,
        )


def check_gateway_api_is_served(observed: ObservedMesh) -> Iterator[Finding]:
    """The minor's istiod waits for no alpha version of Gateway API's CRDs that the cluster does not serve."""
    release = find_release(observed)
    if observed.spec is None or release is None:
        return
    awaited = [*find_awaited(release.minor.gateway_api_alpha, observed.standard_gateway_api)]
    if not awaited:
        return
    config = resolve_mesh(observed.parent, observed.spec, observed.assets, profiles=observed.profiles)
    value = environment_of(config).get(ALPHA, "") if config else ""
    if value not in TRUE:
        return
    for crd in awaited:
        yield Finding(
            Reason.GATEWAY_API_AWAITED,
            "spec.controlPlane.environment",
            f"{ALPHA}={value}",
            f"its istiod waits for v1alpha2 of {crd.name}, which {crd.version} of the standard channel does "
            "not serve, and does not become ready once it is started anew",
            f"remove {ALPHA}, there or in the profile that sets it: without it istiod reads what is served",
            Severity.WARNING,
        )
