"""What a MeshRevision is rendered from: the revision itself, the catalog and the settings.

Owns the reading of a stored MeshRevision. Must never read anything else of the cluster. Invariant: equal
revisions give equal inputs.
"""

from __future__ import annotations

from collections.abc import Mapping

from navarch.api.revision import MeshRevisionSpec
from navarch.core.istio.assets import Assets
from navarch.core.istio.catalog.extension import VARIANTS
from navarch.core.membership.rule import build_membership
from navarch.core.model.labels import Owner, owner_of
from navarch.core.model.refs import Manifest
from navarch.core.render.source import RevisionInput
from navarch.core.world.cluster import Environment


def build_revision_input(revision: Manifest, assets: Assets, environment: Environment) -> RevisionInput:
    """What a MeshRevision is rendered from. Raises LookupError when the catalog no longer has its version,
    and pydantic's ValidationError when it was not written by Navarch."""
    spec = MeshRevisionSpec.model_validate(revision["spec"])
    name, namespace = revision["metadata"]["name"], revision["metadata"]["namespace"]
    release = assets.catalog.find(spec.version)
    if release is None:
        raise LookupError(f"Istio {spec.version} is not in the catalog")
    images = spec.config.images
    return RevisionInput(
        owner=owner_of(revision) or Owner(namespace, spec.mesh, ""),
        name=name,
        tag=spec.tag,
        version=release.version,
        minor=release.minor.name,
        features=release.minor.features,
        membership=build_membership(
            namespace,
            spec.tag,
            default=spec.members.default,
            probe=environment.probe_namespace,
            excluded=spec.members.excluded,
        ),
        hub=(images and images.hub) or release.minor.hub,
        image_tag=(images and images.tag) or release.version,
        # Of another tag's image the catalog knows nothing; another hub under the same tag is a mirror.
        digests={
            **({} if images and images.tag else release.digests),
            **(_spread(images.digests.to_json()) if images and images.digests else {}),
        },
        config=spec.config,
    )


def _spread(digests: Mapping[str, str]) -> dict[str, str]:
    """A mesh's own digests, each for every variant of the image: the mesh names the one that it uses."""
    return {image + variant: digest for image, digest in digests.items() for variant in VARIANTS}


def is_renderable(revision: Manifest, assets: Assets) -> bool:
    """Whether this release knows the version of a MeshRevision; one that an older release made may have left
    the catalog since. What such a revision runs is left as it is."""
    return assets.catalog.find(revision["spec"]["version"]) is not None
