"""What an editor of a hosted mesh may write without the verb `host`, beyond what everybody may.

Owns one row for each such field; all others are decided in spec.py, values.py and meshconfig.py, whatever the
hosting. A row may free only what leaves the choice of code, images, rights and identities to Navarch, since
the istiod of a hosted mesh can read every Secret of the cluster as any other.
"""

from __future__ import annotations

from navarch.api.controlplane import HOSTED, MEMBERS
from navarch.api.power.rules import Table, build_table, free

BUILT_IN = ("default", "minimal", "production")
"""The profiles that come with Navarch; those of administrators may hold what a tenant must not choose."""

FREE_WHEN_HOSTED: Table = build_table(
    (free("its control plane is where its editor cannot enter", allowed=(HOSTED,)), "hosting"),
    (free("a release of the catalog, with the catalog's images"), "version"),
    (free("only namespaces that joined by themselves belong to it", allowed=(MEMBERS,)), "scope"),
    (
        free("sizes of istiod that come with Navarch", allowed=(None, *([name] for name in BUILT_IN))),
        "profiles",
    ),
)
"""Paths below spec."""
