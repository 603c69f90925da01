"""The commands that look at a cluster: `check`, `describe`, `plan`, `approve`, `rollback`, `must-gather`.

Owns their arguments and options. Must never hold logic of its own. Invariants: only `approve` and `rollback`
write; what went wrong while looking never looks like a report (`told`).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from navarch.cli.exits import Exit, build_console, told
from navarch.cli.options import Context, Kubeconfig, OperatorNamespace, Output, PlanOutput, TreeOutput
from navarch.telemetry.logs import configure_logging

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from navarch.core.diagnosis.node import Node
    from navarch.survey.session import Target


def log_to_stderr() -> None:
    """Log to standard error, so that log lines do not mix with the printed result."""
    configure_logging("error", as_json=False)


def build_target(kubeconfig: Path | None, context: str | None, operator_namespace: str | None) -> Target:
    """What the options of a command name; the rest by the settings of the environment."""
    from navarch.cli.inputs import load_settings
    from navarch.survey.session import Target

    settings = load_settings()
    return Target(
        kubeconfig or settings.kubeconfig,
        context,
        operator_namespace or settings.namespace,
        settings.probe_namespace,
    )


def check(
    mesh: Annotated[str, typer.Argument(help="Name of the mesh to check. Default: all of them.")] = "",
    *,
    namespace: Annotated[
        str, typer.Option("-n", "--namespace", help="Check this namespace only. Default: all of them.")
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option(
            "-f",
            "--file",
            help="File with meshes to check as if they were applied; - for standard input.",
        ),
    ] = None,
    for_version: Annotated[
        str,
        typer.Option(
            "--for-version",
            metavar="VERSION",
            help="Check the meshes as if their spec.version were this, with all that is worth knowing before "
            "such an upgrade.",
        ),
    ] = "",
    output: Annotated[Output, typer.Option("-o", "--output", help="Form of the report.")] = Output.TEXT,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    operator_namespace: OperatorNamespace = None,
) -> None:
    """Report what is wrong in a cluster and what to do: its meshes, Navarch itself, and other Istios.

    It reads the cluster once, needs no running operator, and writes nothing.

    Every finding has an id: the reason of the condition and Event about the same problem.
    docs/reference/checks.md lists all ids.

    Exit codes: 0 no warnings and no errors, 1 warnings, 2 errors, 3 not readable.
    """
    from navarch.cli import check as command
    from navarch.cli.inputs import parse_meshes, read_file
    from navarch.survey.checkup import Scope

    log_to_stderr()
    with told("check"):
        manifests = parse_meshes(read_file(file), namespace=namespace) if file else []
        target = build_target(kubeconfig, context, operator_namespace)
        upgrades = bool(for_version or manifests)
        scope = Scope(namespace, mesh, for_version, upgrades=upgrades)
        report = asyncio.run(command.check(target, scope, manifests))
        if output is Output.JSON:
            command.print_json(report)
        else:
            command.print_text(report, build_console())
    raise typer.Exit(command.determine_exit(report))


def describe(
    what: Annotated[
        str, typer.Argument(metavar="MESH", help="Name of the mesh, or `namespace/NAME`, or `pod/NAME`.")
    ],
    *,
    namespace: Annotated[
        str,
        typer.Option(
            "-n",
            "--namespace",
            help="Namespace of the mesh (default: all are searched), or of the pod.",
        ),
    ] = "",
    output: Annotated[TreeOutput, typer.Option("-o", "--output", help="Form of the tree.")] = TreeOutput.TEXT,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    operator_namespace: OperatorNamespace = None,
) -> None:
    """Show a mesh as a tree: revisions, components, proxies by workload, Events, and what is wrong where.

    `namespace/NAME` shows what a new pod of that namespace would get, by which webhook and why, and what its
    pods run; `pod/NAME` the same for one pod.

    It writes nothing. Problems have the ids of `navarch check`.

    The exit code says whether the mesh could be read, not whether it is ready.
    """
    from navarch.cli import describe as command

    printers = {
        TreeOutput.TEXT: lambda node: command.print_text(node, build_console()),
        TreeOutput.JSON: command.print_json,
        TreeOutput.YAML: command.print_yaml,
    }
    log_to_stderr()
    with told("describe"):
        target = build_target(kubeconfig, context, operator_namespace)
        printers[output](asyncio.run(_look(target, what, namespace=namespace)))


def _look(target: Target, what: str, *, namespace: str) -> Coroutine[None, None, Node]:
    """The look that `what` asks for."""
    from navarch.cli.inputs import InputError
    from navarch.survey.description import describe as describe_mesh
    from navarch.survey.placement import describe_namespace, describe_pod

    kind, slash, name = what.partition("/")
    if not slash:
        return describe_mesh(target, what, namespace=namespace)
    if kind == "namespace" and name and not namespace:
        return describe_namespace(target, name)
    if kind == "pod" and name and namespace:
        return describe_pod(target, name, namespace=namespace)
    raise InputError(f"{what}: give MESH, namespace/NAME, or pod/NAME with -n NAMESPACE")


def plan(
    mesh: Annotated[str, typer.Argument(help="Name of the mesh. Default: all of them.")] = "",
    *,
    namespace: Annotated[
        str, typer.Option("-n", "--namespace", help="Meshes of this namespace only. Default: all of them.")
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option(
            "-f", "--file", help="File with meshes to plan as if they were applied; - for standard input."
        ),
    ] = None,
    output: Annotated[PlanOutput, typer.Option("-o", "--output", help="Form of the plan.")] = PlanOutput.TEXT,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    operator_namespace: OperatorNamespace = None,
) -> None:
    """Show what would become of a mesh before it does: objects field by field, restarts, and the order of
    steps.

    It asks the API server by dry runs, needs no running operator, and writes nothing. Secrets are masked. The
    same plan twice is equal to the byte.

    Exit codes are those of `terraform plan -detailed-exitcode`: 0 nothing to do, 1 no plan, or one that
    cannot be carried out, 2 something to do.
    """
    from navarch.cli import plan as command
    from navarch.cli.inputs import parse_meshes, read_file
    from navarch.survey.checkup import Scope
    from navarch.survey.preview import preview

    printers = {
        PlanOutput.TEXT: lambda found: command.print_text(found, build_console()),
        PlanOutput.JSON: command.print_json,
        PlanOutput.YAML: command.print_yaml,
        PlanOutput.MARKDOWN: command.print_markdown,
    }
    log_to_stderr()
    with told("plan", blind=Exit.WARNINGS):
        manifests = parse_meshes(read_file(file), namespace=namespace) if file else []
        target = build_target(kubeconfig, context, operator_namespace)
        found = asyncio.run(preview(target, Scope(namespace, mesh), manifests))
        printers[output](found)
    raise typer.Exit(command.determine_exit(found))


def approve(
    mesh: Annotated[str, typer.Argument(help="Name of the mesh.")],
    plan_hash: Annotated[
        str,
        typer.Argument(metavar="HASH", help="Hash of the change that waits: `status.plan.hash`."),
    ],
    *,
    namespace: Annotated[
        str, typer.Option("-n", "--namespace", help="Namespace of the mesh. Default: all are searched.")
    ] = "",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    operator_namespace: OperatorNamespace = None,
) -> None:
    """Approve a change of a mesh that waits, as `spec.upgrade.approval` asks, by an annotation on the mesh.

    It approves that change and no other: where the spec has been edited since, nothing is written.
    """
    from navarch.cli import approve as command

    log_to_stderr()
    with told("approve", blind=Exit.WARNINGS):
        target = build_target(kubeconfig, context, operator_namespace)
        typer.echo(asyncio.run(command.approve(target, mesh, plan_hash, namespace=namespace)))


def rollback(
    mesh: Annotated[str, typer.Argument(help="Name of the mesh.")],
    *,
    retry: Annotated[
        bool,
        typer.Option(
            "--retry",
            help="Instead try what the spec asks for once more, and end a roll back by this command.",
        ),
    ] = False,
    namespace: Annotated[
        str, typer.Option("-n", "--namespace", help="Namespace of the mesh. Default: all are searched.")
    ] = "",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    operator_namespace: OperatorNamespace = None,
) -> None:
    """Have a mesh go back to what was proved before its present version and configuration, and stay there: it
    sets `spec.upgrade.rollback`.

    It needs the verb `host` on the mesh, as an edit of guarded fields does, and no approval. A mesh goes back
    by itself where a change is not proved in `spec.upgrade.progressDeadlineSeconds`; after that `--retry` has
    the same tried again.
    """
    from navarch.cli import rollback as command

    log_to_stderr()
    with told("rollback", blind=Exit.WARNINGS):
        target = build_target(kubeconfig, context, operator_namespace)
        typer.echo(asyncio.run(command.roll_back(target, mesh, namespace=namespace, retry=retry)))


def must_gather(
    *,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="File to write; `-` is standard output.")
    ] = Path("navarch-must-gather.tar.gz"),
    directory: Annotated[
        Path | None,
        typer.Option("--directory", help="Write the files into this directory instead, unpacked."),
    ] = None,
    namespaces: Annotated[
        list[str] | None,
        typer.Option(
            "-n",
            "--namespace",
            help="Namespace to read where you may not read all of them; may be given more than once.",
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, help="Seconds after which nothing is asked any more.")
    ] = 300,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    operator_namespace: OperatorNamespace = None,
) -> None:
    """Collect an archive for support: Navarch's objects, what it made, logs of the operator, of istiods and
    of gateways, webhooks, policies, events, and the report of `navarch check`. Works without an operator, and
    writes nothing to the cluster.

    Secrets are not read, and values that look like keys, tokens or passwords are masked. What could not be
    read is named in not-read.txt in the archive, and on standard error. The layout is that of `oc adm
    inspect`.
    """
    from navarch.cli import must_gather as command
    from navarch.survey.archive.limits import Limits

    log_to_stderr()
    with told("must-gather"):
        command.check_place(output=output, directory=directory)
        target = build_target(kubeconfig, context, operator_namespace)
        limits = Limits(seconds=timeout)
        folder = asyncio.run(command.gather(target, limits, places=tuple(namespaces or ())))
        if (written := command.save(folder, output=output, directory=directory)) is not None:
            typer.echo(written)
        if folder.missing:
            typer.echo(f"navarch must-gather: {command.tell_missing(folder)}", err=True)
