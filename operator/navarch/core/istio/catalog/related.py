"""Images that the operator's environment names, `RELATED_IMAGE_PILOT_1_31_4` and the like: as a mirror has
them.

Owns the names of these variables. Must never take a reference that is no image's. Invariant: what is taken
stands in the catalog's one table of images; what is not is told in a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from navarch.api.related import RELATED
from navarch.core.istio.catalog import Catalog
from navarch.core.istio.catalog.extension import IMAGES, REFERENCE, VARIANTS

_NAMES = {
    name.upper().replace("-", "_"): name
    for name in (f"{image}{variant}" for image in IMAGES for variant in VARIANTS)
}
_VARIABLE = re.compile(r"([A-Z0-9_]+?)_([0-9]+)_([0-9]+)_([0-9]+)")


def relate_catalog(catalog: Catalog, variables: Mapping[str, str], *, only: bool) -> Catalog:
    """The catalog with the images that `variables` name; others of the environment are passed over. With
    `only` meshes may run no other image."""
    minors = {minor.name: minor for minor in catalog.minors}
    problems = list(catalog.problems)
    for name, reference in sorted(variables.items()):
        if not name.startswith(RELATED):
            continue
        parts = _VARIABLE.fullmatch(name.removeprefix(RELATED))
        image = _NAMES.get(parts[1], "") if parts else ""
        version = ".".join(parts.groups()[1:]) if parts else ""
        release = catalog.find(version) if version else None
        if parts is None or not image:
            wanted = f"{RELATED}<image>_<version>, with the image {', '.join(_NAMES)}"
            problems.append(f"variable {name} of the operator: it is not {wanted}")
        elif release is None:
            problems.append(f"variable {name} of the operator: Istio {version} is not known")
        elif not REFERENCE.fullmatch(reference):
            told = f"{reference!r} is no image with its registry, such as mirror.example.com/{image}@sha256:…"
            problems.append(f"variable {name} of the operator: {told}")
        else:
            minor = minors[release.minor.name]
            images = {**minor.images, version: {**minor.images.get(version, {}), image: reference}}
            minors[minor.name] = replace(minor, images=images)
    return replace(catalog, minors=tuple(minors.values()), problems=tuple(problems), closed=only)
