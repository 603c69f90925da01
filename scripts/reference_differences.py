"""docs/reference/differences.md: the table of tests/upstream, and what was compared.

Owns the form of that page. Must never say anything that the table and the wishes do not.
"""

from __future__ import annotations

import yaml

from lab.builds import ISTIO_LINES
from scripts.markdown import build_table, code, escape
from tests.upstream.combinations import COMBINATIONS, Combination
from tests.upstream.comparison import NAMESPACE
from tests.upstream.differences import ANY, DIFFERENCES, OBJECT
from tests.upstream.injected_differences import DEPLOYED, INJECTED


def build_differences_page() -> str:
    """What is rendered differently from upstream's installer."""

    def show(value: str | None) -> str:
        if value is None or value == ANY:
            return "nothing" if value is None else "a value"
        return code(value or '""') if value != OBJECT else "there"

    rows = [
        [
            code(row.where),
            code(row.path) if row.path else "",
            ", ".join(row.minors) or "all",
            show(row.upstream),
            show(row.ours),
            escape(row.reason) + (f" ({escape(row.when)})" if row.when else ""),
        ]
        for row in DIFFERENCES
    ]
    return (
        "# Differences from upstream\n\n"
        "Navarch renders an istiod by its own templates. The suite `tests/upstream` asks Istio's installer\n"
        "(`istioctl manifest generate`) and Navarch for the same meshes, in many combinations of settings,\n"
        "and compares what the objects mean: quantities as numbers, lists by the names of their items,\n"
        "texts that hold YAML or JSON as what they hold, what the API server fills in. What istiod may do\n"
        "is compared one permission at a time, whichever roles grant it. This is all that differs, for\n"
        f"Istio {' and '.join(line.minor for line in ISTIO_LINES)}. Objects are named by kind and role, "
        "without revision, tag (`TAG`) and\n"
        "namespace; `*` is any text; the tests' mesh has tag `blue` and is in namespace `north`. Injection\n"
        "templates are not compared as texts, but by what\n"
        "istiod makes with them, [below](#what-istiod-makes-with-our-templates).\n\n"
        + build_table(["Object", "Field", "Istio", "Upstream", "Navarch", "Why"], rows)
        + _build_made_section()
        + "\n## What was compared\n\nEach wish as it is said to either side, beside names and version.\n"
        + "".join(map(_build_wish, COMBINATIONS))
    )


def _build_made_section() -> str:
    """What istiod makes differently with our injection templates."""
    groups = (("pod", INJECTED), ("Gateway's", DEPLOYED))
    rows = [
        [group, code(row.among), code(row.where), row.what, escape(row.reason)]
        for group, table in groups
        for row in table
    ]
    return (
        "\n## What istiod makes with our templates\n\n"
        "The same suite runs the real istiod as a process, with the configuration of either side, has it\n"
        "inject the pods of Istio's own tests and deploy Gateways of every class in many settings, and\n"
        "compares what came of it. This is all that differs; the second column says in which of the\n"
        "suite's pods, or objects of Gateways.\n\n"
        + build_table(["Of a", "Called", "Field", "There", "Why"], rows)
    )


def _build_wish(wish: Combination) -> str:
    """One wish that was compared, in upstream's words and in ours."""
    where = f"In namespace `{wish.namespace}`. " if wish.namespace != NAMESPACE else ""
    if wish.parts:
        return f"\n### {wish.name}\n\n{where}All of: {', '.join(wish.parts)}.\n"
    halves = [
        f"{title}:\n\n```yaml\n{yaml.safe_dump(dict(spec), sort_keys=False, default_flow_style=None)}```\n"
        for title, spec in (
            ("In an IstioOperator", wish.upstream),
            ("In a MeshControlPlane", wish.ours),
        )
        if spec
    ]
    return f"\n### {wish.name}\n\n{where or ''}" + "\n".join(halves or ["Nothing but names and version.\n"])
