"""A bundle for OLM, as it is read from its folder.

Owns what can be said of a bundle before any rule: that its files are objects, and one of them its
ClusterServiceVersion. Must never judge what they say. Invariant: what `load_bundle` returns, rules can ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle as it was read. `files` are the names in manifests/, `objects` what they hold."""

    files: tuple[str, ...]
    objects: tuple[Object, ...]
    annotations: Mapping[str, str]

    @property
    def csv(self) -> Object:
        """The ClusterServiceVersion."""
        return next(each for each in self.objects if each["kind"] == "ClusterServiceVersion")

    @property
    def crds(self) -> Mapping[str, Object]:
        """CustomResourceDefinitions by name."""
        found = (each for each in self.objects if each["kind"] == "CustomResourceDefinition")
        return {each["metadata"]["name"]: each for each in found}

    @property
    def strategy(self) -> Object:
        """Deployments and permissions; empty where there are none."""
        strategy: Object = (self.csv["spec"].get("install") or {}).get("spec") or {}
        return strategy

    @property
    def deployments(self) -> list[Object]:
        """What OLM is told to run."""
        return list(self.strategy.get("deployments") or ())

    @property
    def owned(self) -> list[Object]:
        """The descriptions of the bundle's own kinds."""
        return list((self.csv["spec"].get("customresourcedefinitions") or {}).get("owned") or ())

    @property
    def containers(self) -> Iterator[Object]:
        """Every container that OLM is told to run."""
        for deployment in self.deployments:
            yield from deployment["spec"]["template"]["spec"]["containers"]

    @property
    def notes(self) -> Mapping[str, str]:
        """The annotations of the ClusterServiceVersion."""
        return self.csv["metadata"].get("annotations") or {}


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle from its folder. ValueError names the file that cannot be read as an object, or says that
    the bundle has not exactly one ClusterServiceVersion."""
    paths = [path for path in sorted((folder / "manifests").iterdir()) if path.is_file()]
    objects = tuple(_read(path) for path in paths)
    if (count := sum(each["kind"] == "ClusterServiceVersion" for each in objects)) != 1:
        raise ValueError(f"manifests/ holds {count} objects ClusterServiceVersion, not one")
    annotations = yaml.load((folder / "metadata" / "annotations.yaml").read_text(), yaml.CSafeLoader)[
        "annotations"
    ]
    return Bundle(tuple(path.name for path in paths), objects, annotations)


def _read(path: Path) -> Object:
    try:
        found = yaml.load(path.read_text(), yaml.CSafeLoader)
    except yaml.YAMLError as error:
        problem = str(error).replace("\n", " ")
        raise ValueError(f"manifests/{path.name} is not one YAML document: {problem}") from None
    if not isinstance(found, Mapping) or not (found.get("metadata") or {}).get("name"):
        raise ValueError(f"manifests/{path.name} is no object with a name")
    if missing := [field for field in ("apiVersion", "kind") if not found.get(field)]:
        raise ValueError(f"manifests/{path.name} has no {missing[0]}")
    return found
