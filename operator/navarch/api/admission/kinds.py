"""The policy on our own CustomResourceDefinitions: an older release does not take a newer one's place.

Owns what is refused of writes to them. If an older release were installed over a newer one (OLM replaces
CRDs by those of its bundle), each object would lose at its next write the fields that only the newer knows.
Must never refuse a CRD without the release's annotation, which is how an administrator goes back on purpose.
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.api.admission.cel import Validation, build_policy
from navarch.api.meta import RELEASE, JSONObject

_FORM = "^[0-9]{1,5}[.][0-9]{1,3}[.][0-9]{1,3}(-.*)?$"
_SAID = "{0}.metadata.?annotations[?'" + RELEASE + "'].orValue('')"
_PART = "int(variables.{0}.split('-')[0].split('.')[{1}])"


def build_kinds_policy(names: Iterable[str]) -> list[JSONObject]:
    """A CustomResourceDefinition of these names stays that of the newest release that wrote it."""
    said = {"there": _SAID.format("oldObject"), "asked": _SAID.format("object")}

    def number(which: str) -> str:
        major, minor, patch = (_PART.format(which, part) for part in range(3))
        return f"{major} * 1000000 + {minor} * 1000 + {patch}"

    policy, binding = build_policy(
        "kinds",
        operations=("UPDATE",),
        resources=("customresourcedefinitions",),
        conditions=[
            {"name": f"{name}-says-its-release", "expression": f"{value}.matches('{_FORM}')"}
            for name, value in said.items()
        ],
        variables=said,
        validations=[
            Validation(
                f"{number('asked')} >= {number('there')}",
                where=f"metadata.annotations[{RELEASE}]",
                shown=f"'metadata.annotations[{RELEASE}]: ' + variables.asked "
                "+ ' (' + variables.there + ' is there)'",
                why="this kind is a newer Navarch's, and fields that only it knows would be lost; install "
                "that release or a newer one, or go back on purpose after `kubectl annotate crd NAME "
                f"{RELEASE}-`",
                reason="Forbidden",
            )
        ],
    )
    rule = policy["spec"]["matchConstraints"]["resourceRules"][0]
    rule |= {"apiGroups": ["apiextensions.k8s.io"], "resourceNames": sorted(names), "scope": "Cluster"}
    return [policy, binding]
