"""docs/reference/checks.md: every id that `navarch check` can report, from the code.

Owns the form of that page. Must never say anything that the code does not. Invariant: every id that can be
reported has a heading of its own, so that a link can be made from the id.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.cli.exits import Exit
from navarch.core.diagnosis.advice import OF_REASONS
from navarch.core.diagnosis.advice.authority import OF_AUTHORITIES
from navarch.core.diagnosis.advice.form import Advice
from navarch.core.diagnosis.report import REPORT_VERSION
from navarch.core.diagnosis.signs import OF_SIGNS, Sign
from navarch.core.model.reasons import Reason

SCHEMA = (
    (
        "`schema`",
        "Version of this form. Fields may be added to it; a change of meaning makes a new version.",
    ),
    ("`navarch`, `kubernetes`", "Version of the command, and of the cluster."),
    ("`worst`", "The highest severity among the findings; `info` where there are none."),
    ("`counts`", "Findings by severity."),
    ("`meshes[]`", "What was looked at: `kind`, `namespace`, `name`."),
    (
        "`installations[]`",
        "Istios that Navarch did not install: `installer` (Helm, istioctl, Sail, Maistra or "
        "unknown), `namespace`, `name`, `revision`, `version`, `evidence` for the installer, "
        "and what it `shares` with our meshes.",
    ),
    ("`findings[].id`", "One of the ids below."),
    ("`findings[].severity`", "`error`, `warning` or `info`."),
    ("`findings[].subject`", "The object: `kind`, `namespace`, `name`."),
    ("`findings[].conditions`", "Conditions of the subject that say the same."),
    ("`findings[].field`, `.value`", "What of the user's own words it is about."),
    ("`findings[].message`, `.remedy`", "What is wrong, and what to do."),
)
"""Fields of the report and their meaning."""


def _build_entry(name: Reason | Sign, advice: Advice) -> str:
    example = advice.example.replace("`", "'")
    return (
        f"\n### {name.value}\n\n**{advice.severity.value.capitalize()}.** {name.doc}\n\n"
        f"What to do: {advice.remedy}\n\nFor example: `{example}`\n"
    )


def _build_parts() -> Iterator[str]:
    yield (
        "# Checks\n\nWhat `navarch check` can say. Every finding has an id that never changes. For a mesh "
        "it is the reason of the condition that says the same, and of the Event that told when it began: one "
        "word to search for, in the command's output, in `kubectl describe` and here. Where a condition says "
        "several things, its reason is the first one's, and the others' ids stand in its message.\n\n"
        "## Exit codes\n\n"
    )
    yield "| Code | Meaning |\n| --- | --- |\n"
    yield from (f"| {code.value} | {code.doc} |\n" for code in Exit)
    yield f"\n## The report of `-o json`, schema {REPORT_VERSION}\n\n| Field | Meaning |\n| --- | --- |\n"
    yield from (f"| {name} | {meaning} |\n" for name, meaning in SCHEMA)
    yield "\n## About a mesh\n\nThe reasons of its conditions.\n"
    of_meshes = {reason: advice for reason, advice in OF_REASONS.items() if reason not in OF_AUTHORITIES}
    yield from (_build_entry(reason, advice) for reason, advice in of_meshes.items())
    yield (
        "\n## About a certificate authority\n\nWhat `navarch ca verify` says of files or of a Secret. A "
        "finding of these has a remedy of its own, and where less harm is done a lower severity than here.\n"
    )
    yield from (_build_entry(reason, advice) for reason, advice in OF_AUTHORITIES.items())
    yield "\n## About the cluster\n\nNo object of Navarch's has a condition for these.\n"
    yield from (_build_entry(sign, advice) for sign, advice in OF_SIGNS.items())


def build_checks_page() -> str:
    """The page."""
    return "".join(_build_parts())
