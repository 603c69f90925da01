"""docs/reference/support.md: on which Kubernetes and Istio which tests have passed.

Owns the form of that page. Must never say more than tests/support.json does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from navarch.core.istio.catalog import Minor

from lab.builds import kubernetes_modules
from scripts.markdown import build_table, code
from scripts.suite.parts import PARTS, find_part
from scripts.suite.support import Seen
from tests.support.platforms import ALONE, STAND_IN, WHOLE

NONE = "no run recorded"


def build_support_page(seen: Seen, minors: Iterable[Minor]) -> str:
    """The tables of both."""
    kubernetes = [f"Kubernetes {minor}" for minor in kubernetes_modules()]
    parts = [part for part in PARTS if any(_count(seen.get(name, {}), part) for name in kubernetes)]
    whole = [
        [name.split()[1], *(_count(seen.get(name, {}), p) or NONE for p in parts)] for name in kubernetes
    ]
    istio = [
        [minor.name, *(_list_files(seen.get(f"Istio {minor.name}, {manner}", {})) for manner in MANNERS)]
        for minor in minors
    ]
    return (
        "# What was run on what\n\n"
        f"Made of {code('tests/support.json')}, which runs of the tests write (`make support`). A file of\n"
        "tests counts when all of its tests ran and none failed. What is said of each version beyond that\n"
        "is in [versions](../explanation/versions.md).\n\n"
        "## Kubernetes\n\nTests that have passed, and of how many files, by [suite]"
        "(../explanation/architecture.md#tests).\n\n"
        + build_table(["Kubernetes", *parts], whole)
        + "\n## Istio\n\nFiles of tests in which a mesh of this minor was ready, or an istiod of it ran.\n\n"
        + build_table(["Istio", *(f"with {manner}" for manner in MANNERS)], istio)
    )


MANNERS = (STAND_IN, ALONE, WHOLE)


def _count(files: Mapping[str, int], part: str) -> str:
    """Tests and files of a suite; empty where there is none."""
    own = {file: count for file, count in files.items() if find_part(file) == part}
    return f"{sum(own.values())} in {len(own)} file{'s' if len(own) > 1 else ''}" if own else ""


def _list_files(files: Mapping[str, int]) -> str:
    """The files, by suite."""
    parts: dict[str, list[str]] = {}
    for file in sorted(files):
        parts.setdefault(find_part(file), []).append(code(file.rpartition("/")[2].removesuffix(".py")))
    return "<br>".join(f"{part}: {', '.join(names)}" for part, names in sorted(parts.items())) or NONE
