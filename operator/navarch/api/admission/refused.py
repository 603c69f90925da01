"""The policy `refused`: keys of free-form fields that would move namespaces or widen power.

Owns how the table of api/refused.py is said in CEL; which keys it lists is that module's to say. Must never
refuse a write that leaves the spec as it is: finalizers and status can be written with any
spec of an old object.
"""

from __future__ import annotations

from navarch.api.admission.cel import SPEC_CHANGED, Validation, build_policy, descend
from navarch.api.meta import GROUP, JSONObject, quote_cel
from navarch.api.refused import (
    REFUSED_ENVIRONMENT,
    REFUSED_MESH_CONFIG,
    REFUSED_PATCH,
    REFUSED_VALUES,
    Path,
    list_spellings,
)


def _refuse_path(path: Path, *, root: str, variable: str, why: str) -> Validation:
    first, *others = (descend(f"variables.{variable}", spelling) for spelling in list_spellings(path))
    found = first + "".join(f".or({other})" for other in others)
    where = ".".join((root, *path))
    shown = f"{quote_cel(f'{where}: ')} + string({found}.value())"
    return Validation(f"!{found}.hasValue()", where=where, shown=shown, why=f"refused, {why}")


def _refuse_patch(condition: str, *, path: str, why: str) -> Validation:
    """Refuse overlays for which `condition`, a CEL expression over `overlay`, holds."""
    names = "overlay, 'spec.overlays of ' + overlay.target.kind + ' ' + overlay.target.name"
    return Validation(
        f"!variables.overlays.exists(overlay, {condition})",
        where="spec.overlays",
        shown=f"variables.overlays.filter(overlay, {condition}).map({names}).join(', ')",
        why=f"{path} in a patch is refused, {why}",
    )


def _refuse_own_keys(field: str) -> Validation:
    keys = f"overlay.patch.metadata.{field}"
    return _refuse_patch(
        f"{descend('overlay.patch', ('metadata', field))}.hasValue() && "
        f"(type({keys}) != map || {keys}.exists(key, key.startsWith('{GROUP}/')))",
        path=f"metadata.{field} that is null or has a key of {GROUP}/",
        why="Navarch finds its objects by those; leave them out",
    )


def _refuse_environment() -> Validation:
    refused = "variables.environment.filter(entry, entry.name in variables.refusedNames)"
    text = (
        "'spec.controlPlane.environment ' + entry.name + ': ' + entry.value + ': ' + "
        "variables.refusedNames[entry.name]"
    )
    return Validation(
        f"{refused}.size() == 0",
        where="spec.controlPlane.environment",
        shown=f"{refused}.map(entry, {text}).join(', ')",
        why="Navarch sets this itself or relies on it",
    )


def build_refusal_policy() -> list[JSONObject]:
    """Keys of free-form fields that would move namespaces or widen power, by path (api/refused.py)."""
    reasons = ", ".join(f"{quote_cel(name)}: {quote_cel(why)}" for name, why in REFUSED_ENVIRONMENT.items())
    tables = {"meshConfig": REFUSED_MESH_CONFIG, "values": REFUSED_VALUES}
    return build_policy(
        "refused",
        operations=("CREATE", "UPDATE"),
        conditions=[SPEC_CHANGED],
        variables={
            "meshConfig": "object.?spec.?meshConfig.orValue({})",
            "values": "object.?spec.?values.orValue({})",
            "overlays": "object.?spec.?overlays.orValue([])",
            "environment": "object.?spec.?controlPlane.?environment.orValue([])",
            "refusedNames": f"{{{reasons}}}",
        },
        validations=[
            *(
                _refuse_path(path, root=f"spec.{variable}", variable=variable, why=why)
                for variable, table in tables.items()
                for path, why in table.items()
            ),
            _refuse_environment(),
            *(
                _refuse_patch(f"{descend('overlay.patch', path)}.hasValue()", path=".".join(path), why=why)
                for path, why in REFUSED_PATCH.items()
            ),
            _refuse_own_keys("labels"),
            _refuse_own_keys("annotations"),
        ],
    )
