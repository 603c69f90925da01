"""The commands of `navarch ca`: `verify`, `rotate`, `status`.

Owns their arguments and options. Must never hold logic of its own.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from navarch.cli.cluster import build_target, log_to_stderr
from navarch.cli.exits import Commands, Exit, build_console, told
from navarch.cli.options import Context, Kubeconfig, Output

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    help="Look at certificate authorities of meshes, and ask for another root.",
)


Mesh = Annotated[str, typer.Argument(help="Name of the mesh.")]
MeshNamespace = Annotated[
    str, typer.Option("-n", "--namespace", help="Namespace of the mesh. Default: all are searched.")
]


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


@app.command()
def rotate(
    mesh: Mesh,
    *,
    namespace: MeshNamespace = "",
    to: Annotated[
        int,
        typer.Option(
            "--to",
            min=0,
            help="Number of the root: a lower one leads back. Default: the one after the present one.",
        ),
    ] = 0,
    emergency: Annotated[
        bool,
        typer.Option(
            "--emergency",
            help="Go there at once: for a root whose key others have. Proxies that renewed their certificate "
            "and those that did not refuse each other, until all have: up to half of a certificate's life, "
            "12 hours unless set otherwise, or until you restart them.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before an emergency.")] = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Ask for another root of a mesh whose certificate authority Navarch keeps: it sets annotations of the
    mesh.

    The mesh goes there step by step, and no proxy loses trust on the way; `ca status` says how far it is.
    """
    from navarch.cli import rotate as command

    log_to_stderr()
    with told("ca rotate", blind=Exit.WARNINGS):
        if emergency and not yes:
            typer.confirm(
                "Proxies refuse each other until all have renewed their certificates. Go on?", abort=True
            )
        target = build_target(kubeconfig, context, None)
        asked = command.rotate(target, mesh, namespace=namespace, to=to, emergency=emergency)
        typer.echo(asyncio.run(asked))


@app.command()
def status(
    mesh: Mesh,
    *,
    namespace: MeshNamespace = "",
    output: Annotated[Output, typer.Option("-o", "--output", help="Form of what is printed.")] = Output.TEXT,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Show the certificate authority of a mesh, and how far another root is.

    It reads the mesh and nothing else, and writes nothing.
    """
    from navarch.cli import rotate as command

    log_to_stderr()
    with told("ca status"):
        target = build_target(kubeconfig, context, None)
        found = asyncio.run(command.look(target, mesh, namespace=namespace))
        (command.print_json if output is Output.JSON else command.print_lines)(found)
