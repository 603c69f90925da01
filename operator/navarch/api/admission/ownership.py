"""The policies on what is ours: objects with a mesh's labels, what istiod takes for them, and the finalizer.

Owns who may write them: the operator; istiod, of webhooks the fields that are its own; Kubernetes' and the
platform's own controllers; and holders of the verb `host` where the mesh is. Must never keep a namespace from
being deleted, nor be asked about a write that carries no such label. Invariant: what is kept from others here
is also put back when they get at it (kube/apply.py): this is the first of two nets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from navarch.api.admission.cel import Validation, keep_labels
from navarch.api.admission.host import HOST_RIGHT, check_host
from navarch.api.controlplane import KIND
from navarch.api.controlplane import PLURAL as MESHES
from navarch.api.gateway import PLURAL as GATEWAYS
from navarch.api.meta import API_VERSION, FINALIZER, FORCE_DELETE, GROUP, JSONObject, quote_cel

MESH_NAME = f"{GROUP}/mesh-name"
MESH_NAMESPACE = f"{GROUP}/mesh-namespace"
GATEWAY_NAME = f"{GROUP}/gateway-name"
"""By this label a gateway's Service finds its pods."""
CLASS_DEFAULTS = "gateway.istio.io/defaults-for-class"
_OF_PODS = (MESH_NAME, GATEWAY_NAME)
WRITES = ("CREATE", "UPDATE", "DELETE")

OWNED_RESOURCES: Mapping[str, tuple[str, ...]] = {
    "": ("configmaps", "secrets", "serviceaccounts", "services"),
    "apps": ("daemonsets", "deployments"),
    "autoscaling": ("horizontalpodautoscalers",),
    "networking.k8s.io": ("networkpolicies",),
    "policy": ("poddisruptionbudgets",),
    "route.openshift.io": ("routes",),
    "rbac.authorization.k8s.io": ("clusterrolebindings", "clusterroles", "rolebindings", "roles"),
    "admissionregistration.k8s.io": ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"),
    "security.istio.io": ("peerauthentications",),
    GROUP: (GATEWAYS,),
}
"""What a mesh consists of, by API group; MeshRevisions have a policy of their own."""

_PODS: Mapping[str, tuple[str, ...]] = {"": ("bindings", "pods", "pods/binding", "pods/status")}
"""Pods by every path at which their labels can be written: a pod gets those of its Binding as well."""
_STATUS: Mapping[str, tuple[str, ...]] = {
    "": ("services/status",),
    "apps": ("daemonsets/status", "deployments/status"),
    "autoscaling": ("horizontalpodautoscalers/status",),
    "policy": ("poddisruptionbudgets/status",),
    "route.openshift.io": ("routes/status",),
}
"""Statuses of what a mesh consists of: of most kinds the API server takes metadata there, too."""
_MAKERS: Mapping[str, tuple[str, ...]] = {
    "": ("replicationcontrollers",),
    "apps": ("daemonsets", "deployments", "replicasets", "statefulsets"),
    "apps.openshift.io": ("deploymentconfigs",),
    "batch": ("jobs",),
}
_CRON: Mapping[str, tuple[str, ...]] = {"batch": ("cronjobs",)}
"""Kinds of Kubernetes and OpenShift whose pods their platform's own controllers make from a template, and the
one that makes Jobs from one."""

_PLATFORM = (
    "['system:serviceaccount:kube-system:', 'system:serviceaccount:openshift-infra:', "
    "'system:kube-controller-manager', 'system:kube-scheduler', 'system:cloud-controller-manager'"
    "].exists(name, request.userInfo.username.startsWith(name))"
)
"""Controllers of Kubernetes and of its platform: their holders administer the cluster already."""

_PLACE = "request.?namespace.orValue(variables.labels[?'{0}'].orValue(''))"
_LABELS = "(request.operation == 'CREATE' ? object.metadata.?labels : oldObject.metadata.?labels).orValue({})"
_BY = "' (' + request.operation + ' by ' + request.userInfo.username + ')'"


def _rules(resources: Mapping[str, Iterable[str]], operations: Iterable[str]) -> list[JSONObject]:
    return [
        {
            "apiGroups": [group],
            "apiVersions": ["*"],
            "operations": [*operations],
            "resources": [*names],
            "scope": "*",
        }
        for group, names in resources.items()
    ]


def _build(
    name: str,
    *,
    constraints: JSONObject,
    conditions: Mapping[str, str],
    variables: Mapping[str, str],
    validation: Validation,
    param_kind: JSONObject | None = None,
) -> list[JSONObject]:
    metadata = {"name": f"{name}.{GROUP}", "labels": {"app.kubernetes.io/name": "navarch"}}
    spec: JSONObject = {
        "failurePolicy": "Fail",
        **({"paramKind": param_kind} if param_kind else {}),
        "matchConstraints": constraints,
        "matchConditions": [{"name": key, "expression": text} for key, text in conditions.items()],
        "variables": [{"name": key, "expression": text} for key, text in variables.items()],
        "validations": [validation.build()],
    }
    # Every mesh of the object's own namespace is a parameter; where there is none, nothing is asked.
    params = {"paramRef": {"selector": {}, "parameterNotFoundAction": "Allow"}} if param_kind else {}
    api = "admissionregistration.k8s.io/v1"
    return [
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": metadata, "spec": spec},
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": metadata,
            "spec": {"policyName": metadata["name"], "validationActions": ["Deny"], **params},
        },
    ]


def _carrying(label: str) -> JSONObject:
    return {"matchExpressions": [{"key": label, "operator": "Exists"}]}


def _spare(operator: str) -> dict[str, str]:
    """Writes about which nothing is asked: ours, and those of Kubernetes' own controllers."""
    return {
        "not-the-operator": f"request.userInfo.username != {quote_cel(operator)}",
        "not-kubernetes": f"!{_PLATFORM}",
    }


_WEBHOOK_FIELDS = (
    "name",
    "rules",
    "namespaceSelector",
    "objectSelector",
    "matchPolicy",
    "matchConditions",
    "sideEffects",
    "timeoutSeconds",
    "reinvocationPolicy",
    "admissionReviewVersions",
)
_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")


def _is_istiods() -> str:
    """Of webhooks, istiod writes caBundle and failurePolicy and nothing else. That it may write them at all
    is a matter of its roles."""
    same = " && ".join(f"new.?{field} == old.?{field}" for field in _WEBHOOK_FIELDS)
    # A hosted mesh's istiod is where its webhooks lead to.
    home = "oldObject.webhooks.size() > 0 ? oldObject.webhooks[0].clientConfig.?service.?namespace.orValue("
    account = f"({home}variables.place) : variables.place)"
    kept = " && ".join(f"object.metadata.?{field} == oldObject.metadata.?{field}" for field in _METADATA)
    return (
        "request.operation == 'UPDATE' && "
        "request.resource.group == 'admissionregistration.k8s.io' && "
        f"request.userInfo.username.startsWith('system:serviceaccount:' + {account} + ':istiod-') && "
        f"{kept} && "
        "object.webhooks.size() == oldObject.webhooks.size() && "
        f"object.webhooks.all(new, oldObject.webhooks.exists(old, {same} && "
        "new.clientConfig.?service == old.clientConfig.?service && "
        "new.clientConfig.?url == old.clientConfig.?url))"
    )


_SAME_OWNERS = "object.metadata.?ownerReferences == oldObject.metadata.?ownerReferences"
_OURS = f"key.startsWith('{GROUP}/')"


def _keeps_service() -> str:
    """Of a gateway's Service, the controller of a load balancer writes finalizers and annotations of its own.
    It may run in any namespace: it is known by that it may write all Services."""
    services = "authorizer.group('').resource('services')"
    return (
        "request.operation == 'UPDATE' && request.resource.resource == 'services' && "
        f"object.spec == oldObject.spec && {_SAME_OWNERS} && "
        f"{keep_labels(_OURS)} && {keep_labels(_OURS, field='annotations')} && "
        f"({services}.check('patch').allowed() || {services}.check('update').allowed())"
    )


def build_ownership_policy(operator: str) -> list[JSONObject]:
    """Objects with a mesh's labels, before or after the write; `operator` is the operator's user name."""
    return _build(
        "ownership",
        constraints={
            "resourceRules": _rules(OWNED_RESOURCES, WRITES),
            "objectSelector": _carrying(MESH_NAME),
        },
        conditions=_spare(operator),
        variables={
            "labels": _LABELS,
            "place": _PLACE.format(MESH_NAMESPACE),
            "balances": _keeps_service(),
        },
        validation=Validation(
            f"variables.balances || ({_is_istiods()}) || {check_host('variables.place')}",
            where="metadata.labels",
            shown=f"'metadata.labels: {MESH_NAME} on ' + request.resource.resource + ' ' + request.name"
            f" + {_BY}",
            why="objects with this label are Navarch's own, and the label is Navarch's to give; change the "
            f"MeshControlPlane instead, or have it done with {HOST_RIGHT} in the mesh's "
            "namespace",
            reason="Forbidden",
        ),
    )


def build_pod_policy(operator: str, name: str, label: str) -> list[JSONObject]:
    """Such a label on pods comes from a ReplicaSet of ours, and our labels stay as they are."""
    # A map's keys come in any order, another one each time: never compared as a list.
    new, old = "object.metadata.?labels.orValue({})", "oldObject.metadata.?labels.orValue({})"
    foreign = f"!key.startsWith('{GROUP}/')"
    kept = f"{old}.all(key, {foreign} || key in {new})"
    same = f"{new}.all(key, {foreign} || (key in {old} && {old}[key] == {new}[key]))"
    return _build(
        name,
        constraints={
            "resourceRules": _rules(_PODS, ("CREATE", "UPDATE")),
            "objectSelector": _carrying(label),
        },
        conditions=_spare(operator)
        | {"labels-changed": f"request.operation == 'CREATE' || !({kept} && {same})"},
        variables={},
        validation=Validation(
            check_host("request.namespace"),
            where="metadata.labels",
            shown=f"'metadata.labels: {label} on pod ' + request.name + {_BY}",
            why="this label is for the pods of istiod and of gateways, whose Services would send this one "
            "their traffic; leave it out",
            reason="Forbidden",
        ),
    )


def build_status_policy(operator: str) -> list[JSONObject]:
    """By a status nobody gives or takes these labels, nor an owner with which the object would be collected:
    what has lost the labels, no other policy is asked about."""
    return _build(
        "ownership-status",
        constraints={
            "resourceRules": _rules(_STATUS, ("UPDATE",)),
            "objectSelector": _carrying(MESH_NAME),
        },
        conditions=_spare(operator) | {"changed": f"!({keep_labels(_OURS)} && {_SAME_OWNERS})"},
        variables={},
        validation=Validation(
            check_host("request.namespace"),
            where="metadata",
            shown=f"'metadata: labels of {GROUP} or owners of ' + request.resource.resource + ' ' + "
            f"request.name + {_BY}",
            why="a status gives and takes no label of Navarch's, and no owner; leave them as they are",
            reason="Forbidden",
        ),
    )


def build_template_policy(
    operator: str, name: str, makers: Mapping[str, tuple[str, ...]], *, where: str
) -> list[JSONObject]:
    """What makes pods must not make some with a mesh's or a gateway's labels: Kubernetes' own controllers
    would be the ones that create them, and they are not asked."""
    labels = "{0}." + where.removesuffix("template") + "?template.?metadata.?labels.orValue({{}})"
    return _build(
        name,
        constraints={"resourceRules": _rules(makers, ("CREATE", "UPDATE"))},
        conditions=_spare(operator)
        | {
            "carrying": " || ".join(f"'{label}' in {labels.format('object')}" for label in _OF_PODS),
            "labels-changed": f"request.operation == 'CREATE' || "
            f"{labels.format('object')} != {labels.format('oldObject')}",
        },
        variables={},
        validation=Validation(
            check_host("request.namespace"),
            where=f"{where}.metadata.labels",
            shown=f"'{where}.metadata.labels: {' or '.join(_OF_PODS)} of ' + "
            f"request.resource.resource + ' ' + request.name + {_BY}",
            why="these labels are for the pods of istiod and of gateways, whose Services would send others "
            "their traffic; leave them out",
            reason="Forbidden",
        ),
    )


def build_class_policy(operator: str) -> list[JSONObject]:
    """Beside istiod, a ConfigMap with this label decides what every Gateway of the class runs."""
    return _build(
        "gateway-defaults",
        param_kind={"apiVersion": API_VERSION, "kind": KIND},
        constraints={
            "resourceRules": _rules({"": ("configmaps",)}, ("CREATE", "UPDATE")),
            "objectSelector": _carrying(CLASS_DEFAULTS),
        },
        conditions=_spare(operator),
        variables={},
        validation=Validation(
            check_host("request.namespace"),
            where="metadata.labels",
            shown=f"'metadata.labels: {CLASS_DEFAULTS} on ConfigMap ' + request.name + ' beside mesh ' + "
            f"params.metadata.name + {_BY}",
            why="istiod deploys all Gateways of a class with what such a ConfigMap says; use "
            f"spec.values.gatewayClasses of the mesh, or have it done with {HOST_RIGHT}",
            reason="Forbidden",
        ),
    )


def build_finalizer_policy(operator: str) -> list[JSONObject]:
    """Without its finalizer a mesh goes and leaves its objects, istiod's rights among them; a gateway its
    pods."""
    held = f"'{FINALIZER}' in {{0}}.metadata.?finalizers.orValue([])"
    return _build(
        "finalizer",
        constraints={"resourceRules": _rules({GROUP: (MESHES, GATEWAYS)}, ("UPDATE",))},
        conditions=_spare(operator)
        | {"taken-off": f"({held.format('oldObject')}) && !({held.format('object')})"},
        variables={},
        validation=Validation(
            check_host("request.namespace"),
            where="metadata.finalizers",
            shown=f"'metadata.finalizers: {FINALIZER} of ' + request.name + {_BY}",
            why="Navarch takes its finalizer off when all of the object is removed; delete it and wait, "
            "and keep the entry when you replace the object (kubectl apply and patch do)",
            reason="Forbidden",
        ),
    )


def build_force_policy(operator: str) -> list[JSONObject]:
    """A mesh's proxies may run in any namespace: to leave them without a control plane is no right of the
    mesh's own administrator."""
    insists = f"{{0}}.metadata.?annotations[?'{FORCE_DELETE}'].orValue('') == 'true'"
    added = f"{insists.format('object')} && !(request.operation == 'UPDATE' && {insists.format('oldObject')})"
    return _build(
        "force-delete",
        constraints={"resourceRules": _rules({GROUP: (MESHES,)}, ("CREATE", "UPDATE"))},
        conditions=_spare(operator) | {"added": added},
        variables={},
        validation=Validation(
            check_host("request.namespace"),
            where="metadata.annotations",
            shown=f"'metadata.annotations: {FORCE_DELETE}=true on ' + object.metadata.name + {_BY}",
            why="with it the mesh can be deleted while pods of any namespace still carry its proxies; take "
            "these out of the mesh and restart them first, or have it done with "
            f"{HOST_RIGHT}",
            reason="Forbidden",
        ),
    )


def build_ownership_policies(operator: str) -> list[JSONObject]:
    """All of them, with their bindings."""
    return [
        *build_ownership_policy(operator),
        *build_status_policy(operator),
        *build_pod_policy(operator, "pods", MESH_NAME),
        *build_pod_policy(operator, "gateway-pods", GATEWAY_NAME),
        *build_template_policy(operator, "templates", _MAKERS, where="spec.template"),
        *build_template_policy(operator, "cron-templates", _CRON, where="spec.jobTemplate.spec.template"),
        *build_class_policy(operator),
        *build_finalizer_policy(operator),
        *build_force_policy(operator),
    ]
