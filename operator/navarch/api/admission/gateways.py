"""The policy `gateways`: who may have a mesh make gateways, and where.

Owns what an editor of a mesh has to be allowed beside that, since the operator makes these MeshGateways
with rights of its own. Must never ask about a write that leaves spec.gateways as it is.
"""

from __future__ import annotations

from navarch.api.admission.cel import SPEC_CHANGED, Validation, build_policy
from navarch.api.admission.host import HOST_RIGHT, check_host
from navarch.api.gateway import PLURAL as GATEWAYS
from navarch.api.inline import TYPES
from navarch.api.meta import GROUP, JSONObject

_CHANGED = {"name": "gateways-changed", "expression": "object.?spec.?gateways != oldObject.?spec.?gateways"}
_SHOWN = "' set by ' + request.userInfo.username"


def build_gateways_policy() -> list[JSONObject]:
    """Gateways of a mesh take the right to make MeshGateways there; in other namespaces, `host`."""

    def entries(root: str) -> str:
        return " + ".join(f"{root}.?spec.?gateways.?{key}.orValue([])" for key in TYPES)

    same = "object.?spec.?gateways.?defaults == oldObject.?spec.?gateways.?defaults"
    elsewhere = (
        "variables.entries.filter(entry, has(entry.namespace) && entry.namespace != request.namespace && "
        f"!({same} && variables.before.exists(old, old == entry)))"
    )
    create = f"authorizer.group('{GROUP}').resource('{GATEWAYS}').namespace(request.namespace)"
    return build_policy(
        "gateways",
        operations=("CREATE", "UPDATE"),
        conditions=[SPEC_CHANGED, _CHANGED],
        variables={
            "entries": entries("object"),
            "before": entries("oldObject"),
            "elsewhere": elsewhere,
        },
        validations=[
            Validation(
                f"{create}.check('create').allowed()",
                where="spec.gateways",
                shown=f"'spec.gateways' + {_SHOWN}",
                why=f"it takes the verb create on {GATEWAYS}.{GROUP} in the mesh's namespace, since the mesh "
                "makes some; have it done by those who may",
                reason="Forbidden",
            ),
            Validation(
                f"variables.elsewhere.size() == 0 || {check_host('request.namespace')}",
                where="spec.gateways",
                shown="variables.elsewhere.map(entry, 'spec.gateways: ' + entry.name + ' in namespace ' + "
                f"entry.namespace).join(', ') + {_SHOWN}",
                why=f"a gateway in another namespace than the mesh's takes {HOST_RIGHT} in the mesh's "
                "namespace, since its pods can read Secrets there; make a MeshGateway in that namespace "
                "instead, or have it done by a holder of that right",
                reason="Forbidden",
            ),
        ],
    )
