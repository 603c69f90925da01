"""What istiod would refuse when it reads it, found before anything is applied.

Owns the way from Istio's rules (core/istio/validation) to the field of the user's that broke one: the rules
see what istiod would see, after profiles, typed fields and values have become one mesh configuration. Must
never repeat a rule. Invariant: a mesh without an error of these rules gets a mesh configuration, networks and
variables that istiod takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from navarch.api.problems import build_path
from navarch.core.istio.definitions import MESH_CONFIG, MESH_NETWORKS, load_definition
from navarch.core.istio.validation.bootstrap import find_in_bootstrap
from navarch.core.istio.validation.environment import explain_variable
from navarch.core.istio.validation.meshconfig import find_violations
from navarch.core.istio.validation.networks import find_in_networks
from navarch.core.istio.validation.ranges import find_out_of_range
from navarch.core.istio.validation.reading import Violation, find_contests, read_message
from navarch.core.mesh.checks.layers import build_input, resolved_config
from navarch.core.mesh.checks.values import are_values_readable
from navarch.core.mesh.content import MeshContent
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.memo import Last
from navarch.core.model.messages import shorten
from navarch.core.model.reasons import Reason
from navarch.core.render.source import RevisionInput
from navarch.core.render.values import build_mesh_config, build_values, environment_of

_STEP: Final = re.compile(r"([^.\[\]]+)|\[([^\]]*)\]")
_TYPED: Final[Mapping[str, tuple[str, ...]]] = {
    "trustDomain": ("trust", "domain"),
    "trustDomainAliases": ("trust", "additionalDomains"),
    "meshMTLS.cipherSuites": ("mtls", "cipherSuites"),
    "defaultConfig.tracing": ("values", "global", "tracer"),
    "defaultConfig.meshId": ("values", "global", "meshID"),
}
"""What of a mesh configuration is written elsewhere in the specification, too."""


def _has(tree: Any, steps: list[str]) -> bool:
    """Whether a tree has something at a path, in either spelling of each name."""
    for step in steps:
        if isinstance(tree, list):
            tree = tree[int(step)] if step.isdecimal() and int(step) < len(tree) else None
        elif isinstance(tree, Mapping):
            snake = re.sub(r"(?<=[a-z0-9])[A-Z]", lambda capital: f"_{capital[0].lower()}", step)
            tree = tree.get(step, tree.get(snake))
        else:
            return False
        if tree is None:
            return False
    return True


def _locate(content: MeshContent, path: str) -> tuple[str, str]:
    """The user's field for a path in the mesh configuration, and the subject of a sentence about it, which
    is needed only where a profile wrote it."""
    steps = [name or index for name, index in _STEP.findall(path)]
    own = content.spec.to_json()
    if _has(own.get("meshConfig"), steps[:-1]) and (len(steps) > 1 or _has(own.get("meshConfig"), steps)):
        return f"spec.meshConfig.{path}", ""
    for prefix, field in _TYPED.items():
        if path.startswith(prefix) and _has(own, list(field)):
            return f"spec.{'.'.join(field)}{path.removeprefix(prefix)}", ""
    return "spec.profiles", f"meshConfig.{path} of a profile "


@Last
def build_sources(content: MeshContent) -> tuple[RevisionInput, dict[str, Any]] | None:
    """What the mesh is rendered from, and its values; None where that is not known, or another rule says that
    they cannot be read."""
    config = resolved_config(content)
    source = build_input(content, config) if config is not None else None
    if source is None or not are_values_readable(content):
        return None
    return source, build_values(source, content.assets)


def check_mesh_config_is_accepted(content: MeshContent) -> Iterator[Finding]:
    """istiod takes the mesh configuration: it would keep what it had, and a new one would not start."""
    yield from _find_in_mesh_config(content, warnings=False)


def check_envoy_accepts(content: MeshContent) -> Iterator[Finding]:
    """Envoy takes what istiod and the agent pass on to it unread: its bootstrap, numbers and durations."""
    built, release = build_sources(content), content.release
    if built is None or release is None:
        return
    definition = load_definition(content.assets.mesh_descriptors[release.minor.name], MESH_CONFIG)
    mesh = read_message(definition, build_mesh_config(*built))
    for violation in (
        *find_in_bootstrap(mesh.get("defaultConfig", {}), "defaultConfig"),
        *find_out_of_range(mesh),
    ):
        yield _tell(content, violation, Severity.ERROR)


def check_mesh_config_warnings(content: MeshContent) -> Iterator[Finding]:
    """istiod has nothing to warn of in the mesh configuration."""
    yield from _find_in_mesh_config(content, warnings=True)


@Last
def _list_violations(content: MeshContent) -> tuple[Violation, ...]:
    """What istiod has to say of the mesh configuration, errors and warnings."""
    built, release = build_sources(content), content.release
    if built is None or release is None:
        return ()
    descriptors = content.assets.mesh_descriptors[release.minor.name]
    return tuple(find_violations(build_mesh_config(*built), descriptors))


def _find_in_mesh_config(content: MeshContent, *, warnings: bool) -> Iterator[Finding]:
    for violation in _list_violations(content):
        if violation.warning is warnings:
            yield _tell(content, violation, Severity.WARNING if warnings else Severity.ERROR)


def _tell(content: MeshContent, violation: Violation, severity: Severity) -> Finding:
    """A violation of the mesh configuration, at the field by which the user caused it."""
    field, subject = _locate(content, violation.path)
    typed = not field.startswith(("spec.meshConfig", "spec.profiles"))
    reason = Reason.INVALID_SPEC if typed else Reason.MESH_CONFIG_INVALID
    return _build_finding(reason, field, violation, subject, severity)


def _build_finding(
    reason: Reason, field: str, violation: Violation, subject: str, severity: Severity = Severity.ERROR
) -> Finding:
    return Finding(
        reason, field, shorten(violation.value), subject + violation.message, violation.remedy, severity
    )


def check_networks_are_accepted(content: MeshContent) -> Iterator[Finding]:
    """istiod takes the networks of the mesh."""
    built, release = build_sources(content), content.release
    if built is None or release is None:
        return
    source, values = built
    definition = load_definition(content.assets.mesh_descriptors[release.minor.name], MESH_NETWORKS)
    networks = {"networks": values["global"]["meshNetworks"]}
    hosts = environment_of(source.config).get("RESOLVE_HOSTNAME_GATEWAYS", "true").lower() not in (
        "false",
        "f",
        "0",
    )
    found = [
        *find_contests(definition, networks),
        *find_in_networks(read_message(definition, networks).get("networks", {}), host_gateways=hosts),
    ]
    own = (content.spec.values or {}).get("global")
    mine = isinstance(own, Mapping) and "meshNetworks" in own
    root = "values.global.meshNetworks."
    for violation in found:
        path = root + violation.path.removeprefix("networks")
        field, subject = (f"spec.{path}", "") if mine else ("spec.profiles", f"{path} of a profile ")
        yield _build_finding(Reason.VALUES_INVALID, field, violation, subject)


def check_environment_values(content: MeshContent) -> Iterator[Finding]:
    """Every variable of istiod that Istio gives a type has a value of it: istiod replaces another one by its
    default, and says so in its log alone."""
    config = resolved_config(content)
    if config is None:
        return
    control_plane = content.spec.control_plane
    own = {
        variable.name: index
        for index, variable in enumerate((control_plane and control_plane.environment) or ())
    }
    for name, value in environment_of(config).items():
        if why := explain_variable(name, value):
            field = (
                build_path("controlPlane", "environment", own[name], "value")
                if name in own
                else "spec.profiles"
            )
            message = f"{why}, and istiod would take its default for {name}"
            yield Finding(
                Reason.INVALID_SPEC, field, shorten(value), message, "correct the value, or leave it out"
            )
