"""Which roles of the installation a revision binds, whether they are there, and when older rights may go.

Owns the order in which istiod's rights change. Must never hold a rule (istio/roles.py). Invariant: the new
binding stands before the old one goes, and no istiod is started for which a role is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from navarch.core.istio import roles
from navarch.core.istio.assets import Assets
from navarch.core.istio.roles import Role, build_roles
from navarch.core.model.actions import Waiting, Wave
from navarch.core.model.ordering import BINDING_KINDS
from navarch.core.model.refs import Manifest, ref_of
from navarch.core.render.values import runs_gateway_controller
from navarch.core.revision.source import read_spec

RIGHTS = frozenset({*BINDING_KINDS, "ClusterRole", "Role"})

Installed = Mapping[str, frozenset[str]]
"""The roles of the installation that are in the cluster: by name, the hashes of their rules."""


def find_bound(revision: Manifest, assets: Assets) -> tuple[Role, ...]:
    """The roles that a MeshRevision binds: one in the whole cluster, one in its namespace. Raises for a
    version that the catalog does not have, and like read_spec."""
    spec = read_spec(revision, assets)
    release = assets.catalog.find(spec.version)
    if release is None:
        raise ValueError(f"version {spec.version} is not in the catalog")
    every = build_roles(assets, release.minor.name)
    return (every.full if runs_gateway_controller(spec.config) else every.confined, every.namespace)


def find_missing(revision: Manifest, assets: Assets, installed: Installed) -> tuple[Waiting, ...]:
    """The roles that a MeshRevision binds and that the cluster does not have, or not with all their rules."""
    return tuple(roles.find_missing(find_bound(revision, assets), installed))


def withhold(waves: Sequence[Wave], missing: Iterable[Waiting], *, settled: bool) -> tuple[Wave, ...]:
    """The waves without bindings to missing roles. Where istiod would be changed as well (not `settled`),
    what comes after the bindings waits with them."""
    names = {waiting.ref.name for waiting in missing}
    if not names:
        return tuple(waves)
    kept: list[Wave] = []
    for wave in waves:
        objects = (o for o in wave.objects if (o.get("roleRef") or {}).get("name") not in names)
        kept.append(Wave(wave.name, tuple(objects)))
        if wave.name == "bindings" and not settled:
            break
    return tuple(kept)


def may_lose_rights(waves: Iterable[Wave], owned: Iterable[Manifest], *, settled: bool) -> bool:
    """Whether rights that are not wanted any more may go: those that are wanted were seen in the cluster, and
    no istiod of another specification runs."""
    there = {ref_of(o) for o in owned if not o["metadata"].get("deletionTimestamp")}
    wanted = {ref_of(o) for wave in waves for o in wave.objects if o["kind"] in RIGHTS}
    return settled and wanted <= there
