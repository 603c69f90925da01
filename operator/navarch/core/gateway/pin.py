"""The version to which a gateway is pinned: whether it can be, its image, and what tells its current pods.

Owns the way from spec.version to an image. Must never take an image from anybody but the catalog. Invariants:
while a mesh goes from one version to the next, nothing of a pinned gateway changes; no pin is newer than the
istiod that serves, or more than one minor older than the version of the mesh.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from navarch.api.related import RELATED
from navarch.core.gateway.observed import ObservedGateway
from navarch.core.istio.assets import Assets
from navarch.core.istio.catalog import Release, is_version, ordinal_of
from navarch.core.istio.images import list_at_hand
from navarch.core.istio.skew import explain_skew, find_pinned, is_last_minor, suggest_pin
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.labels import PROXY_IMAGE, RESTART
from navarch.core.model.memo import Hashed, Last, Latest, build_hashed
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest
from navarch.core.render.values import build_values, proxy_stamp, refer_proxy
from navarch.core.revision.source import build_revision_input, is_renderable
from navarch.core.world.cluster import Environment

FIELD = "spec.version"
_NAMED = (("images", "tag"), ("images", "digests", "proxyv2"), ("values", "global", "proxy", "image"))
"""Fields by which a mesh names the image of its proxies itself, for one version."""


@dataclass(frozen=True, slots=True)
class Pin:
    """What a pinned gateway runs. `stamp` is on its pods in mesh.navarch.io/restart: the version, and a hash
    of all that only a new pod takes up. `waiting` says why pods cannot be made yet; empty where they can."""

    version: str
    image: str
    stamp: str
    waiting: str = ""


def find_release(observed: ObservedGateway) -> Release | None:
    """The release to which a gateway is pinned; None where it is not, there is none, or no mesh yet."""
    if observed.spec is None or observed.spec.version is None or observed.revision is None:
        return None
    return find_pinned(
        observed.assets.catalog,
        observed.spec.version,
        control_plane=observed.revision["spec"]["version"],
        running=read_version(_read_template(observed).get(RESTART, "")),
    )


def read_version(stamp: str) -> str:
    """The version in a stamp; empty where there is none."""
    version = stamp.partition("-")[0]
    return version if is_version(version) else ""


def _read_template(observed: ObservedGateway) -> Mapping[str, str]:
    """The annotations of the pods that the workload makes now."""
    template = ((observed.workload or observed.former or {}).get("spec") or {}).get("template") or {}
    return (template.get("metadata") or {}).get("annotations") or {}


def check_version(observed: ObservedGateway) -> Iterator[Finding]:
    """The version is known, within the skew, and has an image; a warning where the next minor leaves it."""
    revision = observed.revision
    if observed.spec is None or observed.spec.version is None or revision is None:
        return
    version, release, wanted = observed.spec.version, find_release(observed), revision["spec"]["version"]
    if release is None:
        message = "this release of Navarch does not know that version of Istio"
        yield Finding(Reason.UNKNOWN_VERSION, FIELD, version, message, suggest_pin(wanted))
    elif why := explain_skew(release.version, wanted):
        means = "" if release.version == version else f"means {release.version}, which "
        yield Finding(Reason.VERSION_OUTSIDE_SKEW, FIELD, version, f"{means}{why}", suggest_pin(wanted))
    elif field := _find_named(revision["spec"].get("config") or {}):
        message = f"the mesh names the image of its proxies by spec.{field}, which is that of one version"
        remedy = "leave it out, or have the mesh name digests and tags in a catalog of versions instead"
        yield Finding(Reason.VERSION_WITHOUT_IMAGE, FIELD, version, message, remedy)
    else:
        yield from _check_image(observed, release)
        if is_last_minor(release.version, wanted):
            message = f"the mesh runs {wanted}, and its next minor does not support proxies of this one"
            remedy = "raise it, or leave it out, before the mesh goes on"
            yield Finding(Reason.VERSION_LEAVES_SKEW, FIELD, version, message, remedy, Severity.WARNING)


def _find_named(config: Mapping[str, Any]) -> str:
    """The field by which a mesh names its proxies' image; empty where the version decides it."""
    for path in _NAMED:
        found: Any = config
        for step in path:
            found = found.get(step) if isinstance(found, Mapping) else None
        if found and (path[0] == "images" or "/" in str(found)):
            return ".".join(path)
    return ""


def _check_image(observed: ObservedGateway, release: Release) -> Iterator[Finding]:
    catalog = observed.assets.catalog
    if (
        not catalog.closed
        or observed.revision is None
        or not is_renderable(observed.revision, observed.assets)
    ):
        return
    _, image = _resolve(observed, observed.revision, release.version)
    if image not in list_at_hand(catalog):
        message = (
            f"the gateway would run {image}, which no variable {RELATED}… of the operator names, and it may "
            "run no other image (NAVARCH_ONLY_RELATED_IMAGES)"
        )
        remedy = "mirror the image and name it in such a variable, or choose another version"
        yield Finding(Reason.IMAGE_NOT_AT_HAND, FIELD, release.version, message, remedy)


@Last
def find_pin(observed: ObservedGateway) -> Pin | None:
    """What a gateway is pinned to; None where it follows its mesh, cannot be pinned so, or has none yet."""
    revision, release = observed.revision, find_release(observed)
    refused = any(finding.severity is Severity.ERROR for finding in check_version(observed))
    if revision is None or release is None or refused:
        return None
    template = _read_template(observed)
    made, named = template.get(RESTART, ""), template.get(PROXY_IMAGE, "")
    if not is_renderable(revision, observed.assets):  # what runs stays as it is
        return Pin(release.version, named, made, "this release of Navarch cannot read the mesh's revision")
    stamp, image = _resolve(observed, revision, release.version)
    serving = str((revision.get("status") or {}).get("version", ""))
    if not serving or ordinal_of(release.version) > ordinal_of(serving):
        waiting = f"the mesh does not run {release.version} yet, and no proxy may be newer than its istiod"
        return Pin(release.version, image, stamp, waiting)
    if _resolve(observed, revision, revision["spec"]["version"])[0] == observed.stamp:
        return Pin(release.version, image, stamp)
    if named == image and read_version(made) == release.version:
        return Pin(release.version, image, made)
    return Pin(release.version, image, stamp, "the mesh's injector does not follow its specification yet")


def _resolve(observed: ObservedGateway, revision: Manifest, version: str) -> tuple[str, str]:
    """Stamp and image that proxies would have if the mesh were of that version: so they follow the mesh's
    configuration, and not its version."""
    named = {key: revision["metadata"].get(key) for key in ("name", "namespace", "labels")}
    place = f"{named['namespace']}/{named['name']}@{version}"
    asked = build_hashed({"metadata": named, "spec": {**revision["spec"], "version": version}}, place=place)
    found: tuple[str, str] = _resolve_revision(asked, observed.assets, observed.environment)
    return found


@Latest
def _resolve_revision(asked: Hashed, assets: Assets, environment: Environment) -> tuple[str, str]:
    source = build_revision_input(asked.data, assets, environment)
    return proxy_stamp(source, assets), refer_proxy(source, build_values(source, assets))


def stamp_of(observed: ObservedGateway) -> str:
    """What is to stand on the gateway's pods; empty while it is not known."""
    pin = find_pin(observed)
    return pin.stamp if pin is not None else observed.stamp


def count_outdated(observed: ObservedGateway) -> int:
    """Pods whose proxy is not what the gateway's version, or else the mesh's injector, makes now."""
    wanted = stamp_of(observed)
    return sum(proxy.proxy != wanted for proxy in observed.proxies) if wanted else 0


def tell_version(observed: ObservedGateway) -> dict[str, str]:
    """Of status: the version that all pods run, and what tells the current ones of a pinned gateway."""
    pin, seen = find_pin(observed), {read_version(proxy.proxy) for proxy in observed.proxies}
    (version,) = seen if len(seen) == 1 else ("",)
    return ({"version": version} if version else {}) | ({"proxy": pin.stamp} if pin else {})
