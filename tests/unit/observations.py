"""Observations for table tests: a good mesh that settled nowhere yet, and what may be changed about it.

Invariant: `an_observed_mesh()` without changes passes every check.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from navarch.api.controlplane import MeshControlPlaneSpec
from navarch.api.meta import API_VERSION
from navarch.assets import load_assets
from navarch.core.istio.assets import Assets
from navarch.core.istio.catalog import Catalog
from navarch.core.istio.roles import build_roles, hash_rules
from navarch.core.mesh.checks import Check, ContentCheck, build_content, takes_content
from navarch.core.mesh.content import MeshContent
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.findings import Finding
from navarch.core.model.naming import effective_tag, revision_name
from navarch.core.model.parent import MESH, Parent
from navarch.core.model.refs import Ref
from navarch.core.model.scope import holds_anything, holds_cluster
from navarch.core.world.cluster import Environment, Namespace, Webhook, WebhookEntry
from navarch.core.world.neighbours import MeshSummary
from navarch.core.world.proxies import Census

ADMISSION = "admissionregistration.k8s.io/v1"
MUTATING, VALIDATING = "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"
PARENT = Parent(MESH, "shop", "mesh", "uid-shop")
NOW = "2026-10-01T12:00:00Z"
KEEP: Any = object()
"""Marks a part of the observation that follows from the specification."""


@cache
def assets() -> Assets:
    """The assets of this checkout, read once."""
    return load_assets()


@cache
def roles() -> dict[str, frozenset[str]]:
    """The roles of istiod as an installation of this release has them."""
    minors = [minor.name for minor in assets().catalog.minors]
    return {r.name: hash_rules(r.rules) for minor in minors for r in build_roles(assets(), minor)}


def a_spec(**fields: Any) -> dict[str, Any]:
    """A good specification as a user writes it, with some fields (in camelCase) set; None removes one."""
    spec = {"version": "1.31"} | fields
    return {name: value for name, value in spec.items() if value is not None}


def a_mesh(namespace: str, name: str = "mesh", **fields: Any) -> MeshSummary:
    """Another mesh as its neighbours see it; older than the one of `an_observed_mesh` unless `created` says
    else."""
    defaults = {
        "waiting": True,
        "created": "2026-01-01T00:00:00Z",
        "uid": f"uid-{namespace}-{name}",
        "tag": f"{namespace}-{name}",
    }
    return MeshSummary(**{"namespace": namespace, "name": name} | defaults | fields)


OURS = [{"manager": "navarch", "operation": "Apply", "fieldsV1": {}}]
"""managedFields of what we applied."""


def a_revision(version: str, *, serving: str | None = None, parent: Parent = PARENT) -> dict[str, Any]:
    """The MeshRevision of the mesh: `version` is what it asks for, `serving` what its status says."""
    tag = f"{parent.namespace}-{parent.name}"
    name = revision_name(tag)
    return {
        "apiVersion": API_VERSION,
        "kind": "MeshRevision",
        "metadata": {
            "name": name,
            "namespace": parent.namespace,
            "generation": 1,
            "labels": parent.labels(component="revision", revision=name),
            "managedFields": OURS,
        },
        "spec": {
            "mesh": parent.name,
            "tag": tag,
            "version": version,
            "strategy": "InPlace",
            "members": {"default": False, "excluded": []},
            "config": {},
        },
        "status": {"version": serving} if serving else {},
    }


def a_webhook(
    name: str,
    *,
    kind: str = MUTATING,
    revision: str = "",
    tag: str = "",
    parent: Parent | None = None,
    entries: Mapping[str, Mapping[str, Any]] | None = None,
) -> Webhook:
    """A webhook configuration; `entries` are namespace selectors by the entry's name."""
    return Webhook(
        Ref(ADMISSION, kind, "", name),
        parent,
        revision,
        tag,
        tuple(WebhookEntry(entry, "", "Fail", selector, {}) for entry, selector in (entries or {}).items()),
    )


def an_observed_mesh(
    *,
    parent: Parent = PARENT,
    spec: Mapping[str, Any] = KEEP,
    spec_error: str = "",
    tag: str = "",
    created: str = "2026-06-01T00:00:00Z",
    kubernetes: tuple[int, int] = (1, 35),
    neighbours: tuple[MeshSummary, ...] = (),
    status: Mapping[str, Any] | None = None,
    **changes: Any,
) -> ObservedMesh:
    """A mesh in a cluster of its own. `spec` is as a user writes it (`a_spec`), `tag` overrides the effective
    one, `neighbours` are the other meshes, `status` is the object's own, `changes` replace fields of
    ObservedMesh. With `spec_error` the specification counts as unreadable."""
    written = a_spec() if spec is KEEP else dict(spec)
    parsed = None if spec_error else MeshControlPlaneSpec.model_validate(written)
    summary = MeshSummary(
        not changes.get("revisions"),
        created,
        parent.uid,
        parent.namespace,
        parent.name,
        tag or effective_tag(parent.namespace, parent.name, wanted=written.get("tag")),
        bool(written.get("defaultTag")),
        member_of=f"{parent.namespace}.{parent.name}" if written.get("scope") else "",
        cluster=written.get("scope") == "Cluster",
        holds_cluster=any(holds_cluster(r) for r in changes.get("revisions", ())),
        holds_any=any(holds_anything(r) for r in changes.get("revisions", ())),
    )
    metadata = {
        "name": parent.name,
        "namespace": parent.namespace,
        "uid": parent.uid,
        "generation": 1,
        "creationTimestamp": created,
    }
    body = {"apiVersion": API_VERSION, "kind": "MeshControlPlane", "metadata": metadata, "spec": written}
    observed = ObservedMesh(
        environment=Environment(kubernetes, "navarch-system", "navarch-probe"),
        assets=assets(),
        parent=parent,
        body=body | ({"status": dict(status)} if status else {}),
        spec=parsed,
        spec_error=spec_error,
        meshes=tuple(sorted([summary, *neighbours])),
        namespaces={
            parent.namespace: Namespace(parent.namespace, {"kubernetes.io/metadata.name": parent.namespace})
        },
        profiles={},
        profile_errors={},
        owned=(),
        revisions=(),
        webhooks=(),
        crds=(),
        crd_minors=(),
        census=Census(),
        root="",
        probe=None,
        now=NOW,
        roles=roles(),
    )
    return replace(observed, **changes)


def with_catalog(observed: ObservedMesh, catalog: Catalog) -> ObservedMesh:
    """The observation with another catalog of Istio."""
    return replace(observed, assets=replace(observed.assets, catalog=catalog))


def content_of(observed: ObservedMesh) -> MeshContent:
    """What a mesh asks for, in any cluster."""
    assert observed.spec is not None
    return build_content(observed, observed.spec)


def ask(check: Check | ContentCheck, observed: ObservedMesh) -> Iterator[Finding]:
    """What one rule says of an observation, or of its content."""
    return check(content_of(observed) if takes_content(check) else observed)


def only(check: Check | ContentCheck, observed: ObservedMesh) -> Finding:
    """The one finding of a check; it names its field and value, and ends with what to do."""
    (finding,) = ask(check, observed)
    assert finding.field
    assert finding.remedy
    assert str(finding) == f"{finding.field}: {finding.value!r}: {finding.message}; {finding.remedy}"
    return finding
