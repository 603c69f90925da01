"""The objects of one mesh: what the stores have, and what the API server has beyond that.

Owns the list of kinds that are searched. Must never count an object as a mesh's by another rule than
model/labels. Invariant: what find_unseen() returns is in the stores afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from navarch.core.model.labels import MESH_NAME, MESH_NAMESPACE, Owner
from navarch.core.model.refs import Manifest
from navarch.gather.watches import OWNED_KINDS, WATCHES, WEBHOOK_KINDS
from navarch.kube.client import Client
from navarch.kube.errors import Unserved
from navarch.kube.resources import Resource, resource_of
from navarch.kube.store import Store
from navarch.kube.weight import build_frame


class OwnedReader:
    """Finds the objects of meshes in `stores`, and at the API server by `client`."""

    def __init__(self, client: Client, stores: Mapping[str, Store]) -> None:
        self._client = client
        self._stores = stores

    def objects(self, owner: Owner) -> Iterator[Manifest]:
        """What the mesh owns, but for its MeshRevisions and Istio's CRDs."""
        for kind in (*(kind for _, kind in OWNED_KINDS), *WEBHOOK_KINDS):
            store = self._stores[kind]
            near = store.list(owner.namespace if store.resource.namespaced else None)
            yield from (o for o in near if owner.owns(o))

    def revisions(self, owner: Owner) -> tuple[Manifest, ...]:
        """The mesh's MeshRevisions."""
        return tuple(r for r in self._stores["revisions"].list(owner.namespace) if owner.owns(r))

    async def find_unseen(self, owner: Owner) -> tuple[Manifest, ...]:
        """What the API server has of a mesh beyond what the stores know; written through, so that the next
        look sees it. Of each object the frame is returned, which says whose it is. One request for each
        kind: for the end of a mesh only."""
        selector = f"{MESH_NAMESPACE}={owner.namespace},{MESH_NAME}={owner.name}"
        found: list[Manifest] = []
        for watch in WATCHES:
            if watch.name not in (*WEBHOOK_KINDS, *(kind for _, kind in OWNED_KINDS), "revisions"):
                continue
            resource = resource_of(watch.api_version, watch.kind)
            namespace = owner.namespace if resource.namespaced else ""
            store = self._stores[watch.name]

            def keep(manifest: dict[str, Any], store: Store = store) -> dict[str, Any]:
                frame = build_frame(manifest)
                store.observe(manifest)
                return frame

            try:
                listing = await self._client.list(
                    resource, namespace=namespace, label_selector=selector, limit=watch.page, keep=keep
                )
            except Unserved:
                if resource.builtin or self.is_installed(resource):
                    raise
                continue
            found += listing.items
        return tuple(found)

    def is_installed(self, resource: Resource) -> bool:
        """Whether the cluster has the CRD of a kind: then a 404 does not mean that there are no objects."""
        name = f"{resource.plural}.{resource.group}"
        return any(crd["metadata"]["name"] == name for crd in self._stores["crds"].list())
