"""Where images come from, in a cluster that reaches no registry but its mirror.

Owns the rules that every image of a mesh is a reference and, where only those may be run, one that the
operator's environment names. Must never ask a registry.
Invariant: a mesh that is accepted while the catalog is closed pulls istiod and its proxies by a reference
that stands in the catalog.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from navarch.api.related import RELATED
from navarch.core.istio.catalog.extension import REFERENCE
from navarch.core.istio.images import list_at_hand
from navarch.core.mesh.checks.accepted import build_sources
from navarch.core.mesh.content import MeshContent
from navarch.core.model.findings import Finding
from navarch.core.model.messages import join, shorten
from navarch.core.model.reasons import Reason
from navarch.core.render.components.istiod import image_of
from navarch.core.render.source import RevisionInput
from navarch.core.render.values import PROXY_NAME, refer_proxy

_OWN = (
    "spec.images.hub",
    "spec.images.tag",
    "spec.images.digests",
    "spec.values.global.proxy.image",
    "spec.values.global.proxy_init.image",
    "spec.values.global.variant",
)
"""Fields by which a mesh asks for other images; the first that is set is named."""


def check_images_are_at_hand(content: MeshContent) -> Iterator[Finding]:
    """Where only related images may be run, every image of the mesh is one of them."""
    catalog, built = content.assets.catalog, build_sources(content)
    if not catalog.closed or built is None:
        return
    at_hand = list_at_hand(catalog)
    missing = [image for image in list_needed(*built) if image not in at_hand]
    if missing:
        field, value = _find_field(content)
        yield Finding(
            Reason.IMAGE_NOT_AT_HAND,
            field,
            value,
            f"the mesh would run {join(missing)}, which no variable {RELATED}… of the operator names, and it "
            "may run no other image (NAVARCH_ONLY_RELATED_IMAGES)",
            "mirror the image and name it in such a variable of the operator, or remove the field"
            if field in _OWN
            else "mirror the image and name it in such a variable of the operator, or choose another version",
        )


def check_images_are_references(content: MeshContent) -> Iterator[Finding]:
    """Every image of the mesh reads as one: of another, the container runtime makes no pod."""
    built = build_sources(content)
    wrong = [] if built is None else [each for each in list_needed(*built) if not REFERENCE.fullmatch(each)]
    if wrong:
        field, value = _find_field(content)
        yield Finding(
            Reason.INVALID_SPEC,
            field,
            shorten(value),
            f"the mesh would run {join(map(shorten, wrong))}, which no container runtime reads as an image",
            "write a registry with its path and no scheme, such as registry.example.com/istio; paths have "
            "lower-case letters, digits, dots, hyphens and underscores",
        )


def list_needed(source: RevisionInput, values: Mapping[str, Any]) -> list[str]:
    """References of what a mesh runs by itself: istiod, its proxies, and their init containers."""
    shared = values["global"]
    name = shared["proxy_init"].get("image") or PROXY_NAME
    init = name if "/" in name else source.image(name, shared["variant"])
    return sorted({image_of(source, values), refer_proxy(source, values), init})


def _find_field(content: MeshContent) -> tuple[str, str]:
    """The field of the mesh that asks for other images, with its value; else its version."""
    own = content.spec.to_json()
    for field in _OWN:
        found: Any = own
        for step in field.split(".")[1:]:
            found = found.get(step) if isinstance(found, Mapping) else None
        if found:
            return field, str(found)
    return "spec.version", content.spec.version
