"""The images that meshes run, as far as the catalog decides: istiod and proxies of every patch.

Must never guess a digest. Invariant: the default images of a mesh of any known version are among them;
variants (distroless, debug), agentgateway and images of another hub are a mesh's own choice.
"""

from __future__ import annotations

from navarch.core.istio.catalog import Catalog

_NAMES = ("pilot", "proxyv2")


def list_images(catalog: Catalog) -> dict[str, str]:
    """References by a name that tells them apart, such as `pilot-1.31.4`; by digest where it is known."""
    return {
        f"{name}-{patch}": _refer(f"{minor.hub}/{name}:{patch}", minor.digests.get(patch, {}).get(name, ""))
        for minor in catalog.minors
        for patch in minor.patches
        for name in _NAMES
    }


def _refer(image: str, digest: str) -> str:
    return f"{image}@{digest}" if digest else image
