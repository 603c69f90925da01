"""What a mesh says of the restarts of its workloads: that it can be meant.

Owns the rules about spec.upgrade.dataPlane that no schema can state. Must never read a time zone's data.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.core.membership.rule import is_member
from navarch.core.mesh.membership import find_effective_membership
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.messages import join
from navarch.core.model.reasons import Reason

_FIELD = "spec.upgrade.dataPlane"


def check_time_zones_are_known(observed: ObservedMesh) -> Iterator[Finding]:
    """Each window's time zone is one of the IANA database: restarts would never begin, or at a wrong hour."""
    upgrade = observed.spec.upgrade if observed.spec is not None else None
    policy = upgrade.data_plane if upgrade is not None else None
    for place, window in enumerate((policy.windows or ()) if policy is not None else ()):
        if window.time_zone not in observed.zones:
            yield Finding(
                Reason.TIME_ZONE_UNKNOWN,
                f"{_FIELD}.windows[{place}].timeZone",
                window.time_zone,
                "no time zone has this name",
                "write a name of the IANA database, such as Europe/Berlin or UTC",
            )


def check_canaries_are_members(observed: ObservedMesh) -> Iterator[Finding]:
    """Canary namespaces belong to the mesh: others are restarted by nobody, and prove nothing."""
    upgrade = observed.spec.upgrade if observed.spec is not None else None
    policy = upgrade.data_plane if upgrade is not None else None
    named = (policy.canary_namespaces or ()) if policy is not None else ()
    mesh = find_effective_membership(observed)
    strangers = [
        name
        for name in named
        if (ns := observed.namespaces.get(name)) is None or not is_member(mesh, name, ns.labels)
    ]
    if strangers:
        yield Finding(
            Reason.CANARY_NOT_A_MEMBER,
            f"{_FIELD}.canaryNamespaces",
            ", ".join(strangers[:5]),
            f"{join(strangers)} is not in the mesh, so that no canary is restarted there",
            "have it join the mesh, or name another",
            Severity.WARNING,
        )
