"""`navarch approve`: lets a change that waits be carried out.

Owns the one write of the command: an annotation on a mesh. Must never approve what does not wait under the
hash that was named: between a look at a plan and its approval the spec may have changed.
"""

from __future__ import annotations

from navarch.api.meta import APPROVED
from navarch.cli.inputs import InputError
from navarch.cli.meshes import annotate, check_version, find_mesh
from navarch.core.model.refs import Manifest, ref_of
from navarch.kube.client import Client
from navarch.kube.credentials import load_credentials
from navarch.survey.session import Target


async def approve(target: Target, name: str, wanted: str, *, namespace: str) -> str:
    """Approve the change of the hash `wanted`, and say what that is. Raises InputError where no such change
    waits, and KubeError where the mesh cannot be read or written."""
    credentials = await load_credentials(target.kubeconfig, context=target.context)
    async with Client(credentials, user_agent="navarch-cli") as client:
        mesh = await find_mesh(client, name, namespace)
        plan = (mesh.get("status") or {}).get("plan") or {}
        if plan.get("hash") != wanted:
            raise InputError(_tell_difference(mesh, plan.get("hash", ""), wanted))
        await client.patch(ref_of(mesh), [check_version(mesh), *annotate(mesh, APPROVED, wanted)])
        return f"{ref_of(mesh)}: {plan['change']}, Istio {plan['from']} to {plan['to']}: approved"


def _tell_difference(mesh: Manifest, waiting: str, wanted: str) -> str:
    if not waiting:
        approved = (mesh["metadata"].get("annotations") or {}).get(APPROVED) == wanted
        return f"{ref_of(mesh)}: " + (
            f"{wanted} is approved already" if approved else "no change waits for an approval"
        )
    return (
        f"{ref_of(mesh)}: the change that waits is {waiting} and not {wanted}: the spec, or what runs, has "
        "changed; look at the plan again"
    )
