"""What installs the operator: namespaces, identity, permissions, policies, Deployment; as plain manifests.

Owns the objects of deploy/install.yaml and of `navarch manifests`. Must never hold a rule of RBAC itself
(api/rbac.py) nor a policy (api/admission). Invariant: everything an installation needs beside the CRDs, in
an order in which it can be applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from navarch.api.admission import build_policies
from navarch.api.admission.host import HOST_RESOURCE, HOST_ROLE, HOST_VERB
from navarch.api.admission.membership import USE_VERB
from navarch.api.controlplane import PLURAL as MESHES
from navarch.api.export import RESOURCES
from navarch.api.gateway import PLURAL as GATEWAYS
from navarch.api.member import PLURAL as MEMBERS
from navarch.api.meta import GROUP, IMAGE, NAVARCH, RELEASE, JSONObject
from navarch.api.rbac import (
    OPERATOR_USES,
    PROBE_USES,
    ROLLOUT_USES,
    ROOT_USES,
    SYSTEM_USES,
    Rule,
    Use,
    build_cluster_role,
    merge_rules,
)
from navarch.api.roll import PLURAL as ROLLS

NAME = "navarch"
NAMESPACE = "navarch-system"
PROBE_NAMESPACE = "navarch-probe"
PORT = 8080
METRICS_PORT = 8443
METRICS_PORT_NAME = "metrics"
METRICS_PATH = "/metrics"
METRICS_SERVICE = f"{NAME}-metrics"
METRICS_READER = f"{NAME}-metrics-reader"
"""ClusterRole of who reads the metrics, such as the account of a Prometheus; bound to nobody."""
CERTIFICATES_ROLE = f"{NAME}-certificates"
ROLLOUTS_ROLE = f"{NAME}-rollouts"
"""ClusterRole by which the operator reads the certificates of gateways; bound to nobody."""
METRICS_SECRET = f"{NAME}-metrics-tls"
"""Secret with the certificate of the metrics' port; none needs to be there."""
_METRICS_MOUNT = "/tmp/k8s-metrics-server/metrics-certs"
USER_ROLE = f"{NAME}-mesh-user"
"""ClusterRole of who may join a mesh; bound in the mesh's namespace."""
PROBE_ROLE = f"{NAME}-dry-run"
"""ClusterRole of the probe, bound in its namespace only; and the name of that binding."""
ROOTS_ROLE = f"{NAME}-roots"
"""ClusterRole by which the operator keeps the roots of certificate authorities, bound in its own namespace
only; and the name of that binding."""
GRACE_SECONDS = 30
"""Time to finish the reconciles in hand and to release the Lease."""
PRIORITY = "system-cluster-critical"

_RBAC = "rbac.authorization.k8s.io/v1"
SELECTOR = {"app.kubernetes.io/name": NAME}
_READ = ["get", "list", "watch"]
_POLICIES = ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
_WHY_KEPT = "the operator keeps what not every installer brings: policies, and the namespace of the probe"
_BOUND_ONCE = {PROBE_ROLE: PROBE_USES, ROOTS_ROLE: ROOT_USES}
"""ClusterRoles that the operator binds to itself, each in one namespace."""


def _build(
    api_version: str,
    kind: str,
    name: str,
    *,
    namespace: str = "",
    labels: Mapping[str, str] | None = None,
    **body: object,
) -> JSONObject:
    metadata: JSONObject = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    metadata["labels"] = {**SELECTOR, **(labels or {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}


def _build_roles(
    namespace: str, probe_namespace: str, grants: Iterable[Rule], bound: Iterable[str]
) -> list[JSONObject]:
    account = {"kind": "ServiceAccount", "name": NAME, "namespace": namespace}

    def bind(kind: str, *, where: str = "") -> JSONObject:
        return _build(
            _RBAC,
            f"{kind}Binding",
            NAME,
            namespace=where,
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": NAME},
            subjects=[account],
        )

    def role(where: str, uses: Iterable[Use]) -> JSONObject:
        return _build(_RBAC, "Role", NAME, namespace=where, rules=merge_rules(use.build() for use in uses))

    uses = [*OPERATOR_USES, *build_keeping_uses(namespace, probe_namespace)]
    return [
        build_cluster_role(uses, grants, roles=[*bound, *_BOUND_ONCE], name=NAME),
        bind("ClusterRole"),
        role(namespace, SYSTEM_USES),
        bind("Role", where=namespace),
        *(
            _build(_RBAC, "ClusterRole", name, rules=merge_rules(use.build() for use in uses))
            for name, uses in _BOUND_ONCE.items()
        ),
    ]


def build_kept(namespace: str = NAMESPACE, probe_namespace: str = PROBE_NAMESPACE) -> list[JSONObject]:
    """What the operator puts there itself where the installer did not: OLM, for one, cannot."""
    account = {"kind": "ServiceAccount", "name": NAME, "namespace": namespace}
    bindings = [
        _build(
            _RBAC,
            "RoleBinding",
            name,
            namespace=where,
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            subjects=[account],
        )
        for name, where in ((PROBE_ROLE, probe_namespace), (ROOTS_ROLE, namespace))
    ]
    # The probe namespace admits any pod: nothing is stored there, and PodSecurity must not speak first.
    enforce = {"pod-security.kubernetes.io/enforce": "privileged"}
    operator = f"system:serviceaccount:{namespace}:{NAME}"
    kept = [
        _build("v1", "Namespace", probe_namespace, labels=enforce),
        *bindings,
        *build_policies(operator=operator, reserved=(namespace, probe_namespace), probe=probe_namespace),
    ]
    stamp = {RELEASE: NAVARCH}
    return [{**each, "metadata": {**each["metadata"], "annotations": stamp}} for each in kept]


def build_keeping_uses(namespace: str = NAMESPACE, probe_namespace: str = PROBE_NAMESPACE) -> tuple[Use, ...]:
    """The rights for that: to write by name only."""
    kept = build_kept(namespace, probe_namespace)
    names = tuple(each["metadata"]["name"] for each in kept if each["kind"] == "ValidatingAdmissionPolicy")
    group = "admissionregistration.k8s.io"
    return (
        Use("", ("namespaces",), ("get", "create", "patch"), _WHY_KEPT, names=(probe_namespace,)),
        Use(group, _POLICIES, ("list", "watch"), "a policy that another client changes is put right"),
        Use(group, _POLICIES, ("get", "create", "update", "patch"), _WHY_KEPT, names=names),
    )


def _build_user_roles() -> list[JSONObject]:
    """Roles for people. `host` is in none of Kubernetes' own: with it a mesh's administrator gains
    istiod's rights."""

    def role(name: str, rules: list[JSONObject], *, into: str = "") -> JSONObject:
        labels = {f"rbac.authorization.k8s.io/aggregate-to-{into}": "true"} if into else {}
        return _build(_RBAC, "ClusterRole", name, labels=labels, rules=rules)

    def rule(resources: list[str], verbs: list[str]) -> JSONObject:
        return {"apiGroups": [GROUP], "resources": resources, "verbs": verbs}

    every = [resource.plural for resource in RESOURCES]
    written = [MESHES, GATEWAYS, MEMBERS, ROLLS]
    derived = [plural for plural in every if plural not in written]
    write = ["create", "update", "patch", "delete", "deletecollection"]
    return [
        role(f"{NAME}-mesh-view", [rule(every, _READ)], into="view"),
        role(
            f"{NAME}-mesh-admin",
            [rule(written, [*_READ, *write]), rule(derived, _READ), rule([MESHES], [USE_VERB])],
            into="admin",
        ),
        role(USER_ROLE, [rule([MESHES], [*_READ, USE_VERB])]),
        role(HOST_ROLE, [rule([HOST_RESOURCE], [HOST_VERB])]),
        role(METRICS_READER, [{"nonResourceURLs": [METRICS_PATH], "verbs": ["get"]}]),
        role(CERTIFICATES_ROLE, [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]),
        role(ROLLOUTS_ROLE, [use.build() for use in ROLLOUT_USES]),
    ]


def _build_quota(namespace: str) -> JSONObject:
    """Leave for the pods' priority: where an administrator limits the critical classes, a namespace needs a
    quota of its own that names them. Elsewhere it limits nothing that is reached."""
    selector = {"scopeName": "PriorityClass", "operator": "In", "values": [PRIORITY]}
    spec = {"hard": {"pods": "10"}, "scopeSelector": {"matchExpressions": [selector]}}
    return _build("v1", "ResourceQuota", f"{NAME}-critical-pods", namespace=namespace, spec=spec)


def _build_container(image: str, probe_namespace: str) -> JSONObject:
    def probe(path: str, *, period: int, failures: int = 3) -> JSONObject:
        return {
            "httpGet": {"path": path, "port": "http"},
            "periodSeconds": period,
            "timeoutSeconds": 5,
            "failureThreshold": failures,
        }

    return {
        "name": NAME,
        "image": image,
        "args": ["run"],
        "env": [
            {"name": "NAVARCH_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "NAVARCH_PROBE_NAMESPACE", "value": probe_namespace},
        ],
        "ports": [
            {"name": "http", "containerPort": PORT, "protocol": "TCP"},
            {"name": METRICS_PORT_NAME, "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        # It answers from the first moment, before the API server was reached and the caches are warm: that is
        # what readiness is for.
        "startupProbe": probe("/livez", period=1, failures=60),
        "livenessProbe": probe("/livez", period=20),
        "readinessProbe": probe("/readyz", period=5),
        # Then `kubectl describe pod` quotes why it ended, such as a setting that is wrong.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "metrics-tls", "mountPath": _METRICS_MOUNT, "readOnly": True},
        ],
    }


def _build_workload(image: str, namespace: str, probe_namespace: str) -> list[JSONObject]:
    spread = [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": SELECTOR},
            # Pods of the version before, which are about to go, do not count.
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]
    pod = {
        "serviceAccountName": NAME,
        "priorityClassName": PRIORITY,
        "automountServiceAccountToken": True,
        # Or the Service navarch-metrics would be told in NAVARCH_METRICS_PORT, as tcp://…:8443.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "topologySpreadConstraints": spread,
        "containers": [_build_container(image, probe_namespace)],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
            # A Secret that comes later is mounted then, into the pod that runs.
            {"name": "metrics-tls", "secret": {"secretName": METRICS_SECRET, "optional": True}},
        ],
    }
    annotations = {"kubectl.kubernetes.io/default-container": NAME}
    # The operator is no workload of any mesh: an injected proxy would wait for the istiod that the operator
    # has to start.
    labels = {**SELECTOR, "sidecar.istio.io/inject": "false"}
    deployment = {
        "replicas": 2,
        "selector": {"matchLabels": SELECTOR},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod},
    }
    port = {"name": METRICS_PORT_NAME, "port": METRICS_PORT, "targetPort": METRICS_PORT_NAME}
    service = {"selector": SELECTOR, "ports": [port]}
    # minAvailable would block drains for ever where one replica runs.
    budget = {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": SELECTOR},
    }
    return [
        _build("v1", "Service", METRICS_SERVICE, namespace=namespace, spec=service),
        _build("policy/v1", "PodDisruptionBudget", NAME, namespace=namespace, spec=budget),
        _build("apps/v1", "Deployment", NAME, namespace=namespace, spec=deployment),
    ]


def build_install(
    *,
    grants: Iterable[Rule],
    roles: Iterable[Mapping[str, Any]],
    image: str = IMAGE,
    namespace: str = NAMESPACE,
    probe_namespace: str = PROBE_NAMESPACE,
) -> list[JSONObject]:
    """Everything but the CRDs. `grants` are the rules of all roles that are made for meshes
    (rbac.collect_grants), `roles` the ClusterRoles that meshes bind."""
    static = [dict(role) for role in roles]
    bound = [role["metadata"]["name"] for role in static]
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    probe, *kept = build_kept(namespace, probe_namespace)
    return [
        _build("v1", "Namespace", namespace, labels=enforce),
        probe,
        _build_quota(namespace),
        _build("v1", "ServiceAccount", NAME, namespace=namespace, automountServiceAccountToken=False),
        *static,
        *_build_roles(namespace, probe_namespace, grants, bound),
        *_build_user_roles(),
        *kept,
        *_build_workload(image, namespace, probe_namespace),
    ]
