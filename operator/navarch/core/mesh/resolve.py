"""Profiles and specification, layer upon layer, into one configuration.

Owns the order and the meaning of layers. Must never look a profile up: all that exist are handed in.
Invariant: the same layers give the same configuration, and what a later layer sets is what counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from navarch.api.controlplane import MeshControlPlaneSpec
from navarch.api.inline import Gateways, MeshSettings
from navarch.api.problems import list_problems
from navarch.api.spec import RevisionConfig
from navarch.core.istio.assets import BASE_PROFILE, Assets
from navarch.core.mesh.layering import merge_layers
from navarch.core.model.findings import Finding
from navarch.core.model.hashing import stable_hash
from navarch.core.model.labels import PROFILE
from navarch.core.model.memo import Hashed, Latest
from navarch.core.model.parent import Parent
from navarch.core.model.reasons import Reason

INCLUDES = "profiles"
"""Key by which a profile names the profiles below itself."""


def _check_profile(name: str, content: Any) -> Iterator[str]:
    """What is wrong with a profile's own content, a sentence each."""
    if not isinstance(content, Mapping):
        yield "it is not a map of fields"
        return
    includes = content.get(INCLUDES, [])
    if not isinstance(includes, list) or not all(isinstance(include, str) for include in includes):
        yield f"its `{INCLUDES}` is not a list of names"
    fields = {key: value for key, value in content.items() if key != INCLUDES}
    try:
        MeshSettings.model_validate(fields, extra="forbid")
    except ValidationError as error:
        yield from (problem.tell(root="") for problem in list_problems(MeshSettings, error))


def _walk_profiles(
    names: Iterable[str], profiles: Mapping[str, Any], above: tuple[str, ...]
) -> Iterator[str | Finding]:
    """Profiles from the bottom up, each after those it includes; Findings in place of those that cannot be
    used."""
    for index, name in enumerate(names):
        field = f"spec.profiles[{index}]" if not above else "spec.profiles"
        origin = f" (included by {above[-1]})" if above else ""
        if name in above:
            circle = " -> ".join((*above[above.index(name) :], name))
            remedy = "remove one of the inclusions"
            yield Finding(Reason.PROFILE_CYCLE, field, name, f"profiles include each other: {circle}", remedy)
        elif name not in profiles:
            nearest = next(iter(get_close_matches(name, profiles, n=1)), "")
            meant = f"; did you mean {nearest}?" if nearest else ""
            remedy = (
                f"known are {', '.join(sorted(profiles))}{meant}; your own are ConfigMaps of the "
                f"operator's namespace with label {PROFILE}"
            )
            yield Finding(
                Reason.PROFILE_NOT_FOUND, field, name, f"there is no profile {name}{origin}", remedy
            )
        elif problems := list(_check_profile(name, profiles[name])):
            message = f"profile {name}{origin} cannot be used: {'; '.join(problems)}"
            yield Finding(Reason.PROFILE_INVALID, field, name, message, "correct the profile")
        else:
            yield from _walk_profiles(profiles[name].get(INCLUDES, ()), profiles, (*above, name))
            yield name


def resolve_config(
    spec: MeshControlPlaneSpec, *, profiles: Mapping[str, Any]
) -> tuple[RevisionConfig | None, list[Finding]]:
    """The configuration that `spec` asks for; None, with the reasons, when a profile stands in the way.

    `profiles` holds every profile, built in or a user's, by name. `default` lies below all; a profile that is
    named more than once counts where it is first reached.
    """
    layers, findings = _find_layers(spec, profiles)
    return (RevisionConfig.model_validate(_sum(layers)), []) if layers else (None, findings)


def _find_layers(
    spec: MeshControlPlaneSpec, profiles: Mapping[str, Any]
) -> tuple[list[Mapping[str, Any]], list[Finding]]:
    """The layers from the bottom up; none, with the reasons, when a profile stands in the way."""
    reached = list(_walk_profiles([BASE_PROFILE, *(spec.profiles or ())], profiles, ()))
    findings = [_shift(item) for item in reached if isinstance(item, Finding)]
    if findings:
        return [], list(dict.fromkeys(findings))
    names = dict.fromkeys(item for item in reached if isinstance(item, str))
    return [*(profiles[name] for name in names), spec.to_json()], []


def _sum(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for layer in layers:
        config = merge_layers(config, {key: value for key, value in layer.items() if key != INCLUDES})
    return config


def resolve_mesh(
    parent: Parent, spec: MeshControlPlaneSpec, assets: Assets, *, profiles: Mapping[str, Any]
) -> RevisionConfig | None:
    """The configuration that `spec` asks for with the built-in profiles and the users' own, remembered by the
    hash of both; None when it cannot be resolved. No code may change it."""
    digest = stable_hash([spec.to_json(), profiles], length=64)
    return _resolve_mesh(Hashed(digest, (spec, profiles), f"{parent.namespace}/{parent.name}"), assets)


@Latest
def _resolve_mesh(asked: Hashed, assets: Assets) -> RevisionConfig | None:
    spec, profiles = asked.data
    return resolve_config(spec, profiles={**assets.profiles, **profiles})[0]


def resolve_gateways(
    parent: Parent, spec: MeshControlPlaneSpec, assets: Assets, *, profiles: Mapping[str, Any]
) -> Gateways | None:
    """The gateways that `spec` and its profiles ask for, remembered like resolve_mesh; None when there are
    none, or they cannot be resolved."""
    digest = stable_hash([spec.to_json(), profiles], length=64)
    return _resolve_gateways(Hashed(digest, (spec, profiles), f"{parent.namespace}/{parent.name}"), assets)


@Latest
def _resolve_gateways(asked: Hashed, assets: Assets) -> Gateways | None:
    spec, profiles = asked.data
    layers, _ = _find_layers(spec, {**assets.profiles, **profiles})
    said = _sum(layers).get("gateways")
    return Gateways.model_validate(said) if said else None


def _shift(finding: Finding) -> Finding:
    """The base profile is put before the user's list; a field's index counts in the user's."""
    prefix, bracket, rest = finding.field.partition("[")
    if not bracket:
        return finding
    index = int(rest.rstrip("]"))
    field = f"{prefix}[{index - 1}]" if index else prefix
    return Finding(finding.reason, field, finding.value, finding.message, finding.remedy, finding.severity)
