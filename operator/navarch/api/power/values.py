"""Decisions about spec.values: Istio's values, as injection templates and istiod read them.

Owns one row for each field. A free value is limited to a type, because templates put it into a pod's
manifest as it is. Sources: Istio's operator/pkg/apis/values_types.proto, the injection templates, and what
istiod makes of gateways from values.
"""

from __future__ import annotations

from navarch.api.power.reasons import (
    CA,
    DOMAIN,
    ELSEWHERE,
    IMAGES,
    MEMBERSHIP,
    TAGS,
)
from navarch.api.power.rules import Table, build_table, free, guard, refuse

_QUIET = ("info", "warning", "error", "critical", "off")
_PROBES = "how often and how long the proxy's own readiness is asked for"
_UNREAD = "no template that Navarch renders reads it, a profile's own may"
_POD = "it shapes what is injected into every member's pods"
_CAPTURE = "traffic that passes by the proxy passes by authentication and authorization"
_PLACED = "it decides where and how large the gateways of every namespace of the mesh run"
_NAMES = "it names the mesh's cluster and network towards others"
_ISTIOD = "it would shape istiod, which has fields of its own in the spec"
_INJECTED = "it would put containers of any kind into every pod of the mesh"
_TUNNEL = "it would let another service account obtain any identity; leave it out"

VALUES: Table = build_table(
    (free("the form of log lines", kind=bool), "global.logAsJson"),
    (free("what Envoy logs, without what requests carry", allowed=(None, *_QUIET)), "global.proxy.logLevel"),
    (
        free(_PROBES, kind=int),
        "global.proxy.readinessInitialDelaySeconds global.proxy.readinessPeriodSeconds "
        "global.proxy.readinessFailureThreshold global.proxy.startupProbe.failureThreshold",
    ),
    (free(_PROBES, kind=bool), "global.proxy.startupProbe.enabled"),
    (
        free("applications start when their proxy is ready", kind=bool),
        "global.proxy.holdApplicationUntilProxyStarts",
    ),
    (
        free("the kubelet's probes of members' pods go through their proxies", kind=bool),
        "sidecarInjectorWebhook.rewriteAppHTTPProbe",
    ),
    (
        free("whether injection sees what later webhooks add", allowed=(None, "Never", "IfNeeded")),
        "sidecarInjectorWebhook.reinvocationPolicy",
    ),
    (
        guard(_POD),
        "global.arch.** global.defaultNodeSelector.** global.defaultPodDisruptionBudget.** "
        "global.defaultResources.** global.defaultTolerations.** global.imagePullPolicy "
        "global.imagePullSecrets global.logging.** global.meshNetworks.** global.mountMtlsCerts "
        "global.platform global.podDNSSearchNamespaces global.priorityClassName global.proxy.clusterDomain "
        "global.proxy.componentLogLevel global.proxy.enableCoreDump global.proxy.outlierLogPath "
        "global.proxy.seccompProfile.** global.proxy.statusPort global.proxy.resources.** "
        "global.proxy.lifecycle.** global.proxy_init.resources.** global.nativeNftables global.sds.token.** "
        "global.sts.** global.variant global.jwtPolicy global.agentgateway.** global.ipFamilies "
        "global.ipFamilyPolicy global.proxy.capNetBindService global.proxy_init.forceApplyIptables "
        "istioCni.** gateways.** sidecarInjectorWebhook.aliases.**",
    ),
    (
        guard("it sends what workloads say, or who talks to whom, to an address of the writer's choice"),
        "global.proxy.tracer global.tracer.**",
    ),
    (
        guard(_CAPTURE),
        "global.proxy.excludeInboundPorts global.proxy.excludeIPRanges global.proxy.includeIPRanges "
        "global.proxy.excludeOutboundPorts global.proxy.includeInboundPorts "
        "global.proxy.includeOutboundPorts",
    ),
    (guard(_NAMES), "global.meshID global.multiCluster.** global.network"),
    (guard(_PLACED), "global.waypoint.** gatewayClasses.**"),
    (
        guard(_UNREAD),
        "global.configValidation global.omitSidecarInjectorConfigMap global.operatorManageWebhooks "
        "global.istiod.** global.networkPolicy.** global.resourceScope global.enableReaderRBAC "
        "global.readerServiceAccount.** global.revision telemetry.** ownerName profile compatibilityVersion "
        "experimental.** base.** cni.** ztunnel.** sidecarInjectorWebhook.injectionURL",
    ),
    (guard(_ISTIOD), "pilot.**"),
    (refuse(TAGS), "revision revisionTags defaultRevision"),
    (refuse("it would pass by the checks on Istio's configuration; use spec.meshConfig"), "meshConfig"),
    (
        refuse(ELSEWHERE),
        "istiodRemote global.istioNamespace global.configCluster global.externalIstiod "
        "global.remotePilotAddress",
    ),
    (refuse(CA), "global.caAddress global.caName global.pilotCertProvider global.certSigners"),
    (
        refuse("it would make proxies trust the root in another ConfigMap; leave it out"),
        "global.trustBundleName",
    ),
    (refuse(DOMAIN), "global.trustDomain"),
    (
        refuse("it would put tokens for another audience into every pod; leave it out"),
        "global.sds.token.aud",
    ),
    (
        refuse(IMAGES),
        "global.hub global.tag global.proxy.image global.proxy_init.image pilot.hub pilot.tag pilot.image",
    ),
    (
        refuse("it would make every sidecar a privileged container; leave it out"),
        "global.proxy.privileged",
    ),
    (
        refuse(f"it would turn injection on or off past its labels; {MEMBERSHIP}"),
        "global.proxy.autoInject",
    ),
    (
        refuse(f"it would take every namespace; {MEMBERSHIP}"),
        "sidecarInjectorWebhook.enableNamespacesByDefault",
    ),
    (
        refuse(f"it would take pods that did not ask; {MEMBERSHIP}"),
        "sidecarInjectorWebhook.alwaysInjectSelector",
    ),
    (
        refuse(f"it would leave members' pods outside; {MEMBERSHIP}"),
        "sidecarInjectorWebhook.neverInjectSelector",
    ),
    (
        refuse("Navarch tells current proxies from outdated ones by them; annotate the workloads instead"),
        "sidecarInjectorWebhook.injectedAnnotations",
    ),
    (
        refuse(f"{_INJECTED}; use the templates sidecar and gateway as they are"),
        "sidecarInjectorWebhook.templates",
    ),
    (
        refuse(f"{_INJECTED}; choose a template by the pod's annotation inject.istio.io/templates"),
        "sidecarInjectorWebhook.defaultTemplates",
    ),
    (
        refuse("istiod's environment has a field of its own; use spec.controlPlane.environment"),
        "pilot.env",
    ),
    (refuse(_TUNNEL), "pilot.trustedZtunnelNamespace pilot.trustedZtunnelName"),
)
"""Paths in spec.values, in the spelling of Istio's charts."""
