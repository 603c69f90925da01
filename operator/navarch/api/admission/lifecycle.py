"""Policies on a mesh's life: where it may be made, which versions follow each other, when it may be deleted.

Owns rules on a whole mesh that need the requester, the namespace or the old object.
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.api.admission.cel import NAMESPACE_CONTROLLERS, Validation, build_policy, quote_list
from navarch.api.controlplane import REVISION_FORM
from navarch.api.meta import FORCE_DELETE, JSONObject


def build_version_policy() -> list[JSONObject]:
    """In place, a control plane goes neither back to a minor nor over one, measured from what runs. With a
    revision for each version it goes over one, and back to what is still there."""
    minor = "int({0}.split('.')[0]) * 1000 + int({0}.split('.')[1])"
    shown = "'spec.version: ' + variables.wanted + ' (' + variables.active + ' runs)'"
    changed = "object.spec.version != oldObject.spec.version && oldObject.?status.?version.?active.hasValue()"
    return build_policy(
        "version",
        operations=("UPDATE",),
        conditions=[{"name": "version-changed", "expression": changed}],
        variables={
            "wanted": "object.spec.version",
            "active": "oldObject.status.version.active",
            "wantedMinor": minor.format("variables.wanted"),
            "activeMinor": minor.format("variables.active"),
            "revisions": "oldObject.status.?revisions.orValue([]).filter(r, has(r.phase))",
            "isThere": "variables.revisions.exists(r, r.version == variables.wanted || "
            "r.version.startsWith(variables.wanted + '.'))",
        },
        validations=[
            Validation(
                "variables.wantedMinor >= variables.activeMinor || variables.isThere",
                where="spec.version",
                shown=shown,
                why="a control plane does not go back to an older minor; choose the minor that runs, or the "
                "next one",
            ),
            Validation(
                "variables.wantedMinor <= variables.activeMinor + (size(variables.revisions) > 0 ? 2 : 1)",
                where="spec.version",
                shown=shown,
                why="in place, a control plane goes one minor at a time, and from revision to revision at "
                "most two; choose the next minor first",
            ),
        ],
    )


def build_placement_policy(reserved: Iterable[str]) -> list[JSONObject]:
    """Where a mesh may be made, and under which name; `reserved` are the operator's own namespaces."""
    both = "request.namespace + '-' + object.metadata.name"
    return build_policy(
        "placement",
        operations=("CREATE",),
        validations=[
            Validation(
                f"!(request.namespace in {quote_list(sorted(reserved))}) && "
                "!request.namespace.startsWith('kube-') && !request.namespace.startsWith('openshift-')",
                where="metadata.namespace",
                shown="'metadata.namespace: ' + request.namespace",
                why="this namespace is the platform's or Navarch's own; create the mesh in one of its own",
                reason="Forbidden",
            ),
            Validation(
                f"has(object.spec.tag) || ({both}).size() > 40 || !({both}).matches('{REVISION_FORM}')",
                where="metadata.name",
                shown=f"'metadata.name: ' + object.metadata.name + ' (tag ' + {both} + ')'",
                why="names of revisions end like this (-inplace, or three numbers), and tags may not; set "
                "spec.tag",
            ),
            Validation(
                f"({both}).size() <= 63",
                where="metadata.name",
                shown="'metadata.name: ' + object.metadata.name",
                why="a label of member namespaces holds the mesh's namespace and name, 62 characters in all; "
                "choose a shorter name",
            ),
        ],
    )


def build_deletion_policy() -> list[JSONObject]:
    """A mesh with proxies is not deleted by accident; a namespace takes its mesh with it all the same."""
    annotated = f"oldObject.metadata.?annotations[?'{FORCE_DELETE}'].orValue('') == 'true'"
    return build_policy(
        "deletion",
        operations=("DELETE",),
        variables={
            "proxies": "oldObject.?status.?proxies.?total.orValue(0) - "
            "oldObject.?status.?proxies.?gateways.orValue(0)"
        },
        validations=[
            Validation(
                f"variables.proxies == 0 || {annotated} || has(oldObject.metadata.deletionTimestamp) || "
                f"request.userInfo.username in {quote_list(NAMESPACE_CONTROLLERS)}",
                where="status.proxies.total",
                shown="'status.proxies.total: ' + string(variables.proxies)",
                why="pods still carry proxies of this mesh and would be left without a control plane; take "
                "their namespaces out of the mesh and restart them, or delete it all the same after `kubectl "
                f"annotate meshcontrolplane NAME {FORCE_DELETE}=true`, which takes the verb host",
                reason="Forbidden",
            )
        ],
    )
