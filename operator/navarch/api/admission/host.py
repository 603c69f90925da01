"""The policy `host`: whatever the tables of api/power do not free needs a verb of its own.

Owns how those tables are said in CEL; the same in Python is api/power/guarded.py. Invariant: a write that
changes nothing but free fields is never refused here, and every other is, unless its author holds the verb.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from navarch.api.admission.cel import SPEC_CHANGED, Validation, build_policy, quote_list
from navarch.api.controlplane import PLURAL as MESHES
from navarch.api.meta import GROUP, JSONObject, quote_cel
from navarch.api.power.guarded import FREE_FORMS, Container, is_removable, list_containers
from navarch.api.power.rules import Path, Power, Rule
from navarch.api.power.spec import SPEC

HOST_VERB = "host"
HOST_ROLE = "navarch-mesh-host"

_TYPES = {bool: "bool", int: "int"}


def build_host_policy() -> list[JSONObject]:
    """What decides what an istiod runs, or what members' pods run, gains rights: that needs `host`."""
    variables = {"typed": " + ".join(_list_typed_changes())}
    changed = ["variables.typed"]
    for name, table in FREE_FORMS.items():
        for container in list_containers(table):
            new, old = (_name(name, container.path, prefix) for prefix in ("", "old"))
            variables[new] = _find_map("object", name, container.path, "")
            variables[old] = _find_map("oldObject", name, container.path, "old")
            variables[f"{new}Changed"] = _list_changes(container, new, old)
            where = ".".join(("spec", name, *container.path, ""))
            changed.append(f"variables.{new}Changed.map(key, {quote_cel(where)} + key)")
    variables["changed"] = " + ".join(changed)
    check = (
        f"authorizer.group('{GROUP}').resource('{MESHES}').namespace(request.namespace).check('{HOST_VERB}')"
    )
    return build_policy(
        "host",
        operations=("CREATE", "UPDATE"),
        conditions=[SPEC_CHANGED],
        variables=variables,
        validations=[
            Validation(
                f"(request.operation == 'UPDATE' && variables.changed.size() == 0) || {check}.allowed()",
                where="spec",
                shown="variables.changed.join(', ') + ' set by ' + request.userInfo.username",
                why=f"this needs the verb {HOST_VERB} on {MESHES}.{GROUP} in the mesh's namespace, since it "
                "decides what istiod or the proxies in members' pods run and believe, and istiod can read "
                "every Secret of the cluster; have a cluster administrator make the change, or bind the "
                f"ClusterRole {HOST_ROLE} in that namespace",
                reason="Forbidden",
            )
        ],
    )


def _list_typed_changes() -> Iterator[str]:
    """For each field of the spec that is not free whatever it holds, a list that names it when it changed."""
    for path, rule in SPEC.items():
        if rule.power is Power.FREE and rule.allowed is None:
            continue
        at = ".?".join(("", "spec", *path))
        same = [f"object{at} == oldObject{at}"]
        for value in rule.allowed or ():
            same.append(
                f"!object{at}.hasValue()" if value is None else f"object{at} == optional.of({_quote(value)})"
            )
        yield f"({' || '.join(same)} ? [] : [{quote_cel('.'.join(('spec', *path)))}])"


def _name(field: str, path: Path, prefix: str = "") -> str:
    """A variable's name for a map of a free-form field."""
    name = "".join((field, *(step[0].upper() + step[1:] for step in path)))
    return prefix + (name[0].upper() + name[1:] if prefix else name)


def _find_map(root: str, field: str, path: Path, prefix: str) -> str:
    """The map at a path; empty where there is something else."""
    if not path:
        return f"{root}.?spec.?{field}.orValue({{}})"
    found = f"variables.{_name(field, path[:-1], prefix)}.?{path[-1]}.orValue(null)"
    return f"type({found}) == map ? {found} : {{}}"


def _list_changes(container: Container, new: str, old: str) -> str:
    """Keys whose change is guarded: of what stands there now, and of what stood there and is gone."""
    new, old = f"variables.{new}", f"variables.{old}"
    kept, gone = [f"(key in {old} && {old}[key] == {new}[key])"], [f"key in {new}"]
    groups: dict[str, list[str]] = {}
    for key, rule in container.free.items():
        groups.setdefault(_limit(rule, f"{new}[key]"), []).append(key)
    for limit, keys in groups.items():
        known = f"key in {quote_list(keys)}"
        kept.append(f"({known} && {limit})" if limit else known)
    if removable := [key for key, rule in container.free.items() if is_removable(rule)]:
        gone.append(f"key in {quote_list(removable)}")
    if container.inner:
        for found, rest in ((new, kept), (old, gone)):
            rest.append(f"(key in {quote_list(container.inner)} && type({found}[key]) == map)")
    return f"{new}.filter(key, !({' || '.join(kept)})) + {old}.filter(key, !({' || '.join(gone)}))"


def _limit(rule: Rule, value: str) -> str:
    """Whether a value is one that a free field is limited to, empty for any; null counts as absent."""
    if rule.kind is not None:
        return f"type({value}) == {_TYPES[rule.kind]}"
    if rule.allowed is None:
        return ""
    shown = ", ".join(_quote(allowed) for allowed in rule.allowed if allowed is not None)
    among = f"{value} in [{shown}]"
    return f"({value} == null || {among})" if None in rule.allowed else among


def _quote(value: Any) -> str:
    """A scalar or a list of texts in CEL."""
    if isinstance(value, str):
        return quote_cel(value)
    return quote_list(value) if isinstance(value, list) else json.dumps(value)
