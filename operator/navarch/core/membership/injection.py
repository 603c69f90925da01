"""What a pod would get: which injectors the API server asks about it, and whether it comes back with a
sidecar.

Owns Istio's own truth table, for any number of revisions and tags and for any Istio, and nothing about
membership. Must never look at which revision a pod runs. Invariants (tests/property): of the webhooks of
Istio's chart, and of ours, whoever takes a pod stands for what its labels ask for; a pod that refuses is
taken by none.

The sources: selectors of manifests/charts/istio-control/istio-discovery (mutatingwebhook.yaml,
revision-tags-mwc.yaml), and pkg/kube/inject/inject.go, injectRequired.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from navarch.core.membership.selectors import NameCondition, matches
from navarch.core.model.labels import ISTIO_INJECTION, ISTIO_REV, NAMESPACE_NAME, SIDECAR_INJECT
from navarch.core.model.naming import DEFAULT_TAG
from navarch.core.model.parent import Parent
from navarch.core.world.cluster import Namespace, Webhook, WebhookEntry

SYSTEM = ("kube-node-lease", "kube-public", "kube-system", "local-path-storage")
"""Namespaces in which every injector leaves pods alone (pkg/kube/inject/webhook.go, IgnoredNamespaces)."""
INJECTOR = "sidecar-injector.istio.io"
"""How the name of an entry ends that injects pods."""


@dataclass(frozen=True, slots=True)
class PodShape:
    """What of a pod decides whether it is injected."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    host_network: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """What an injector's own configuration adds: whether pods are injected that do not ask by themselves,
    and the label selectors of those that never, or always, are."""

    enabled: bool = True
    never: tuple[Mapping[str, Any], ...] = ()
    always: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Injector:
    """An entry of a webhook configuration that takes a pod. `tag` is empty where the configuration stands for
    the revision itself, `parent` None where it is not Navarch's. `unread` are conditions of the entry that
    only the API server can evaluate."""

    webhook: str
    entry: str
    revision: str
    tag: str
    parent: Parent | None
    unread: tuple[str, ...] = ()

    @property
    def value(self) -> str:
        """What of istio.io/rev it stands for."""
        return self.tag or self.revision


@dataclass(frozen=True, slots=True)
class Wish:
    """What labels ask for: a revision or a tag, empty for none; and which label, or its absence, says so."""

    value: str
    by: str


@dataclass(frozen=True, slots=True)
class Injection:
    """What becomes of a pod. `injectors` are asked in this order, and the first one injects; `refusal` says
    why there is no sidecar, and is empty where there is one."""

    wish: Wish
    injectors: tuple[Injector, ...] = ()
    refusal: str = ""

    @property
    def injector(self) -> Injector | None:
        """Who gives the pod its sidecar; None where nobody does."""
        return self.injectors[0] if self.injectors and not self.refusal else None

    @property
    def revision(self) -> str:
        """The revision of the sidecar; empty for none."""
        return self.injector.revision if self.injector is not None else ""


def read_wish(namespace: Mapping[str, str], pod: Mapping[str, str]) -> Wish:
    """What the labels of a namespace and a pod ask for. The namespace's come before the pod's, and
    istio-injection before istio.io/rev."""
    if pod.get(SIDECAR_INJECT) == "false":
        return Wish("", f"label {SIDECAR_INJECT}=false of the pod")
    if ISTIO_INJECTION in namespace:
        enabled = namespace[ISTIO_INJECTION] == "enabled"
        by = f"label {ISTIO_INJECTION}={namespace[ISTIO_INJECTION]} of the namespace"
        return Wish(DEFAULT_TAG if enabled else "", by)
    if ISTIO_REV in namespace:
        return Wish(namespace[ISTIO_REV], f"label {ISTIO_REV}={namespace[ISTIO_REV]} of the namespace")
    if ISTIO_REV in pod:
        return Wish(pod[ISTIO_REV], f"label {ISTIO_REV}={pod[ISTIO_REV]} of the pod")
    if pod.get(SIDECAR_INJECT) == "true":
        return Wish(DEFAULT_TAG, f"label {SIDECAR_INJECT}=true of the pod")
    return Wish("", "no label of the namespace or of the pod asks for a sidecar")


def determine_injection(
    namespace: Namespace,
    pod: PodShape,
    webhooks: Iterable[Webhook],
    *,
    policies: Mapping[str, Policy] | None = None,
) -> Injection:
    """What a pod of this shape would get in a namespace. `policies` are those of injectors, by revision; of
    one that is not named it is the usual one."""
    wish = read_wish(namespace.labels, pod.labels)
    injectors = tuple(find_injectors(namespace, pod.labels, webhooks))
    if not injectors:
        return Injection(wish, (), _tell_untaken(wish))
    policy = (policies or {}).get(injectors[0].revision, Policy())
    return Injection(wish, injectors, _tell_refused(namespace.name, pod, policy))


def find_injectors(
    namespace: Namespace, pod: Mapping[str, str], webhooks: Iterable[Webhook]
) -> Iterator[Injector]:
    """The injectors that the API server asks about a pod with the labels `pod`, in its order: configurations
    by name, and their entries as they stand there."""
    labels = {**namespace.labels, NAMESPACE_NAME: namespace.name}
    for webhook in sorted(webhooks, key=lambda w: w.ref.name):
        for entry in list_injecting(webhook):
            if not matches(entry.namespace_selector, labels) or not matches(entry.object_selector, pod):
                continue
            unread = _find_unread(entry.conditions, namespace.name)
            if unread is not None:
                yield Injector(
                    webhook.ref.name, entry.name, webhook.revision, webhook.tag, webhook.parent, unread
                )


def list_injecting(webhook: Webhook) -> Iterator[WebhookEntry]:
    """The entries of a configuration that inject pods."""
    if webhook.ref.kind == "MutatingWebhookConfiguration":
        yield from (e for e in webhook.entries if e.name.endswith(INJECTOR))


def _find_unread(conditions: Sequence[str], namespace: str) -> tuple[str, ...] | None:
    """The conditions that cannot be evaluated here; None where one that can be keeps the namespace out."""
    read = {expression: NameCondition.read(expression) for expression in conditions}
    if not all(condition.allows(namespace) for condition in read.values() if condition is not None):
        return None
    return tuple(expression for expression, condition in read.items() if condition is None)


def _tell_untaken(wish: Wish) -> str:
    if not wish.value:
        return wish.by
    return f"{wish.by}, and no injection webhook takes such pods of this namespace for it"


def _tell_refused(namespace: str, pod: PodShape, policy: Policy) -> str:
    """Why an injector that is asked about a pod leaves it as it is; empty where it does not."""
    if pod.host_network:
        return "the pod uses the network of its node (hostNetwork), which no sidecar can serve"
    if namespace in SYSTEM:
        return f"no injector touches pods of namespace {namespace}"
    source = "label" if SIDECAR_INJECT in pod.labels else "annotation"
    said = pod.labels.get(SIDECAR_INJECT, pod.annotations.get(SIDECAR_INJECT, ""))
    if said in ("true", "false"):
        return "" if said == "true" else f"{source} {SIDECAR_INJECT}=false of the pod"
    if _selects(policy.never, pod.labels):
        return "the injector's neverInjectSelector selects the pod"
    if policy.enabled or _selects(policy.always, pod.labels):
        return ""
    return "the injector injects only pods that ask for it by themselves (policy disabled)"


def _selects(selectors: Iterable[Mapping[str, Any]], labels: Mapping[str, str]) -> bool:
    """Whether one of these selectors selects the labels; an empty one counts for nothing here."""
    return any(
        matches(selector, labels)
        for selector in selectors
        if selector.get("matchLabels") or selector.get("matchExpressions")
    )
