"""Options that several commands have.

Owns their names and help. Must never read one: the commands do. Invariant: an option means the same for every
command.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Output(StrEnum):
    """Form of what is printed."""

    TEXT = "text"
    JSON = "json"


class TreeOutput(StrEnum):
    """Form of a tree."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


class PlanOutput(StrEnum):
    """Form of a plan."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    MARKDOWN = "markdown"


Kubeconfig = Annotated[
    Path | None,
    typer.Option("--kubeconfig", help="Kubeconfig to use. Default: $KUBECONFIG, else ~/.kube/config."),
]
Context = Annotated[
    str | None, typer.Option("--context", help="Context of the kubeconfig. Default: the current one.")
]
BorrowAccount = Annotated[
    bool,
    typer.Option(
        "--borrow-account",
        help="Act as the installed operator's own ServiceAccount, by tokens that the kubeconfig's user may "
        "ask for.",
    ),
]
OperatorNamespace = Annotated[
    str | None,
    typer.Option("--operator-namespace", help="Namespace of the operator; default: NAVARCH_NAMESPACE."),
]
