"""The policies on membership: who may join a mesh, and who writes the label that says so.

Owns what may be written of a namespace for a mesh's sake. Must never keep a namespace from being made,
changed or deleted while that label stays as it is. Invariant: no namespace is a member of a mesh of scope
Members unless a user of the mesh has said so.
"""

from __future__ import annotations

from navarch.api.admission.cel import NAMESPACES, Validation, build_policy
from navarch.api.admission.hosting import is_hosting
from navarch.api.controlplane import PLURAL as MESHES
from navarch.api.member import PLURAL as MEMBERS
from navarch.api.meta import GROUP, MEMBER_OF, ROLL_NAMESPACE, JSONObject, quote_cel

USE_VERB = "use"
"""The verb on a MeshControlPlane that it takes to join it."""
LABEL_VERB = "label"
"""The verb on MeshMembers, in the whole cluster, that it takes to write the label oneself, as who restores
namespaces from a backup does."""
_ISTIO_REV = "istio.io/rev"
_LABEL = "{0}.?metadata.?labels[?'" + MEMBER_OF + "']"
_BY = "' (' + request.operation + ' by ' + request.userInfo.username + ')'"


def build_membership_policies(operator: str, *, probe: str) -> list[JSONObject]:
    """Both, and what the operator itself may do to namespaces but `probe`; `operator` is its user name."""
    return [*_build_use(operator), *_build_label(operator), *_build_operator(operator, probe)]


def _build_use(operator: str) -> list[JSONObject]:
    """To join a mesh takes the verb use on it. The operator makes members for the roll beside a mesh, whose
    writer was asked for the right in each namespace (rolls.py), and no others."""
    ref = "object.spec.controlPlaneRef"
    of_its_roll = f"object.metadata.?labels[?'{ROLL_NAMESPACE}'].orValue('') == {ref}.namespace"
    asked = f"authorizer.group('{GROUP}').resource('{MESHES}').namespace({ref}.namespace).name({ref}.name)"
    return build_policy(
        "members",
        operations=("CREATE",),
        resources=(MEMBERS,),
        conditions=[
            {
                "name": "not-for-a-roll",
                "expression": f"request.userInfo.username != {quote_cel(operator)} || !({of_its_roll})",
            }
        ],
        validations=[
            Validation(
                f"{asked}.check('{USE_VERB}').allowed()",
                where="spec.controlPlaneRef",
                shown=f"'spec.controlPlaneRef: ' + {ref}.namespace + '/' + {ref}.name + {_BY}",
                why=f"to join a mesh takes the verb {USE_VERB} on it; ask the mesh's administrator for a "
                "binding of the ClusterRole navarch-mesh-user in the mesh's namespace",
                reason="Forbidden",
            )
        ],
    )


def _build_label(operator: str) -> list[JSONObject]:
    """The label that makes a namespace a member is the operator's to write."""
    changed = f"{_LABEL.format('object')} != {_LABEL.format('oldObject')}"
    may = f"authorizer.group('{GROUP}').resource('{MEMBERS}').check('{LABEL_VERB}').allowed()"
    return build_policy(
        "membership",
        operations=("CREATE", "UPDATE"),
        groups=NAMESPACES,
        conditions=[
            {"name": "label-changed", "expression": changed},
            {"name": "not-the-operator", "expression": f"request.userInfo.username != {quote_cel(operator)}"},
        ],
        validations=[
            Validation(
                may,
                where=f"metadata.labels[{MEMBER_OF}]",
                shown=f"'metadata.labels[{MEMBER_OF}] of namespace ' + object.metadata.name + {_BY}",
                why="this label is Navarch's to write; to join a mesh or leave it, make a MeshMember in the "
                "namespace, or delete it",
                reason="Forbidden",
            )
        ],
    )


def _build_operator(operator: str, probe: str) -> list[JSONObject]:
    """Of namespaces that others made the operator writes two labels and nothing else."""
    own = f"key in {[MEMBER_OF, _ISTIO_REV]}"
    labels = "{0}.metadata.?labels.orValue({{}})"
    new, old = labels.format("object"), labels.format("oldObject")
    kept = " && ".join(
        f"object.metadata.?{field} == oldObject.metadata.?{field}"
        for field in ("annotations", "finalizers", "ownerReferences")
    )
    return build_policy(
        "namespaces",
        operations=("UPDATE",),
        groups=NAMESPACES,
        conditions=[
            {"name": "the-operator", "expression": f"request.userInfo.username == {quote_cel(operator)}"},
            {"name": "not-the-probes", "expression": f"object.metadata.name != {quote_cel(probe)}"},
            {"name": "not-a-hosting-one", "expression": f"!{is_hosting('oldObject')}"},
        ],
        variables={"new": new, "old": old},
        validations=[
            Validation(
                f"{kept} && object.?spec == oldObject.?spec && "
                f"variables.new.all(key, {own} || (key in variables.old && variables.old[key] == "
                f"variables.new[key])) && variables.old.all(key, {own} || key in variables.new)",
                where="metadata",
                shown=f"'metadata.name: ' + object.metadata.name + {_BY}",
                why="of a namespace the operator writes the labels by which it joins a mesh, and nothing "
                "else; use an account of your own",
                reason="Forbidden",
            )
        ],
    )
