"""The page about who may write which field of a mesh, as Markdown.

Owns its form; decisions and reasons are api/power's. Invariant: equal tables give equal pages.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from navarch.api.power.hosting import FREE_WHEN_HOSTED
from navarch.api.power.meshconfig import MESH_CONFIG
from navarch.api.power.overlays import GATEWAY_FREE_PATCH, GATEWAY_GUARDED, GATEWAY_LIKE_PODS, Tree
from navarch.api.power.rules import WHOLE, Path, Power, Rule, Table
from navarch.api.power.spec import SPEC
from navarch.api.power.values import VALUES
from navarch.api.power.variables import GUARDED_VARIABLES

from scripts.markdown import build_table, code, escape

_INTRODUCTION = """# Who may write which field

A change of a mesh needs the verb `host` on `meshcontrolplanes/host` in its namespace, unless it is one of
a field that is free. Free is what was shown harmless: it runs no code, reads no file, mounts nothing,
changes no user, privilege or image, redirects neither trust nor discovery, moves no namespace, weakens no
authentication, and sends nothing of what workloads say elsewhere.
[What `host` amounts to](../explanation/security.md).

- What stands in no table here is guarded, fields that Istio does not have included.
- A free field that is limited is guarded with any other value; "absent" says that it may be taken away.
- Taking a guarded field away, or changing what is in it, needs `host` like adding it.
- `.**` is a field with everything below it.
- Both spellings of a field are known (`connectTimeout`, `connect_timeout`); a map in which only some fields
  are free is looked into in the first, and guarded as a whole in the second.
- To create a mesh needs `host`, since it makes an istiod; but for one with `hosting: Hosted`, which needs it
  for the fields that stand under [Hosted meshes](#hosted-meshes) neither free nor there.
- What is refused to everybody is on [a page of its own](refused.md).
- Pods' own annotations are not in question: they are their owner's power.
"""


def build_power_page() -> str:
    """Free and guarded fields, and variables."""
    variables: dict[str, list[str]] = {}
    for name, why in GUARDED_VARIABLES.items():
        variables.setdefault(why, []).append(name)
    rows = [[", ".join(map(code, names)), escape(why)] for why, names in variables.items()]
    return (
        _INTRODUCTION
        + "".join(
            _build_section(title, table)
            for title, table in {"spec": SPEC, "spec.meshConfig": MESH_CONFIG, "spec.values": VALUES}.items()
        )
        + _build_hosted_section()
        + _build_gateway_section()
        + "\n## Environment variables\n\nAll variables in `spec.controlPlane.environment` and in "
        "`spec.meshConfig.defaultConfig.proxyMetadata` are guarded, but for those that are free (above) or "
        "refused. Of those that Istio, its runtime and the dynamic loader read:\n\n"
        + build_table(["Variables", "Why"], rows)
    )


def _build_hosted_section() -> str:
    """What an editor of a hosted mesh may write besides."""
    return (
        "\n## Hosted meshes\n\nWith `hosting: Hosted` the control plane runs in a namespace that the mesh's "
        "editors cannot enter. To create\nsuch a mesh and to edit it, these need no `host` either; "
        "everything else that is guarded does:\n\n"
        + build_table(["Fields", "Limited to", "Why"], _build_rows(FREE_WHEN_HOSTED, Power.FREE))
    )


def _build_gateway_section() -> str:
    """What of a MeshGateway needs `host`, or the right to create pods."""
    rows, like_pods = (
        [[code(".".join(path)), escape(why)] for path, why in table.items()]
        for table in (GATEWAY_GUARDED, GATEWAY_LIKE_PODS)
    )
    free = "".join(
        f"- {kind}: {', '.join(code(path) for path in _list_leaves(tree))}\n"
        for kind, tree in GATEWAY_FREE_PATCH.items()
    )
    return (
        "\n## A MeshGateway\n\nAll fields of a MeshGateway's spec are free for whoever may write it, but for "
        "those of two lists. These need `host` in\nits namespace; in `spec.gateways` of a mesh they need it "
        "in the mesh's:\n\n"
        + build_table(["Fields", "Why"], rows)
        + "\nSo does each overlay that holds more than is listed here, since it decides what pods that hold "
        "the gateway's\naccount run, mount and reach:\n\n"
        + free
        + "\nThese need `create` on pods in the gateway's namespace, or `host` there; in `spec.gateways` of "
        "a mesh they need\none of both in the mesh's. They may be taken away without:\n\n"
        + build_table(["Fields", "Why"], like_pods)
    )


def _list_leaves(tree: Tree, above: str = "") -> Iterator[str]:
    for key, below in tree.items():
        path = f"{above}{key}"
        yield from _list_leaves(below, f"{path}.") if below else (path,)


def _build_section(title: str, table: Table) -> str:
    return f"\n## {title}\n" + "".join(
        f"\n{heading}:\n\n{build_table(columns, rows)}"
        for heading, columns, rows in (
            ("Free", ["Fields", "Limited to", "Why"], _build_rows(table, Power.FREE)),
            ("Guarded", ["Fields", "Why"], [[row[0], row[2]] for row in _build_rows(table, Power.GUARDED)]),
        )
        if rows
    )


def _build_rows(table: Table, power: Power) -> list[list[str]]:
    groups: dict[tuple[str, str], list[str]] = {}
    for path, rule in table.items():
        if rule.power is power:
            groups.setdefault((_describe_limit(rule), rule.why), []).append(_show(path, rule))
    return [[", ".join(paths), limit, escape(why)] for (limit, why), paths in groups.items()]


def _show(path: Path, rule: Rule) -> str:
    return code(".".join((*path, WHOLE) if rule.whole else path))


_KINDS: Mapping[type, str] = {bool: "true or false", int: "a whole number"}


def _describe_limit(rule: Rule) -> str:
    if rule.kind is not None:
        return _KINDS[rule.kind]
    shown = (
        "absent" if value is None else code(json.dumps(value).strip('"') or '""')
        for value in rule.allowed or ()
    )
    return ", ".join(shown)
