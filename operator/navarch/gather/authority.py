"""Certificate authorities of meshes, from two watches of Secrets.

Owns these watches, and what is kept of such a Secret: its certificates. Must never keep a key: it is dropped
before the object is stored. The command lists no Secrets, and knows nothing of authorities. Invariant: a
mesh's look at its authority costs no request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from navarch.api.authority import CACERTS
from navarch.core.model.labels import AUTHORITY, GENERATION, HOME, ORIGIN
from navarch.core.model.refs import Manifest, Ref
from navarch.core.trust.observed import (
    ADOPTED,
    CACERTS_PART,
    ROOT_PART,
    SeenAuthority,
    SeenCacerts,
    SeenRoot,
)
from navarch.core.trust.reading import read_secret
from navarch.gather.excerpts import Object, shrink
from navarch.gather.watches import SMALL_PAGE, Role, Watch
from navarch.kube.shelf import Bound
from navarch.kube.store import Store
from navarch.triggers.authorities import keys_for_authority
from navarch.triggers.keys import by_state
from navarch.triggers.known import asks_for_authority

SEEN = "seen"
_BOUND = Bound(object=64 * 1024)


def shrink_cacerts(manifest: Object) -> Object:
    """Of a Secret from which istiods sign: its certificates, and whether it carries Navarch's label."""
    metadata = manifest["metadata"]
    ours = (metadata.get("labels") or {}).get(AUTHORITY) == CACERTS_PART
    version = str(metadata.get("resourceVersion", ""))
    return shrink(manifest, **{SEEN: SeenCacerts(version, read_secret(manifest.get("data")), ours=ours)})


def shrink_root(manifest: Object) -> Object:
    """Of a Secret with a root: its certificate, and where it comes from."""
    metadata = manifest["metadata"]
    labels = metadata.get("labels") or {}
    generation = labels.get(GENERATION, "")
    root = SeenRoot(
        metadata["name"],
        int(generation) if generation.isdecimal() else 0,
        read_secret(manifest.get("data")),
        adopted=labels.get(ORIGIN) == ADOPTED,
    )
    return shrink(manifest, **{SEEN: root})


CACERTS_WATCH = Watch(
    "cacerts",
    "v1",
    "Secret",
    Role.LOOKED_AT,
    by_state(keys_for_authority),
    field_selector=f"metadata.name={CACERTS}",
    transform=shrink_cacerts,
    bound=_BOUND,
    page=SMALL_PAGE,
    asked_by=asks_for_authority,
)
ROOTS_WATCH = Watch(
    "authority-roots",
    "v1",
    "Secret",
    Role.LOOKED_AT,
    by_state(keys_for_authority),
    label_selector=f"{AUTHORITY}={ROOT_PART}",
    in_operator_namespace=True,
    transform=shrink_root,
    bound=_BOUND,
    page=SMALL_PAGE,
    asked_by=asks_for_authority,
)
OF_AUTHORITIES = (CACERTS_WATCH, ROOTS_WATCH)


def gather_authority(stores: Mapping[str, Store], home: str) -> SeenAuthority | None:
    """The authority of a control plane's namespace; None where this process does not watch Secrets: the
    command does not."""
    if ROOTS_WATCH.name not in stores:
        return None
    beside, roots = stores[CACERTS_WATCH.name], stores[ROOTS_WATCH.name]
    if not (beside.served and roots.served):
        refused = roots.refused or beside.refused
        told = f"Navarch may not look at them: {refused}" if refused else "they are not known yet"
        return SeenAuthority(home, gap=f"the Secrets of the certificate authority: {told}")
    found = sorted((each[SEEN] for each in roots.find(by_home, home)), key=lambda root: root.generation)
    cacerts = beside.get(Ref("v1", "Secret", home, CACERTS))
    return SeenAuthority(home, tuple(found), cacerts[SEEN] if cacerts is not None else None)


def by_home(manifest: Manifest) -> Iterator[str]:
    """The control plane's namespace whose root a Secret holds."""
    if home := (manifest["metadata"].get("labels") or {}).get(HOME):
        yield home
