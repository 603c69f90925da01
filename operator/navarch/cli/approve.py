"""`navarch approve`: lets a change that waits be carried out.

Owns the one write of the command: an annotation on a mesh. Must never approve what does not wait under the
hash that was named: between a look at a plan and its approval the spec may have changed.
"""

from __future__ import annotations

from navarch.api.controlplane import KIND
from navarch.api.meta import API_VERSION, APPROVED
from navarch.cli.inputs import InputError
from navarch.core.model.messages import join
from navarch.core.model.refs import Manifest, ref_of
from navarch.kube.client import Client
from navarch.kube.credentials import load_credentials
from navarch.kube.resources import resource_of
from navarch.survey.session import Target


async def approve(target: Target, name: str, wanted: str, *, namespace: str) -> str:
    """Approve the change of the hash `wanted`, and say what that is. Raises InputError where no such change
    waits, and KubeError where the mesh cannot be read or written."""
    credentials = await load_credentials(target.kubeconfig, context=target.context)
    async with Client(credentials, user_agent="navarch-cli") as client:
        mesh = await _find_mesh(client, name, namespace)
        plan = (mesh.get("status") or {}).get("plan") or {}
        if plan.get("hash") != wanted:
            raise InputError(_tell_difference(mesh, plan.get("hash", ""), wanted))
        pointer = "/metadata/annotations"
        key = APPROVED.replace("/", "~1")
        empty = [] if mesh["metadata"].get("annotations") else [{"op": "add", "path": pointer, "value": {}}]
        version = mesh["metadata"]["resourceVersion"]
        await client.patch(
            ref_of(mesh),
            [
                {"op": "test", "path": "/metadata/resourceVersion", "value": version},
                *empty,
                {"op": "add", "path": f"{pointer}/{key}", "value": wanted},
            ],
        )
        return f"{ref_of(mesh)}: {plan['change']}, Istio {plan['from']} to {plan['to']}: approved"


async def _find_mesh(client: Client, name: str, namespace: str) -> Manifest:
    resource = resource_of(API_VERSION, KIND)
    listing = await client.list(resource, namespace=namespace, field_selector=f"metadata.name={name}")
    where = f" in namespace {namespace}" if namespace else ""
    if not listing.items:
        raise InputError(f"there is no mesh {name}{where}")
    if len(listing.items) > 1:
        names = join(sorted(mesh["metadata"]["namespace"] for mesh in listing.items))
        raise InputError(f"there are meshes of the name {name} in {names}: choose one with -n")
    return listing.items[0]


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
