"""The ids of what is said about the cluster as a whole: no object of ours has a condition for it.

Owns these words, as core/model/reasons.py owns those of conditions; together they are all ids there are.
Invariant: values are CamelCase words, none of them is a reason's, and none changes once released.
"""

from __future__ import annotations

from collections.abc import Mapping

from navarch.core.diagnosis.advice.form import Advice
from navarch.core.model.documented import Documented
from navarch.core.model.findings import Severity


class Sign(Documented):
    """An id."""

    NAVARCH_NOT_INSTALLED = "NavarchNotInstalled", "The cluster does not serve Navarch's own kinds."
    POLICY_MISSING = "PolicyMissing", "An admission policy of Navarch's, or its binding, does not exist."
    OPERATOR_NOT_RUNNING = "OperatorNotRunning", "No replica of the operator holds a fresh Lease."
    PROBE_NAMESPACE_MISSING = (
        "ProbeNamespaceMissing",
        "The namespace of the dry-run pods does not exist, so injection cannot be proved.",
    )
    KUBERNETES_UNSUPPORTED = (
        "KubernetesUnsupported",
        "The cluster is too old for every version of Istio that this release knows.",
    )
    ORPHANED_OBJECTS = (
        "OrphanedObjects",
        "Objects carry the labels of a mesh or a gateway that does not exist.",
    )
    REVISION_NOT_FOUND = (
        "RevisionNotFound",
        "A namespace asks for injection, and no webhook takes its pods: they start without a sidecar.",
    )
    PROXIES_ABANDONED = (
        "ProxiesAbandoned",
        "Pods run a sidecar of a revision that is gone: their certificates are not renewed.",
    )
    CONFIGURATION_NOT_READ = (
        "ConfigurationNotRead",
        "An object of Istio's configuration names a tag in istio.io/rev: no istiod reads it.",
    )
    PROXIES_OUTSIDE = (
        "ProxiesOutside",
        "Pods run the proxy of a mesh to which their namespace does not belong (any more).",
    )
    PODS_NOT_INJECTED = (
        "PodsNotInjected",
        "Pods in a mesh's namespace run without a sidecar.",
    )
    PODS_ASK_FOR_INJECTION = (
        "PodsAskForInjection",
        "Pods ask for a sidecar by their own label or annotation where no mesh of Navarch injects them.",
    )
    ROUTE_WITHOUT_GATEWAY = (
        "RouteWithoutGateway",
        "A route names a Gateway that does not exist, or that does not take it.",
    )
    GATEWAY_WITHOUT_PODS = "GatewayWithoutPods", "No pod has the labels that a Gateway of Istio's selects."
    GATEWAY_NOT_PROGRAMMED = (
        "GatewayNotProgrammed",
        "istiod made no proxy, or no address, for a Gateway of Gateway API in a mesh's namespace.",
    )
    GATEWAY_OUTSIDE_MESHES = (
        "GatewayOutsideMeshes",
        "A Gateway of Gateway API asks istiod for a proxy in a namespace that belongs to no mesh.",
    )
    LISTENER_WITHOUT_CERTIFICATE = (
        "ListenerWithoutCertificate",
        "A listener of a Gateway ends TLS and names no certificate.",
    )
    PORT_PROTOCOLS_CLASH = (
        "PortProtocolsClash",
        "Gateways that the same pods serve ask for one port with different protocols: one of them has none.",
    )
    LISTENER_BEHIND_NO_PORT = (
        "ListenerBehindNoPort",
        "No port of the Service of a MeshGateway leads to a listener that its pods serve.",
    )
    ROUTES_CONFLICT = (
        "RoutesConflict",
        "Routes of two namespaces take the same host, port and path at one Gateway.",
    )
    ANOTHER_ISTIO = "AnotherIstio", "An Istio that Navarch did not install is in the cluster."
    OBJECTS_LEFT_OUT = (
        "ObjectsLeftOut",
        "Objects are too large, or too many, to be kept whole: the operator decides without the rest.",
    )
    STORED_VERSION_DROPPED = (
        "StoredVersionDropped",
        "Before an upgrade: objects may be stored in a version that the CRD of the new Istio does not have.",
    )
    STORED_VERSION_OF_GATEWAY_API_DROPPED = (
        "StoredVersionOfGatewayAPIDropped",
        "Before an upgrade: objects may be stored in a version that a newer Gateway API does not have.",
    )
    CONFIGURATION_REMOVED = (
        "ConfigurationRemoved",
        "Before an upgrade: the new Istio does not read something that is set.",
    )
    CONFIGURATION_DEPRECATED = (
        "ConfigurationDeprecated",
        "Before an upgrade: the new Istio deprecates something that is set.",
    )
    ENVOY_FILTER_PINNED = (
        "EnvoyFilterPinned",
        "Before an upgrade: an EnvoyFilter takes proxies of the running version and not of the new one.",
    )
    ENVOY_FILTER_RELATIVE = (
        "EnvoyFilterRelative",
        "Before an upgrade: an EnvoyFilter works relative to a filter that the new Istio may not have.",
    )
    PROXIES_TOO_NEW = (
        "ProxiesTooNew",
        "Before an upgrade: pods run proxies that are newer than the version that is asked for.",
    )
    DISRUPTION_FORBIDDEN = (
        "DisruptionForbidden",
        "Before an upgrade: a PodDisruptionBudget lets none of the mesh's pods go.",
    )
    AUTOSCALER_AT_MAXIMUM = (
        "AutoscalerAtMaximum",
        "Before an upgrade: an autoscaler of an istiod or a gateway has no pod to spare.",
    )
    NO_ROOM_FOR_SURGE = (
        "NoRoomForSurge",
        "Before an upgrade: nodes lack room for one pod more of a gateway, or of an istiod that is changed "
        "where it stands, or for all pods of one that comes up beside another.",
    )
    NAMESPACE_MISSING = "NamespaceMissing", "The namespace that a manifest names does not exist."
    TOLD_BY_OPERATOR = (
        "ToldByOperator",
        "Not everything could be looked at; the conditions that the operator wrote are quoted.",
    )
    NOT_LOOKED_AT = "NotLookedAt", "Something that was asked about could not be looked at."


OF_SIGNS: Mapping[Sign, Advice] = {
    Sign.NAVARCH_NOT_INSTALLED: Advice(
        Severity.INFO,
        "`navarch manifests` prints what installs it.",
        "the cluster has no CRD of mesh.navarch.io",
    ),
    Sign.POLICY_MISSING: Advice(
        Severity.WARNING,
        "Apply `navarch manifests` of the operator's release again: without them a tenant can harm others.",
        "there is no ValidatingAdmissionPolicy placement.mesh.navarch.io",
    ),
    Sign.OPERATOR_NOT_RUNNING: Advice(
        Severity.ERROR,
        "Look at the operator's Deployment, its pods and its log: no mesh is reconciled until it runs.",
        "navarch-7d4f has not renewed its Lease since 2026-11-01T10:00:00Z",
    ),
    Sign.PROBE_NAMESPACE_MISSING: Advice(
        Severity.ERROR,
        "Apply `navarch manifests` of the operator's release again.",
        "there is no namespace navarch-probe",
    ),
    Sign.KUBERNETES_UNSUPPORTED: Advice(
        Severity.ERROR,
        "Upgrade the cluster.",
        "the cluster is Kubernetes 1.28, and every known Istio needs 1.32 or newer",
    ),
    Sign.ORPHANED_OBJECTS: Advice(
        Severity.WARNING,
        "Create it again under the same name and delete it, or delete the objects.",
        "3 objects of a mesh that is gone: ConfigMap shop/istio-shop-mesh-inplace",
    ),
    Sign.REVISION_NOT_FOUND: Advice(
        Severity.ERROR,
        "Correct the label to the tag of a mesh (column TAG of `kubectl get meshcp -A`), or remove it.",
        "istio.io/rev=prd, and no injection webhook selects it: its pods start without a sidecar",
    ),
    Sign.PROXIES_ABANDONED: Advice(
        Severity.ERROR,
        "Label the namespace with a tag that exists, and restart the workloads.",
        "3 pods run a sidecar of revision old, which is gone: web-1, web-2, web-3",
    ),
    Sign.CONFIGURATION_NOT_READ: Advice(
        Severity.WARNING,
        "Remove the label, so that the mesh of the object's namespace reads it, or name the revision in it.",
        "istio.io/rev=shop-mesh is a tag of mesh shop/mesh, and on configuration istiod takes its revision "
        "only: the object has no effect, and was not validated; kubectl label "
        "virtualservices.networking.istio.io web -n apps istio.io/rev- removes the label, "
        "istio.io/rev=shop-mesh-inplace is the revision",
    ),
    Sign.PROXIES_OUTSIDE: Advice(
        Severity.WARNING,
        "Restart the workloads, or bring the namespace into the mesh again.",
        "3 pods run a proxy of mesh shop/mesh, to which this namespace does not belong: web-1, web-2, web-3",
    ),
    Sign.PODS_NOT_INJECTED: Advice(
        Severity.WARNING,
        "Restart the workloads: injection happens when a pod is created.",
        "2 pods have no sidecar although the namespace belongs to mesh shop/mesh: web-1, web-2",
    ),
    Sign.PODS_ASK_FOR_INJECTION: Advice(
        Severity.WARNING,
        "Label the namespace, as the message says, or remove the label or annotation from the pods.",
        "1 pod without a sidecar asks for one by label sidecar.istio.io/inject=true, and no webhook takes "
        "them: a mesh injects in its own namespaces only; kubectl label namespace apps "
        "istio.io/rev=shop-mesh, then kubectl -n apps rollout restart deployment. Pods: web-1",
    ),
    Sign.ROUTE_WITHOUT_GATEWAY: Advice(
        Severity.WARNING,
        "Correct the name or the host, add a listener for it, or make the Gateway.",
        "names Gateway front/web, which does not exist: no request takes this route there",
    ),
    Sign.GATEWAY_WITHOUT_PODS: Advice(
        Severity.WARNING,
        "Correct the selector (pods of a MeshGateway have `istio: <its name>`), or make the MeshGateway.",
        "no pod has the labels istio=ingress that it selects",
    ),
    Sign.GATEWAY_NOT_PROGRAMMED: Advice(
        Severity.WARNING,
        "Where there is no such class, correct gatewayClassName, or switch the class on in the mesh. Where a "
        "controller is waited for, correct or remove istio.io/rev on the Gateway, and see that the mesh does "
        "not say `gatewayController: false`. Else look at quotas, the load balancer and istiod's log.",
        "istiod has made no proxy for it that can be reached; Programmed is Unknown: Waiting for controller",
    ),
    Sign.GATEWAY_OUTSIDE_MESHES: Advice(
        Severity.WARNING,
        "Have the namespace join a mesh, by the label istio.io/rev=TAG or by a MeshMember, or move the "
        "Gateway into one that has.",
        "asks istiod for a proxy, and no istiod has looked at it, since its namespace belongs to no mesh: "
        "neither Deployment nor Service is made",
    ),
    Sign.LISTENER_WITHOUT_CERTIFICATE: Advice(
        Severity.WARNING,
        "Name a Secret in tls.credentialName, or in tls.certificateRefs of a Gateway of Gateway API.",
        "listener https ends TLS on port 443 and names no certificate",
    ),
    Sign.PORT_PROTOCOLS_CLASH: Advice(
        Severity.WARNING,
        "Give one of them another port.",
        "port 8080 of the same pods is asked for as HTTP by Gateway a/web and as TCP by Gateway b/db",
    ),
    Sign.LISTENER_BEHIND_NO_PORT: Advice(
        Severity.WARNING,
        "Add the port to spec.service.ports of the MeshGateway, or give the listener a port that is there.",
        "listener https is on port 8443, and no port of the Service of MeshGateway front/ingress leads "
        "there: it has 80, 443",
    ),
    Sign.ROUTES_CONFLICT: Advice(
        Severity.WARNING,
        "Agree on one of the two, or give them different hosts or paths.",
        "at Gateway front/web, VirtualService a/shop of another namespace is older and has the same "
        "shop.example.com prefix /cart: which of them gets a request is not this namespace's to say",
    ),
    Sign.ANOTHER_ISTIO: Advice(
        Severity.INFO,
        "Nothing; it is left alone.",
        "Istio 1.30.3, revision canary, in namespace istio-system, by Helm (release istiod, deployed)",
    ),
    Sign.OBJECTS_LEFT_OUT: Advice(
        Severity.WARNING,
        "Find out who writes such objects and remove what is too large in them; where they are in order, "
        "raise NAVARCH_CACHE_MIB and the memory limit of the operator's Deployment.",
        "3 of ConfigMap are not kept, or not whole: shop/a, shop/b, shop/c",
    ),
    Sign.STORED_VERSION_DROPPED: Advice(
        Severity.ERROR,
        "Write these objects anew (read and replace each), then take the version out of "
        "status.storedVersions: the API server refuses the new CRD until then.",
        "objects may be stored in version v1alpha1 of telemetries.telemetry.istio.io, which the CRD of Istio "
        "1.31 does not have",
    ),
    Sign.STORED_VERSION_OF_GATEWAY_API_DROPPED: Advice(
        Severity.WARNING,
        "Write these objects anew (read and replace each), then take the version out of "
        "status.storedVersions, before a newer Gateway API is installed.",
        "objects may be stored in version v1alpha2 of grpcroutes.gateway.networking.k8s.io, which Gateway "
        "API v1.5.1 does not have",
    ),
    Sign.CONFIGURATION_REMOVED: Advice(
        Severity.WARNING,
        "Find out in Istio's upgrade notes what takes its place, and remove it.",
        "istiod of 1.31.4 does not read PILOT_SPAWN_UPSTREAM_SPAN_FOR_GATEWAY any more",
    ),
    Sign.CONFIGURATION_DEPRECATED: Advice(
        Severity.WARNING,
        "Write what takes its place; it is read still, and a later version may not read it.",
        "uses what Istio 1.31.4 deprecates: http[0].mirrorPercent (mirrorPercentage takes its place)",
    ),
    Sign.ENVOY_FILTER_PINNED: Advice(
        Severity.WARNING,
        "Make a second EnvoyFilter, or a second patch in it, for the new version, and try it there; remove "
        "the old one when no proxy of the old version is left.",
        "takes proxies of 1.30.8 and not of 1.31.4, by proxyVersion ^1\\.30.*",
    ),
    Sign.ENVOY_FILTER_RELATIVE: Advice(
        Severity.WARNING,
        "Try it with a proxy of the new version, or use INSERT_FIRST, which needs no other filter.",
        "works relative to a filter, and does nothing where 1.31.4 has none of that name: INSERT_AFTER "
        "envoy.filters.http.cors",
    ),
    Sign.PROXIES_TOO_NEW: Advice(
        Severity.WARNING,
        "Restart their workloads as soon as the older version serves; Istio supports no proxy that is newer "
        "than its istiod.",
        "2 pods run proxies that are newer than 1.31.1: 1.31.4 (apps)",
    ),
    Sign.DISRUPTION_FORBIDDEN: Advice(
        Severity.WARNING,
        "Let one pod go at a time (`maxUnavailable: 1`), with a replica more where there is one: what evicts "
        "a pod, such as the drain of a node, waits for it without end.",
        "lets none of 2 pods of mesh shop/mesh go: web-1, web-2",
    ),
    Sign.AUTOSCALER_AT_MAXIMUM: Advice(
        Severity.WARNING,
        "Raise its maximum until the upgrade is over.",
        "Deployment istiod-shop-mesh-inplace has as many pods as it may have (5), and none to spare when "
        "every proxy of mesh shop/mesh connects anew",
    ),
    Sign.NO_ROOM_FOR_SURGE: Advice(
        Severity.WARNING,
        "Add a node, or lower what it requests, unless nodes are added by themselves: a new pod is ready "
        "before an old one ends, and a new revision with all of its pods before the tag moves.",
        "no node has room for one pod more of istiod in namespace shop, which asks for 500m of CPU and "
        "2048Mi of memory; 3 nodes of 3 would take it",
    ),
    Sign.NAMESPACE_MISSING: Advice(
        Severity.ERROR,
        "Create the namespace first.",
        "there is no namespace shop",
    ),
    Sign.TOLD_BY_OPERATOR: Advice(
        Severity.INFO,
        "Nothing; with the rights that the message names, the mesh would be looked at anew.",
        "list customresourcedefinitions is not permitted",
    ),
    Sign.NOT_LOOKED_AT: Advice(
        Severity.WARNING,
        "Ask with the rights that the message names, or name a namespace or mesh to ask about less.",
        "list pods in the whole cluster: not permitted",
    ),
}
