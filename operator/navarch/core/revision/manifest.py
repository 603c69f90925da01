"""The MeshRevision of a mesh, as it is applied.

Owns its form. Must never resolve anything: tag, release and configuration are handed in. Invariant: equal
inputs give equal manifests.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from navarch.api import revision as revision_api
from navarch.api.authority import MANAGED
from navarch.api.controlplane import HOSTED
from navarch.api.meta import API_VERSION
from navarch.api.spec import RevisionConfig
from navarch.api.upgrade import IN_PLACE, REVISION_BASED
from navarch.core.istio.catalog import Release
from navarch.core.model.labels import ROLLED_BACK
from navarch.core.model.naming import is_in_place, revision_name
from navarch.core.model.parent import Parent
from navarch.core.model.refs import Manifest
from navarch.core.model.scope import OF_CLUSTER


def build_revision_manifest(
    parent: Parent,
    *,
    tag: str,
    release: Release,
    config: RevisionConfig,
    default: bool = False,
    excluded: Iterable[str] = (),
    member_of: str = "",
    cluster: bool = False,
    hosted: bool = False,
    name: str = "",
    beside: bool = False,
) -> dict[str, Any]:
    """The MeshRevision of a mesh: `tag` is its effective tag, `default` whether it owns tag `default`,
    `excluded` the namespaces that are never members, with any labels; with `member_of` only namespaces with
    that value of the label mesh.navarch.io/member-of are, and with `cluster` all without another value of it;
    `hosted` says where the control plane is; `name` is the revision's, by default that of one that is updated
    in place, and `beside` says that such a one is not the only one of its mesh."""
    name = name or revision_name(tag)
    members = {"default": default, "excluded": sorted(set(excluded))}
    return {
        "apiVersion": API_VERSION,
        "kind": revision_api.KIND,
        "metadata": {
            "name": name,
            "namespace": parent.namespace,
            "labels": parent.labels(component="revision") | (OF_CLUSTER if cluster else {}),
        },
        "spec": {
            "mesh": parent.name,
            "tag": tag,
            "version": release.version,
            "strategy": IN_PLACE if is_in_place(name) else REVISION_BASED,
            **({"beside": True} if beside and is_in_place(name) else {}),
            **({"hosting": HOSTED} if hosted else {}),
            "members": members
            | ({"memberOf": member_of} if member_of else {})
            | ({"cluster": True} if cluster else {}),
            "config": config.to_json(),
        },
    }


def restate(parent: Parent, existing: Manifest) -> Manifest:
    """A MeshRevision in the words it was applied with."""
    metadata = {"name": existing["metadata"]["name"], "namespace": parent.namespace}
    made = (existing["metadata"].get("annotations") or {}).get(ROLLED_BACK)
    kept = {"annotations": {ROLLED_BACK: made}} if made else {}
    return {
        "apiVersion": existing["apiVersion"],
        "kind": existing["kind"],
        "metadata": {**metadata, "labels": parent.labels(component="revision"), **kept},
        "spec": existing["spec"],
    }


def stands_beside(revision: Manifest) -> bool:
    """Whether a MeshRevision that is updated in place leaves configuration that names no revision to the
    webhook that follows the tag."""
    return bool((revision.get("spec") or {}).get("beside"))


def has_managed_authority(revision: Manifest) -> bool:
    """Whether Navarch makes the certificate authority of a MeshRevision's istiod."""
    config = (revision.get("spec") or {}).get("config") or {}
    return (config.get("certificateAuthority") or {}).get("type") == MANAGED


def is_hosted(revision: Manifest) -> bool:
    """Whether the control plane of a MeshRevision is in a namespace of Navarch's."""
    return (revision.get("spec") or {}).get("hosting") == HOSTED
