"""Another Istio in the cluster: one that neither this mesh nor any other of Navarch's made.

Owns the rules that compare the mesh with foreign webhook configurations, which is how an Istio shows
from outside: its labels istio.io/rev and istio.io/tag decide whose caBundle istiod writes, and its selectors
whose pods it takes. Must never judge webhooks that are not Istio's. Invariant: an object that carries a
mesh's labels is never called foreign.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.core.membership.selectors import matches
from navarch.core.mesh.checks.neighbours import summary_of, winning_meshes
from navarch.core.mesh.checks.version import find_asked_name, find_release
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.resolve import resolve_mesh
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.labels import GATEWAY_CLASS_DEFAULTS, ISTIO_INJECTION, ISTIO_REV, ISTIO_TAG
from navarch.core.model.naming import DEFAULT_TAG, DEFAULT_VALIDATOR, Names
from navarch.core.model.reasons import Reason
from navarch.core.world.cluster import Webhook, WebhookEntry

NEW_TAG = (
    "uninstall that Istio, or delete this mesh and create it with another spec.tag (a tag never changes)"
)


def foreign_webhooks(observed: ObservedMesh) -> Iterator[Webhook]:
    """Webhook configurations that no mesh of Navarch's owns and that are an Istio's by label or by entry
    name."""
    for webhook in observed.webhooks:
        is_istio = (
            webhook.revision or webhook.tag or any(e.name.endswith(".istio.io") for e in webhook.entries)
        )
        if webhook.parent is None and is_istio:
            yield webhook


def _own_webhook_names(observed: ObservedMesh) -> tuple[str, ...]:
    release, tag = find_release(observed), summary_of(observed).tag
    if release is None:
        return ()
    names = Names(summary_of(observed).home, find_asked_name(observed))
    return (
        names.injector,
        names.validator,
        *(() if observed.in_place else (names.tag_validator(tag),)),
        names.tag_webhook(tag, default_suffixed=release.minor.features.default_tag_webhook_suffixed),
    )


def check_foreign_istio(observed: ObservedMesh) -> Iterator[Finding]:
    """No foreign Istio has the mesh's revision (each would write the caBundle of the other's webhooks), its
    tag (both would take the same pods), or a webhook configuration of the same name."""
    tag = summary_of(observed).tag
    revision, names = find_asked_name(observed), _own_webhook_names(observed)
    for webhook in foreign_webhooks(observed):
        if revision and webhook.revision == revision:
            message = f"makes revision {revision}, which a foreign Istio has: {webhook.ref} carries it"
        elif webhook.revision == tag:
            message = f"is the revision of a foreign Istio: {webhook.ref} carries it in {ISTIO_REV}"
        elif webhook.tag and webhook.tag in (tag, revision):
            message = f"is taken by a foreign Istio: {webhook.ref} carries {ISTIO_TAG}={webhook.tag}"
        elif webhook.ref.kind == "MutatingWebhookConfiguration" and _takes_tag(webhook, tag):
            message = f"is selected by a foreign Istio: {webhook.ref} takes namespaces with {ISTIO_REV}={tag}"
        elif webhook.ref.name in names:
            message = f"makes a webhook configuration that a foreign Istio has: {webhook.ref}"
        else:
            continue
        yield Finding(Reason.FOREIGN_ISTIO, "spec.tag", tag, message, NEW_TAG)


def _takes_tag(webhook: Webhook, tag: str) -> bool:
    """Whether a webhook asks for namespaces with the tag; one that selects unlabelled ones too does not
    ask."""
    selectors = [entry.namespace_selector for entry in webhook.entries]
    return any(matches(selector, {ISTIO_REV: tag}) and not matches(selector, {}) for selector in selectors)


def _takes_default(entry: WebhookEntry) -> bool:
    """Whether the entry asks for istio-injection=enabled; one that selects unlabelled namespaces too does not
    ask."""
    selector = entry.namespace_selector
    return matches(selector, {ISTIO_INJECTION: "enabled"}) and not matches(selector, {})


def check_foreign_default(observed: ObservedMesh) -> Iterator[Finding]:
    """With defaultTag, no foreign Istio has the tag `default`, istio-injection=enabled or the default
    validator."""
    if not summary_of(observed).default_tag:
        return
    for webhook in foreign_webhooks(observed):
        if webhook.ref.name == DEFAULT_VALIDATOR:
            owned = "validates configuration that names no revision"
        elif webhook.tag == DEFAULT_TAG:
            owned = f"has {ISTIO_TAG}={DEFAULT_TAG}"
        elif webhook.ref.kind == "MutatingWebhookConfiguration" and any(map(_takes_default, webhook.entries)):
            owned = f"selects {ISTIO_INJECTION}=enabled"
        else:
            continue
        yield Finding(
            Reason.FOREIGN_ISTIO,
            "spec.defaultTag",
            "true",
            f"a foreign Istio is the cluster's default: {webhook.ref} {owned}",
            "remove spec.defaultTag, or remove that object",
        )


def check_gateway_defaults(observed: ObservedMesh) -> Iterator[Finding]:
    """Beside istiod lies no ConfigMap of others that decides what a class's gateways run."""
    for name, gateway_class in sorted(observed.gateway_defaults.items()):
        yield Finding(
            Reason.FOREIGN_GATEWAY_DEFAULTS,
            "metadata.namespace",
            observed.parent.namespace,
            f"holds ConfigMap {name} with the label {GATEWAY_CLASS_DEFAULTS}={gateway_class}, which Navarch "
            "did not make: istiod may deploy every Gateway of that class with what it says",
            "remove the label or the ConfigMap, and use spec.values.gatewayClasses",
            Severity.WARNING,
        )


def check_policy_is_in_force(observed: ObservedMesh) -> Iterator[Finding]:
    """No mesh-wide PeerAuthentication of others rules in place of the mesh's own: of those without a selector
    in its root namespace istiod takes the oldest, of the same second the first by name
    (pilot/pkg/model/authentication.go), and of those with istio.io/rev its own revision's alone."""
    if any(mesh.namespace == observed.parent.namespace for mesh in winning_meshes(observed)):
        return  # the policies of this namespace are of the mesh that it holds
    own = next((o["metadata"] for o in observed.owned if o["kind"] == "PeerAuthentication"), None)
    mode, revision = _find_mode(observed), find_asked_name(observed)
    read = [p for p in observed.peer_policies if p.revision in (None, revision)]
    first = min(read, key=lambda p: (p.created, p.name), default=None)
    if not mode or first is None:
        return
    if own is not None and (own["creationTimestamp"], own["name"]) < (first.created, first.name):
        return
    where = f"{first.name} -n {observed.parent.namespace}"
    yield Finding(
        Reason.POLICY_OVERRULED,
        "spec.mtls.mode",
        mode,
        f"is not in force: PeerAuthentication {observed.parent.namespace}/{first.name}, mode "
        f"{first.mode or 'UNSET, which means PERMISSIVE'}, holds for the whole mesh, too, and is older, and "
        "Istio takes the oldest",
        f"kubectl delete peerauthentication {where}; or give it a selector, or remove spec.mtls.mode",
        Severity.WARNING,
    )


def _find_mode(observed: ObservedMesh) -> str:
    """The mode that the mesh's own PeerAuthentication has, or is to have; empty where none is asked for."""
    if observed.spec is None:
        return ""
    config = resolve_mesh(observed.parent, observed.spec, observed.assets, profiles=observed.profiles)
    return (config.mtls.mode or "") if config and config.mtls else ""
