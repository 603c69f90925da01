"""Navarch's own CRDs in the cluster, compared with those of this release.

Owns the few full reads that a metadata-only watch leaves open. Must never write. Invariant: a CRD is read
once for each resourceVersion.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from navarch.api.export import RESOURCES, build_crd
from navarch.api.meta import GROUP, VERSION, Resource
from navarch.core.istio.crds import find_missing
from navarch.core.model.refs import Manifest, Ref
from navarch.core.world.kinds import REMEDY, ServedKinds
from navarch.kube.client import Client
from navarch.kube.errors import NotFound
from navarch.kube.store import Store

log = structlog.get_logger(__name__)


class KindReader:
    """Tells what the cluster's CRDs of our kinds lack of this release's. `store` holds the metadata of all
    CRDs."""

    def __init__(self, client: Client, store: Store) -> None:
        self._client, self._store = client, store
        self._read: dict[str, tuple[str, str, Mapping[str, Any]]] = {}
        self._served = ServedKinds()

    async def gather(self) -> ServedKinds:
        """As the CRDs are now. Where one is not there nothing is served, and nothing is left out. Raises
        KubeError."""
        changed = [await self._look(resource) for resource in RESOURCES]
        if any(changed):
            outdated = {kind: row for kind, row in self._read.items() if row[1]}
            before, self._served = (
                self._served,
                ServedKinds(
                    tuple(lack for _, lack, _ in outdated.values()),
                    {kind: schema for kind, (_, _, schema) in outdated.items()},
                ),
            )
            if self._served.lacks:
                log.warning("Navarch's CRDs are of an older release", lacks=self._served.lacks, remedy=REMEDY)
            elif before.lacks:
                log.info("Navarch's CRDs are those of this release")
        return self._served

    async def _look(self, resource: Resource) -> bool:
        """Read a CRD where it is another one than last time; whether it was. Its schema takes half a MiB, and
        is kept only where it lacks something."""
        kind, name = resource.kind, f"{resource.plural}.{GROUP}"
        ref = Ref("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", name)
        stored = self._store.get(ref)
        version = stored["metadata"]["resourceVersion"] if stored else ""
        if version == self._read.get(kind, ("", "", {}))[0]:
            return False
        try:
            found = await self._client.get(ref) if stored else None
        except NotFound:
            found = None
        lack = find_missing(build_crd(resource), found) if found else ""
        schema = _read_schema(found) if lack else {}
        self._read[kind] = (version, f"{name} lacks {lack}" if lack else "", schema)
        return True


def _read_schema(crd: Manifest | None) -> Mapping[str, Any]:
    versions = {v["name"]: v for v in (crd or {"spec": {"versions": ()}})["spec"]["versions"]}
    schema: Mapping[str, Any] = versions.get(VERSION, {}).get("schema", {}).get("openAPIV3Schema", {})
    return schema
