"""A mesh that a command is to write: found by its name, and changed only as it was seen.

Owns the parts of JSON patches that commands share. Must never write: the commands do.
"""

from __future__ import annotations

from typing import Any

from navarch.api.controlplane import KIND
from navarch.api.meta import API_VERSION
from navarch.cli.inputs import InputError
from navarch.core.model.messages import join
from navarch.core.model.refs import Manifest
from navarch.kube.client import Client
from navarch.kube.resources import resource_of


async def find_mesh(client: Client, name: str, namespace: str) -> Manifest:
    """The mesh of this name; in all namespaces where `namespace` is empty. Raises InputError where there is
    none, or more than one."""
    resource = resource_of(API_VERSION, KIND)
    listing = await client.list(resource, namespace=namespace, field_selector=f"metadata.name={name}")
    where = f" in namespace {namespace}" if namespace else ""
    if not listing.items:
        raise InputError(f"there is no mesh {name}{where}")
    if len(listing.items) > 1:
        names = join(sorted(mesh["metadata"]["namespace"] for mesh in listing.items))
        raise InputError(f"there are meshes of the name {name} in {names}: choose one with -n")
    return listing.items[0]


def check_version(mesh: Manifest) -> dict[str, Any]:
    """That the mesh is as it was read, as an operation of a patch."""
    version = mesh["metadata"]["resourceVersion"]
    return {"op": "test", "path": "/metadata/resourceVersion", "value": version}


def annotate(mesh: Manifest, key: str, value: str) -> list[dict[str, Any]]:
    """An annotation, as operations of a patch."""
    pointer = "/metadata/annotations"
    there = mesh["metadata"].get("annotations")
    empty = [] if there else [{"op": "add", "path": pointer, "value": {}}]
    return [*empty, {"op": "add", "path": f"{pointer}/{key.replace('/', '~1')}", "value": value}]
