"""The policies on rolls: who may bring which namespaces into a mesh by one, and who writes a roll's labels.

Owns the rights that are asked for each entry that is added. Must never ask anything of a request that only
takes entries away. Invariant: no namespace is brought into a mesh by a roll unless who wrote it there could
have changed the pods of that namespace already: of that one, and not of another that had the name before.

A policy can afford about 28 questions to the authorizer, and CEL has no loop over them: so each name has a
validation of its own, of which most stop at the length of the list.
"""

from __future__ import annotations

from navarch.api.admission.cel import LABELS, SPEC_CHANGED, Validation, build_policy, keep_labels
from navarch.api.admission.membership import LABEL_VERB
from navarch.api.member import PLURAL as MEMBERS
from navarch.api.meta import GROUP, ROLL_NAME, ROLL_NAMESPACE, JSONObject, quote_cel
from navarch.api.roll import ALL, AT, PLURAL

EACH = 24
"""Names that one policy asks about."""
POLICIES = 4
MOST_ADDED = EACH * POLICIES
"""Names that may be added in one request."""
_IS_OPERATORS = "entry.?manager.orValue('') == 'navarch' && entry.?operation.orValue('') == 'Apply'"
"""The operator's entry for what it applied: without it, a MeshMember is nobody's but its team's."""
_BY = "' (' + request.operation + ' by ' + request.userInfo.username + ')'"
_MAY = "authorizer.group('').resource('pods'){0}.check('update').allowed()"
_HAD = "oldObject == null || !has(oldObject.spec.{0}) ? [] : oldObject.spec.{0}"
_HAS = "!has(object.spec.{0}) ? [] : object.spec.{0}"
_CHANGED = (
    "has(object.spec.members) && (oldObject == null || !has(oldObject.spec.members) || "
    "object.spec.members != oldObject.spec.members)"
)
"""Comparing the lists name by name takes a second of the API server's for 1,000 names: only where they
differ, and only for accounts that may not change all pods."""
_VARIABLES = {
    "had": _HAD.format("members"),
    "added": f"({_HAS.format('members')}).filter(name, name != '{ALL}' && !(name in variables.had))",
    "wide": _MAY.format(""),
}
"""Each is computed when a validation asks for it first, and once."""


def build_roll_policies(operator: str) -> list[JSONObject]:
    """All of them, with their bindings; `operator` is the operator's user name."""
    named = [each for part in range(POLICIES) for each in _build_named(part)]
    return [*named, *_build_wide(), *_build_labels(operator)]


def _build_named(part: int) -> list[JSONObject]:
    """Entries that are added: the right in the namespace of each, of which its uid makes sure."""
    first = part * EACH
    return build_policy(
        f"roll-names-{part + 1}",
        operations=("CREATE", "UPDATE"),
        resources=(PLURAL,),
        conditions=[{"name": "may-add", "expression": f"{_CHANGED} && object.spec.members.size() > {first}"}],
        variables=_VARIABLES,
        validations=[
            Validation(
                f"variables.wide || variables.added.size() <= {at} || "
                f"(variables.added[{at}].contains('{AT}') && "
                + _MAY.format(f".namespace(variables.added[{at}].split('{AT}')[0])")
                + ")",
                where="spec.members",
                shown=f"'spec.members: ' + variables.added[{at}] + {_BY}",
                why="to bring a namespace into a mesh by a roll takes the right to update pods there, and "
                f"its uid, since a name alone stands for whichever namespace has it later; write NAME{AT}UID "
                "(kubectl get namespace NAME -o jsonpath={.metadata.uid}), have the namespace's team make a "
                "MeshMember, or have it done by an account that may update pods in the whole cluster",
                reason="Forbidden",
            )
            for at in range(first, first + EACH)
        ],
    )


def _build_wide() -> list[JSONObject]:
    """What takes the right in the whole cluster: an asterisk, selectors, and more names than are asked about
    one by one."""
    variables = _VARIABLES | {
        "chosen": _HAS.format("memberSelectors"),
        "chose": _HAD.format("memberSelectors"),
        "all": f"'{ALL}' in ({_HAS.format('members')}) && !('{ALL}' in variables.had)",
    }
    wide = "it takes the right to update pods in the whole cluster"
    return build_policy(
        "rolls",
        operations=("CREATE", "UPDATE"),
        resources=(PLURAL,),
        conditions=[SPEC_CHANGED],
        variables=variables,
        validations=[
            Validation(
                f"variables.wide || variables.added.size() <= {MOST_ADDED}",
                where="spec.members",
                shown=f"'spec.members: ' + string(variables.added.size()) + ' names are added' + {_BY}",
                why=f"at most {MOST_ADDED} are looked at in one request; split it, or have it done by an "
                "account that may update pods in the whole cluster",
                reason="Forbidden",
            ),
            Validation(
                "!variables.all || variables.wide",
                where="spec.members",
                shown=f"'spec.members: {ALL}' + {_BY}",
                why=f"{wide}; name the namespaces",
                reason="Forbidden",
            ),
            Validation(
                "variables.chosen.all(selector, selector in variables.chose) || variables.wide",
                where="spec.memberSelectors",
                shown=f"'spec.memberSelectors' + {_BY}",
                why=f"to add a selector or change one, {wide}; name the namespaces in spec.members",
                reason="Forbidden",
            ),
        ],
    )


def _build_labels(operator: str) -> list[JSONObject]:
    """What says that a roll has made a MeshMember: by it the MeshMember is removed again. That is its labels
    of ours, since other labels would make it another parent's, and the operator's entry of managedFields."""
    of_a_roll = " || ".join(
        f"'{key}' in {LABELS.format(each)}"
        for each in ("object", "oldObject")
        for key in (ROLL_NAMESPACE, ROLL_NAME)
    )
    same = keep_labels(f"key.startsWith('{GROUP}/')")
    entry = "{0}.?metadata.?managedFields.orValue([]).exists(entry, " + _IS_OPERATORS + ")"
    kept = f"({entry.format('object')} || !{entry.format('oldObject')})"
    return build_policy(
        "roll-members",
        operations=("CREATE", "UPDATE"),
        resources=(MEMBERS, f"{MEMBERS}/status"),
        conditions=[
            {"name": "not-the-operator", "expression": f"request.userInfo.username != {quote_cel(operator)}"},
            {"name": "of-a-roll", "expression": of_a_roll},
            {"name": "changed", "expression": f"!({same} && {kept})"},
        ],
        validations=[
            Validation(
                f"authorizer.group('{GROUP}').resource('{MEMBERS}').check('{LABEL_VERB}').allowed()",
                where="metadata",
                shown=f"'metadata of MeshMember ' + object.metadata.name + {_BY}",
                why=f"labels of {GROUP} and the operator's entry of managedFields are for MeshMembers that a "
                "MeshMemberRoll makes; leave them as they are",
                reason="Forbidden",
            )
        ],
    )
