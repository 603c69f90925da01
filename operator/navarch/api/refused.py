"""Keys of free-form fields that Navarch refuses, each with what it would do and what to write instead.

Owns the one table that admission policies (api/admission.py), checks (core/mesh/checks) and
docs/reference/refused.md are made of. Must never list a key merely because it is unusual: only what moves
namespaces, trust or images, or gives a mesh's administrator more than the mesh. Invariant: whatever admission
refuses, the checks refuse too.

Sources: Istio's mesh/v1alpha1/{config,proxy}.proto, the values that its injection templates read
(manifests/charts/istio-control/istio-discovery/files/injection-template.yaml) and istiod's environment
(pkg/features, pilot/pkg/bootstrap), the proxy's own (pilot/cmd/pilot-agent/options).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str, ...]

_MEMBERSHIP = "which namespaces and pods belong to a mesh follows from its tag; label namespaces instead"
_DOMAIN = "it would change whose identities are believed past spec.trust; use spec.trust.domain"
_CA = "it would hand the mesh's identities to another certificate authority; leave it out, istiod is its own"
_ROOTS = "it would add roots past the mesh's certificate authority; leave it out"
_ELSEWHERE = (
    "it would take the control plane out of Navarch's hands; leave it out, istiod runs beside this object"
)
_IMAGES = "images come from one place so that they can be mirrored and pinned; use spec.images"
_SWITCH = "it would have every proxy of the mesh run or read a file of its image unseen; leave it out"
_TAGS = "revisions and tags are Navarch's to name; use spec.tag and spec.defaultTag"
_OWN = "Navarch finds its objects by it; leave it out of the patch"
_FIXED = "istiod's identity follows from this object and cannot be set; leave it out"

REFUSED_MESH_CONFIG: Mapping[Path, str] = {
    ("discoverySelectors",): f"it would make istiod look at other namespaces than it injects; {_MEMBERSHIP}",
    ("rootNamespace",): "it would give another namespace's configuration power over the whole mesh; "
    "leave it out, it is the mesh's own namespace",
    ("trustDomain",): _DOMAIN,
    ("trustDomainAliases",): "it would accept identities past spec.trust; use spec.trust.additionalDomains",
    ("caCertificates",): _ROOTS,
    ("ca",): _CA,
    ("configSources",): "it would have istiod obey configuration from outside the cluster's API; "
    "apply the configuration to the cluster instead",
    ("defaultConfig", "discoveryAddress"): "it would connect proxies to another control plane; "
    "leave it out, it is the mesh's own istiod",
    (
        "defaultConfig",
        "controlPlaneAuthPolicy",
    ): "it would let proxies talk to istiod without TLS; leave it out",
    ("defaultConfig", "caCertificatesPem"): _ROOTS,
    ("defaultConfig", "binaryPath"): _SWITCH,
    ("defaultConfig", "customConfigFile"): _SWITCH,
    ("defaultConfig", "proxyBootstrapTemplatePath"): _SWITCH,
    ("defaultConfig", "proxyMetadata", "CA_ADDR"): _CA,
    ("defaultConfig", "proxyMetadata", "CA_ROOT_CA"): _ROOTS,
    ("defaultConfig", "proxyMetadata", "XDS_ROOT_CA"): _ROOTS,
    ("defaultConfig", "proxyMetadata", "PILOT_CERT_PROVIDER"): _CA,
    ("defaultConfig", "proxyMetadata", "CA_PROVIDER"): _CA,
    ("defaultConfig", "proxyMetadata", "FILE_MOUNTED_CERTS"): _CA,
    ("defaultConfig", "proxyMetadata", "PROV_CERT"): _CA,
    ("defaultConfig", "proxyMetadata", "TRUST_DOMAIN"): _DOMAIN,
    ("defaultConfig", "proxyMetadata", "ISTIOD_SAN"): "another server could pass for istiod; leave it out",
    ("defaultConfig", "proxyMetadata", "ISTIO_BOOTSTRAP"): _SWITCH,
    ("defaultConfig", "proxyMetadata", "ISTIO_BOOTSTRAP_OVERRIDE"): _SWITCH,
}
"""Paths in spec.meshConfig, in Istio's JSON spelling."""

REFUSED_VALUES: Mapping[Path, str] = {
    ("revision",): _TAGS,
    ("revisionTags",): _TAGS,
    ("defaultRevision",): _TAGS,
    ("meshConfig",): "it would pass by the checks on Istio's configuration; use spec.meshConfig",
    ("istiodRemote",): _ELSEWHERE,
    ("global", "istioNamespace"): _ELSEWHERE,
    ("global", "configCluster"): _ELSEWHERE,
    ("global", "externalIstiod"): _ELSEWHERE,
    ("global", "remotePilotAddress"): _ELSEWHERE,
    ("global", "caAddress"): _CA,
    ("global", "caName"): _CA,
    ("global", "pilotCertProvider"): _CA,
    ("global", "certSigners"): _CA,
    ("global", "trustBundleName"): "it would make proxies trust the root in another ConfigMap; leave it out",
    ("global", "trustDomain"): _DOMAIN,
    (
        "global",
        "sds",
        "token",
        "aud",
    ): "it would put tokens for another audience into every pod; leave it out",
    ("global", "hub"): _IMAGES,
    ("global", "tag"): _IMAGES,
    ("global", "proxy", "image"): _IMAGES,
    ("global", "proxy_init", "image"): _IMAGES,
    ("global", "proxy", "privileged"): "it would make every sidecar a privileged container; leave it out",
    ("global", "proxy", "autoInject"): f"it would turn injection on or off past its labels; {_MEMBERSHIP}",
    ("sidecarInjectorWebhook", "enableNamespacesByDefault"): f"it would take every namespace; {_MEMBERSHIP}",
    ("sidecarInjectorWebhook", "alwaysInjectSelector"): f"it would take pods that did not ask; {_MEMBERSHIP}",
    ("sidecarInjectorWebhook", "neverInjectSelector"): f"it would leave members' pods outside; {_MEMBERSHIP}",
    (
        "sidecarInjectorWebhook",
        "injectedAnnotations",
    ): "Navarch tells current proxies from outdated ones by them; annotate the workloads instead",
    (
        "sidecarInjectorWebhook",
        "templates",
    ): "it would put containers of any kind into every pod of the mesh; "
    "use the templates sidecar and gateway as they are",
    (
        "sidecarInjectorWebhook",
        "defaultTemplates",
    ): "it would put containers of any kind into every pod of the mesh; "
    "choose a template by the pod's annotation inject.istio.io/templates",
    ("pilot", "env"): "istiod's environment has a field of its own; use spec.controlPlane.environment",
    ("pilot", "hub"): _IMAGES,
    ("pilot", "tag"): _IMAGES,
    ("pilot", "image"): _IMAGES,
    (
        "pilot",
        "trustedZtunnelNamespace",
    ): "it would let another service account obtain any identity; leave it out",
    ("pilot", "trustedZtunnelName"): "it would let another service account obtain any identity; leave it out",
}
"""Paths in spec.values, in the spelling of Istio's charts."""

REFUSED_ENVIRONMENT: Mapping[str, str] = {
    "REVISION": _FIXED,
    "POD_NAME": _FIXED,
    "POD_NAMESPACE": _FIXED,
    "SERVICE_ACCOUNT": _FIXED,
    "KUBECONFIG": _ELSEWHERE,
    "EXTERNAL_ISTIOD": _ELSEWHERE,
    "ISTIO_WATCH_NAMESPACE": f"it would make istiod look at other namespaces than it injects; {_MEMBERSHIP}",
    "INJECTION_WEBHOOK_CONFIG_NAME": "webhooks would lose their certificate authority; leave it out",
    "VALIDATION_WEBHOOK_CONFIG_NAME": "webhooks would lose their certificate authority; leave it out",
    "PILOT_CERT_PROVIDER": _CA,
    "EXTERNAL_CA": _CA,
    "ENABLE_CA_SERVER": _CA,
    "TRUSTED_GATEWAY_CIDR": "it would let addresses speak for any identity; leave it out",
    "CA_TRUSTED_NODE_ACCOUNTS": "it would let other service accounts obtain any identity; leave it out",
    "PILOT_CA_CERT_CONFIGMAP": "it would make proxies trust the root in another ConfigMap; leave it out",
    "ENABLE_CLUSTER_TRUST_BUNDLE_API": "the cluster's one bundle would take the root of this mesh; leave it "
    "out",
    "XDS_AUTH": "it would let anybody read the mesh's configuration; leave it out",
    "PILOT_ENABLE_XDS_IDENTITY_CHECK": "it would let a proxy pass for another; leave it out",
}
"""Names in spec.controlPlane.environment."""

GATEWAY_KINDS = ("deployment", "horizontalPodAutoscaler", "podDisruptionBudget", "service", "serviceAccount")
"""What istiod deploys for a Gateway, as a class's ConfigMap and spec.values.gatewayClasses call it
(pilot/pkg/config/kube/gatewaycommon/deploymentcontroller.go, supportedOverlays)."""

REFUSED_PATCH: Mapping[Path, str] = {
    ("apiVersion",): "an overlay cannot make an object another one; leave it out of the patch",
    ("kind",): "an overlay cannot make an object another one; leave it out of the patch",
    ("metadata", "name"): _OWN,
    ("metadata", "namespace"): _OWN,
    ("metadata", "ownerReferences"): "the garbage collector would remove objects out of order; leave it out",
    ("metadata", "finalizers"): "nobody would release the object; leave it out",
    ("status",): "status is written by the object's controller; leave it out",
    ("data", "isolation"): "it would let the mesh reach beyond its own namespaces; leave it out",
    ("data", "mesh"): "it would pass by the checks on Istio's configuration; use spec.meshConfig",
    ("data", "config"): "it would pass by the checks on injection; use spec.values",
    ("data", "values"): "it would pass by the checks on injection; use spec.values",
    **{
        ("data", kind): "it would pass by the checks on gateways; use spec.values.gatewayClasses"
        for kind in GATEWAY_KINDS
    },
}
"""Paths in spec.overlays[].patch. Labels and annotations under mesh.navarch.io/ are refused besides."""

OVERLAY_KINDS = (
    "ConfigMap",
    "Deployment",
    "HorizontalPodAutoscaler",
    "NetworkPolicy",
    "PeerAuthentication",
    "PodDisruptionBudget",
    "Service",
    "ServiceAccount",
)
"""Kinds that an overlay may patch: all that a mesh renders inside its namespace, but no roles or bindings."""


def list_spellings(path: Path) -> list[Path]:
    """Every way of writing a path that Istio reads: each step in JSON's spelling and in protobuf's own.

    protojson takes both (`rootNamespace`, `root_namespace`), so a rule on one only could be walked around.
    """
    steps = []
    for step in path:
        snake = re.sub(r"(?<=[a-z0-9])[A-Z]", lambda capital: f"_{capital[0].lower()}", step)
        steps.append((step,) if snake == step else (step, snake))
    return list(product(*steps))


def find_refused(tree: Mapping[str, Any], table: Mapping[Path, str]) -> Iterator[tuple[Path, Any, str]]:
    """Refused keys present in `tree`, whatever their value: path as written, value, why and what instead."""
    for path, why in table.items():
        for spelling in list_spellings(path):
            node: Any = tree
            for step in spelling:
                if not isinstance(node, Mapping) or step not in node:
                    break
                node = node[step]
            else:
                yield spelling, node, why
