"""The policy `host`: a field that the tables of api/power do not free needs a verb of its own.

Owns how those tables are said in CEL; the same in Python is api/power/guarded.py. Invariant: a write that
changes nothing but free fields is never refused here, and every other is, unless its author holds the verb.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from navarch.api.admission.cel import (
    SPEC_CHANGED,
    Validation,
    build_policy,
    find_map,
    name_variable,
    quote_list,
)
from navarch.api.controlplane import CLUSTER, HOSTED
from navarch.api.controlplane import PLURAL as MESHES
from navarch.api.meta import GROUP, JSONObject, quote_cel
from navarch.api.power.guarded import FREE_FORMS, MOST_KEYS, Container, is_removable, list_containers
from navarch.api.power.hosting import FREE_WHEN_HOSTED
from navarch.api.power.rules import Path, Power, Rule
from navarch.api.power.spec import SPEC

HOST_VERB = "host"
HOST_RESOURCE = f"{MESHES}/host"
"""A subresource that is never served: OLM gives namespaces' administrators every verb on each kind itself."""
HOST_ROLE = "navarch-mesh-host"
HOST_RIGHT = f"the verb {HOST_VERB} on {HOST_RESOURCE}.{GROUP}"
"""How messages name it."""

_TYPES = {bool: "bool", int: "int"}


def check_host(namespace: str) -> str:
    """CEL: whether the requester may host a mesh in a namespace, itself a CEL expression."""
    group, (resource, subresource) = f"authorizer.group('{GROUP}')", HOST_RESOURCE.split("/")
    asked = f"{group}.resource('{resource}').subresource('{subresource}').namespace({namespace})"
    return f"{asked}.check('{HOST_VERB}').allowed()"


def check_host_everywhere() -> str:
    """CEL: whether the requester may host a mesh in every namespace."""
    group, (resource, subresource) = f"authorizer.group('{GROUP}')", HOST_RESOURCE.split("/")
    return f"{group}.resource('{resource}').subresource('{subresource}').check('{HOST_VERB}').allowed()"


def build_host_policy() -> list[JSONObject]:
    """What decides what an istiod runs, or what members' pods run, gains rights: that needs `host`."""
    hosted = f"object.?spec.?hosting.orValue('') == {quote_cel(HOSTED)}"
    scope = "{}.?spec.?scope.orValue('') == " + quote_cel(CLUSTER)
    widens = f"{scope.format('object')} && !({scope.format('oldObject')})"
    variables = {"hosted": hosted, "widens": widens, "typed": " + ".join(_list_typed_changes())}
    changed = ["variables.typed"]
    for field, table in FREE_FORMS.items():
        containers = list_containers(table)
        for path in (container.path for container in containers):
            variables[name_variable(field, path)] = _find_map("object", field, path, "")
            variables[name_variable(field, path, "old")] = _find_map("oldObject", field, path, "old")
        for container in reversed(containers):
            variables[f"{name_variable(field, container.path)}Changed"] = _list_changes(field, container)
        changed.append(_unless_same(field, ()))
    variables["changed"] = " + ".join(changed)
    return build_policy(
        "host",
        operations=("CREATE", "UPDATE"),
        conditions=[SPEC_CHANGED],
        variables=variables,
        validations=[
            Validation(
                "((variables.hosted || request.operation == 'UPDATE') && variables.changed.size() == 0) || "
                + check_host("request.namespace"),
                where="spec",
                shown="variables.changed.join(', ') + ' set by ' + request.userInfo.username",
                why=f"this needs {HOST_RIGHT} in the mesh's namespace, since it "
                "decides what istiod or the proxies in members' pods run and believe, and istiod can read "
                "every Secret of the cluster; have a cluster administrator make the change, or bind the "
                f"ClusterRole {HOST_ROLE} in that namespace; a mesh with hosting: Hosted and scope: Members "
                "needs it for fewer fields (docs/reference/power.md)",
                reason="Forbidden",
            ),
            Validation(
                f"!variables.widens || {check_host_everywhere()}",
                where="spec.scope",
                shown="'spec.scope: Cluster set by ' + request.userInfo.username",
                why=f"this needs {HOST_RIGHT} in all namespaces, since the mesh reaches all of them, and no "
                "other mesh can be in the cluster then; have a cluster administrator set it, or set scope: "
                "Members",
                reason="Forbidden",
            ),
        ],
    )


def _list_typed_changes() -> Iterator[str]:
    """For each field of the spec that is not free with every value, a list that names it when it changed."""
    groups: dict[str, list[str]] = {}
    for path, rule in SPEC.items():
        if rule.power is not Power.FREE or rule.allowed is not None:
            at = ".?".join(("", "spec", *path))
            same = [f"object{at} == oldObject{at}", *_list_allowed(rule, at)]
            if freed := FREE_WHEN_HOSTED.get(path):
                among = " || ".join(_list_allowed(freed, at))
                same.append(f"(variables.hosted && ({among}))" if among else "variables.hosted")
            where = quote_cel(".".join(("spec", *path)))
            groups.setdefault(path[0], []).append(f"({' || '.join(same)} ? [] : [{where}])")
    for field, changes in groups.items():
        if len(changes) == 1:
            yield changes[0]
        else:
            at = f".?spec.?{field}"
            yield f"(object{at} == oldObject{at} ? [] : {' + '.join(changes)})"


def _list_allowed(rule: Rule, at: str) -> Iterator[str]:
    """For each value that a free field is limited to, whether it stands there; None means that none does."""
    for value in rule.allowed or ():
        yield f"!object{at}.hasValue()" if value is None else f"object{at} == optional.of({_quote(value)})"


def _find_map(root: str, field: str, path: Path, prefix: str) -> str:
    """The map at a path; empty where there is something else."""
    if not path:
        return f"{root}.?spec.?{field}.orValue({{}})"
    return find_map(f"variables.{name_variable(field, path[:-1], prefix)}", path[-1])


def _unless_same(field: str, path: Path) -> str:
    """What changed in a map and below; looked for only where the map is another one, since most are not."""
    new, old = name_variable(field, path), name_variable(field, path, "old")
    return f"(variables.{new} == variables.{old} ? [] : variables.{new}Changed)"


def _list_changes(field: str, container: Container) -> str:
    """Paths of keys whose change is guarded: of what stands there now, of what stood there and is gone, and
    of the maps below."""
    new, old = (f"variables.{name_variable(field, container.path, prefix)}" for prefix in ("", "old"))
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
    at = ".".join(("spec", field, *container.path))
    where, too_many = quote_cel(f"{at}."), f"{new}.size() > {MOST_KEYS} || {old}.size() > {MOST_KEYS}"
    own = f"({new}.filter(key, !({' || '.join(kept)})) + {old}.filter(key, !({' || '.join(gone)})))"
    below = [_unless_same(field, (*container.path, step)) for step in container.inner]
    told = " + ".join((f"{own}.map(key, {where} + key)", *below))
    return f"{too_many} ? [{quote_cel(at)}] : {told}"


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
