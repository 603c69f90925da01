"""Another Istio that reaches into a mesh: it is in the mesh's namespace, takes pods of its members, or writes
its root certificate there.

Owns the rules on reach; those on names (a revision, a tag, the default) are in foreign.py. Must never claim
anything of what could not be read. Invariant: a MeshConfig counts only in a namespace that a webhook of an
Istio names, since anybody may make a ConfigMap that looks like one.

An istiod writes its root certificate into ConfigMap istio-ca-root-cert of every namespace that its
discoverySelectors select, and of all of them where it has none (pilot/pkg/bootstrap, namespace controller);
two that reach one namespace overwrite each other's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from navarch.core.membership.injection import find_injectors
from navarch.core.membership.rule import is_member
from navarch.core.membership.selectors import matches
from navarch.core.mesh.checks.foreign import foreign_webhooks
from navarch.core.mesh.checks.neighbours import summary_of
from navarch.core.mesh.membership import find_effective_membership
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.labels import NAMESPACE_NAME
from navarch.core.model.messages import join
from navarch.core.model.reasons import Reason
from navarch.core.world.cluster import Namespace


def check_no_other_istio_is_beside(observed: ObservedMesh) -> Iterator[Finding]:
    """No foreign Istio is in the namespace of the mesh or of its control plane: the two would share the
    Secret of the certificate authority, and locks."""
    own = {summary_of(observed).home, observed.parent.namespace}
    found: dict[str, str] = {}
    for webhook in foreign_webhooks(observed):
        for place in {entry.service for entry in webhook.entries} & own:
            found.setdefault(place, str(webhook.ref))
    for place, ref in sorted(found.items()):
        message = (
            f"holds an Istio that Navarch did not install, too: {ref} calls it there. Control planes of one "
            "namespace share Secret istio-ca-secret, which signs for both, and their locks"
        )
        yield _build(message, "remove that Istio, or make the mesh in another namespace", place)


def check_no_other_istio_injects(observed: ObservedMesh) -> Iterator[Finding]:
    """No foreign injector takes pods of the mesh's namespaces that carry no label of their own."""
    members = _list_members(observed)
    for webhook in foreign_webhooks(observed):
        taken = [ns.name for ns in members if any(find_injectors(ns, {}, [webhook]))]
        if taken:
            whose = f"{webhook.ref} of an Istio that Navarch did not install"
            message = f"{whose} takes pods of the mesh's namespaces: {join(taken)}"
            yield _build(message, "change its selectors, or the labels of these namespaces, or remove it")


def check_no_other_istio_looks(observed: ObservedMesh) -> Iterator[Finding]:
    """No foreign istiod looks at the mesh's namespaces."""
    members = _list_members(observed)
    for config in observed.foreign_configs:
        if config.discovery is None:
            continue
        selectors = config.discovery or ({},)
        seen = [
            ns.name
            for ns in members
            if any(matches(selector, {**ns.labels, NAMESPACE_NAME: ns.name}) for selector in selectors)
        ]
        if seen:
            which = "selectors that select" if config.discovery else "no discoverySelectors, so it looks at"
            message = (
                f"an istiod that Navarch did not install (ConfigMap {config.namespace}/{config.name}) has "
                f"{which} the mesh's namespaces, and writes its root certificate over the mesh's there: "
                f"{join(seen)}"
            )
            yield _build(message, "give it discoverySelectors that leave these namespaces out, or remove it")


def _list_members(observed: ObservedMesh) -> Sequence[Namespace]:
    mesh = find_effective_membership(observed)
    return [ns for name, ns in sorted(observed.namespaces.items()) if is_member(mesh, name, ns.labels)]


def _build(message: str, remedy: str, place: str = "") -> Finding:
    field = "metadata.namespace" if place else ""
    return Finding(Reason.ANOTHER_ISTIO_SHARES, field, place, message, remedy, Severity.WARNING)
