"""What OpenShift has to allow before pods of a mesh start there: one SecurityContextConstraints, and who may
use it.

Owns both, and the binding of the probe's account: a dry run of a pod passes the same admission as a real one.
Must never allow more than an injected sidecar asks for. Invariant (tests/unit/test_openshift.py): pods with a
sidecar fit it, and all other pods of Navarch's fit `restricted-v2`, which every account has.
"""

from __future__ import annotations

from navarch.api.install import PROBE_NAMESPACE, SELECTOR
from navarch.api.meta import JSONObject

NAME = "navarch-sidecars"
"""Of the constraints, and of the ClusterRole whose holders may use them."""
_GROUP = "security.openshift.io"
_RBAC = "rbac.authorization.k8s.io"
_VOLUMES = ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected")
_CAPABILITIES = ("NET_ADMIN", "NET_RAW", "NET_BIND_SERVICE")
"""Those of `istio-init`, of a proxy that captures by TPROXY, and of one on low ports."""


def build_openshift() -> list[JSONObject]:
    """`restricted-v2` with the capabilities and the user that `istio-init` needs, the role that allows its
    use, and the binding of the account whose pods prove that injection works."""
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": PROBE_NAMESPACE}
    rule = {
        "apiGroups": [_GROUP],
        "resources": ["securitycontextconstraints"],
        "resourceNames": [NAME],
        "verbs": ["use"],
    }
    role = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": NAME}
    rbac = f"{_RBAC}/v1"
    return [
        _build_constraints(),
        {"apiVersion": rbac, "kind": "ClusterRole", "metadata": _name(), "rules": [rule]},
        {
            "apiVersion": rbac,
            "kind": "RoleBinding",
            "metadata": {**_name(), "namespace": PROBE_NAMESPACE},
            "roleRef": role,
            "subjects": [subject],
        },
    ]


def _build_constraints() -> JSONObject:
    # Everything that a SecurityContextConstraints must say is said: what is left out is not always refused.
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "SecurityContextConstraints",
        "metadata": _name(),
        "allowHostDirVolumePlugin": False,
        "allowHostIPC": False,
        "allowHostNetwork": False,
        "allowHostPID": False,
        "allowHostPorts": False,
        "allowPrivilegeEscalation": False,
        "allowPrivilegedContainer": False,
        "allowedCapabilities": [*_CAPABILITIES],
        "fsGroup": {"type": "MustRunAs"},
        "groups": [],
        "readOnlyRootFilesystem": False,
        "requiredDropCapabilities": ["ALL"],
        "runAsUser": {"type": "RunAsAny"},
        "seLinuxContext": {"type": "MustRunAs"},
        "seccompProfiles": ["runtime/default"],
        "supplementalGroups": {"type": "RunAsAny"},
        "users": [],
        "volumes": [*_VOLUMES, "secret"],
    }


def _name() -> JSONObject:
    return {"name": NAME, "labels": dict(SELECTOR)}
