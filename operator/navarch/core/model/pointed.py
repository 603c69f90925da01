"""To which revision a mesh's tag points, as its objects in the cluster say it.

Owns this one reading. Must never take a label's word where the API server follows something else. Invariant:
the answer is where pods are sent now, or empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from navarch.core.model.labels import ISTIO_REV, ISTIO_TAG, component_of
from navarch.core.model.naming import ISTIOD
from navarch.core.model.refs import Manifest


def find_pointed(owned: Iterable[Manifest], tag: str) -> str:
    """The revision to which the tag points: by its webhook among the mesh's objects, else by its Service;
    empty where there is neither."""
    found = [o for o in owned if component_of(o) == "tags" and _tag_of(o) == tag]
    webhooks = (o for o in found if o["kind"] == "MutatingWebhookConfiguration")
    services = (str(o["metadata"]["labels"].get(ISTIO_REV, "")) for o in found if o["kind"] == "Service")
    return next((name for webhook in webhooks for name in _list_targets(webhook)), next(services, ""))


def _tag_of(manifest: Manifest) -> str:
    return str((manifest["metadata"].get("labels") or {}).get(ISTIO_TAG, ""))


def _list_targets(webhook: Manifest) -> Iterator[str]:
    for entry in webhook.get("webhooks") or ():
        name = str((entry["clientConfig"].get("service") or {}).get("name", ""))
        if name.startswith(ISTIOD):
            yield name.removeprefix(ISTIOD)
