"""The `navarch` command.

Owns arguments and options; exit codes are cli/exits.py's. Must never hold logic of its own. Standard output
holds what was asked for, standard error everything else.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer
import yaml

from navarch.api.meta import IMAGE
from navarch.cli.exits import Commands, Exit, build_console, told
from navarch.telemetry.logs import configure_logging

if TYPE_CHECKING:
    from navarch.survey.session import Target


class Output(StrEnum):
    """Form of what is printed."""

    TEXT = "text"
    JSON = "json"


class TreeOutput(StrEnum):
    """Form of a tree."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


app = typer.Typer(
    name="navarch",
    cls=Commands,
    help="Install, upgrade and check Istio service meshes.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def _options(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


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


@app.command()
def run(
    *, kubeconfig: Kubeconfig = None, context: Context = None, borrow_account: BorrowAccount = False
) -> None:
    """Run the operator; settings come from the environment (NAVARCH_*), and options go before them."""
    # What is imported stays: a collection meanwhile would find nothing.
    gc.disable()
    from kubernetes.aio.config import ConfigException

    from navarch.app import App, PortUnusable
    from navarch.assets import MissingAssets
    from navarch.cli.inputs import InputError, find_unknown, load_settings

    gc.enable()
    try:
        settings = load_settings()
        given = {"kubeconfig": kubeconfig, "context": context, "borrow_account": borrow_account}
        settings = settings.model_copy(update={key: value for key, value in given.items() if value})
    except InputError as error:
        typer.echo(f"navarch run: {error}", err=True)
        raise typer.Exit(Exit.WARNINGS) from None
    # One tenant's free-form object, nested as deeply as the API server allows (10,000 levels), must not make
    # reading a whole list fail for everybody.
    sys.setrecursionlimit(25_000)
    configure_logging(settings.log_level, as_json=settings.log_format == "json")
    for sentence in find_unknown(os.environ):
        structlog.get_logger(__name__).warning("a variable is ignored", why=sentence)
    try:
        asyncio.run(App(settings).run())
    except (MissingAssets, ConfigException, PortUnusable) as error:
        typer.echo(f"navarch run: {error}", err=True)
        raise typer.Exit(Exit.WARNINGS) from None
    except Exception:
        structlog.get_logger(__name__).critical("ended", exc_info=True)
        raise typer.Exit(Exit.WARNINGS) from None


@app.command()
def render(
    file: Annotated[
        Path, typer.Option("-f", "--file", help="File with a MeshControlPlane; - for standard input.")
    ],
    kubernetes_version: Annotated[
        str, typer.Option(help="Version of the cluster to render for; default: the newest tested one.")
    ] = "",
    profiles: Annotated[
        list[Path] | None,
        typer.Option(
            "--profile", help="File with a user profile (a ConfigMap); may be given more than once."
        ),
    ] = None,
    skip_crds: Annotated[bool, typer.Option("--skip-crds", help="Leave Istio's CRDs out.")] = False,
) -> None:
    """Print the objects that Navarch would create for a MeshControlPlane, as YAML, without a cluster.

    The ClusterRoles of its istiod come first; they are part of the installation of Navarch.
    """
    from navarch.assets import MissingAssets
    from navarch.cli.inputs import InputError, read_file
    from navarch.cli.render import render_mesh

    try:
        manifests, findings = render_mesh(
            read_file(file),
            kubernetes_version=kubernetes_version,
            profiles=[read_file(path) for path in profiles or ()],
            with_crds=not skip_crds,
        )
    except (InputError, MissingAssets, OSError) as error:
        typer.echo(f"navarch render: {error}", err=True)
        raise typer.Exit(Exit.WARNINGS) from None
    for finding in findings:
        typer.echo(f"navarch render: {finding.severity.value}: {finding}", err=True)
    _print_all(manifests)


def _print_all(documents: Iterable[Mapping[str, Any]]) -> None:
    yaml.dump_all(
        documents, sys.stdout, Dumper=yaml.CSafeDumper, sort_keys=False, explicit_start=True, width=1000
    )


@app.command()
def manifests(
    image: Annotated[str, typer.Option(help="Image of the operator.")] = IMAGE,
    namespace: Annotated[str, typer.Option(help="Namespace of the operator.")] = "navarch-system",
    olm_v1_installer: Annotated[
        bool,
        typer.Option(
            "--olm-v1-installer",
            help="Print the ServiceAccount for a ClusterExtension of OLM v1 instead, with the rights that "
            "installing the bundle takes.",
        ),
    ] = False,
    monitoring: Annotated[
        bool,
        typer.Option(
            "--monitoring",
            help="Print ServiceMonitor and PrometheusRule instead, for a cluster that has the Prometheus "
            "Operator's kinds.",
        ),
    ] = False,
) -> None:
    """Print what installs Navarch: its CRDs, policies, RBAC and Deployment, as YAML."""
    from navarch.assets import MissingAssets
    from navarch.cli.inputs import InputError
    from navarch.cli.manifests import build

    try:
        objects = build(
            image=image, namespace=namespace, olm_v1_installer=olm_v1_installer, monitoring=monitoring
        )
    except (InputError, MissingAssets) as error:
        typer.echo(f"navarch manifests: {error}", err=True)
        raise typer.Exit(Exit.WARNINGS) from None
    _print_all(objects)


@app.command()
def images(
    *,
    versions: Annotated[
        list[str] | None,
        typer.Option(
            "--version",
            help="Version of Istio, 1.31 (its newest patch) or 1.31.4; may be given more than once. Default: "
            "all that this release knows.",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also variants (debug, distroless) and agentgateway.")
    ] = False,
    output: Annotated[Output, typer.Option("-o", "--output", help="Form of the list.")] = Output.TEXT,
) -> None:
    """Print the images that meshes need, one per line, to copy them to a mirror."""
    from navarch.assets import load_catalog
    from navarch.cli.images import find_images
    from navarch.cli.inputs import InputError

    try:
        found = find_images(load_catalog(), versions or (), every=every)
    except InputError as error:
        typer.echo(f"navarch images: {error}", err=True)
        raise typer.Exit(Exit.WARNINGS) from None
    if output is Output.JSON:
        typer.echo(json.dumps({"images": found}, indent=2))
    else:
        typer.echo("\n".join(each["image"] for each in found))


OperatorNamespace = Annotated[
    str | None,
    typer.Option("--operator-namespace", help="Namespace of the operator; default: NAVARCH_NAMESPACE."),
]


def _log_to_stderr() -> None:
    """Log to standard error, so that log lines do not mix with the printed result."""
    configure_logging("error", as_json=False)


def _build_target(kubeconfig: Path | None, context: str | None, operator_namespace: str | None) -> Target:
    from navarch.cli.inputs import load_settings
    from navarch.survey.session import Target

    settings = load_settings()
    return Target(
        kubeconfig or settings.kubeconfig,
        context,
        operator_namespace or settings.namespace,
        settings.probe_namespace,
    )


@app.command()
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

    _log_to_stderr()
    with told("check"):
        manifests = parse_meshes(read_file(file), namespace=namespace) if file else []
        target = _build_target(kubeconfig, context, operator_namespace)
        report = asyncio.run(command.check(target, Scope(namespace, mesh), manifests))
        if output is Output.JSON:
            command.print_json(report)
        else:
            command.print_text(report, build_console())
    raise typer.Exit(command.determine_exit(report))


@app.command()
def describe(
    mesh: Annotated[str, typer.Argument(help="Name of the mesh.")],
    *,
    namespace: Annotated[
        str, typer.Option("-n", "--namespace", help="Namespace of the mesh. Default: all are searched.")
    ] = "",
    output: Annotated[TreeOutput, typer.Option("-o", "--output", help="Form of the tree.")] = TreeOutput.TEXT,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    operator_namespace: OperatorNamespace = None,
) -> None:
    """Show a mesh as a tree: revisions, components, proxies by workload, Events, and what is wrong where.

    It writes nothing. Problems have the ids of `navarch check`.

    The exit code says whether the mesh could be read, not whether it is ready.
    """
    from navarch.cli import describe as command
    from navarch.survey.description import describe as look

    printers = {
        TreeOutput.TEXT: lambda node: command.print_text(node, build_console()),
        TreeOutput.JSON: command.print_json,
        TreeOutput.YAML: command.print_yaml,
    }
    _log_to_stderr()
    with told("describe"):
        target = _build_target(kubeconfig, context, operator_namespace)
        tree = asyncio.run(look(target, mesh, namespace=namespace))
        printers[output](tree)


@app.command(name="must-gather")
def must_gather(
    *,
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write.")] = Path(
        "navarch-must-gather.tar.gz"
    ),
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

    _log_to_stderr()
    with told("must-gather"):
        command.check_place(output=output, directory=directory)
        target = _build_target(kubeconfig, context, operator_namespace)
        limits = Limits(seconds=timeout)
        folder = asyncio.run(command.gather(target, limits, places=tuple(namespaces or ())))
        typer.echo(command.save(folder, output=output, directory=directory))
        if folder.missing:
            typer.echo(f"navarch must-gather: {command.tell_missing(folder)}", err=True)


@app.command()
def version() -> None:
    """Print the version of Navarch."""
    typer.echo(package_version("navarch"))
