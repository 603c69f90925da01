"""What we write on the users' own objects: status and finalizer, nothing else.

Owns the field managers `navarch-status` and `navarch-finalizer`. Must never create an object: every write
names the uid of the object that was seen. Invariant: after `remove_finalizer` the finalizer is gone, with
any owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from navarch.core.model.labels import FINALIZER
from navarch.core.model.refs import Manifest, ref_of
from navarch.kube.client import Client, Object
from navarch.kube.errors import Conflict, NotFound

STATUS_MANAGER = "navarch-status"
FINALIZER_MANAGER = "navarch-finalizer"


async def apply_status(client: Client, parent: Manifest, status: Mapping[str, Any]) -> Object:
    """Write the whole status of `parent` and return the object; the caller has seen that it differs.

    Raises NotFound or Conflict when the object is not the one that was seen any more.
    """
    body = {**_identity(parent), "status": status}
    return await client.apply(body, manager=STATUS_MANAGER, force=True, subresource="status")


async def add_finalizer(client: Client, parent: Manifest) -> Object:
    """Hold `parent` until we have cleaned up. Does nothing when it is held already, or being deleted."""
    if has_finalizer(parent) or parent["metadata"].get("deletionTimestamp"):
        return dict(parent)
    body = _identity(parent)
    body["metadata"]["finalizers"] = [FINALIZER]
    return await client.apply(body, manager=FINALIZER_MANAGER, force=True)


async def remove_finalizer(client: Client, parent: Manifest) -> None:
    """Let `parent` go. Raises Conflict or Invalid when the object changed meanwhile: look again."""
    if not has_finalizer(parent):
        return
    try:
        left = await client.apply(_identity(parent), manager=FINALIZER_MANAGER, force=True)
        if has_finalizer(left):
            # Another field manager owns the entry too (after a restored backup): giving it up was not enough.
            await client.patch(ref_of(left), _removal(left))
    except NotFound:
        return
    except Conflict:
        # Also the answer when the object is gone, or another one has its name.
        if await _is_still_there(client, parent):
            raise


async def _is_still_there(client: Client, parent: Manifest) -> bool:
    try:
        found = await client.get(ref_of(parent), metadata_only=True)
    except NotFound:
        return False
    return bool(found["metadata"]["uid"] == parent["metadata"]["uid"])


def has_finalizer(parent: Manifest) -> bool:
    """Whether we hold the object."""
    return FINALIZER in (parent["metadata"].get("finalizers") or ())


def _removal(parent: Manifest) -> list[dict[str, Any]]:
    metadata = parent["metadata"]
    kept = [name for name in metadata["finalizers"] if name != FINALIZER]
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        {"op": "replace", "path": "/metadata/finalizers", "value": kept},
    ]


def _identity(parent: Manifest) -> dict[str, Any]:
    metadata = parent["metadata"]
    named = {"name": metadata["name"], "namespace": metadata.get("namespace", ""), "uid": metadata["uid"]}
    return {
        "apiVersion": parent["apiVersion"],
        "kind": parent["kind"],
        "metadata": {key: value for key, value in named.items() if value},
    }
