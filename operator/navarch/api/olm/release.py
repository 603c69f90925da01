"""A release as OLM knows it: version, images, the day, and the channels that it is in.

Owns names that follow from the version. Must never read a clock: the day is handed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from navarch.api.meta import IMAGE, NAVARCH

PACKAGE = "navarch"
CHANNEL = "stable"
BUNDLE_IMAGE = f"navarch-bundle:{NAVARCH}"
CREATED = "2026-11-29T00:00:00Z"
"""What the next release is, unless something else is said: version, image of the bundle, day."""


@dataclass(frozen=True, slots=True)
class Release:
    """One release. `related` are the images that its meshes may run, by a name that is unique in the bundle.
    Without a `bundle_image` the catalog holds every object of the bundle itself."""

    version: str = NAVARCH
    image: str = IMAGE
    created: str = CREATED
    related: Mapping[str, str] = field(default_factory=dict)
    bundle_image: str = BUNDLE_IMAGE

    @property
    def name(self) -> str:
        """Name of the ClusterServiceVersion."""
        return f"{PACKAGE}.v{self.version}"

    @property
    def channels(self) -> tuple[str, ...]:
        """The channel that follows every release, and the one that stays within the minor."""
        return CHANNEL, f"{CHANNEL}-v{'.'.join(self.version.split('.')[:2])}"
