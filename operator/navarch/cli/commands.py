"""The `navarch` command.

Owns arguments and exit codes. Must never hold logic of its own. Exit code 1 means that the input is wrong, 2
that the command line is.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
import yaml

from navarch.api.meta import IMAGE
from navarch.settings import Settings
from navarch.telemetry.logs import configure_logging

app = typer.Typer(
    name="navarch",
    help="Owns the whole life of Istio service meshes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def run() -> None:
    """Run the operator; settings come from the environment (NAVARCH_*)."""
    from navarch.app import App

    settings = Settings()
    # One tenant's free-form object, nested as deeply as the API server allows (10,000 levels), must not make
    # reading a whole list fail for everybody.
    sys.setrecursionlimit(25_000)
    configure_logging(settings.log_level, as_json=settings.log_format == "json")
    try:
        asyncio.run(App(settings).run())
    except Exception:
        structlog.get_logger(__name__).critical("ended", exc_info=True)
        raise typer.Exit(1) from None


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
    """Print everything that a MeshControlPlane becomes, as YAML, without a cluster."""
    from navarch.cli.render import InputError, render_mesh

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        manifests = render_mesh(
            text,
            kubernetes_version=kubernetes_version,
            profiles=[path.read_text() for path in profiles or ()],
            with_crds=not skip_crds,
        )
    except (InputError, OSError) as error:
        typer.echo(f"navarch render: {error}", err=True)
        raise typer.Exit(1) from None
    _print_all(manifests)


def _print_all(documents: Iterable[Mapping[str, Any]]) -> None:
    yaml.dump_all(
        documents, sys.stdout, Dumper=yaml.CSafeDumper, sort_keys=False, explicit_start=True, width=1000
    )


@app.command()
def manifests(
    image: Annotated[str, typer.Option(help="Image of the operator.")] = IMAGE,
    namespace: Annotated[str, typer.Option(help="Namespace of the operator.")] = "navarch-system",
) -> None:
    """Print what installs Navarch: its CRDs, policies, RBAC and Deployment, as YAML."""
    from navarch.api.export import build_crds
    from navarch.api.install import build_install
    from navarch.assets import load_assets
    from navarch.core.grants import build_grants

    install = build_install(grants=build_grants(load_assets()), image=image, namespace=namespace)
    _print_all([*build_crds(), *install])


@app.command()
def version() -> None:
    """Print the version of Navarch."""
    typer.echo(package_version("navarch"))
