"""`navarch upgrade pause` and `resume`: whether more workloads are restarted.

Owns the one write of both: a field of the spec of a mesh. Must never stop what has begun.
"""

from __future__ import annotations

from navarch.api.dataplane import MANAGED
from navarch.cli.inputs import InputError
from navarch.cli.meshes import check_version, find_mesh
from navarch.core.model.refs import ref_of
from navarch.kube.client import Client
from navarch.kube.credentials import load_credentials
from navarch.survey.session import Target


async def set_pause(target: Target, name: str, *, namespace: str, wanted: bool) -> str:
    """Write it, and say what that is. Raises InputError where there is nothing to write, and KubeError where
    the mesh cannot be read or written."""
    credentials = await load_credentials(target.kubeconfig, context=target.context)
    async with Client(credentials, user_agent="navarch-cli") as client:
        mesh = await find_mesh(client, name, namespace)
        data_plane = (mesh["spec"].get("upgrade") or {}).get("dataPlane") or {}
        if data_plane.get("mode") != MANAGED:
            raise InputError(
                f"{ref_of(mesh)}: spec.upgrade.dataPlane.mode is not Managed: nothing is restarted"
            )
        if bool(data_plane.get("pause")) == wanted:
            raise InputError(f"{ref_of(mesh)}: spec.upgrade.dataPlane.pause is {str(wanted).lower()} already")
        path = "/spec/upgrade/dataPlane/pause"
        operation = {"op": "add", "path": path, "value": True} if wanted else {"op": "remove", "path": path}
        await client.patch(ref_of(mesh), [check_version(mesh), operation])
        told = "no more workloads are restarted; those that were go on" if wanted else "restarts go on"
        return f"{ref_of(mesh)}: {told}"
