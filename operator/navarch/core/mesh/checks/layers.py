"""Profiles: whether the layers below the specification can be used.

Owns the one resolution that rules on merged configuration read. Must never judge what a profile sets:
profiles lie in the operator's namespace, and who writes there is trusted. Invariant: yields nothing exactly
when there is a resolved configuration, and that has every field that rendering reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from navarch.api.spec import RevisionConfig
from navarch.core.istio.assets import BASE_PROFILE, MAY_BE_EMPTY
from navarch.core.mesh.content import MeshContent
from navarch.core.mesh.resolve import resolve_config
from navarch.core.model.findings import Finding
from navarch.core.model.memo import Last
from navarch.core.model.naming import find_long_names
from navarch.core.model.reasons import Reason
from navarch.core.render.source import RevisionInput
from navarch.core.revision.manifest import build_revision_manifest
from navarch.core.revision.source import build_revision_input


def _find_lost(base: Mapping[str, Any], merged: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Paths that the base sets and the merged configuration lacks, because a layer between them set null."""
    for key, value in base.items():
        where = f"{path}.{key}" if path else key
        if key not in merged:
            yield where
        elif isinstance(value, Mapping) and key not in MAY_BE_EMPTY:
            yield from _find_lost(value, merged[key], where)


@Last
def _resolve(content: MeshContent) -> tuple[RevisionConfig | None, list[Finding]]:
    broken = dict.fromkeys(content.profile_errors)
    profiles: Mapping[str, Any] = {**content.assets.profiles, **content.profiles, **broken}
    config, findings = resolve_config(content.spec, profiles=profiles)
    lost = list(_find_lost(content.assets.profiles[BASE_PROFILE], config.to_json())) if config else []
    if not lost:
        return config, findings
    names = ", ".join(content.spec.profiles or [BASE_PROFILE])
    message = f"the profiles take away what no mesh can be without: {', '.join(lost)}"
    return None, [
        Finding(Reason.PROFILE_INVALID, "spec.profiles", names, message, "remove the nulls from the profiles")
    ]


def resolved_config(content: MeshContent) -> RevisionConfig | None:
    """The sum of profiles and spec; None where either cannot be read."""
    return _resolve(content)[0]


def build_input(content: MeshContent, config: RevisionConfig) -> RevisionInput | None:
    """What the mesh would be rendered from with this configuration; None where its version is unknown or a
    derived name too long."""
    release, parent, tag = content.release, content.parent, content.tag
    if release is None or any(find_long_names(namespace=parent.namespace, name=parent.name, tag=tag)):
        return None
    revision = build_revision_manifest(
        parent,
        tag=tag,
        release=release,
        config=config,
        default=content.default_tag,
        name=content.revision,
    )
    return build_revision_input(revision, content.assets, content.environment)


def check_profiles(content: MeshContent) -> Iterator[Finding]:
    """Every profile is there, includes no profile that includes it, and has a usable content."""
    for finding in _resolve(content)[1]:
        error = content.profile_errors.get(finding.value)
        if error and finding.reason is Reason.PROFILE_INVALID:
            yield replace(finding, message=f"profile {finding.value} cannot be read: {error}")
        else:
            yield finding
