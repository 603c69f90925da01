"""The cluster around the meshes, from the stores: namespaces, webhooks, proxies, profiles, roots.

Owns the translation of these objects into the records of core/world, and which of them concern a mesh. Must
never decide. Invariants: what did not change is not parsed again; of what is left out for a mesh, no decision
about it depends.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from navarch.core.membership.rule import Membership
from navarch.core.model.labels import ISTIO_INJECTION, ISTIO_REV, ISTIO_TAG, MEMBER_OF
from navarch.core.model.naming import DEFAULT_TAG, DEFAULT_VALIDATOR, Names, revision_name
from navarch.core.model.parent import MESH, Parent, parent_of
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.trust.reading import fingerprint_bundle
from navarch.core.world.cluster import ForeignConfig, Namespace, Webhook, WebhookEntry
from navarch.core.world.neighbours import MeshSummary
from navarch.core.world.proxies import ProxyPod
from navarch.gather.excerpts import CLAIMED, DISCOVERY, OPEN, ORDER, ROOT, RULES
from navarch.gather.neighbours import by_webhook_tag
from navarch.gather.watches import ROOT_CONFIG_MAP, WEBHOOK_KINDS
from navarch.kube.store import Store
from navarch.triggers.keys import read_services

REMEMBERED = 10_000
"""Webhook configurations that are kept as they were read."""
ADMISSION = "admissionregistration.k8s.io/v1"
DEFAULT_REVISION = "default"
"""What Istio's chart writes into istio.io/rev where a revision has no name."""
INJECTED = "enabled"
"""The value of label istio-injection that asks for the default mesh."""


class ClusterReader:
    """Reads the cluster from `stores`."""

    def __init__(self, stores: Mapping[str, Store]) -> None:
        self._stores = stores
        self._read: dict[str, tuple[str, Webhook]] = {}

    def namespaces(self) -> Iterator[Namespace]:
        """All namespaces of the cluster."""
        yield from map(read_namespace, self._stores["namespaces"].list())

    def namespace(self, name: str) -> Namespace | None:
        """The namespace of that name; None where there is none."""
        found = self._stores["namespaces"].get(Ref("v1", "Namespace", "", name))
        return None if found is None else read_namespace(found)

    def claimed(self, mesh: Membership) -> Iterator[Namespace]:
        """The mesh's own namespace, and those whose labels say that they belong to it, which may be wrong:
        all others do not belong to it."""
        if mesh.cluster:
            yield from self.namespaces()
            return
        if own := self.namespace(mesh.namespace):
            yield own
        store = self._stores["namespaces"]
        found = store.find(by_revision_label, *mesh.values)
        if mesh.default:
            found += store.find(by_injection_label, INJECTED)
        if mesh.member_of:
            found += store.find(by_member_label, mesh.member_of)
        names = {manifest["metadata"]["name"]: manifest for manifest in found}
        yield from (read_namespace(m) for name, m in names.items() if name != mesh.namespace)

    def proxies(self) -> Iterator[ProxyPod]:
        """All pods with a proxy, of every mesh and of other Istios."""
        yield from _read_proxies(self._stores["proxies"].list())

    def proxies_in(self, namespace: str) -> Iterator[ProxyPod]:
        """The pods with a proxy in a namespace."""
        yield from _read_proxies(self._stores["proxies"].list(namespace))

    def proxies_of(self, revisions: Collection[str], namespaces: Iterable[str]) -> Iterator[ProxyPod]:
        """The pods with a proxy in these namespaces, and those elsewhere that say that one of these revisions
        injected them."""
        store, inside = self._stores["proxies"], set(namespaces)
        for namespace in sorted(inside):
            yield from _read_proxies(store.list(namespace))
        said = _read_proxies(store.find(by_proxy_revision, *sorted(revisions)))
        yield from (proxy for proxy in said if proxy.namespace not in inside)

    def proxies_named(self, namespace: str, names: Iterable[str]) -> Iterator[ProxyPod]:
        """The pods of these names that have a proxy."""
        found = (self._stores["proxies"].get(Ref("v1", "Pod", namespace, name)) for name in names)
        yield from _read_proxies(pod for pod in found if pod is not None)

    def webhooks(self) -> Iterator[Webhook]:
        """All webhook configurations of the cluster, foreign ones included."""
        for kind in WEBHOOK_KINDS:
            yield from map(self._read_webhook, self._stores[kind].list())

    def webhooks_about(self, mesh: MeshSummary) -> Iterator[Webhook]:
        """The webhook configurations that a mesh's decisions depend on: its own, those that no mesh owns,
        those that have a name that the mesh wants, and whosever stands for the tag `default`."""
        wanted = {DEFAULT_VALIDATOR}
        for names in (Names(mesh.home, name) for name in {revision_name(mesh.tag), *mesh.names}):
            wanted |= {names.injector, names.validator, names.tag_validator(mesh.tag)}
            for suffixed in (False, True):
                wanted |= {names.tag_webhook(t, default_suffixed=suffixed) for t in (mesh.tag, DEFAULT_TAG)}
        parent = Parent(MESH, mesh.namespace, mesh.name)
        for kind in WEBHOOK_KINDS:
            store = self._stores[kind]
            named = (store.get(Ref(ADMISSION, kind, "", name)) for name in sorted(wanted))
            found = [*store.find(by_parent_or_none, parent, None), *store.find(by_webhook_tag, DEFAULT_TAG)]
            found += [webhook for webhook in named if webhook is not None]
            yield from map(self._read_webhook, {m["metadata"]["uid"]: m for m in found}.values())

    def foreign_configs(self, webhooks: Iterable[Webhook]) -> Iterator[ForeignConfig]:
        """The MeshConfigs of the istiods that those of these webhooks call that are no mesh's."""
        homes = {
            (e.service, w.revision) for w in webhooks if w.parent is None for e in w.entries if e.service
        }
        for namespace, revision in sorted(homes):
            for found in self._stores["mesh-configs"].list(namespace):
                name, labels = found["metadata"]["name"], found["metadata"].get("labels") or {}
                named = "istio" if revision == DEFAULT_REVISION else f"istio-{revision}"
                if name == named and labels.get(ISTIO_REV, "") == revision:
                    yield ForeignConfig(namespace, name, revision, _read_discovery(found))

    def calls(self, namespace: str) -> Iterator[Webhook]:
        """The webhook configurations that call a Service in a namespace."""
        for kind in WEBHOOK_KINDS:
            yield from map(self._read_webhook, self._stores[kind].find(by_service, namespace))

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


def by_revision_label(manifest: Manifest) -> Iterator[str]:
    """Which revision or tag a namespace asks for."""
    if value := (manifest["metadata"].get("labels") or {}).get(ISTIO_REV):
        yield value


def by_injection_label(manifest: Manifest) -> Iterator[str]:
    """Whether a namespace asks for the default mesh."""
    if value := (manifest["metadata"].get("labels") or {}).get(ISTIO_INJECTION):
        yield value


def by_member_label(manifest: Manifest) -> Iterator[str]:
    """Which mesh a namespace was brought into."""
    if value := (manifest["metadata"].get("labels") or {}).get(MEMBER_OF):
        yield value


def by_service(manifest: Manifest) -> Iterator[str]:
    """The namespaces of the Services that a webhook configuration calls."""
    yield from read_services(manifest)


def by_proxy_revision(pod: Manifest) -> Iterator[str]:
    """The revision that injected a pod."""
    if pod["proxy"] is not None:
        yield pod["proxy"].revision


def by_parent_or_none(manifest: Manifest) -> Iterator[Parent | None]:
    """The parent whose labels an object carries, whichever uid it has; None for an object of others."""
    parent = parent_of(manifest)
    yield parent.any_uid if parent else None


def read_namespace(manifest: Manifest) -> Namespace:
    """A namespace as the core sees it."""
    metadata = manifest["metadata"]
    return Namespace(
        metadata["name"],
        metadata.get("labels") or {},
        terminating="deletionTimestamp" in metadata,
        claimed=manifest.get(CLAIMED, ()),
        uid=metadata.get("uid", ""),
        order=manifest.get(ORDER, ""),
        windows=manifest.get(OPEN, ""),
    )


def _read_proxies(pods: Iterable[Manifest]) -> Iterator[ProxyPod]:
    return (pod["proxy"] for pod in pods if pod["proxy"] is not None)


def read_webhook(manifest: Manifest) -> Webhook:
    """A webhook configuration as the core sees it."""
    labels = manifest["metadata"].get("labels") or {}
    return Webhook(
        ref=ref_of(manifest),
        parent=parent_of(manifest),
        revision=labels.get(ISTIO_REV, ""),
        tag=labels.get(ISTIO_TAG, ""),
        entries=tuple(_read_entry(entry) for entry in manifest.get("webhooks") or ()),
        generation=int(manifest["metadata"].get("generation") or 0),
    )


def _read_discovery(config: Manifest) -> tuple[Mapping[str, Any], ...] | None:
    selectors = config[DISCOVERY]
    return None if selectors is None else tuple(selectors)


def _read_entry(entry: Mapping[str, Any]) -> WebhookEntry:
    bundle = entry["clientConfig"].get("caBundle") or ""
    return WebhookEntry(
        name=entry["name"],
        ca_bundle=fingerprint_bundle(base64.b64decode(bundle)) if bundle else "",
        failure_policy=entry.get("failurePolicy", ""),
        namespace_selector=entry.get("namespaceSelector") or {},
        object_selector=entry.get("objectSelector") or {},
        conditions=tuple(str(c.get("expression", "")) for c in entry.get("matchConditions") or ()),
        service=str((entry["clientConfig"].get("service") or {}).get("namespace", "")),
    )
