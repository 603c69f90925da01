"""What a MeshRevision is rendered from: the revision itself, the catalog and the settings.

Owns the reading of a stored MeshRevision, which another release of Navarch may have written: fields that
this one does not know are passed over, and what the base profile sets and the revision lacks is the base
profile's. Must never read anything else of the cluster. Invariants: equal revisions give equal inputs; what
can be read can be rendered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from navarch.api.controlplane import HOSTED
from navarch.api.problems import list_problems
from navarch.api.revision import MeshRevisionSpec
from navarch.api.spec import Images
from navarch.api.upgrade import REVISION_BASED
from navarch.core.istio.assets import BASE_PROFILE, MAY_BE_EMPTY, Assets
from navarch.core.istio.catalog import Release
from navarch.core.istio.catalog.extension import VARIANTS
from navarch.core.istio.images import digest_of, replace_digest
from navarch.core.membership.rule import build_membership
from navarch.core.model.labels import TRUST
from navarch.core.model.merging import fill
from navarch.core.model.parent import MESH, Parent, parent_of
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest
from navarch.core.render.source import RevisionInput
from navarch.core.world.cluster import Environment


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a revision cannot be rendered."""

    reason: Reason
    message: str


def read_spec(revision: Manifest, assets: Assets) -> MeshRevisionSpec:
    """The spec of a stored MeshRevision, whichever release wrote it. Raises pydantic's ValidationError where
    this one cannot read it."""
    spec = revision.get("spec") or {}
    config = spec.get("config")
    if isinstance(config, Mapping):
        spec = {**spec, "config": fill(config, assets.profiles[BASE_PROFILE], whole=MAY_BE_EMPTY)}
    return MeshRevisionSpec.model_validate(spec)


def build_revision_input(revision: Manifest, assets: Assets, environment: Environment) -> RevisionInput:
    """What a MeshRevision is rendered from. Raises LookupError when the catalog no longer has its version,
    and pydantic's ValidationError when this release cannot read it."""
    spec = read_spec(revision, assets)
    name, namespace = revision["metadata"]["name"], revision["metadata"]["namespace"]
    release = assets.catalog.find(spec.version)
    if release is None:
        raise LookupError(f"Istio {spec.version} is not in the catalog")
    images = spec.config.images
    return RevisionInput(
        parent=parent_of(revision) or Parent(MESH, namespace, spec.mesh),
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
            member_of=spec.members.member_of or "",
            cluster=bool(spec.members.cluster),
            in_place=spec.strategy != REVISION_BASED,
        ),
        hub=(images and images.hub) or release.minor.hub,
        image_tag=(images and images.tag) or release.version,
        images=_choose_images(release, images),
        config=spec.config,
        hosted=spec.hosting == HOSTED,
        operator_namespace=environment.operator_namespace,
        trust=(revision["metadata"].get("labels") or {}).get(TRUST, ""),
        beside_others=spec.strategy == REVISION_BASED or bool(spec.beside),
    )


def _choose_images(release: Release, images: Images | None) -> dict[str, str]:
    """What is known of a mesh's images. Of another tag's the catalog knows nothing; another hub under the
    same tag is a mirror with the same digests; the mesh's own digests count before all others."""
    known = {} if images and images.tag else dict(release.images)
    if images and images.hub:
        known = {name: digest for name, each in known.items() if (digest := digest_of(each))}
    own = _spread(images.digests.to_json()) if images and images.digests else {}
    return known | {name: replace_digest(known.get(name, ""), digest) for name, digest in own.items()}


def _spread(digests: Mapping[str, str]) -> dict[str, str]:
    """A mesh's own digests, each for every variant of the image: the mesh names the one that it uses."""
    return {image + variant: digest for image, digest in digests.items() for variant in VARIANTS}


def find_obstacle(revision: Manifest, assets: Assets) -> Obstacle | None:
    """Why this release cannot render a stored MeshRevision; None where it can. An older release's version may
    have left the catalog since, a newer release may write what this one does not know. What such a revision
    runs is left as it is."""
    version = str((revision.get("spec") or {}).get("version", ""))
    if assets.catalog.find(version) is None:
        return Obstacle(Reason.UNKNOWN_VERSION, f"this release of Navarch does not know Istio {version}")
    try:
        read_spec(revision, assets)
    except ValidationError as error:
        first = next(list_problems(MeshRevisionSpec, error))
        text = f"another release of Navarch wrote it, and this one cannot read {first.tell()}"
        return Obstacle(Reason.REVISION_UNREADABLE, text)
    return None


def is_renderable(revision: Manifest, assets: Assets) -> bool:
    """Whether nothing keeps this release from rendering a stored MeshRevision."""
    return find_obstacle(revision, assets) is None
