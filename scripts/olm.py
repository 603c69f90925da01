"""Bundle and catalog for OLM: as files of the repository, and for a release.

    python -m scripts.olm bundle --version 0.2.0 --image registry/navarch@sha256:…
    python -m scripts.olm catalog --version 0.2.0 --image … --bundle-image registry/navarch-bundle@sha256:…

`make generate` writes both for the version that is being developed. Must never decide what they hold
(navarch.api.olm). Invariant: the same arguments give the same bytes.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "operator")]

from navarch.api.export import RESOURCES  # noqa: E402
from navarch.api.install import build_install  # noqa: E402
from navarch.api.meta import API_VERSION  # noqa: E402
from navarch.api.olm.bundle import (  # noqa: E402
    build_annotations,
    build_containerfile,
    build_manifests,
    build_scorecard,
)
from navarch.api.olm.catalog import extend_catalog  # noqa: E402
from navarch.api.olm.release import Release  # noqa: E402
from navarch.assets import load_assets  # noqa: E402
from navarch.core.grants import build_grants, list_roles  # noqa: E402
from navarch.core.istio.images import list_images  # noqa: E402
from navarch.core.offline import build_offline  # noqa: E402
from navarch.core.world.cluster import Environment  # noqa: E402

from scripts.files import NOTICE, ROOT, dump_for_olm, write  # noqa: E402

Manifest = Mapping[str, Any]

CATALOG = "catalog/navarch/catalog.yaml"
IMAGE = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?")


def build_release() -> Release:
    """The next release, with the images of all versions of Istio that it knows."""
    return Release(related=list_images(load_assets().catalog))


def read_examples(folder: Path = ROOT / "examples") -> list[Manifest]:
    """Objects of our kinds among the examples, and for each kind that no user writes what Navarch
    makes of the first mesh."""
    documents = (
        d for path in sorted(folder.glob("*.yaml")) for d in yaml.load_all(path.read_text(), yaml.CSafeLoader)
    )
    examples = [d for d in documents if d and d["apiVersion"] == API_VERSION]
    written = {each["kind"] for each in examples}
    environment = Environment(kubernetes=(1, 32), operator_namespace="navarch-system", probe_namespace="")
    mesh = next(each for each in examples if each["kind"] == "MeshControlPlane")
    made = build_offline(dict(mesh), load_assets(), environment).objects
    kinds = {resource.kind for resource in RESOURCES} - written
    return [*examples, *(_strip(each) for each in made if each["kind"] in kinds)]


def _strip(manifest: Manifest) -> Manifest:
    metadata = {key: manifest["metadata"][key] for key in ("name", "namespace")}
    return {**manifest, "metadata": metadata}


def build_objects(release: Release) -> dict[str, Manifest]:
    """The objects of a release's bundle, by file name."""
    assets = load_assets()
    install = build_install(grants=build_grants(assets), roles=list_roles(assets), image=release.image)
    return dict(build_manifests(release, install, read_examples()))


def build_bundle_files(release: Release) -> dict[str, str]:
    """Every file of the bundle by its path in the repository."""
    files = {f"bundle/manifests/{name}": dump_for_olm(each) for name, each in build_objects(release).items()}
    files["bundle/metadata/annotations.yaml"] = dump_for_olm({"annotations": build_annotations(release)})
    files["bundle/tests/scorecard/config.yaml"] = dump_for_olm(build_scorecard())
    return files | {"bundle.Containerfile": NOTICE + build_containerfile(release)}


def build_catalog_files(release: Release, *, before: Iterable[Manifest] = ()) -> dict[str, str]:
    """The catalog's file, with the release added to what was in it `before`."""
    return {CATALOG: dump_for_olm(*extend_catalog(before, release, build_objects(release).values()))}


def read_catalog(root: Path = ROOT) -> list[Manifest]:
    """The catalog as it is on disk; empty where there is none."""
    path = root / CATALOG
    return list(yaml.load_all(path.read_text(), yaml.CSafeLoader)) if path.is_file() else []


def find_unlisted(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Files of the bundle on disk that are no part of it any more, such as the role of another hash."""
    listed = {folder / name for name in files}
    present = (path for path in (folder / "bundle").rglob("*") if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in present if path not in listed)


def main(arguments: Sequence[str]) -> int:
    """Write a bundle, or a catalog with a further release; returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts.olm", description="bundle and catalog of a release")
    parser.add_argument("what", choices=["bundle", "catalog"])
    parser.add_argument("--version", required=True, help="semantic version, such as 0.2.0")
    parser.add_argument("--image", required=True, help="the operator's image, by digest")
    parser.add_argument("--bundle-image", default="", help="the bundle's image, by digest (catalog)")
    parser.add_argument("--created", default=Release().created, help="the release's day (RFC 3339)")
    parser.add_argument("--output", type=Path, default=ROOT, help="folder that is written to")
    asked = parser.parse_args(arguments)
    images = [asked.image] if asked.what == "bundle" else [asked.image, asked.bundle_image]
    if not VERSION.fullmatch(asked.version):
        parser.error(f"--version {asked.version}: give a semantic version, such as 0.2.0")
    for image in images:
        if not IMAGE.fullmatch(image):
            parser.error(f"image {image!r}: give it by digest, name@sha256:…")
    release = replace(
        build_release(),
        version=asked.version,
        image=asked.image,
        created=asked.created,
        bundle_image=asked.bundle_image,
    )
    if asked.what == "bundle":
        files = build_bundle_files(release)
        for name in find_unlisted(asked.output, files):
            (asked.output / name).unlink()
    else:
        files = build_catalog_files(release, before=read_catalog(asked.output))
    for name in write(files, root=asked.output):
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
