"""References to Kubernetes objects, and the order in which kinds are applied and removed.

Owns the value that names one object. Must never look inside an object's spec.
Invariant: two references are equal exactly when they name the same object.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Manifest: TypeAlias = Mapping[str, Any]
"""A Kubernetes object as plain data, exactly as it is sent to or read from the API server."""


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Names one object. `namespace` is empty for cluster-scoped kinds; `api_version` is `group/version` or
    `v1`."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    def __str__(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {where}{self.name}"


_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def is_object_name(text: str) -> bool:
    """Whether an object can have this name at all. What an object of others names has to be asked first: in a
    request's path a slash or a question mark would ask for something else."""
    return _OBJECT_NAME.fullmatch(text) is not None


def ref_of(manifest: Manifest) -> Ref:
    """The reference of a manifest. Raises KeyError when it lacks apiVersion, kind or metadata.name."""
    metadata = manifest["metadata"]
    return Ref(manifest["apiVersion"], manifest["kind"], metadata.get("namespace", ""), metadata["name"])


def find_holders(manifest: Manifest) -> list[str]:
    """The finalizers that hold up an object's deletion; those without a domain are Kubernetes' own, and go by
    themselves."""
    metadata = manifest["metadata"]
    held = metadata.get("finalizers") or () if metadata.get("deletionTimestamp") else ()
    return [name for name in held if "/" in name]
