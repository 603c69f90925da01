"""ValidatingAdmissionPolicies: rules on our kinds that need the requester, the namespace or free-form fields.

Owns what is refused before it is stored and cannot be said in the schema. Must never refuse a write that
leaves the spec as it is: finalizers and status have to go through whatever stands in an old object.
Invariant: every policy fails closed, and every refusal names the field, what stands there and what to do.

How CEL sees our objects here (tried on a 1.37 API server): free-form fields are plain maps; `a.?b` is
empty on a string and an error on a list, so that the type comes first; a *variable* may not be descended into
with `.?` when it is itself optional; `oldObject` is null on CREATE and `oldObject.?spec` then empty. An
expression may ask the authorizer twice at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from navarch.api.controlplane import PLURAL as MESHES
from navarch.api.controlplane import REVISION_FORM
from navarch.api.meta import FORCE_DELETE, GROUP, JSONObject, quote_cel
from navarch.api.refused import (
    REFUSED_ENVIRONMENT,
    REFUSED_MESH_CONFIG,
    REFUSED_PATCH,
    REFUSED_VALUES,
    Path,
    list_spellings,
)
from navarch.api.revision import PLURAL as REVISIONS

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

_NAMESPACE_CONTROLLERS = (
    "system:serviceaccount:kube-system:namespace-controller",
    "system:kube-controller-manager",
)
_GARBAGE_COLLECTORS = (*_NAMESPACE_CONTROLLERS, "system:serviceaccount:kube-system:generic-garbage-collector")
_SPEC_CHANGED = {
    "name": "spec-changed",
    "expression": "request.operation == 'CREATE' || object.spec != oldObject.spec",
}


@dataclass(frozen=True, slots=True)
class Validation:
    """One rule. `where` is the field, `shown` a CEL expression (string) for field and value, `why` what is
    wrong and what to do. Where `shown` cannot be computed (an object has no string form), the field alone
    is named."""

    expression: str
    where: str
    shown: str
    why: str
    reason: Literal["Invalid", "Forbidden"] = "Invalid"

    def build(self) -> JSONObject:
        """The rule as the policy carries it."""
        return {
            "expression": self.expression,
            "message": f"{self.where}: {self.why}",
            "messageExpression": f"{self.shown} + {quote_cel(f': {self.why}')}",
            "reason": self.reason,
        }


def _build_policy(
    name: str,
    *,
    operations: Iterable[str],
    validations: Iterable[Validation],
    resources: Iterable[str] = (MESHES,),
    conditions: Iterable[JSONObject] = (),
    variables: Mapping[str, str] | None = None,
) -> list[JSONObject]:
    metadata = {"name": f"{name}.{GROUP}", "labels": {"app.kubernetes.io/name": "navarch"}}
    rule = {
        "apiGroups": [GROUP],
        "apiVersions": ["*"],
        "operations": list(operations),
        "resources": list(resources),
        "scope": "Namespaced",
    }
    spec: JSONObject = {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]}}
    if conditions:
        spec["matchConditions"] = list(conditions)
    if variables:
        spec["variables"] = [{"name": key, "expression": value} for key, value in variables.items()]
    spec["validations"] = [validation.build() for validation in validations]
    api = "admissionregistration.k8s.io/v1"
    return [
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": metadata, "spec": spec},
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": metadata,
            "spec": {"policyName": metadata["name"], "validationActions": ["Deny"]},
        },
    ]


def _quote_list(values: Iterable[str]) -> str:
    return f"[{', '.join(quote_cel(value) for value in values)}]"


def build_host_policy() -> list[JSONObject]:
    """Whoever decides what an istiod runs gains its rights, which are cluster-wide: that needs `host`."""
    changes = []
    for field in GUARDED:
        path = ".?".join(("", "spec", *field.split(".")))
        changes.append(f"(object{path} == oldObject{path} ? [] : [{quote_cel(f'spec.{field}')}])")
    check = (
        f"authorizer.group('{GROUP}').resource('{MESHES}').namespace(request.namespace).check('{HOST_VERB}')"
    )
    return _build_policy(
        "host",
        operations=("CREATE", "UPDATE"),
        conditions=[_SPEC_CHANGED],
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


def _descend(root: str, path: Path) -> str:
    """A CEL expression for what stands at `path` below the map `root`; empty also where a step is no map."""
    found = f"{root}.?{path[0]}"
    for step in path[1:]:
        found += f".optFlatMap(at, type(at) == map ? at.?{step} : optional.none())"
    return found


def _refuse_path(path: Path, *, root: str, variable: str, why: str) -> Validation:
    first, *others = (_descend(f"variables.{variable}", spelling) for spelling in list_spellings(path))
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
        f"{_descend('overlay.patch', ('metadata', field))}.hasValue() && "
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
    return _build_policy(
        "refused",
        operations=("CREATE", "UPDATE"),
        conditions=[_SPEC_CHANGED],
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
                _refuse_patch(f"{_descend('overlay.patch', path)}.hasValue()", path=".".join(path), why=why)
                for path, why in REFUSED_PATCH.items()
            ),
            _refuse_own_keys("labels"),
            _refuse_own_keys("annotations"),
        ],
    )


def build_version_policy() -> list[JSONObject]:
    """In place, a control plane goes neither back nor over a minor, measured from what runs."""
    minor = "int({0}.split('.')[0]) * 1000 + int({0}.split('.')[1])"
    exact = "variables.wanted.split('.').size() == 3 && variables.active.split('.').size() == 3"
    patches = "int(variables.wanted.split('.')[2]) >= int(variables.active.split('.')[2])"
    shown = "'spec.version: ' + variables.wanted + ' (' + variables.active + ' runs)'"
    changed = "object.spec.version != oldObject.spec.version && oldObject.?status.?version.?active.hasValue()"
    return _build_policy(
        "version",
        operations=("UPDATE",),
        conditions=[{"name": "version-changed", "expression": changed}],
        variables={
            "wanted": "object.spec.version",
            "active": "oldObject.status.version.active",
            "wantedMinor": minor.format("variables.wanted"),
            "activeMinor": minor.format("variables.active"),
        },
        validations=[
            Validation(
                "variables.wantedMinor > variables.activeMinor || (variables.wantedMinor == "
                f"variables.activeMinor && (!({exact}) || {patches}))",
                where="spec.version",
                shown=shown,
                why="Istio's state and proxies do not go back; keep the version that runs or choose a newer "
                "one",
            ),
            Validation(
                "variables.wantedMinor <= variables.activeMinor + 1",
                where="spec.version",
                shown=shown,
                why="in place, a control plane goes one minor at a time; choose the next minor first",
            ),
        ],
    )


def build_placement_policy(reserved: Iterable[str]) -> list[JSONObject]:
    """Where a mesh may be made, and under which name; `reserved` are the operator's own namespaces."""
    both = "request.namespace + '-' + object.metadata.name"
    return _build_policy(
        "placement",
        operations=("CREATE",),
        validations=[
            Validation(
                f"!(request.namespace in {_quote_list(sorted(reserved))}) && "
                "!request.namespace.startsWith('kube-') && !request.namespace.startsWith('openshift-')",
                where="metadata.namespace",
                shown="'metadata.namespace: ' + request.namespace",
                why="this namespace is the platform's or Navarch's own; create the mesh in one of its own",
                reason="Forbidden",
            ),
            Validation(
                f"has(object.spec.tag) || ({both}).size() > 40 || !({both}).matches('{REVISION_FORM}')",
                where="metadata.name",
                shown=f"'metadata.name: ' + object.metadata.name + ' (tag ' + {both} + ')'",
                why="names of revisions end like this (-inplace, or three numbers), and tags may not; set "
                "spec.tag",
            ),
            Validation(
                f"({both}).size() <= 63",
                where="metadata.name",
                shown="'metadata.name: ' + object.metadata.name",
                why="a label of member namespaces holds the mesh's namespace and name, 62 characters in all; "
                "choose a shorter name",
            ),
        ],
    )


def build_deletion_policy() -> list[JSONObject]:
    """A mesh with proxies is not deleted by accident; a namespace takes its mesh with it all the same."""
    annotated = f"oldObject.metadata.?annotations[?'{FORCE_DELETE}'].orValue('') == 'true'"
    return _build_policy(
        "deletion",
        operations=("DELETE",),
        variables={"proxies": "oldObject.?status.?proxies.?total.orValue(0)"},
        validations=[
            Validation(
                f"variables.proxies == 0 || {annotated} || has(oldObject.metadata.deletionTimestamp) || "
                f"request.userInfo.username in {_quote_list(_NAMESPACE_CONTROLLERS)}",
                where="status.proxies.total",
                shown="'status.proxies.total: ' + string(variables.proxies)",
                why="pods still carry proxies of this mesh and would be left without a control plane; take "
                "their namespaces out of the mesh and restart them, or delete it all the same after `kubectl "
                f"annotate meshcontrolplane NAME {FORCE_DELETE}=true`",
                reason="Forbidden",
            )
        ],
    )


def build_revision_policy(operator: str) -> list[JSONObject]:
    """MeshRevisions are written by the operator alone; `operator` is its user name."""
    return _build_policy(
        "revisions",
        operations=("CREATE", "UPDATE", "DELETE"),
        resources=(REVISIONS, f"{REVISIONS}/status"),
        validations=[
            Validation(
                f"request.userInfo.username == {quote_cel(operator)} || (request.operation == 'DELETE' && "
                f"request.userInfo.username in {_quote_list(_GARBAGE_COLLECTORS)})",
                where="metadata",
                shown="'metadata.name: ' + request.name + ' (' + request.operation + ' by ' + "
                "request.userInfo.username + ')'",
                why="MeshRevisions are Navarch's own and follow their mesh; change the MeshControlPlane "
                "instead",
                reason="Forbidden",
            )
        ],
    )


def build_policies(*, operator: str, reserved: Iterable[str]) -> list[JSONObject]:
    """All policies with their bindings: for the operator's user name and its own namespaces."""
    return [
        *build_host_policy(),
        *build_refusal_policy(),
        *build_version_policy(),
        *build_placement_policy(reserved),
        *build_deletion_policy(),
        *build_revision_policy(operator),
    ]
