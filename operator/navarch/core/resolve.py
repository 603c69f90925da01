"""Profiles and specification, layer upon layer, into one configuration; and that into a MeshRevision and its
input.

Owns the order and the meaning of layers. Must never look a profile up: all that exist are handed in.
Invariant: the same layers give the same configuration, and what a later layer sets is what counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from navarch.api import revision as revision_api
from navarch.api.controlplane import MeshControlPlaneSpec
from navarch.api.meta import API_VERSION
from navarch.api.revision import MeshRevisionSpec
from navarch.api.spec import RevisionConfig
from navarch.core.assets import Assets
from navarch.core.catalog import Release
from navarch.core.findings import Finding
from navarch.core.hashing import stable_hash
from navarch.core.labels import Owner, owner_of
from navarch.core.members import build_membership
from navarch.core.memo import Hashed, Latest
from navarch.core.naming import revision_name
from navarch.core.observed import Environment
from navarch.core.reasons import Reason
from navarch.core.refs import Manifest
from navarch.core.revisions import RevisionInput

BASE_PROFILE = "default"
"""The profile below all others."""
INCLUDES = "profiles"
"""Key by which a profile names the profiles below itself."""


def merge(lower: Any, upper: Any) -> Any:
    """`upper` laid over `lower`: maps key by key, everything else replaced; null takes a key away."""
    if not isinstance(upper, Mapping):
        return upper
    merged = dict(lower) if isinstance(lower, Mapping) else {}
    for key, value in upper.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def _merge_environment(lower: Sequence[Any], upper: Sequence[Any]) -> list[Any]:
    by_name = {variable["name"]: variable for variable in (*lower, *upper)}
    return list(by_name.values())


def merge_layers(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """One layer of configuration over another: like merge, but environment is merged by name and overlays add
    up."""
    merged: dict[str, Any] = merge(lower, upper)
    environments = [(layer.get("controlPlane") or {}).get("environment") or () for layer in (lower, upper)]
    if any(environments):
        control_plane = merged.get("controlPlane") or {}  # a layer may have taken the whole of it away
        merged["controlPlane"] = {**control_plane, "environment": _merge_environment(*environments)}
    if overlays := [overlay for layer in (lower, upper) for overlay in layer.get("overlays") or ()]:
        merged["overlays"] = overlays
    return merged


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _nested_model(part))), None)


def _find_unknown(model: type[BaseModel], data: Any, path: str) -> Iterator[tuple[str, str]]:
    """Paths in `data` that the model has no field for, with the nearest known name (empty when none is
    near)."""
    if isinstance(data, Sequence) and not isinstance(data, str):
        for index, item in enumerate(data):
            yield from _find_unknown(model, item, f"{path}[{index}]")
    if not isinstance(data, Mapping):
        return
    known = {field.alias or name: field for name, field in model.model_fields.items()}
    for key, value in data.items():
        where = f"{path}.{key}" if path else str(key)
        if key not in known:
            yield where, next(iter(get_close_matches(str(key), known, n=1)), "")
        elif nested := _nested_model(known[key].annotation):
            yield from _find_unknown(nested, value, where)


def _check_profile(name: str, content: Any) -> Iterator[str]:
    """What is wrong with a profile's own content, a sentence each."""
    if not isinstance(content, Mapping):
        yield "it is not a map of fields"
        return
    includes = content.get(INCLUDES, [])
    if not isinstance(includes, list) or not all(isinstance(include, str) for include in includes):
        yield f"its `{INCLUDES}` is not a list of names"
    fields = {key: value for key, value in content.items() if key != INCLUDES}
    for path, nearest in _find_unknown(RevisionConfig, fields, ""):
        yield f"it has no field {path}" + (f" (did you mean {nearest}?)" if nearest else "")
    try:
        RevisionConfig.model_validate(fields)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            yield f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"


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
            remedy = f"known are {', '.join(sorted(profiles))}" + (
                f"; did you mean {nearest}?" if nearest else ""
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
    reached = list(_walk_profiles([BASE_PROFILE, *(spec.profiles or ())], profiles, ()))
    findings = [_shift(item) for item in reached if isinstance(item, Finding)]
    if findings:
        return None, list(dict.fromkeys(findings))
    layers: list[Mapping[str, Any]] = [
        profiles[name] for name in dict.fromkeys(reached) if isinstance(name, str)
    ]
    config: dict[str, Any] = {}
    for layer in (*layers, spec.to_json()):
        config = merge_layers(config, {key: value for key, value in layer.items() if key != INCLUDES})
    return RevisionConfig.model_validate(config), []


def resolve_mesh(
    owner: Owner, spec: MeshControlPlaneSpec, assets: Assets, *, profiles: Mapping[str, Any]
) -> RevisionConfig | None:
    """The configuration that `spec` asks for with the built-in profiles and the users' own, remembered by the
    hash of both; None when it cannot be resolved. Nobody may change it."""
    digest = stable_hash([spec.to_json(), profiles], length=64)
    return _resolve_mesh(Hashed(digest, (spec, profiles), f"{owner.namespace}/{owner.name}"), assets)


@Latest
def _resolve_mesh(asked: Hashed, assets: Assets) -> RevisionConfig | None:
    spec, profiles = asked.data
    return resolve_config(spec, profiles={**assets.profiles, **profiles})[0]


def _shift(finding: Finding) -> Finding:
    """The base profile is put before the user's list; a field's index counts in the user's."""
    prefix, bracket, rest = finding.field.partition("[")
    if not bracket:
        return finding
    index = int(rest.rstrip("]"))
    field = f"{prefix}[{index - 1}]" if index else prefix
    return Finding(finding.reason, field, finding.value, finding.message, finding.remedy, finding.severity)


def build_revision_manifest(
    owner: Owner,
    *,
    tag: str,
    release: Release,
    config: RevisionConfig,
    default: bool = False,
    excluded: Iterable[str] = (),
) -> dict[str, Any]:
    """The MeshRevision of a mesh: `tag` is its effective tag, `default` whether it owns tag `default`,
    `excluded` the namespaces that stay outside whatever their labels."""
    name = revision_name(tag)
    return {
        "apiVersion": API_VERSION,
        "kind": revision_api.KIND,
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "labels": owner.labels(component="revision"),
        },
        "spec": {
            "mesh": owner.name,
            "tag": tag,
            "version": release.version,
            "strategy": "InPlace",
            "members": {"default": default, "excluded": sorted(set(excluded))},
            "config": config.to_json(),
        },
    }


def build_revision_input(revision: Manifest, assets: Assets, environment: Environment) -> RevisionInput:
    """What a MeshRevision is rendered from. Raises LookupError when the catalog no longer has its version,
    and pydantic's ValidationError when it was not written by Navarch."""
    spec = MeshRevisionSpec.model_validate(revision["spec"])
    name, namespace = revision["metadata"]["name"], revision["metadata"]["namespace"]
    release = assets.catalog.find(spec.version)
    if release is None:
        raise LookupError(f"Istio {spec.version} is not in the catalog")
    images = spec.config.images
    return RevisionInput(
        owner=owner_of(revision) or Owner(namespace, spec.mesh, ""),
        name=name,
        tag=spec.tag,
        version=release.version,
        minor=release.minor.name,
        features=release.minor.features,
        membership=build_membership(
            namespace,
            spec.tag,
            default=spec.members.default,
            probe=environment.probe_namespace,
            excluded=spec.members.excluded,
        ),
        hub=(images and images.hub) or release.minor.hub,
        image_tag=(images and images.tag) or release.version,
        config=spec.config,
    )
