"""`navarch rollback`: has a mesh go back to what was proved before, or try what was given up once more.

Owns the one write of the command: a field of the spec, or an annotation, of a mesh. Must never say what the
operator will do: it decides by what is recorded.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from navarch.api.meta import RETRY
from navarch.cli.inputs import InputError
from navarch.cli.meshes import annotate, check_version, find_mesh
from navarch.core.model.moments import format_moment
from navarch.core.model.refs import Manifest, ref_of
from navarch.kube.client import Client
from navarch.kube.credentials import load_credentials
from navarch.survey.session import Target


async def roll_back(target: Target, name: str, *, namespace: str, retry: bool) -> str:
    """Write it, and say what that is. Raises InputError where there is nothing to write, and KubeError where
    the mesh cannot be read or written."""
    credentials = await load_credentials(target.kubeconfig, context=target.context)
    async with Client(credentials, user_agent="navarch-cli") as client:
        mesh = await find_mesh(client, name, namespace)
        asked = bool((mesh["spec"].get("upgrade") or {}).get("rollback"))
        if retry:
            now = format_moment(datetime.now(UTC))
            operations = [*annotate(mesh, RETRY, now), *(_write_field(mesh, wanted=False) if asked else ())]
            told = "what the spec asks for is tried again"
        elif asked:
            raise InputError(f"{ref_of(mesh)}: spec.upgrade.rollback is true already")
        else:
            operations = _write_field(mesh, wanted=True)
            told = (
                "it goes back to what was proved before, and stays there until spec.upgrade.rollback is unset"
            )
        await client.patch(ref_of(mesh), [check_version(mesh), *operations])
        return f"{ref_of(mesh)}: {told}"


def _write_field(mesh: Manifest, *, wanted: bool) -> list[dict[str, Any]]:
    """`spec.upgrade.rollback`, set or taken out."""
    path = "/spec/upgrade"
    if not wanted:
        return [{"op": "remove", "path": f"{path}/rollback"}]
    empty = [] if mesh["spec"].get("upgrade") else [{"op": "add", "path": path, "value": {}}]
    return [*empty, {"op": "add", "path": f"{path}/rollback", "value": True}]
