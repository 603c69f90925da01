"""The commands of `navarch ca`: `verify`.

Owns their arguments and options. Must never hold logic of its own.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from navarch.cli.cluster import build_target, log_to_stderr
from navarch.cli.exits import Commands, build_console, told
from navarch.cli.options import Context, Kubeconfig, Output

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Look at certificate authorities of meshes.")


@app.callback()
def _options() -> None:
    """Keeps `verify` a command of its own while there is no other."""


@app.command()
def verify(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|SECRET",
            help="A folder with files of the names that istiod reads, a file with a Secret or with "
            "certificates (- for standard input), or `secret/NAME` in the cluster.",
        ),
    ],
    *,
    namespace: Annotated[
        str,
        typer.Option(
            "-n",
            "--namespace",
            help="Namespace of the Secret and of its istiod; to be given for `secret/NAME`. Default: the one "
            "that a file names, else istio-system.",
        ),
    ] = "",
    trust_domains: Annotated[
        list[str] | None,
        typer.Option(
            "--trust-domain",
            help="Trust domain of the mesh; may be given more than once. Default: cluster.local.",
        ),
    ] = None,
    trusted: Annotated[
        str,
        typer.Option(
            "--trusted",
            metavar="FILE|SECRET",
            help="What the mesh trusts today, in the same forms: a new root must be told from it.",
        ),
    ] = "",
    output: Annotated[Output, typer.Option("-o", "--output", help="Form of the report.")] = Output.TEXT,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Check a certificate authority before istiod is given it: keys of the Secret, private key, chain, roots,
    dates, algorithms, names and revocation lists.

    It says what istiod would do with it, and what proxies would. It prints no private key, and without
    `secret/NAME` it asks no cluster. docs/reference/checks.md lists all ids.

    Exit codes: 0 no warnings and no errors, 1 warnings, 2 errors, 3 not readable.
    """
    from navarch.cli import authorities as command

    log_to_stderr()
    with told("ca verify"):
        target = build_target(kubeconfig, context, None)
        wanted = command.Wanted(source, namespace, tuple(trust_domains or ()), trusted)
        report = asyncio.run(command.verify(target, wanted))
        if output is Output.JSON:
            command.print_json(report)
        else:
            command.print_text(report, build_console())
    raise typer.Exit(command.determine_exit(report))
