"""How far the version of proxies may be from that of their control plane.

Owns Istio's rule on it, and what a pinned version stands for. Must never look at what runs. Invariant: a
version within the skew stays within it for every patch of the control plane that is not older.
"""

from __future__ import annotations

from navarch.core.istio.catalog import Catalog, Release, dotted, ordinal_of

BEHIND = 1
"""Minors by which Istio supports proxies that are older than their control plane. None may be newer."""


def find_pinned(catalog: Catalog, version: str, *, control_plane: str, running: str = "") -> Release | None:
    """The release to which proxies are pinned by `1.30` or `1.30.8`; None where there is no such thing. A
    minor means its newest patch: of the control plane's own minor that which the control plane has, so that
    proxies are never newer, and of another never an older one than runs already."""
    release = catalog.find(version)
    if release is None or version != release.minor.name:
        return release
    if ordinal_of(control_plane)[:2] == ordinal_of(version):
        return Release(control_plane, release.minor)
    return Release(running, release.minor) if running and release.minor.is_after_newest(running) else release


def explain_skew(version: str, control_plane: str) -> str:
    """Why proxies of an exact version cannot be with a control plane of another; empty where they can."""
    if ordinal_of(version) > ordinal_of(control_plane):
        return f"is newer than {control_plane}, the version of the mesh, and no proxy may be"
    if is_too_old(version, control_plane):
        return f"is more than one minor older than {control_plane}, the version of the mesh"
    return ""


def is_too_old(version: str, control_plane: str) -> bool:
    """Whether proxies of a version are more minors behind a control plane than Istio supports."""
    return ordinal_of(version)[:2] < oldest_minor(control_plane)


def oldest_minor(control_plane: str) -> tuple[int, int]:
    """The oldest minor of proxies that a control plane may have."""
    major, minor = ordinal_of(control_plane)[:2]
    return major, minor - BEHIND


def suggest_pin(control_plane: str) -> str:
    """What to set in place of a version that cannot be."""
    return f"set a version from {dotted(oldest_minor(control_plane))} to {control_plane}, or leave it out"


def is_last_minor(version: str, control_plane: str) -> bool:
    """Whether the control plane's next minor leaves this version of proxies behind."""
    return ordinal_of(version)[:2] == oldest_minor(control_plane)
