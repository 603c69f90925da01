"""Names of a mesh's gateways, which tell their pods from each other in every namespace of the mesh.

Owns the warning about two gateways of one name. Must never refuse a mesh for the sake of a gateway that it
has not made. Invariant: gateways outside of the mesh count for nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from navarch.api.gateway import KIND
from navarch.core.mesh.gateways import find_inside
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.resolve import resolve_mesh
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.messages import join
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import ref_of
from navarch.core.render.values import TRUE, environment_of

SCOPED = "PILOT_SCOPE_GATEWAY_TO_NAMESPACE"
"""The variable by which a Gateway selects pods of its own namespace only (pilot/pkg/features)."""


def check_gateway_names(observed: ObservedMesh) -> Iterator[Finding]:
    """No two gateways of the mesh have one name in two namespaces: a Gateway selects their pods by it. It is
    a warning, since whoever has a namespace of the mesh names the gateways there."""
    shared = _find_shared(observed)
    if observed.spec is None or not shared or _is_scoped(observed):
        return
    told = join(f"{name} in {', '.join(namespaces[:3])}" for name, namespaces in shared.items())
    message = (
        f"{KIND}s have one name in several namespaces: {told}: their pods have one label "
        f"(istio={next(iter(shared))}), so that what selects it in any namespace of the mesh is served by "
        "all of them"
    )
    remedy = f"rename all but one, or set {SCOPED}=true in spec.controlPlane.environment"
    yield Finding(Reason.GATEWAY_NAMES_CLASH, "", "", message, remedy, Severity.WARNING)


def _find_shared(observed: ObservedMesh) -> Mapping[str, list[str]]:
    """Names that gateways of several namespaces of the mesh have, with these namespaces."""
    gateways = (*observed.gateways, *observed.own_gateways)
    there = sorted({ref_of(o) for o in gateways if "deletionTimestamp" not in o["metadata"]})
    if len({ref.name for ref in there}) == len(there):
        return {}
    inside, places = find_inside(observed), defaultdict(list)
    for ref in there:
        if inside(ref.namespace):
            places[ref.name].append(ref.namespace)
    return {name: namespaces for name, namespaces in places.items() if len(namespaces) > 1}


def _is_scoped(observed: ObservedMesh) -> bool:
    assert observed.spec is not None
    config = resolve_mesh(observed.parent, observed.spec, observed.assets, profiles=observed.profiles)
    return config is not None and environment_of(config).get(SCOPED) in TRUE
