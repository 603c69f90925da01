"""What a MeshControlPlane becomes on an empty cluster, without one.

Owns the observation of a cluster that is not there. Must never render by another path than the operator's:
checks, resolution and waves are the same. Invariant: equal manifests give equal objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from navarch.api.controlplane import HOSTED, MeshControlPlaneSpec
from navarch.api.upgrade import REVISION_BASED
from navarch.core.istio.assets import Assets
from navarch.core.membership.rule import read_member_of
from navarch.core.mesh.checks import run_checks
from navarch.core.mesh.crds import find_crd_minor
from navarch.core.mesh.gateways import build_wanted_gateways
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.plan import build_wanted_revision
from navarch.core.mesh.render import build_mesh_waves
from navarch.core.model.findings import Finding, is_accepted
from navarch.core.model.labels import NAMESPACE_NAME
from navarch.core.model.naming import effective_tag
from navarch.core.model.parent import MESH, Parent
from navarch.core.model.refs import Manifest
from navarch.core.model.scope import asks_for_cluster
from navarch.core.render.components.istiod import build_role
from navarch.core.revision.render import render
from navarch.core.revision.rights import find_bound
from navarch.core.world.cluster import Environment, Namespace
from navarch.core.world.neighbours import MeshSummary
from navarch.core.world.proxies import Census

Profiles = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Offline:
    """`objects` in the order of applying, none when a finding is an error; `findings` about the spec; `roles`
    that come with an installation of Navarch and that the objects bind."""

    objects: tuple[Manifest, ...]
    findings: tuple[Finding, ...]
    roles: tuple[Manifest, ...] = ()


def observe_offline(
    mesh: Manifest, assets: Assets, environment: Environment, *, profiles: Profiles
) -> ObservedMesh:
    """A cluster with nothing in it but this mesh. Raises pydantic's ValidationError for a manifest that the
    API server would refuse."""
    spec = MeshControlPlaneSpec.model_validate(mesh["spec"])
    metadata = {"generation": 1, "namespace": "default", **mesh["metadata"]}
    parent = Parent(MESH, metadata["namespace"], metadata["name"], metadata.get("uid", ""))
    tag = effective_tag(parent.namespace, parent.name, wanted=spec.tag)
    release = assets.catalog.find(spec.version)
    return ObservedMesh(
        environment=environment,
        assets=assets,
        parent=parent,
        body={**mesh, "metadata": metadata},
        spec=spec,
        spec_error="",
        meshes=(
            MeshSummary(
                True,
                "",
                parent.uid,
                parent.namespace,
                parent.name,
                tag,
                default_tag=bool(spec.default_tag),
                member_of=read_member_of({**mesh, "metadata": metadata}),
                hosted=spec.hosting == HOSTED,
                cluster=asks_for_cluster(mesh),
                in_place=not (spec.upgrade and spec.upgrade.strategy == REVISION_BASED),
            ),
        ),
        namespaces={parent.namespace: Namespace(parent.namespace, {NAMESPACE_NAME: parent.namespace})},
        profiles=profiles,
        profile_errors={},
        owned=(),
        revisions=(),
        webhooks=(),
        crds=(),
        crd_minors=(release.minor.name,) if release else (),
        census=Census(),
        root="",
        probe=None,
        now="",
    )


def build_offline(
    mesh: Manifest,
    assets: Assets,
    environment: Environment,
    *,
    profiles: Profiles | None = None,
    with_crds: bool = True,
) -> Offline:
    """Everything that a mesh becomes; `profiles` are users' own, by name."""
    observed = observe_offline(mesh, assets, environment, profiles=profiles or {})
    findings = run_checks(observed)
    if not is_accepted(findings):
        return Offline((), findings)
    objects = build_objects(observed, with_crds=with_crds)
    return Offline(objects, findings, build_bound_roles(observed))


def build_objects(observed: ObservedMesh, *, with_crds: bool = True) -> tuple[Manifest, ...]:
    """All objects of a mesh whose spec can be resolved, in the order of applying, also where the checks
    refuse it."""
    revision = build_wanted_revision(observed)
    if revision is None:
        return ()
    minor = find_crd_minor(observed, revision) if with_crds else None
    around = build_mesh_waves(
        revision, observed.assets, observed.environment, crd_minor=minor, pointed=revision
    )
    own = render(revision, observed.assets, observed.environment).waves
    after = 1 + next(index for index, wave in enumerate(around) if wave.name == "revision")
    waves = (*around[:after], *own, *around[after:])
    objects = (manifest for wave in waves for manifest in wave.objects)
    return (*objects, *build_wanted_gateways(observed))


def build_bound_roles(observed: ObservedMesh) -> tuple[Manifest, ...]:
    """The roles of the installation that the objects of a mesh refer to."""
    revision = build_wanted_revision(observed)
    bound = find_bound(revision, observed.assets) if revision is not None else ()
    return tuple(build_role(role, observed.assets) for role in bound)
