"""The policy `refused`: keys of free-form fields that would move namespaces or widen power.

Owns how the table of api/refused.py is said in CEL; which keys it lists is that module's to say. Must never
refuse a write that leaves the spec as it is: finalizers and status can be written with any
spec of an old object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from navarch.api.admission.cel import (
    SPEC_CHANGED,
    Validation,
    build_policy,
    descend,
    find_map,
    name_variable,
    quote_list,
)
from navarch.api.meta import GROUP, JSONObject, quote_cel
from navarch.api.refused import (
    REFUSED_ENVIRONMENT,
    REFUSED_MESH_CONFIG,
    REFUSED_PATCH,
    REFUSED_VALUES,
    Path,
    list_spellings,
)

LONGEST = 200
"""Characters of a value that a message shows: of a message of 5,120 the API server shows nothing."""
REFERENCE = "docs/reference/refused.md"


def _refuse_keys(field: str, table: Mapping[Path, str]) -> tuple[dict[str, str], list[str]]:
    """Variables, and for each map in which keys are refused an expression that tells of those that it has."""
    variables, told = {field: f"object.?spec.?{field}.orValue({{}})"}, []
    for at in dict.fromkeys(path[:-1] for path in table):
        keys = {
            key: (".".join(("spec", field, *path)), why)
            for path, why in table.items()
            if path[:-1] == at
            for (key,) in list_spellings(path[-1:])
        }
        known = name_variable(field, (*at, "refused"))
        variables[known] = "{" + ", ".join(f"{quote_cel(k)}: {quote_list(v)}" for k, v in keys.items()) + "}"
        for spelling in list_spellings(at):
            for end in range(1, len(spelling) + 1):
                above, step = name_variable(field, spelling[: end - 1]), spelling[end - 1]
                variables[name_variable(field, spelling[:end])] = find_map(f"variables.{above}", step)
            told.append(_tell_keys(f"variables.{name_variable(field, spelling)}", f"variables.{known}"))
    return variables, told


def _tell_keys(found: str, known: str) -> str:
    """CEL: a sentence for each key of the map `known` that the map `found` has. Maps and lists, which have no
    text, are not shown, nor is what would make the message longer than the API server passes on."""
    value = f"{found}[key]"
    is_shown = f"type({value}) != map && type({value}) != list && {value} != null"
    shown = f"({is_shown} && string({value}).size() <= {LONGEST} ? string({value}) + ': ' : '')"
    told = f"{known}[key][0] + ': ' + {shown} + 'refused, ' + {known}[key][1]"
    return f"({found}.size() == 0 ? [] : {known}.filter(key, key in {found}).map(key, {told}))"


def _refuse_patch(condition: str, *, path: str, why: str) -> str:
    """CEL: a sentence for each overlay for which `condition`, an expression over `overlay`, holds."""
    named = "'spec.overlays of ' + overlay.target.kind + ' ' + overlay.target.name"
    told = quote_cel(f": {path} in a patch is refused, {why}")
    return f"variables.overlays.filter(overlay, {condition}).map(overlay, {named} + {told})"


def _refuse_own_keys(field: str) -> str:
    keys = f"overlay.patch.metadata.{field}"
    return _refuse_patch(
        f"{descend('overlay.patch', ('metadata', field))}.hasValue() && "
        f"(type({keys}) != map || {keys}.exists(key, key.startsWith('{GROUP}/')))",
        path=f"metadata.{field} that is null or has a key of {GROUP}/",
        why="Navarch finds its objects by those; leave them out",
    )


def list_refused_patches() -> Iterator[str]:
    """CEL: lists of sentences about what the patches of `variables.overlays` may not hold."""
    for path, why in REFUSED_PATCH.items():
        found = f"{descend('overlay.patch', path)}.hasValue()"
        yield _refuse_patch(found, path=".".join(path), why=why)
    yield _refuse_own_keys("labels")
    yield _refuse_own_keys("annotations")


def refuse_all(variable: str, *, where: str) -> Validation:
    """Refuse where a variable, a list of sentences, has any."""
    told = f"variables.{variable}"
    why = f"a key there is one of those that are refused to everybody; leave out what {REFERENCE} names"
    return Validation(f"{told}.size() == 0", where, shown=f"{told}.join(', ')", why=why, is_whole=True)


def build_refusal_policy() -> list[JSONObject]:
    """Keys of free-form fields that would move namespaces or widen power, by path (api/refused.py).

    Each rule, and each message, is an evaluation of its own, also where nothing is refused: hence one for
    each field, and a map is only looked into where it is there."""
    reasons = ", ".join(f"{quote_cel(name)}: {quote_cel(why)}" for name, why in REFUSED_ENVIRONMENT.items())
    variables, keys = dict[str, str](), list[str]()
    for field, table in (("meshConfig", REFUSED_MESH_CONFIG), ("values", REFUSED_VALUES)):
        found, told = _refuse_keys(field, table)
        variables |= found
        keys += told
    entry = "'spec.controlPlane.environment ' + entry.name + ': ' + entry.value + ': '"
    variables |= {
        "keys": " + ".join(keys),
        "refusedNames": f"{{{reasons}}}",
        "environment": "object.?spec.?controlPlane.?environment.orValue([])"
        ".filter(entry, entry.name in variables.refusedNames)"
        f".map(entry, {entry} + variables.refusedNames[entry.name])",
        "overlays": "object.?spec.?overlays.orValue([])",
        "patches": f"variables.overlays.size() == 0 ? [] : {' + '.join(list_refused_patches())}",
    }
    return build_policy(
        "refused",
        operations=("CREATE", "UPDATE"),
        conditions=[SPEC_CHANGED],
        variables=variables,
        validations=[
            refuse_all("keys", where="spec.meshConfig or spec.values"),
            refuse_all("environment", where="spec.controlPlane.environment"),
            refuse_all("patches", where="spec.overlays"),
        ],
    )
