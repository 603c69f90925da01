"""The policy `host`: what decides what an istiod runs needs a verb of its own.

Owns the list of such fields. Invariant: a write that changes none of them is never refused here.
"""

from __future__ import annotations

from navarch.api.admission.cel import SPEC_CHANGED, Validation, build_policy
from navarch.api.controlplane import PLURAL as MESHES
from navarch.api.meta import GROUP, JSONObject, quote_cel

HOST_VERB = "host"
HOST_ROLE = "navarch-mesh-host"
GUARDED = (
    "version",
    "profiles",
    "images",
    "values",
    "overlays",
    "controlPlane",
    "tag",
    "defaultTag",
    "trust",
    "proxy.lifecycle",
)
"""Fields of a mesh's spec that decide what its istiod runs, whom it reaches, or what members' pods run."""


def build_host_policy() -> list[JSONObject]:
    """Whoever decides what an istiod runs gains its rights, which are cluster-wide: that needs `host`."""
    changes = []
    for field in GUARDED:
        path = ".?".join(("", "spec", *field.split(".")))
        changes.append(f"(object{path} == oldObject{path} ? [] : [{quote_cel(f'spec.{field}')}])")
    check = (
        f"authorizer.group('{GROUP}').resource('{MESHES}').namespace(request.namespace).check('{HOST_VERB}')"
    )
    return build_policy(
        "host",
        operations=("CREATE", "UPDATE"),
        conditions=[SPEC_CHANGED],
        variables={"changed": " + ".join(changes)},
        validations=[
            Validation(
                f"(request.operation == 'UPDATE' && variables.changed.size() == 0) || {check}.allowed()",
                where="spec",
                shown="variables.changed.join(', ') + ' set by ' + request.userInfo.username",
                why=f"this needs the verb {HOST_VERB} on {MESHES}.{GROUP} in the mesh's namespace, since "
                "istiod can read every Secret of the cluster and whoever decides what it runs can too; have "
                f"a cluster administrator make the change, or bind the ClusterRole {HOST_ROLE} in that "
                "namespace",
                reason="Forbidden",
            )
        ],
    )
