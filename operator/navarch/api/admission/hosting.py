"""The policies on namespaces in which control planes are hosted.

Owns what the operator's account may make and delete of namespaces, and who else may make one of these names,
or let a mesh take its pods. Must never keep such a namespace from being deleted by who may. Invariant: the
operator deletes no namespace but those that it made for a mesh.
"""

from __future__ import annotations

from navarch.api.admission.cel import NAMESPACES, Validation, build_policy, keep_labels
from navarch.api.admission.host import HOST_RIGHT, check_host_everywhere
from navarch.api.controlplane import HOSTED_FORM
from navarch.api.meta import GROUP, JSONObject, quote_cel

MESH_NAME = f"{GROUP}/mesh-name"
_BY = "' (' + request.operation + ' by ' + request.userInfo.username + ')'"
_JOINING = ("istio.io/rev", "istio-injection")


def is_hosting(namespace: str) -> str:
    """CEL: whether the object `namespace` is one that Navarch has made for a control plane."""
    labels = f"{namespace}.metadata.?labels.orValue({{}})"
    return (
        f"({namespace}.metadata.name.matches({quote_cel(HOSTED_FORM)}) && {quote_cel(MESH_NAME)} in {labels})"
    )


def build_hosting_policies(operator: str, *, probe: str) -> list[JSONObject]:
    """Both; `operator` is the operator's user name, `probe` its namespace for dry-run pods."""
    return [*_build_operator(operator, probe), *_build_others(operator)]


def _build_operator(operator: str, probe: str) -> list[JSONObject]:
    about = "(request.operation == 'DELETE' ? oldObject : object)"
    return build_policy(
        "hosting-namespaces",
        operations=("CREATE", "DELETE"),
        groups={"": ("namespaces",)},
        conditions=[
            {"name": "the-operator", "expression": f"request.userInfo.username == {quote_cel(operator)}"},
            {"name": "not-the-probes", "expression": f"{about}.metadata.name != {quote_cel(probe)}"},
        ],
        variables={"about": about},
        validations=[
            Validation(
                is_hosting("variables.about"),
                where="metadata",
                shown=f"'metadata.name: ' + variables.about.metadata.name + {_BY}",
                why="of namespaces the operator makes and deletes only those in which it hosts the control "
                "planes of meshes; use an account of your own",
                reason="Forbidden",
            )
        ],
    )


def _build_others(operator: str) -> list[JSONObject]:
    """A namespace of such a name that another had made would be taken for foreign, and its mesh would wait;
    with labels of a mesh, it would be taken for ours, and its maker would be administrator of an istiod."""
    same = keep_labels(f"key.startsWith('{GROUP}/') || key in {list(_JOINING)}")
    return build_policy(
        "hosting",
        operations=("CREATE", "UPDATE"),
        groups=NAMESPACES,
        conditions=[
            {"name": "not-the-operator", "expression": f"request.userInfo.username != {quote_cel(operator)}"},
            {"name": "of-a-mesh", "expression": f"object.metadata.name.matches({quote_cel(HOSTED_FORM)})"},
            {"name": "decides", "expression": f"request.operation == 'CREATE' || !({same})"},
        ],
        validations=[
            Validation(
                check_host_everywhere(),
                where="metadata",
                shown=f"'metadata.name: ' + object.metadata.name + {_BY}",
                why="Navarch hosts control planes of meshes in namespaces of this form, and makes and labels "
                f"them; choose another name, or have it done with {HOST_RIGHT} in the whole cluster",
                reason="Forbidden",
            )
        ],
    )
