"""docs/reference/differences.md: the table of tests/upstream, and what was compared.

Owns the form of that page. Must never say anything that the table and the wishes do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from lab.builds import ISTIO_LINES
from scripts.markdown import build_table, code, escape
from tests.upstream.combinations import COMBINATIONS, Combination
from tests.upstream.comparison import NAMESPACE
from tests.upstream.differences import ANY, DIFFERENCES, OBJECT, Difference
from tests.upstream.gateway_charts import WISHES, GatewayWish
from tests.upstream.gateway_differences import GATEWAY_DIFFERENCES
from tests.upstream.injected_differences import DEPLOYED, INJECTED


def build_differences_page() -> str:
    """What is rendered differently from upstream's installer."""

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
        + _build_rows(DIFFERENCES)
        + _build_made_section()
        + "\n## What a MeshGateway has otherwise than the public gateway chart\n\n"
        "The same suite renders Istio's chart `gateway` and a MeshGateway, named `public`, for the same\n"
        "gateways, and compares them in the same way. This is all that differs.\n\n"
        + _build_rows(GATEWAY_DIFFERENCES)
        + "\n## What was compared\n\nEach wish as it is said to either side, beside names and version.\n"
        + "".join(map(_build_wish, COMBINATIONS))
        + "".join(map(_build_gateway_wish, WISHES))
    )


def _build_rows(table: Iterable[Difference]) -> str:
    """A table of differences between renderings."""

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
        for row in table
    ]
    return build_table(["Object", "Field", "Istio", "Upstream", "Navarch", "Why"], rows)


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
    halves = (("In an IstioOperator", wish.upstream), ("In a MeshControlPlane", wish.ours))
    return f"\n### {wish.name}\n\n{where or ''}{_build_halves(halves)}"


def _build_gateway_wish(wish: GatewayWish) -> str:
    """One gateway that was compared."""
    halves = (("In values of the chart", wish.upstream), ("In a MeshGateway", wish.ours))
    return f"\n### A gateway: {wish.name}\n\n{_build_halves(halves)}"


def _build_halves(halves: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    said = [
        f"{title}:\n\n```yaml\n{yaml.safe_dump(dict(spec), sort_keys=False, default_flow_style=None)}```\n"
        for title, spec in halves
        if spec
    ]
    return "\n".join(said or ["Nothing but names and version.\n"])
