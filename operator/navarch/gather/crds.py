"""Istio's CRDs in the cluster: whose they are, whether they are established, whether foreign ones will do.

Owns the few full reads that a metadata-only watch leaves open. Must never keep a schema. Invariant: a CRD is
read in full once for each resourceVersion, and once more for each reconcile until it is established.
"""

from __future__ import annotations

from typing import Any

from navarch.core.istio.assets import Assets
from navarch.core.istio.catalog import Catalog
from navarch.core.istio.crds import find_missing, find_newest
from navarch.core.istio.gatewayapi import CHANNEL, STANDARD, VERSION, read_crd
from navarch.core.model.labels import APPLIED, CRD_MINOR, GATEWAY_API, MANAGED_BY
from navarch.core.model.refs import Manifest, Ref
from navarch.core.world.cluster import CRD, CRDOwner
from navarch.kube.client import Client
from navarch.kube.errors import NotFound
from navarch.kube.store import Store

LONGEST_VERSION = 63
"""Characters of what is kept of a version or a channel."""
_CRD = "apiextensions.k8s.io/v1", "CustomResourceDefinition"


def is_ours(manifest: Manifest) -> bool:
    """Whether a CRD was installed by Navarch, for whichever mesh."""
    return bool((manifest["metadata"].get("labels") or {}).get(MANAGED_BY) == "navarch")


def shrink_crd(manifest: Manifest) -> dict[str, Any]:
    """Of a CRD: its metadata, without most annotations of others: they hold whole schemas."""
    metadata = manifest["metadata"]
    annotations = metadata.get("annotations") or {}
    kept = {k: annotations[k] for k in (APPLIED, VERSION, CHANNEL) if k in annotations}
    few = {k: v if k == APPLIED else v[:LONGEST_VERSION] for k, v in kept.items()}
    return {**manifest, "metadata": {**metadata, "annotations": few}}


def read_gateway_api(store: Store, catalog: Catalog) -> dict[str, str]:
    """What Gateway API's CRDs say of their version, by plural: of those that are in the cluster, and that a
    minor of the catalog does not read in every version."""
    plurals = sorted({plural for minor in catalog.minors for plural in minor.gateway_api})
    refs = {plural: Ref(*_CRD, "", f"{plural}.{GATEWAY_API}") for plural in plurals}
    found = {plural: stored for plural, ref in refs.items() if (stored := store.get(ref)) is not None}
    return {plural: read_crd(stored).version for plural, stored in found.items()}


def read_standard_gateway_api(store: Store, catalog: Catalog) -> dict[str, str]:
    """The same of those CRDs of the standard channel that an istiod may wait for."""
    plurals = sorted({plural for minor in catalog.minors for plural in minor.gateway_api_alpha})
    refs = {plural: Ref(*_CRD, "", f"{plural}.{GATEWAY_API}") for plural in plurals}
    found = {plural: read_crd(stored) for plural, ref in refs.items() if (stored := store.get(ref))}
    return {plural: crd.version for plural, crd in found.items() if crd.channel == STANDARD}


class CRDInspector:
    """Tells what there is to know of the CRDs that the wanted minors need."""

    def __init__(self, client: Client, store: Store, assets: Assets) -> None:
        self._client = client
        self._store = store
        self._assets = assets
        self._established: set[str] = set()
        self._compared: dict[str, tuple[str, str, str]] = {}

    async def gather(self, minors: tuple[str, ...]) -> tuple[CRD, ...]:
        """The Istio CRDs that exist, of any minor, sorted by name; those that the newest of `minors` has
        are compared with it."""
        wanted = self._wanted(minors)
        # A set of a newer minor than any mesh asks for may have been left behind, and it is what counts.
        known = sorted(self._assets.crds.names)
        found = [await self._inspect(name, wanted.get(name), minors) for name in known]
        return tuple(crd for crd in found if crd is not None)

    def _wanted(self, minors: tuple[str, ...]) -> dict[str, Manifest]:
        newest = find_newest(m for m in minors if m in self._assets.crds) or find_newest(self._assets.crds)
        return {crd["metadata"]["name"]: crd for crd in self._assets.crds.get(newest or "", ())}

    async def _inspect(self, name: str, wanted: Manifest | None, minors: tuple[str, ...]) -> CRD | None:
        ref = Ref(*_CRD, "", name)
        stored = self._store.get(ref)
        if stored is None:
            return None
        metadata = stored["metadata"]
        labels = metadata.get("labels") or {}
        ours = is_ours(stored)
        known = ours and CRD_MINOR in labels  # else another client's, and maybe handed over
        version = f"{metadata['resourceVersion']} {minors}"
        compared, lacks, beyond = self._compared.get(name, ("", "", ""))
        if metadata["uid"] not in self._established or (not known and compared != version):
            try:
                full = await self._client.get(ref)
            except NotFound:
                return None
            if _is_established(full):
                self._established.add(metadata["uid"])
            lacks = "" if known or wanted is None else find_missing(wanted, full)
            beyond = "" if known or wanted is None else find_missing(full, wanted)
            self._compared[name] = (version, lacks, beyond)
        handed_over = ours and not (beyond and not known)
        return CRD(
            name=name,
            owner=CRDOwner.NAVARCH if handed_over else CRDOwner.FOREIGN,
            established=metadata["uid"] in self._established,
            minor=labels.get(CRD_MINOR, "") if ours else "",
            lacks="" if handed_over else lacks,
            beyond=beyond if ours and not known else "",
        )


def _is_established(crd: dict[str, Any]) -> bool:
    conditions = (crd.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
