"""What a mesh asks for, in any cluster: the input of the rules about a specification's content.

Owns the record and its hash. Must never hold anything of the cluster's state: a rule that needs it takes an
ObservedMesh. Invariant: two records with the same hash, and the same assets, get the same findings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from navarch.api.controlplane import MeshControlPlaneSpec
from navarch.core.istio.assets import Assets
from navarch.core.istio.catalog import Release
from navarch.core.model.hashing import stable_hash
from navarch.core.model.parent import Parent
from navarch.core.world.cluster import Environment


@dataclass(frozen=True, slots=True)
class MeshContent:
    """The specification of the mesh `parent`, and what it is read with.

    `tag` is the effective tag, `revision` the name of what is to run this (empty while the version is
    unknown), `default_tag` says whether the mesh has the tag `default` or asks for it.
    `release` is what its version stands for, None for an unknown one. `profiles` are the users' own, by name,
    `profile_errors` says of others why they cannot be read.
    """

    environment: Environment
    assets: Assets
    parent: Parent
    tag: str
    revision: str
    default_tag: bool
    spec: MeshControlPlaneSpec
    release: Release | None
    profiles: Mapping[str, Mapping[str, object]]
    profile_errors: Mapping[str, str]

    def hash(self) -> str:
        """The hash of every field but the assets, which are too large; a new field is part of it."""
        told = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "assets"}
        told["spec"] = self.spec.model_dump(mode="json")
        return stable_hash(told, length=64)
