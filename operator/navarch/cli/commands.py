"""The `navarch` command: which commands there are, and those that look at no cluster.

Owns their arguments and options; exit codes are cli/exits.py's. Must never hold logic of its own. Standard
output holds what was asked for, standard error everything else.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
import yaml

from navarch.api.meta import IMAGE
from navarch.cli import ca, cluster, upgrade
from navarch.cli.exits import Commands, Exit
from navarch.cli.options import BorrowAccount, Context, Kubeconfig, Output
from navarch.core.model.plain_yaml import PlainDumper
from navarch.telemetry.logs import configure_logging

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


@app.command()
def run(
    *, kubeconfig: Kubeconfig = None, context: Context = None, borrow_account: BorrowAccount = False
) -> None:
    """Run the operator; settings come from the environment (NAVARCH_*), and options go before them."""
    # What is imported stays: a collection meanwhile would find nothing.
    gc.disable()
    from navarch.app import App, PortUnusable
    from navarch.assets import MissingAssets
    from navarch.cli.inputs import InputError, find_unknown, load_settings
    from navarch.kube.credentials import NoCredentials

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
    except (MissingAssets, NoCredentials, PortUnusable) as error:
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
    yaml.dump_all(documents, sys.stdout, Dumper=PlainDumper, sort_keys=False, explicit_start=True, width=1000)


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
    openshift: Annotated[
        bool,
        typer.Option(
            "--openshift",
            help="Print the SecurityContextConstraints for pods with a sidecar instead, for OpenShift.",
        ),
    ] = False,
) -> None:
    """Print what installs Navarch: its CRDs, policies, RBAC and Deployment, as YAML."""
    from navarch.assets import MissingAssets
    from navarch.cli.inputs import InputError
    from navarch.cli.manifests import build

    try:
        objects = build(
            image=image,
            namespace=namespace,
            olm_v1_installer=olm_v1_installer,
            monitoring=monitoring,
            openshift=openshift,
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


app.command()(cluster.check)
app.command()(cluster.describe)
app.command()(cluster.plan)
app.command()(cluster.approve)
app.command()(cluster.rollback)
app.add_typer(upgrade.app, name="upgrade")
app.add_typer(ca.app, name="ca")
app.command(name="must-gather")(cluster.must_gather)


@app.command(name="convert-maistra")
def convert_maistra(
    file: Annotated[
        Path,
        typer.Option(
            "-f", "--file", help="File with objects of OpenShift Service Mesh 2; - for standard input."
        ),
    ],
    version_: Annotated[
        str,
        typer.Option(
            "--version", help="Version of Istio of the new mesh. Default: the newest supported minor."
        ),
    ] = "",
) -> None:
    """Print what ServiceMeshControlPlane, ServiceMeshMemberRoll and ServiceMeshMember become, as YAML.

    Standard error says of each field what became of it: `by hand` asks for something to be done, `changed`
    means something else than before, `dropped` loses nothing. No cluster is asked.
    """
    from navarch.assets import load_catalog
    from navarch.cli.convert import convert_text, tell_notes
    from navarch.cli.inputs import InputError, read_file

    try:
        conversion = convert_text(read_file(file), load_catalog(), version=version_)
    except InputError as error:
        typer.echo(f"navarch convert-maistra: {error}", err=True)
        raise typer.Exit(Exit.WARNINGS) from None
    for line in tell_notes(conversion):
        typer.echo(line, err=True)
    _print_all(conversion.objects)


@app.command()
def version() -> None:
    """Print the version of Navarch."""
    typer.echo(package_version("navarch"))
