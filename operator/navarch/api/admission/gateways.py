"""The policies `gateways` and `gateway-power`: who may have a mesh make gateways, where and with what, and
what a MeshGateway itself may be made to run.

Owns what an editor of a mesh has to be allowed beside that, since the operator makes these MeshGateways
with rights of its own. Must never ask about a write that leaves the spec as it is.
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.api.admission.cel import SPEC_CHANGED, Validation, build_policy, quote_list
from navarch.api.admission.host import HOST_RIGHT, check_host
from navarch.api.admission.refused import list_refused_patches, refuse_all
from navarch.api.gateway import PLURAL as GATEWAYS
from navarch.api.gatewayroutes import CUSTOM_HOST
from navarch.api.gatewayroutes import GROUP as GROUP_OF_ROUTES
from navarch.api.gatewayroutes import PLURAL as PLURAL_OF_ROUTES
from navarch.api.inline import TYPES
from navarch.api.meta import GROUP, JSONObject, quote_cel
from navarch.api.power.overlays import GATEWAY_FREE_PATCH, GATEWAY_GUARDED, GATEWAY_LIKE_PODS, Tree
from navarch.api.power.rules import Path

_CHANGED = {"name": "gateways-changed", "expression": "object.?spec.?gateways != oldObject.?spec.?gateways"}
_SHOWN = "' set by ' + request.userInfo.username"
_SAME = "old.name == entry.name && old.?namespace == entry.?namespace"
"""CEL: whether two entries of a mesh are one gateway."""


def _is_within(found: str, tree: Tree) -> str:
    """CEL: whether a value is a map that holds nothing but what a tree has."""
    parts = [f"type({found}) == map", f"{found}.all(key, key in {quote_list(tree)})"]
    for key, below in tree.items():
        if below:
            parts.append(f"(!({quote_cel(key)} in {found}) || {_is_within(f'{found}.{key}', below)})")
    return " && ".join(parts)


def _list_guarded(overlays: str) -> str:
    """CEL: those of a list of overlays that need `host`."""
    free = " || ".join(
        f"(overlay.target.kind == {quote_cel(kind)} && {_is_within('overlay.patch', tree)})"
        for kind, tree in GATEWAY_FREE_PATCH.items()
    )
    return f"{overlays}.?overlays.orValue([]).filter(overlay, !({free}))"


def _tell_guarded(new: str, old: str, where: str) -> str:
    """CEL: names of what needs `host` and differs between two settings of a gateway."""
    overlays = f"({_list_guarded(new)} == {_list_guarded(old)} ? [] : [{quote_cel(f'{where}overlays')}])"
    return f"{overlays} + {_tell_fields(GATEWAY_GUARDED, new, old, where)}"


def _tell_fields(paths: Iterable[Path], new: str, old: str, where: str) -> str:
    """CEL: names of those fields that are there and differ between two settings of a gateway."""
    told = []
    for path in paths:
        at = ".?".join(("", *path))
        changed = f"{new}{at}.hasValue() && {new}{at} != {old}{at}"
        told.append(f"({changed} ? [{quote_cel(where + '.'.join(path))}] : [])")
    return " + ".join(told)


def _tell_entries() -> str:
    """CEL: names of the gateways of a mesh of which something changed that needs `host`."""
    kept = [f"{_list_guarded('old')} == {_list_guarded('entry')}"]
    kept += [f"old{at} == entry{at}" for at in (".?".join(("", *path)) for path in GATEWAY_GUARDED)]
    bare = [f"{_list_guarded('entry')}.size() == 0"]
    bare += [f"!entry{at}.hasValue()" for at in (".?".join(("", *path)) for path in GATEWAY_GUARDED)]
    held = f"{_list_guarded('old')}.size() > 0"
    return (
        f"variables.entries.filter(entry, !variables.before.exists(old, {_SAME} && {' && '.join(kept)}) && "
        f"!({' && '.join(bare)} && !variables.before.exists(old, {_SAME} && {held})))"
        ".map(entry, 'spec.gateways of ' + entry.name)"
    )


def _tell_entries_like_pods() -> str:
    """CEL: names of the gateways of a mesh that have something new of GATEWAY_LIKE_PODS."""
    changed = (
        f"(entry{at}.hasValue() && !variables.before.exists(old, {_SAME} && old{at} == entry{at}))"
        for at in (".?".join(("", *path)) for path in GATEWAY_LIKE_PODS)
    )
    return (
        f"variables.entries.filter(entry, {' || '.join(changed)})"
        ".map(entry, 'spec.gateways of ' + entry.name)"
    )


_POWER = (
    f"this needs {HOST_RIGHT} in the namespace of {{0}}, since it decides what pods that can read Secrets "
    "run and mount, and whose traffic comes to them; docs/reference/power.md says what overlays may hold "
    "without"
)


_ROUTED = (
    f"this needs the verb create on {PLURAL_OF_ROUTES}/{CUSTOM_HOST}.{GROUP_OF_ROUTES} in the namespace of "
    "{0}, as a Route with a host of its own does on OpenShift; have it done by those who may"
)


_LIKE_PODS = (
    "this needs the right to create pods in the namespace of {0}, since it gives its pods a share of others' "
    "requests, or a place before others; leave it out (each pod has the label istio=NAME of its "
    f"gateway without that), or have it done by those who may, or by a holder of {HOST_RIGHT}"
)


def _check_pods(namespace: str) -> str:
    """CEL: whether the requester may make pods in a namespace, or host a mesh there."""
    pods = f"authorizer.group('').resource('pods').namespace({namespace}).check('create').allowed()"
    return f"{pods} || {check_host(namespace)}"


def _check_routes(namespace: str) -> str:
    """CEL: whether the requester may make Routes with hosts of their own in a namespace."""
    asked = f"authorizer.group('{GROUP_OF_ROUTES}').resource('{PLURAL_OF_ROUTES}')"
    return f"{asked}.subresource('{CUSTOM_HOST}').namespace({namespace}).check('create').allowed()"


def build_gateway_power_policy(operator: str) -> list[JSONObject]:
    """What a MeshGateway may be made to run and reach; those that the operator makes were judged as part of
    their mesh."""
    return build_policy(
        "gateway-power",
        operations=("CREATE", "UPDATE"),
        resources=(GATEWAYS,),
        conditions=[SPEC_CHANGED],
        variables={
            "overlays": "object.?spec.?overlays.orValue([])",
            "patches": f"variables.overlays.size() == 0 ? [] : {' + '.join(list_refused_patches())}",
            "guarded": _tell_guarded("object.?spec", "oldObject.?spec", "spec."),
            "likePods": _tell_fields(GATEWAY_LIKE_PODS, "object.?spec", "oldObject.?spec", "spec."),
        },
        validations=[
            refuse_all("patches", where="spec.overlays"),
            Validation(
                f"request.userInfo.username == {quote_cel(operator)} || variables.guarded.size() == 0 || "
                + check_host("request.namespace"),
                where="spec",
                shown="variables.guarded.join(', ')" + f" + {_SHOWN}",
                why=_POWER.format("the gateway"),
                reason="Forbidden",
            ),
            Validation(
                f"request.userInfo.username == {quote_cel(operator)} || variables.likePods.size() == 0 || "
                + _check_pods("request.namespace"),
                where="spec",
                shown=f"variables.likePods.join(', ') + {_SHOWN}",
                why=_LIKE_PODS.format("the gateway"),
                reason="Forbidden",
            ),
            Validation(
                f"request.userInfo.username == {quote_cel(operator)} || "
                "!has(object.spec.openshift) || "
                "object.?spec.?openshift == oldObject.?spec.?openshift || "
                + _check_routes("request.namespace"),
                where="spec.openshift",
                shown=f"'spec.openshift.routes' + {_SHOWN}",
                why=_ROUTED.format("the gateway"),
                reason="Forbidden",
            ),
        ],
    )


def build_gateways_policy() -> list[JSONObject]:
    """Gateways of a mesh take the right to make MeshGateways there; in other namespaces, and with what
    MeshGateways need it for, `host`."""

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
            "powerful": f"{_tell_entries()} + "
            + _tell_guarded(
                "object.?spec.?gateways.?defaults",
                "oldObject.?spec.?gateways.?defaults",
                "spec.gateways.defaults.",
            ),
            "likePods": f"{_tell_entries_like_pods()} + "
            + _tell_fields(
                GATEWAY_LIKE_PODS,
                "object.?spec.?gateways.?defaults",
                "oldObject.?spec.?gateways.?defaults",
                "spec.gateways.defaults.",
            ),
            "routed": "variables.entries.filter(entry, has(entry.openshift) && "
            "!variables.before.exists(old, old.name == entry.name && old.?namespace == entry.?namespace && "
            "old.?openshift == entry.?openshift))",
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
            Validation(
                f"variables.powerful.size() == 0 || {check_host('request.namespace')}",
                where="spec.gateways",
                shown="variables.powerful.join(', ')" + f" + {_SHOWN}",
                why=_POWER.format("the mesh"),
                reason="Forbidden",
            ),
            Validation(
                f"variables.likePods.size() == 0 || {_check_pods('request.namespace')}",
                where="spec.gateways",
                shown=f"variables.likePods.join(', ') + {_SHOWN}",
                why=_LIKE_PODS.format("the mesh"),
                reason="Forbidden",
            ),
            Validation(
                f"variables.routed.size() == 0 || {_check_routes('request.namespace')}",
                where="spec.gateways",
                shown="variables.routed.map(entry, 'spec.gateways: openshift of ' + entry.name).join(', ') + "
                f"{_SHOWN}",
                why=_ROUTED.format("the mesh"),
                reason="Forbidden",
            ),
        ],
    )
