"""`navarch ca rotate` and `ca status`: another root for a mesh, and how far it is.

Owns the one write of the first: annotations of a mesh. Must never say when it will be done: the operator goes
by what proxies show. The second reads the mesh's status and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import typer

from navarch.api.authority import MANAGED
from navarch.api.meta import ROOT_GENERATION, ROOT_STRATEGY
from navarch.cli.inputs import InputError
from navarch.cli.meshes import annotate, check_version, find_mesh
from navarch.core.model.refs import Manifest, ref_of
from navarch.core.trust.rotation import Strategy
from navarch.kube.client import Client
from navarch.kube.credentials import load_credentials
from navarch.survey.session import Target


async def rotate(target: Target, name: str, *, namespace: str, to: int, emergency: bool) -> str:
    """Ask for root `to`, 0 for the one after the present one, and say what that is. Raises InputError where
    there is nothing to ask for, and KubeError where the mesh cannot be read or written."""
    credentials = await load_credentials(target.kubeconfig, context=target.context)
    async with Client(credentials, user_agent="navarch-cli") as client:
        mesh = await find_mesh(client, name, namespace)
        authority = read_authority(mesh)
        present = int((authority.get("root") or {}).get("generation") or 0)
        if not present:
            raise InputError(f"{ref_of(mesh)}: its root is not known yet; try again in a minute")
        going = authority.get("rotation") or {}
        if going and emergency:
            to = to or int(going["to"])
        if going and not to:
            raise InputError(
                f"{ref_of(mesh)}: root {going['to']} is already being rotated in; --to chooses another"
            )
        wanted = str(to or present + 1)
        annotations = mesh["metadata"].get("annotations") or {}
        operations = annotate(mesh, ROOT_GENERATION, wanted)
        if emergency:
            operations += annotate(mesh, ROOT_STRATEGY, Strategy.EMERGENCY)[-1:]
        elif ROOT_STRATEGY in annotations:
            path = f"/metadata/annotations/{ROOT_STRATEGY.replace('/', '~1')}"
            operations.append({"op": "remove", "path": path})
        await client.patch(ref_of(mesh), [check_version(mesh), *operations])
        how = (
            "at once, without waiting for proxies" if emergency else "step by step, and waits for every proxy"
        )
        return f"{ref_of(mesh)}: root {wanted} is asked for; the mesh goes there {how}"


async def look(target: Target, name: str, *, namespace: str) -> Manifest:
    """The mesh. Raises InputError and KubeError."""
    credentials = await load_credentials(target.kubeconfig, context=target.context)
    async with Client(credentials, user_agent="navarch-cli") as client:
        return await find_mesh(client, name, namespace)


def read_authority(mesh: Manifest) -> dict[str, Any]:
    """status.certificateAuthority. Raises InputError where Navarch does not keep the authority."""
    authority = dict((mesh.get("status") or {}).get("certificateAuthority") or {})
    if authority.get("type") != MANAGED:
        raise InputError(f"{ref_of(mesh)}: spec.certificateAuthority.type is not {MANAGED}")
    return authority


def build_lines(mesh: Manifest) -> Iterator[str]:
    """The authority as a tree, and the way to another root. Raises InputError."""
    authority = read_authority(mesh)
    root, intermediate = authority.get("root"), authority.get("intermediate")
    yield f"{ref_of(mesh)}"
    if root:
        yield f"  root {root.get('generation', 1)}  {_tell(root)}, {root['origin'].lower()}"
    if intermediate:
        yield f"    intermediate  {_tell(intermediate)}"
    if rotation := authority.get("rotation"):
        trusted = " and ".join(map(str, rotation["trusted"]))
        yield f"  root {rotation['from']} -> root {rotation['to']}: {rotation['phase']}"
        yield f"    signs: root {rotation['signing']}; trusted: {trusted}"
        yield f"    waits for: {rotation['waitingFor']}"


def _tell(certificate: dict[str, Any]) -> str:
    return (
        f"{certificate['subject']}, {certificate['algorithm']}, ends {certificate['notAfter']}, "
        f"SHA-256 {certificate['fingerprint'][:16]}…"
    )


def print_lines(mesh: Manifest) -> None:
    """For people."""
    for line in build_lines(mesh):
        typer.echo(line)


def print_json(mesh: Manifest) -> None:
    """The same as JSON."""
    typer.echo(json.dumps(read_authority(mesh), indent=2, sort_keys=True))
