"""The policy `revisions`: MeshRevisions are the operator's own.

Owns who may write them; Kubernetes' garbage collectors may delete them with their mesh.
"""

from __future__ import annotations

from navarch.api.admission.cel import GARBAGE_COLLECTORS, Validation, build_policy, quote_list
from navarch.api.meta import JSONObject, quote_cel
from navarch.api.revision import PLURAL as REVISIONS


def build_revision_policy(operator: str) -> list[JSONObject]:
    """MeshRevisions are written by the operator alone; `operator` is its user name."""
    return build_policy(
        "revisions",
        operations=("CREATE", "UPDATE", "DELETE"),
        resources=(REVISIONS, f"{REVISIONS}/status"),
        validations=[
            Validation(
                f"request.userInfo.username == {quote_cel(operator)} || (request.operation == 'DELETE' && "
                f"request.userInfo.username in {quote_list(GARBAGE_COLLECTORS)})",
                where="metadata",
                shown="'metadata.name: ' + request.name + ' (' + request.operation + ' by ' + "
                "request.userInfo.username + ')'",
                why="MeshRevisions are Navarch's own and follow their mesh; change the MeshControlPlane "
                "instead",
                reason="Forbidden",
            )
        ],
    )
