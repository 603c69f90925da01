"""Everything that is read from files once and then never changes, as one value.

Owns what the pure core needs of the package's data. Must never read anything: navarch.assets does.
Invariant: two objects built from one Assets value see the same templates, versions and CRDs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from navarch.core.catalog import Catalog
from navarch.core.refs import Manifest


@dataclass(frozen=True, slots=True, eq=False)
class Assets:
    """`templates` by path below templates/; `crds` (Istio's) and `mesh_descriptors` (a serialised
    FileDescriptorSet with MeshConfig) by minor; `values_descriptors` is that of values, for all minors;
    `profiles` are the built-in ones by name. Compared and hashed by identity."""

    templates: Mapping[str, str]
    catalog: Catalog
    crds: Mapping[str, tuple[Manifest, ...]]
    mesh_descriptors: Mapping[str, bytes]
    values_descriptors: bytes
    profiles: Mapping[str, Mapping[str, Any]]
