"""The commands of `navarch upgrade`: `status`, `pause`, `resume`, `abort`.

Owns their arguments and options. Must never hold logic of its own.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from navarch.cli.cluster import build_target, log_to_stderr
from navarch.cli.exits import Commands, Exit, build_console, told
from navarch.cli.options import Context, Kubeconfig, OperatorNamespace, Output

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Follow an upgrade of a mesh, and steer it.")

Mesh = Annotated[str, typer.Argument(help="Name of the mesh.")]
Namespace = Annotated[
    str, typer.Option("-n", "--namespace", help="Namespace of the mesh. Default: all are searched.")
]


@app.command()
def status(
    mesh: Mesh,
    *,
    namespace: Namespace = "",
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Go on until it is done, or does not go on by itself."),
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, help="With --watch: for so many seconds at most.")
    ] = 3600,
    output: Annotated[Output, typer.Option("-o", "--output", help="Form of what is printed.")] = Output.TEXT,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    operator_namespace: OperatorNamespace = None,
) -> None:
    """Show how far an upgrade of a mesh is: revisions, proxies, and the workloads that Navarch restarts.

    It reads the mesh and nothing else, and writes nothing. The exit code says whether something is under way,
    or stands and waits for somebody.
    """
    from navarch.cli import progress

    log_to_stderr()
    with told("upgrade status"):
        target = build_target(kubeconfig, context, operator_namespace)
        if watch and output is Output.TEXT:
            found = asyncio.run(
                progress.watch(target, mesh, build_console(), namespace=namespace, seconds=timeout)
            )
        else:
            seconds = timeout if watch else 0
            found = asyncio.run(progress.wait(target, mesh, namespace=namespace, seconds=seconds))
            if output is Output.JSON:
                progress.print_json(found)
            else:
                progress.print_lines([*progress.build_lines(found)], build_console())
    raise typer.Exit(progress.determine_exit(found))


@app.command()
def pause(
    mesh: Mesh,
    *,
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    operator_namespace: OperatorNamespace = None,
) -> None:
    """Begin no more restarts of workloads: it sets `spec.upgrade.dataPlane.pause`.

    What was restarted already goes on.
    """
    _set_pause(mesh, namespace, kubeconfig, context, operator_namespace, wanted=True)


@app.command()
def resume(
    mesh: Mesh,
    *,
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    operator_namespace: OperatorNamespace = None,
) -> None:
    """Go on with restarts of workloads after `navarch upgrade pause`."""
    _set_pause(mesh, namespace, kubeconfig, context, operator_namespace, wanted=False)


@app.command()
def abort(
    mesh: Mesh,
    *,
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    operator_namespace: OperatorNamespace = None,
) -> None:
    """The same as `navarch rollback`: the mesh goes back to what was proved before, and proxies follow it."""
    from navarch.cli.rollback import roll_back

    log_to_stderr()
    with told("upgrade abort", blind=Exit.WARNINGS):
        target = build_target(kubeconfig, context, operator_namespace)
        typer.echo(asyncio.run(roll_back(target, mesh, namespace=namespace, retry=False)))


def _set_pause(
    mesh: str,
    namespace: str,
    kubeconfig: Kubeconfig,
    context: Context,
    operator_namespace: OperatorNamespace,
    *,
    wanted: bool,
) -> None:
    from navarch.cli.pause import set_pause

    log_to_stderr()
    with told("upgrade pause" if wanted else "upgrade resume", blind=Exit.WARNINGS):
        target = build_target(kubeconfig, context, operator_namespace)
        typer.echo(asyncio.run(set_pause(target, mesh, namespace=namespace, wanted=wanted)))
