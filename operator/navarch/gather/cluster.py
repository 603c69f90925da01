"""The cluster around the meshes, from the stores: namespaces, webhooks, proxies, profiles, roots.

Owns the translation of these objects into the records of core/world. Must never decide. Invariant: what did
not change is not parsed again.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from navarch.core.istio.certificates import fingerprint_bundle
from navarch.core.model.labels import ISTIO_REV, ISTIO_TAG, owner_of
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.world.cluster import Namespace, Webhook, WebhookEntry
from navarch.core.world.proxies import ProxyPod
from navarch.gather.watches import ROOT, ROOT_CONFIG_MAP, RULES, WEBHOOK_KINDS
from navarch.kube.store import Store

REMEMBERED = 10_000
"""Webhook configurations that are kept as they were read."""


class ClusterReader:
    """Reads the cluster from `stores`."""

    def __init__(self, stores: Mapping[str, Store]) -> None:
        self._stores = stores
        self._read: dict[str, tuple[str, Webhook]] = {}

    def namespaces(self) -> Iterator[Namespace]:
        """All namespaces of the cluster."""
        for manifest in self._stores["namespaces"].list():
            metadata = manifest["metadata"]
            yield Namespace(
                metadata["name"], metadata.get("labels") or {}, terminating="deletionTimestamp" in metadata
            )

    def proxies(self) -> Iterator[ProxyPod]:
        """All pods with a proxy, of every mesh and of other Istios."""
        yield from (p["proxy"] for p in self._stores["proxies"].list() if p["proxy"] is not None)

    def webhooks(self) -> Iterator[Webhook]:
        """All webhook configurations of the cluster, foreign ones included."""
        for kind in WEBHOOK_KINDS:
            yield from map(self._read_webhook, self._stores[kind].list())

    def _read_webhook(self, manifest: Manifest) -> Webhook:
        """A webhook as it was read before, unless it changed: certificates are parsed once for each
        resourceVersion, and not at every look of every mesh."""
        uid, version = manifest["metadata"]["uid"], manifest["metadata"]["resourceVersion"]
        known = self._read.get(uid)
        if known is None or known[0] != version:
            if len(self._read) >= REMEMBERED:
                self._read.clear()
            known = self._read[uid] = (version, read_webhook(manifest))
        return known[1]

    def root(self, namespace: str) -> str:
        """The fingerprint of the root certificates in a namespace's ConfigMap; empty while there is none."""
        found = self._stores["roots"].get(Ref("v1", "ConfigMap", namespace, ROOT_CONFIG_MAP))
        return str(found[ROOT]) if found else ""

    def roles(self) -> dict[str, frozenset[str]]:
        """The roles of the installation for istiods, by name, with the hashes of their rules."""
        return {role["metadata"]["name"]: role[RULES] for role in self._stores["istiod-roles"].list()}

    def profiles(self) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
        """The users' profiles by name, and what is wrong with those that cannot be read."""
        profiles: dict[str, Mapping[str, Any]] = {}
        errors: dict[str, str] = {}
        for manifest in self._stores["profiles"].list():
            if manifest["error"]:
                errors[manifest["metadata"]["name"]] = manifest["error"]
            else:
                profiles[manifest["metadata"]["name"]] = manifest["content"]
        return profiles, errors


def read_webhook(manifest: Manifest) -> Webhook:
    """A webhook configuration as the core sees it."""
    labels = manifest["metadata"].get("labels") or {}
    return Webhook(
        ref=ref_of(manifest),
        owner=owner_of(manifest),
        revision=labels.get(ISTIO_REV, ""),
        tag=labels.get(ISTIO_TAG, ""),
        entries=tuple(_read_entry(entry) for entry in manifest.get("webhooks") or ()),
        generation=int(manifest["metadata"].get("generation") or 0),
    )


def _read_entry(entry: Mapping[str, Any]) -> WebhookEntry:
    bundle = entry["clientConfig"].get("caBundle") or ""
    return WebhookEntry(
        name=entry["name"],
        ca_bundle=fingerprint_bundle(base64.b64decode(bundle)) if bundle else "",
        failure_policy=entry.get("failurePolicy", ""),
        namespace_selector=entry.get("namespaceSelector") or {},
        object_selector=entry.get("objectSelector") or {},
    )
