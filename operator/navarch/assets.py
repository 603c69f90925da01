"""Reads the package's data: the one place that knows where it lies.

In a checkout and an editable install templates are at the top of the repository; in a wheel and in the image
they are package data. What `make generate` makes is package data everywhere. Must never decide anything.
Invariant: all four ways of installing give the same Assets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import yaml

from navarch.core.istio.assets import Assets, CRDSets
from navarch.core.istio.catalog import Catalog, build_catalog
from navarch.core.istio.gatewayapi import Bundle, build_bundle


class MissingAssets(RuntimeError):
    """Package data is not there, or cannot be read: the checkout was never built, or the package is
    broken."""


def _package() -> Traversable:
    return files("navarch")


def _read_bytes(path: Traversable) -> bytes:
    if not path.is_file():
        remedy = "install Navarch anew, or run `make assets` in a checkout"
        raise MissingAssets(f"{path.name} is missing from the package; {remedy}")
    return path.read_bytes()


def _read(path: Traversable) -> str:
    return _read_bytes(path).decode("utf-8")


def _parse(path: Traversable) -> Any:
    return yaml.load(_read(path), yaml.CSafeLoader)


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith((".yaml", ".tpl")):
            yield prefix + entry.name, entry.read_text(encoding="utf-8")


def _load_templates() -> Mapping[str, str]:
    package = _package()
    packaged, checkout = package / "_data" / "templates", package / ".." / ".." / "templates"
    folder = packaged if packaged.is_dir() else checkout
    templates = dict(sorted(_walk(folder))) if folder.is_dir() else {}
    if not templates:
        text = "the templates are missing from the package; install Navarch anew, or restore templates/"
        raise MissingAssets(text)
    return templates


def load_catalog() -> Catalog:
    """The catalog alone, which needs no generated data."""
    return build_catalog(_parse(_package() / "core" / "istio" / "catalog" / "versions.yaml"))


def _load_profiles() -> Mapping[str, Mapping[str, Any]]:
    folder = _package() / "core" / "istio" / "catalog" / "profiles"
    names = sorted(
        entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")
    )
    return {name: _parse(folder / f"{name}.yaml") for name in names}


@cache
def load_assets() -> Assets:
    """Everything. Raises MissingAssets, with what to do, when data is not there or cannot be read."""
    try:
        return _load_assets()
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        text = f"package data cannot be read: {why}; install Navarch anew, or correct the permissions"
        raise MissingAssets(text) from error


def load_gateway_api(channel: str) -> Bundle:
    """Gateway API's CRDs of a channel, read anew each time: few clusters have Navarch install them. Raises
    MissingAssets."""
    return build_bundle(json.loads(_read(_package() / "_data" / f"gateway-api-{channel}.json")))


def _load_assets() -> Assets:
    data, catalog = _package() / "_data", load_catalog()
    crds = CRDSets({minor.name: _read_bytes(data / f"crds-{minor.name}.json") for minor in catalog.minors})
    meshes = {minor.name: _read_bytes(data / f"mesh-{minor.name}.binpb") for minor in catalog.minors}
    definitions = {name: _read_bytes(data / f"values-{name}.binpb") for name in catalog.values}
    values = {minor.name: definitions[minor.values] for minor in catalog.minors}
    return Assets(_load_templates(), catalog, crds, meshes, values, _load_profiles())
