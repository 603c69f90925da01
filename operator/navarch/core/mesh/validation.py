"""Whether a revision's validator does its work: what istiod takes passes, and what istiod refuses is refused.

Owns the judgement of the dry runs, and whether they are asked for. Must never make them: gather/probe.py
does. Invariant: where a revision's webhook is not asked about VirtualServices that name it, nothing of it is
held against the revision.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from navarch.core.membership.selectors import matches
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.labels import ISTIO_REV, NAMESPACE_NAME, component_of, revision_of
from navarch.core.model.ordering import WEBHOOK_KINDS
from navarch.core.model.refs import Manifest
from navarch.core.world.probe import Validation

CRD = "virtualservices.networking.istio.io"
_COVERED = {"operations": "CREATE", "apiGroups": "networking.istio.io", "resources": "virtualservices"}


def list_validators(observed: ObservedMesh, revision: str) -> tuple[str, ...]:
    """The names of the webhooks by which the API server asks the istiod of a revision about a VirtualService
    of the probe namespace that names it: none where an overlay took that away, or the cluster has no
    VirtualServices."""
    if not any(crd.name == CRD and crd.established for crd in observed.crds):
        return ()
    return tuple(_list_names(observed, revision))


def _list_names(observed: ObservedMesh, revision: str) -> Iterator[str]:
    place = {NAMESPACE_NAME: observed.environment.probe_namespace}
    for owned in observed.owned:
        own = revision_of(owned) == revision and component_of(owned) == "validation"
        if owned["kind"] != WEBHOOK_KINDS[1] or not own:
            continue
        for entry in owned.get("webhooks") or ():
            named = matches(entry.get("objectSelector") or {}, {ISTIO_REV: revision})
            inside = matches(entry.get("namespaceSelector") or {}, place)
            if named and inside and any(map(_covers, entry.get("rules") or ())):
                yield str(entry["name"])


def _covers(rule: Manifest) -> bool:
    """Whether a rule of a webhook is about the making of a VirtualService."""
    return all({value, "*", "*/*"} & {*(rule.get(key) or ())} for key, value in _COVERED.items())


def tell_unvalidated(observed: ObservedMesh, revision: str) -> str:
    """Why it is not proved that a revision validates configuration; empty where it is, or is not asked
    for."""
    if not list_validators(observed, revision):
        return ""
    seen = observed.asked_validation
    return seen.problem if seen is not None else f"{revision} was not asked to validate configuration yet"


def judge_bad(revision: str, names: Collection[str], refusal: str | None) -> Validation:
    """What the dry run of a bad VirtualService tells: how it was refused, None where it passed. It has to be
    one of the revision's webhooks, by their `names`, that refuses it."""
    if refusal is None:
        told = f"the API server takes a VirtualService that names {revision} and that istiod refuses"
        return Validation(f"{told}: nothing is validated")
    if any(f'admission webhook "{name}" denied the request' in refusal for name in names):
        return Validation()
    return Validation(f"a dry run of a bad VirtualService for {revision} was not refused by it: {refusal}")


def judge_good(revision: str, refusal: str | None) -> Validation:
    """What the dry run of a good VirtualService tells."""
    if refusal is None:
        return Validation()
    return Validation(f"a dry run of a good VirtualService for {revision} was refused: {refusal}")
