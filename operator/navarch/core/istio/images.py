"""The images that meshes run, as far as the catalog decides: istiod and proxies of every patch.

Must never guess a digest. Invariant: the default images of a mesh of any known version are among them;
variants (distroless, debug), agentgateway and images of another hub are a mesh's own choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from navarch.core.istio.catalog import Catalog, Release

TO_BE_INJECTED = "auto"
"""Image of a container that the injector fills in: a pod that still has it was not injected."""
NAMES = ("pilot", "proxyv2")
"""What every mesh runs."""


def choose_pull_policy(images: Mapping[str, Any]) -> str:
    """The policy of a mesh's images; where it says none, what Kubernetes makes of their tag."""
    return str(images.get("pullPolicy") or ("Always" if images.get("tag") == "latest" else "IfNotPresent"))


def list_images(catalog: Catalog) -> dict[str, str]:
    """References by a name that tells them apart, such as `pilot-1.31.4`; by digest where it is known."""
    return {
        f"{name}-{patch}": refer_release(Release(patch, minor), name)
        for minor in catalog.minors
        for patch in minor.patches
        for name in NAMES
    }


def refer_release(release: Release, name: str) -> str:
    """The reference of a release's image, which is named with its variant, such as `pilot-distroless`."""
    base, _, variant = name.partition("-")
    tag = f"{release.version}-{variant}" if variant else release.version
    return refer(f"{release.minor.hub}/{base}:{tag}", release.images.get(name, ""))


def list_at_hand(catalog: Catalog) -> frozenset[str]:
    """The references that the catalog has: all that may be run where it is closed."""
    known = (each for minor in catalog.minors for images in minor.images.values() for each in images.values())
    return frozenset(filter(is_reference, known))


def is_reference(known: str) -> bool:
    """Whether what is known of an image is where it comes from, and not its digest alone."""
    return "/" in known


def digest_of(known: str) -> str:
    """The digest in what is known of an image; empty where there is none."""
    return known.rpartition("@")[2] if "@" in known or not is_reference(known) else ""


def add_digest(known: str, digest: str) -> str:
    """What is known of an image, and its digest besides."""
    return f"{known}@{digest}" if is_reference(known) and "@" not in known else known or digest


def replace_digest(known: str, digest: str) -> str:
    """What is known of an image, with another digest in place of its own."""
    return f"{known.partition('@')[0]}@{digest}" if is_reference(known) else digest


def refer(image: str, known: str) -> str:
    """The reference of an image, from hub, name and tag, and what is known of it."""
    if is_reference(known):
        return known
    return f"{image}@{known}" if known else image
