"""The pages of docs/reference/ that follow from the code, as Markdown.

Owns their form. Must never say anything that the code does not: texts are the models', the reasons' and the
tables' own. Invariant: equal models give equal pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import typer
from navarch.api.export import RESOURCES, build_resource_schema
from navarch.api.install import build_keeping_uses
from navarch.api.meta import API_VERSION, Resource
from navarch.api.rbac import OPERATOR_USES, PROBE_USES, ROOT_USES, SYSTEM_USES, Rule, Use
from navarch.api.refused import (
    OVERLAY_KINDS,
    REFUSED_ENVIRONMENT,
    REFUSED_MESH_CONFIG,
    REFUSED_PATCH,
    REFUSED_VALUES,
    Path,
)
from navarch.assets import load_assets
from navarch.cli import commands
from navarch.cli.exits import Exit
from navarch.controllers.kinds import KINDS
from navarch.core.model.conditions import ConditionType
from navarch.core.model.reasons import Reason
from navarch.settings import Settings
from navarch.telemetry import metrics
from navarch.telemetry.objects import Conditions, Series
from prometheus_client import Metric
from prometheus_client.metrics import MetricWrapperBase

from scripts.markdown import build_table, code, escape
from scripts.reference_checks import build_checks_page
from scripts.reference_differences import build_differences_page
from scripts.reference_power import build_power_page
from scripts.reference_support import build_support_page
from scripts.suite.support import read_seen

Schema = Mapping[str, Any]


def describe_type(schema: Schema) -> str:
    """Type and bounds of a field in words."""
    if "enum" in schema:
        return " or ".join(code(value) for value in schema["enum"])
    kind: str = schema["type"]
    if kind == "array":
        bound = f", at most {schema['maxItems']}" if "maxItems" in schema else ""
        return f"list{bound}: {describe_type(schema['items'])}"
    if kind == "object":
        if "additionalProperties" in schema:
            return f"map of names: {describe_type(schema['additionalProperties'])}"
        return "object, kept as written" if schema.get("x-kubernetes-preserve-unknown-fields") else "object"
    return kind + _describe_bounds(schema)


def _describe_bounds(schema: Schema) -> str:
    bounds = []
    if "maximum" in schema:
        bounds.append(f"{schema['minimum']} to {schema['maximum']}")
    elif "minimum" in schema:
        bounds.append(f"{schema['minimum']} or more")
    if "maxLength" in schema:
        bounds.append(f"at most {schema['maxLength']} characters")
    if "pattern" in schema:
        bounds.append(code(schema["pattern"]))
    return f" ({', '.join(bounds)})" if bounds else ""


def _sections(path: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    """The object at `path` and all objects below it that have fields of their own, in the order of the
    schema."""
    if schema.get("type") == "array":
        yield from _sections(f"{path}[]", schema["items"])
    elif "properties" in schema:
        yield path, schema
        for name, child in schema["properties"].items():
            yield from _sections(f"{path}.{name}", child)


def _build_section(path: str, schema: Schema) -> str:
    required = schema.get("required", ())
    rows = [
        [
            code(name),
            describe_type(child),
            ("Required. " if name in required else "") + escape(child.get("description", "")),
        ]
        for name, child in schema["properties"].items()
    ]
    text = f"\n## {path}\n\n{build_table(['Field', 'Type', 'Meaning'], rows)}"
    rules = schema.get("x-kubernetes-validations", ())
    if rules:
        lines = (
            f"- {code(path + rule.get('fieldPath', ''))}: {escape(rule['message'])}.\n" for rule in rules
        )
        text += f"\nRefused when written:\n\n{''.join(lines)}"
    return text


def build_kind_page(resource: Resource) -> str:
    """All fields of one kind."""
    schema = build_resource_schema(resource)
    columns = [
        [code(column.name.upper()), "with `-o wide`" if column.wide else "", escape(column.description)]
        for column in resource.columns
    ]
    sections = [
        _build_section(path, child)
        for field in ("spec", "status")
        for path, child in _sections(field, schema["properties"][field])
    ]
    names = ", ".join(code(name) for name in (resource.plural, *resource.short_names))
    page = f"# {resource.kind}\n\n{resource.description} `{API_VERSION}`, namespaced; {names}.\n"
    page += f"\n{build_table(['Column', '', 'Meaning'], columns)}"
    for rule in resource.rules:
        page += f"\nRefused when written: {escape(rule['message'])}.\n"
    return page + "".join(sections)


def build_conditions_page() -> str:
    """Condition types and reasons."""
    types = [
        [
            code(kind.value),
            ", ".join(code(name) for name, row in KINDS.items() if kind in row.conditions),
            escape(kind.doc),
        ]
        for kind in ConditionType
    ]
    reasons = [[code(reason.value), escape(reason.doc)] for reason in Reason]
    return (
        "# Conditions and reasons\n\nEvery condition is there from the first pass on. `Unknown` is not "
        "`False`: it could not be determined, and the message says what is missing.\n\n## Conditions\n\n"
        + build_table(["Condition", "Of", "True means"], types)
        + "\n## Reasons\n\nOf conditions and of Events.\n\n"
        + build_table(["Reason", "Meaning"], reasons)
    )


def build_refused_page() -> str:
    """Keys of free-form fields that are refused."""

    def table(title: str, paths: Mapping[Path, str]) -> str:
        rows = [[code(".".join(path)), escape(why)] for path, why in paths.items()]
        return f"\n## {title}\n\n{build_table(['Key', 'Why, and what instead'], rows)}"

    return (
        "# Refused keys\n\nThese keys are refused to everybody, holders of the verb `host` included: they "
        "would break the mesh's isolation from others, or Navarch's own working. "
        "They are refused when the mesh is written; protobuf's spelling (`root_namespace`) is the same key. "
        "Of all others, [the next page](power.md) says who may write them. "
        "Profiles are not judged: they lie in the operator's namespace, and who writes there is trusted. "
        "Other keys that Istio does not know are reported and change nothing.\n"
        + table("spec.meshConfig", REFUSED_MESH_CONFIG)
        + table("spec.values", REFUSED_VALUES)
        + table("spec.controlPlane.environment", {(name,): why for name, why in REFUSED_ENVIRONMENT.items()})
        + table("spec.overlays[].patch", REFUSED_PATCH)
        + "\nLabels and annotations under `mesh.navarch.io/` are refused in patches as well. An overlay may "
        f"patch only {', '.join(code(kind) for kind in OVERLAY_KINDS)}.\n"
    )


_PERMISSIONS = """# Permissions

The operator's ClusterRole is what its own code uses, what it grants mesh by mesh, and the verb `bind` on the
roles of istiod, by name. Those roles come with the installation; to bind them, the operator need not hold
what is in them. It holds no `*`, no `escalate` and no `impersonate`.
"""
_GRANTED = """Where istiod runs without the gateway controller, on the mesh's own webhook configurations by
name. Kubernetes lets a user create only roles whose rights the user holds.

"""
_BOUND = """For each minor one role with the gateway controller, one without it (`confined`), and one for the
mesh's own namespace. A name ends in a hash of the role's rules, so that the roles of two releases stand side
by side.

"""


def build_permissions_page(grants: Iterable[Rule], roles: Sequence[Mapping[str, Any]]) -> str:
    """What the operator may do, and why."""

    def table(title: str, uses: Iterable[Use]) -> str:
        rows = [
            [
                code(use.group or "core"),
                ", ".join(map(code, use.resources))
                + (f" named {', '.join(map(code, use.names))}" if use.names else ""),
                ", ".join(use.verbs),
                escape(use.why),
            ]
            for use in uses
        ]
        return f"\n## {title}\n\n{build_table(['Group', 'Resources', 'Verbs', 'Why'], rows)}"

    def rules(title: str, text: str, listed: Iterable[Rule]) -> str:
        rows = [
            [
                code(rule["apiGroups"][0] or "core"),
                ", ".join(map(code, rule["resources"])),
                ", ".join(rule["verbs"]),
            ]
            for rule in listed
        ]
        return f"\n## {title}\n\n{text}{build_table(['Group', 'Resources', 'Verbs'], rows)}"

    names = "".join(f"- {code(role['metadata']['name'])}\n" for role in roles)
    details = "".join(rules(code(role["metadata"]["name"]), "", role["rules"]) for role in roles)
    return (
        _PERMISSIONS
        + table("Of its own, in the whole cluster", OPERATOR_USES)
        + table("Of its own, to keep its installation", build_keeping_uses())
        + table("Of its own, in its namespace", SYSTEM_USES)
        + table("Of its own, in its namespace, by ClusterRole navarch-roots", ROOT_USES)
        + table("Of its own, in the probe namespace", PROBE_USES)
        + rules("To be granted mesh by mesh", _GRANTED, grants)
        + f"\n## To be bound, by name\n\n{_BOUND}{names}{details}"
    )


def build_reference(grants: Iterable[Rule], roles: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """All pages by file name."""
    pages = {f"{resource.kind.lower()}.md": build_kind_page(resource) for resource in RESOURCES}
    pages["conditions.md"] = build_conditions_page()
    pages["refused.md"] = build_refused_page()
    pages["power.md"] = build_power_page()
    pages["permissions.md"] = build_permissions_page(grants, roles)
    pages["settings.md"] = build_settings_page()
    pages["metrics.md"] = build_metrics_page()
    pages["commands.md"] = build_commands_page()
    pages["differences.md"] = build_differences_page()
    pages["checks.md"] = build_checks_page()
    pages["support.md"] = build_support_page(read_seen(), reversed(load_assets().catalog.minors))
    return pages


def build_settings_page() -> str:
    """The operator's own settings."""
    rows = [
        (code(f"NAVARCH_{name.upper()}"), code(str(field.default)), escape(field.description or ""))
        for name, field in Settings.model_fields.items()
    ]
    return (
        "# Settings of the operator\n\n"
        "Environment variables of the operator's container, with their defaults. They say how the process\n"
        "runs, never how a mesh looks.\n\n" + build_table(["variable", "default", "meaning"], rows)
    )


UNITS: Mapping[str, str] = {
    "navarch_active_workers": "reconciles",
    "navarch_condition": "0 or 1",
    "navarch_gateway_api_not_installed": "0 or 1",
    "navarch_installation_missing_objects": "objects",
    "navarch_leader_election_master_status": "0 or 1",
    "navarch_max_concurrent_reconciles": "reconciles",
    "navarch_process_max_fds": "file descriptors",
    "navarch_process_open_fds": "file descriptors",
    "navarch_proxies": "proxies",
    "navarch_members": "namespaces",
    "navarch_rollout_phase": "0 or 1",
    "navarch_rollout_workloads": "workloads",
    "navarch_statuses_held_back": "objects",
    "navarch_unmeasured_objects": "objects",
    "navarch_root_rotation_phase": "0 or 1",
    "navarch_upgrade_phase": "0 or 1",
    "navarch_approval_pending": "0 or 1",
    "navarch_member_proxies": "proxies",
    "navarch_watch_left_out_objects": "objects",
    "navarch_workqueue_depth": "keys",
    "navarch_workqueue_unfinished_work_seconds": "seconds",
}
"""Units of metrics whose name does not end in one."""
_METRICS = """# Metrics

Served at `/metrics` of port 8443, to those who may read them: [monitor Navarch](../how-to/monitor.md). Labels
that name an object of yours have as many values as there are such objects, of each kind at most 128 in a
namespace; all others have a fixed set.

"""


def build_metrics_page() -> str:
    """Every metric of the operator."""
    rows = [
        (
            code(name_exposed(metric)),
            metric.type,
            determine_unit(metric),
            ", ".join(map(code, labels)),
            escape(metric.documentation),
        )
        for metric, labels in list_metrics()
    ]
    return _METRICS + build_table(["metric", "type", "unit", "labels", "meaning"], rows)


def determine_unit(metric: Metric) -> str:
    """What a sample counts or measures. Raises KeyError where neither name nor table says it."""
    for unit in ("seconds", "bytes", "pods"):
        if metric.name.endswith(f"_{unit}"):
            return unit
    return "count" if metric.type == "counter" else UNITS[metric.name]


def name_exposed(metric: Metric) -> str:
    """The name under which a metric is read."""
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def list_metrics() -> Iterator[tuple[Metric, Sequence[str]]]:
    """Every metric with its labels."""
    kinds = (MetricWrapperBase, metrics.CountedElsewhere, Conditions, Series)
    for collector in vars(metrics).values():
        if isinstance(collector, kinds):
            for metric in collector.describe():
                yield metric, collector._labelnames
    for metric in metrics.process.collect():
        yield metric, ()


def build_commands_page() -> str:
    """The `navarch` command, as its own help says it."""
    pages = ["# The navarch command\n"]
    for name, command in _list_commands(typer.main.get_command(commands.app)):
        pages.append(f"\n## navarch {name}\n\n{command.help}\n\n")
        rows = [
            (code(", ".join(option.opts)), escape(getattr(option, "help", None) or ""))
            for option in command.params
            if "--help" not in option.opts
        ]
        if rows:
            pages.append(build_table(["option", "meaning"], rows))
    pages.append(
        "\n## Exit codes\n\n" + build_table(["code", "meaning"], [(str(e.value), e.doc) for e in Exit])
    )
    return "".join(pages)


def _list_commands(group: Any) -> Iterator[tuple[str, Any]]:
    """Every command by its words, those of a group after the group itself."""
    for name, command in sorted(getattr(group, "commands", {}).items()):
        yield name, command
        yield from ((f"{name} {below}", each) for below, each in _list_commands(command))
